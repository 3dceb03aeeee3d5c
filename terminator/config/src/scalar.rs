//! Single values: from YAML's to ours. `None` says that a value is of another kind: the caller knows what was
//! expected.
//!
//! It must not show a value: any value may be a key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use serde::Serializer;

use crate::yaml::Value;
use crate::{
    ALPN_NAME_LENGTH_MAX, NAME_LENGTH_MAX, Pem, URL_LENGTH_MAX, VERSION_LENGTH_MAX, is_trial_id,
};

/// Reads a text without copying it.
pub(crate) fn text(value: Value) -> Option<Pem> {
    match value {
        Value::String(text) => Some(Pem::new(text)),
        _ => None,
    }
}

/// Reads a whole number; in quotes it is the same number.
pub(crate) fn number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    T::try_from(number).ok()
}

/// Reads an IP address, with or without the brackets of a URL, or `localhost`, which users of the plugin write.
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

/// Reads a DNS name (see [`is_dns_name`]) or an IP address.
pub(crate) fn host(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    if let Some(address) = address(value).filter(|_| name != "localhost") {
        return Some(address.to_string());
    }
    is_dns_name(name).then(|| name.to_owned())
}

/// Reports whether a text is a DNS name (RFC 1123, section 2.1) of at most 253 characters, with or without a
/// trailing dot. Underscores are accepted, because they resolve. A name whose last label is a number is a
/// mistyped IPv4 address, and is not accepted.
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

/// Reads a name of a host: a DNS name, perhaps after `*.`; in lower case.
pub(crate) fn host_name(value: &Value) -> Option<String> {
    let name = value.as_str()?.to_ascii_lowercase();
    let plain = name.strip_prefix("*.").unwrap_or(&name);
    (is_dns_name(plain) && !plain.ends_with('.')).then_some(name)
}

/// Reads the name of an ALPN protocol.
pub(crate) fn protocol(value: Value) -> Option<String> {
    match value {
        Value::String(name) => is_protocol_name(&name).then_some(name),
        _ => None,
    }
}

/// Reports whether a text can be the name of an ALPN protocol here.
pub fn is_protocol_name(text: &str) -> bool {
    (1..=ALPN_NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Describes an address that can be bound, but that no client can connect to; `None` for any other.
pub fn unreachable(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        address if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(address) if address.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(address) if address.octets()[0] == 0 && !address.is_unspecified() => {
            Some("an address of \"this network\" (0.0.0.0/8)")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Reads a version, which may look like a number.
pub(crate) fn version(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fits = text.chars().count() <= VERSION_LENGTH_MAX && !text.chars().any(char::is_control);
    fits.then_some(text)
}

/// Reads the ID of a trial.
pub(crate) fn trial_id(value: Value) -> Option<String> {
    match value {
        Value::String(id) => is_trial_id(&id).then_some(id),
        _ => None,
    }
}

/// Reads a name or a template for one.
pub(crate) fn name(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text).filter(|text| is_client_name(text)),
        _ => None,
    }
}

/// Reports whether a text may be a template or a name in `identity`: at most 1,024 bytes, without control characters.
pub fn is_client_name(text: &str) -> bool {
    text.len() <= NAME_LENGTH_MAX && !text.chars().any(char::is_control)
}

/// Reads the URL of a server by HTTP or HTTPS, with a host and without user name, password and fragment.
pub(crate) fn url(value: Value) -> Option<String> {
    match value {
        Value::String(text) => is_url(&text).then_some(text),
        _ => None,
    }
}

/// Reports whether a text is such a URL.
pub(crate) fn is_url(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if text.len() > URL_LENGTH_MAX || !text.bytes().all(is_plain) {
        return false;
    }
    let Ok(url) = text.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = url.authority() else {
        return false;
    };
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_dns_name(host) || host.parse::<Ipv4Addr>().is_ok(),
    };
    // `host:` without a number is no port.
    let has_port = authority.port_u16().is_some_and(|port| port > 0);
    let is_whole = has_port || authority.as_str() == host;
    let is_known = [Scheme::HTTP, Scheme::HTTPS]
        .iter()
        .any(|known| url.scheme() == Some(known));
    is_known && is_host && is_whole
}

/// Reports whether a URL begins with `https`.
pub(crate) fn is_https(url: &str) -> bool {
    url.parse::<Uri>()
        .is_ok_and(|url| url.scheme() == Some(&Scheme::HTTPS))
}

/// Reads a duration such as `10s` or `1m 30s`.
pub(crate) fn duration(value: &Value) -> Option<Duration> {
    humantime::parse_duration(value.as_str()?).ok()
}

/// Reports whether a duration is written as the API server takes it: digits and the units h, m, s and ms.
pub(crate) fn is_plain_duration(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte))
}

/// Formats a duration of one unit as users, this file and the API server write it: `24h`, `10m`, `30s` or `100ms`.
/// A longer unit than hours is unknown to the API server.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let whole = units
        .into_iter()
        .find(|(_, size)| millis >= *size && millis.is_multiple_of(*size));
    match whole {
        Some((unit, size)) => format!("{}{unit}", millis / size),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

/// Writes a duration as [`duration`] reads it.
pub(crate) fn serialize_duration<S: Serializer>(
    value: &Duration,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{is_https, is_url, show_duration};

    #[test]
    fn a_url_has_a_host_and_no_credentials() {
        let long = format!("http://ca.example/{}", "a".repeat(2048 - 18));
        for good in [
            "http://ca.example/ca.crl",
            "HTTPS://Ca.Example:8443/a?b=c",
            "http://192.0.2.1",
            "http://[2001:db8::1]:80/",
            &*long,
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "ca.example/ca.crl",
            "//ca.example/ca.crl",
            "/ca.crl",
            "ldap://ca.example/cn=ca",
            "file:///etc/ca.crl",
            "http:///ca.crl",
            "http://user:password@ca.example/",
            "http://user@ca.example/",
            "http://@ca.example/",
            "http://ca.example/a b",
            "http://ca.example/#part",
            "http://ca.example:/",
            "http://ca.example:0/",
            "http://ca.example:70000/",
            "http://300.0.0.1/",
            "http://[::1/",
            "http://[ca.example]/",
            "http://ca.example/ä",
            &format!("{long}a"),
        ] {
            assert!(!is_url(bad), "{bad}");
        }
        assert!(is_https("HTTPS://ca.example/") && !is_https("http://ca.example/"));
    }

    #[test]
    fn durations_are_shown_in_units_that_the_api_server_knows() {
        for (millis, shown) in [
            (0, "0s"),
            (100, "100ms"),
            (1_500, "1500ms"),
            (30_000, "30s"),
            (90_000, "90s"),
            (600_000, "10m"),
            (3_600_000, "1h"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(show_duration(Duration::from_millis(millis)), shown);
        }
    }
}
