//! Kubernetes quantities. It must not round.

/// Parses a Kubernetes quantity, in billionths.
pub(super) fn amount(text: &str) -> Option<i128> {
    const BILLION: i128 = 1_000_000_000;
    let end = text
        .find(|char: char| !char.is_ascii_digit() && char != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    let billionths = whole.checked_mul(BILLION)?.checked_add(fraction)?;
    let thousands = |power| 1000_i128.checked_pow(power);
    let kibis = |power| 1024_i128.checked_pow(power);
    let (factor, divisor) = match unit {
        "n" => (1, BILLION),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (thousands(1)?, 1),
        "M" => (thousands(2)?, 1),
        "G" => (thousands(3)?, 1),
        "T" => (thousands(4)?, 1),
        "P" => (thousands(5)?, 1),
        "E" => (thousands(6)?, 1),
        "Ki" => (kibis(1)?, 1),
        "Mi" => (kibis(2)?, 1),
        "Gi" => (kibis(3)?, 1),
        "Ti" => (kibis(4)?, 1),
        "Pi" => (kibis(5)?, 1),
        "Ei" => (kibis(6)?, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    };
    Some(billionths.checked_mul(factor)? / divisor)
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn different_notations_of_an_amount_are_equal() {
        let same = [
            ("0.5", "500m"),
            ("1Gi", "1024Mi"),
            ("1e3", "1k"),
            (".5", "500m"),
            ("1", "1000m"),
        ];
        for (one, other) in same {
            assert_eq!(
                amount(one).unwrap(),
                amount(other).unwrap(),
                "{one} {other}"
            );
        }
        for bad in ["", "Mi", "1x", "-1", "1.0000000001"] {
            assert_eq!(amount(bad), None, "{bad}");
        }
    }
}
