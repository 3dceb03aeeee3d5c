//! Single values: from what YAML made of them to what they must be. `None` says that a value is none of
//! that kind; the caller knows what was expected, and says so without showing the value.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::yaml::Value;
use crate::{ClientAuthMode, Pem, Tickets, VERSION_LENGTH_MAX};

/// Reads a text, taking it over without a copy.
pub(crate) fn text(value: Value) -> Option<Pem> {
    match value {
        Value::String(text) => Some(Pem::new(text)),
        _ => None,
    }
}

/// Reads a whole number between two bounds, both allowed.
pub(crate) fn number<T: TryFrom<u64>>(least: u64, most: u64) -> impl FnOnce(Value) -> Option<T> {
    move |value| {
        // In quotes it is the same number.
        let number = value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .filter(|number| (least..=most).contains(number))?;
        T::try_from(number).ok()
    }
}

/// Reads how many.
pub(crate) fn count((least, most): (u32, u32)) -> impl FnOnce(Value) -> Option<u32> {
    number(least.into(), most.into())
}

/// Reads an IP address, or `localhost`, which the plugin's users write. Brackets around IPv6 are accepted,
/// as in a URL.
pub(crate) fn address(value: &Value) -> Option<IpAddr> {
    let text = value.as_str()?.trim();
    let text = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if text == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().ok()
}

/// Reads a name as [`is_dns_name`] knows it, or an IP address.
pub(crate) fn host(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    if let Some(address) = address(value).filter(|_| name != "localhost") {
        return Some(address.to_string());
    }
    is_dns_name(name).then(|| name.to_owned())
}

/// Whether a text is a name in the shape of RFC 1123, section 2.1, with an optional dot at its end, at
/// most 253 characters. Underscores are accepted: they resolve. A name whose last label is a number is
/// none: it is a mistyped IPv4 address.
pub fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(numeric)
}

pub(crate) fn version(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fits = text.chars().count() <= VERSION_LENGTH_MAX && !text.chars().any(char::is_control);
    fits.then_some(text)
}

/// Reads a mode by its name. YAML reads a bare `None` as a text, but `null` and `~` are what people
/// write for it as well.
pub(crate) fn mode(value: &Value) -> Option<ClientAuthMode> {
    match value.as_str() {
        Some("None") => Some(ClientAuthMode::None),
        Some("Optional") => Some(ClientAuthMode::Optional),
        Some("Require") => Some(ClientAuthMode::Require),
        _ => None,
    }
}

/// Reads which clients get tickets, by the name of the choice.
pub(crate) fn tickets(value: &Value) -> Option<Tickets> {
    match value.as_str() {
        Some("None") => Some(Tickets::None),
        Some("Tls12") => Some(Tickets::Tls12),
        Some("All") => Some(Tickets::All),
        _ => None,
    }
}

/// Reads `true` or `false`.
pub(crate) fn switch(value: &Value) -> Option<bool> {
    value.as_bool()
}

/// Reads a duration such as `10s` or `1m 30s` between two bounds, both allowed.
pub(crate) fn duration_within(
    (least, most): (Duration, Duration),
) -> impl FnOnce(Value) -> Option<Duration> {
    move |value| {
        let duration = humantime::parse_duration(value.as_str()?).ok()?;
        (least..=most).contains(&duration).then_some(duration)
    }
}

/// How a duration is written.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        humantime::format_duration(*value).to_string().serialize(to)
    }
}
