//! Rules for the names in a client's certificate: a client that matches one of them may connect. Checked when they are
//! loaded.
//!
//! It must not match a value that cannot be used as a name, nor half of a label or host.

use std::net::IpAddr;

use super::{Field, Identity};
use crate::identity::template::NAME_MAX;

/// Maximum number of rules.
pub const RULES_MAX: usize = 64;

/// How a rule compares its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matching {
    /// The whole value.
    Exact,
    /// Its beginning; of IP addresses a network, such as `192.0.2.0/24`.
    Prefix,
    /// Its end.
    Suffix,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    field: Field,
    pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    /// An address, and the number of bits that count.
    Network(IpAddr, u8),
}

/// Errors in rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The value is empty.
    #[error("the value is empty, and would match every certificate; write what is expected")]
    Empty,
    /// There are no rules: no client could connect.
    #[error("there are no rules, so no client could connect; add one, or remove the list")]
    NoRules,
    /// The value has a control character.
    #[error("the value has a control character; remove it")]
    Control,
    /// The value is not of the field's kind.
    #[error("the value is not {0}")]
    NotA(&'static str),
    /// The end of a name that could be within a label.
    #[error("the suffix would match other names that end alike; begin it with {0}")]
    OpenSuffix(&'static str),
    /// The beginning of a name that could be within a label or host.
    #[error("the prefix would match other names that begin alike; {0}")]
    OpenPrefix(&'static str),
    /// The value is too long.
    #[error("the value has {0} bytes; the maximum is {NAME_MAX}")]
    TooLong(usize),
    /// There are too many rules.
    #[error("there are {0} rules; the maximum is {RULES_MAX}")]
    TooMany(usize),
    /// The field is compared as a whole only.
    #[error("{0} can be compared as a whole only; use an exact match{1}")]
    WholeOnly(Field, &'static str),
}

impl Rule {
    /// Makes a rule.
    ///
    /// # Errors
    ///
    /// No value could match, or more than what is meant.
    pub fn new(field: Field, matching: Matching, value: &str) -> Result<Self, Error> {
        if value.is_empty() {
            return Err(Error::Empty);
        }
        if value.len() > NAME_MAX {
            return Err(Error::TooLong(value.len()));
        }
        if value.chars().any(char::is_control) {
            return Err(Error::Control);
        }
        let pattern = match field {
            Field::Ip => address(matching, value)?,
            Field::Spki => hash(matching, value)?,
            Field::CommonName => pattern(matching, value.to_owned()),
            Field::Dns => {
                if matching == Matching::Suffix && !value.starts_with('.') {
                    return Err(Error::OpenSuffix("a dot"));
                }
                if matching == Matching::Prefix && !value.ends_with('.') {
                    return Err(Error::OpenPrefix("end it with a dot"));
                }
                pattern(matching, value.to_ascii_lowercase())
            }
            Field::Email => {
                if matching == Matching::Suffix && !value.starts_with(['@', '.']) {
                    return Err(Error::OpenSuffix("`@` or a dot"));
                }
                if matching == Matching::Prefix
                    && value.contains('@')
                    && !value.ends_with(['@', '.'])
                {
                    return Err(Error::OpenPrefix(
                        "end it with `@`, or the part behind that with a dot",
                    ));
                }
                pattern(matching, with_domain_in_lower_case(value))
            }
            Field::Uri => {
                let host = value.split_once("://").map(|(_, host)| host);
                if matching == Matching::Prefix && host.is_none_or(|host| !host.contains('/')) {
                    return Err(Error::OpenPrefix("end the host with a slash"));
                }
                if matching == Matching::Suffix && !value.starts_with('/') {
                    return Err(Error::OpenSuffix("a slash"));
                }
                pattern(matching, value.to_owned())
            }
        };
        Ok(Self { field, pattern })
    }

    /// Reports whether a value of the certificate matches.
    pub fn matches(&self, identity: &Identity) -> bool {
        let mut values = identity.usable(self.field);
        values.any(|value| match &self.pattern {
            Pattern::Exact(whole) => value == whole,
            Pattern::Prefix(start) => value.starts_with(&**start),
            Pattern::Suffix(end) => value.ends_with(&**end),
            Pattern::Network(network, bits) => {
                let address = value.parse::<IpAddr>();
                address.is_ok_and(|address| is_within(address, *network, *bits))
            }
        })
    }
}

fn pattern(matching: Matching, value: String) -> Pattern {
    match matching {
        Matching::Exact => Pattern::Exact(value),
        Matching::Prefix => Pattern::Prefix(value),
        Matching::Suffix => Pattern::Suffix(value),
    }
}

fn with_domain_in_lower_case(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None if value.starts_with('.') => value.to_ascii_lowercase(),
        None => value.to_owned(),
    }
}

fn address(matching: Matching, value: &str) -> Result<Pattern, Error> {
    let parse = |text: &str| text.parse::<IpAddr>().ok();
    match matching {
        Matching::Exact => {
            let address = parse(value).ok_or(Error::NotA("an IP address"))?;
            Ok(Pattern::Exact(address.to_string()))
        }
        Matching::Prefix => {
            let network = value.split_once('/').and_then(|(address, bits)| {
                let (address, bits) = (parse(address)?, bits.parse::<u8>().ok()?);
                (bits <= width(address)).then_some(Pattern::Network(address, bits))
            });
            network.ok_or(Error::NotA("a network, such as 192.0.2.0/24"))
        }
        Matching::Suffix => Err(Error::WholeOnly(Field::Ip, ", or a network as prefix")),
    }
}

fn hash(matching: Matching, value: &str) -> Result<Pattern, Error> {
    if matching != Matching::Exact {
        return Err(Error::WholeOnly(Field::Spki, ""));
    }
    // `openssl dgst` writes colons with -c.
    let digits: String = value.chars().filter(|char| *char != ':').collect();
    if digits.len() != 64 || !digits.chars().all(|char| char.is_ascii_hexdigit()) {
        return Err(Error::NotA("a SHA-256 hash in hexadecimal"));
    }
    Ok(Pattern::Exact(digits.to_ascii_lowercase()))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Reports whether an address is in a network of the same family.
fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differs = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            u128::from(address.to_bits() ^ network.to_bits()) << 96
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => address.to_bits() ^ network.to_bits(),
        _ => return false,
    };
    differs.leading_zeros() >= u32::from(bits)
}

/// Rules of which one must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Makes a list of rules.
    ///
    /// # Errors
    ///
    /// There are none, or too many.
    pub fn new(rules: Vec<Rule>) -> Result<Self, Error> {
        match rules.len() {
            0 => Err(Error::NoRules),
            count if count > RULES_MAX => Err(Error::TooMany(count)),
            _ => Ok(Self(rules)),
        }
    }

    /// Reports whether one of them matches.
    pub fn allow(&self, identity: &Identity) -> bool {
        self.0.iter().any(|rule| rule.matches(identity))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::identity;
    use super::Matching::{Exact, Prefix, Suffix};
    use super::{Error, Field, Matching, Rule, Rules};
    use crate::identity::Field::{CommonName, Dns, Email, Ip, Spki, Uri};

    fn matches(field: Field, matching: Matching, rule: &str, value: &str) -> bool {
        let rule = Rule::new(field, matching, rule).unwrap();
        rule.matches(&identity(&[(field, Some(value))]))
    }

    #[test]
    fn each_field_is_compared_in_its_own_way() {
        for (field, matching, rule, value, expected) in [
            (CommonName, Exact, "pump-7", "pump-7", true),
            (CommonName, Exact, "pump-7", "pump-70", false),
            (CommonName, Exact, "pump-7", "Pump-7", false),
            (CommonName, Prefix, "pump-", "pump-70", true),
            (CommonName, Suffix, "-eu", "pump-7-eu", true),
            (Dns, Exact, "A.Example", "a.example", true),
            (Dns, Suffix, ".Example.com", "a.example.com", true),
            (Dns, Suffix, ".example.com", "evilexample.com", false),
            (Dns, Prefix, "pump-7.", "pump-7.example.com", true),
            (Dns, Prefix, "pump-7.", "pump-70.example.com", false),
            (Email, Prefix, "x@", "x@b.example", true),
            (Uri, Suffix, "/p7", "spiffe://f.example/p7", true),
            (Email, Exact, "a@B.example", "a@b.example", true),
            (Email, Exact, "A@b.example", "a@b.example", false),
            (Email, Suffix, "@b.example", "a@b.example", true),
            (Email, Suffix, "@b.example", "a@evilb.example", false),
            (
                Uri,
                Prefix,
                "spiffe://f.example/",
                "spiffe://f.example/p7",
                true,
            ),
            (
                Uri,
                Prefix,
                "spiffe://f.example/",
                "spiffe://f.example.evil/p7",
                false,
            ),
            (Ip, Exact, "2001:DB8:0::1", "2001:db8::1", true),
            (Ip, Prefix, "192.0.2.0/24", "192.0.2.255", true),
            (Ip, Prefix, "192.0.2.0/24", "192.0.3.0", false),
            (Ip, Prefix, "2001:db8::/32", "2001:db8:ffff::", true),
            (Ip, Prefix, "2001:db8::/32", "2001:db9::", false),
            (Ip, Prefix, "0.0.0.0/0", "::1", false),
            (Ip, Prefix, "0.0.0.0/0", "203.0.113.9", true),
        ] {
            assert_eq!(
                matches(field, matching, rule, value),
                expected,
                "{rule} {value}"
            );
        }
        let hash = "ab".repeat(32);
        let with_colons = ["AB"; 32].join(":");
        assert!(matches(Spki, Exact, &with_colons, &hash));
    }

    #[test]
    fn rules_that_match_nothing_or_too_much_are_refused() {
        let slash = Error::OpenPrefix("end the host with a slash");
        for (field, matching, value, error) in [
            (CommonName, Prefix, "", Error::Empty),
            (CommonName, Exact, "a\0", Error::Control),
            (Dns, Suffix, "example.com", Error::OpenSuffix("a dot")),
            (
                Email,
                Suffix,
                "example.com",
                Error::OpenSuffix("`@` or a dot"),
            ),
            (
                Email,
                Suffix,
                "x@b.example",
                Error::OpenSuffix("`@` or a dot"),
            ),
            (
                Email,
                Prefix,
                "x@b.example",
                Error::OpenPrefix("end it with `@`, or the part behind that with a dot"),
            ),
            (
                Dns,
                Prefix,
                "pump-7",
                Error::OpenPrefix("end it with a dot"),
            ),
            (Uri, Prefix, "spiffe://f.example", slash),
            (Uri, Prefix, "spiffe", slash),
            (Uri, Suffix, "f.example/p7", Error::OpenSuffix("a slash")),
            (Ip, Exact, "192.0.2", Error::NotA("an IP address")),
            (
                Ip,
                Prefix,
                "192.0.2.",
                Error::NotA("a network, such as 192.0.2.0/24"),
            ),
            (
                Ip,
                Prefix,
                "192.0.2.0/33",
                Error::NotA("a network, such as 192.0.2.0/24"),
            ),
            (
                Ip,
                Suffix,
                ".1",
                Error::WholeOnly(Ip, ", or a network as prefix"),
            ),
            (
                Spki,
                Exact,
                "ab",
                Error::NotA("a SHA-256 hash in hexadecimal"),
            ),
            (Spki, Prefix, "ab", Error::WholeOnly(Spki, "")),
        ] {
            assert_eq!(Rule::new(field, matching, value), Err(error), "{value:?}");
        }
        assert_eq!(Rules::new(Vec::new()), Err(Error::NoRules));
        let rule = Rule::new(CommonName, Exact, "a").unwrap();
        assert_eq!(Rules::new(vec![rule; 65]), Err(Error::TooMany(65)));
    }

    #[test]
    fn any_rule_and_any_value_suffice() {
        let rule = |value| Rule::new(Dns, Exact, value).unwrap();
        let rules = Rules::new(vec![rule("a.example"), rule("b.example")]).unwrap();
        let names = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (Dns, Some(*name))).collect();
            identity(&names)
        };
        assert!(rules.allow(&names(&["x.example", "b.example"])));
        assert!(!rules.allow(&names(&["x.example"])));
        assert!(!rules.allow(&names(&[])));
        // The same text elsewhere is not enough, nor is what cannot be used.
        assert!(!rules.allow(&identity(&[(CommonName, Some("a.example"))])));
        let start = Rule::new(CommonName, Prefix, "admin").unwrap();
        assert!(!start.matches(&identity(&[(CommonName, Some("admin\0x"))])));
    }
}
