//! Converts the resource's timeouts, limits and TLS options to those of the terminator's configuration.
//!
//! It must not repeat a bound or a default: the configuration's crate defines them.

use std::fmt::Display;
use std::time::Duration;

use mqtt_tls_config as file;

use crate::crd;

/// Maximum number of characters of a value in a message.
const SHOWN_MAX: usize = 32;

/// Converts the timeouts.
///
/// # Errors
///
/// A message about the first invalid one.
pub fn timeouts(spec: &crd::Timeouts) -> Result<file::Timeouts, String> {
    let default = file::Timeouts::default();
    let phase = file::Timeouts::PHASE;
    let read = |name, value: &Option<String>, bounds, default| match value {
        None => Ok(default),
        Some(text) => duration(text, bounds).ok_or_else(|| wrong_duration(name, text, bounds)),
    };
    Ok(file::Timeouts {
        handshake: read("handshake", &spec.handshake, phase, default.handshake)?,
        first_packet: read(
            "firstPacket",
            &spec.first_packet,
            phase,
            default.first_packet,
        )?,
        dial: read("dial", &spec.dial, phase, default.dial)?,
        half_close: read(
            "halfClose",
            &spec.half_close,
            file::Timeouts::HALF_CLOSE,
            default.half_close,
        )?,
    })
}

/// Converts the limits.
///
/// # Errors
///
/// A message about the first one out of bounds.
pub fn limits(spec: &crd::Limits) -> Result<file::Limits, String> {
    let default = file::Limits::default();
    let read = |name, value: Option<u32>, (least, most), default| match value {
        None => Ok(default),
        Some(count) if (least..=most).contains(&count) => Ok(count),
        Some(count) => Err(wrong(
            &format!("limits.{name}"),
            count,
            &format!("from {least} to {most}"),
        )),
    };
    let (connections, handshakes) = (file::Limits::CONNECTIONS, file::Limits::HANDSHAKES);
    Ok(file::Limits {
        connections: read(
            "connections",
            spec.connections,
            connections,
            default.connections,
        )?,
        handshakes: read(
            "handshakes",
            spec.handshakes,
            handshakes,
            default.handshakes,
        )?,
    })
}

/// Converts the TLS options.
pub fn tls(spec: &crd::Tls) -> file::Tls {
    let tickets = spec.tickets.map(|tickets| match tickets {
        crd::Tickets::None => file::Tickets::None,
        crd::Tickets::Tls12 => file::Tickets::Tls12,
        crd::Tickets::All => file::Tickets::All,
    });
    file::Tls {
        tickets: tickets.unwrap_or_default(),
    }
}

/// Parses a duration as strictly as the rule in the CustomResourceDefinition.
fn duration(text: &str, (least, most): (Duration, Duration)) -> Option<Duration> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || b"hms".contains(&byte);
    let duration = humantime::parse_duration(text).ok()?;
    let fits = text.bytes().all(is_plain) && (least..=most).contains(&duration);
    fits.then_some(duration)
}

fn wrong_duration(name: &str, text: &str, (least, most): (Duration, Duration)) -> String {
    let written = |duration| humantime::format_duration(duration).to_string();
    let (least, most) = (written(least), written(most));
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    wrong(
        &format!("timeouts.{name}"),
        shown.escape_debug(),
        &format!("a duration from {least} to {most}, such as 30s, 1m30s or 500ms"),
    )
}

fn wrong(name: &str, value: impl Display, wanted: &str) -> String {
    format!("spec.{name} is {value}; it must be {wanted}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mqtt_tls_config::{Config, Limits, Pem, Tickets, Timeouts};

    use super::{limits, timeouts, tls};
    use crate::crd;

    fn handshake(text: &str) -> Result<Duration, String> {
        let spec = crd::Timeouts {
            handshake: Some(text.to_owned()),
            ..crd::Timeouts::default()
        };
        timeouts(&spec).map(|timeouts| timeouts.handshake)
    }

    #[test]
    fn missing_values_get_the_files_defaults() {
        let file = Config::new(8883, Pem::new(String::new()));
        assert_eq!(timeouts(&crd::Timeouts::default()), Ok(file.timeouts));
        assert_eq!(limits(&crd::Limits::default()), Ok(file.limits));
        assert_eq!(tls(&crd::Tls::default()), file.tls);
    }

    #[test]
    fn durations_are_parsed_as_in_the_file() {
        for (text, millis) in [
            ("100ms", 100),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1s500ms", 1_500),
            ("10m", 600_000),
        ] {
            assert_eq!(handshake(text), Ok(Duration::from_millis(millis)), "{text}");
            let file = format!("port: 1\npem: x\ntimeouts: {{handshake: {text}}}\n");
            let file = Config::parse(&file).unwrap();
            assert_eq!(handshake(text), Ok(file.timeouts.handshake), "{text}");
        }
        for text in [
            "",
            "30",
            "99ms",
            "10m1ms",
            "1.5s",
            "-1s",
            "1d",
            "1m 30s",
            "30 s",
            "s",
            "\u{1b}[1m",
        ] {
            let said = handshake(text).unwrap_err();
            assert!(said.starts_with("spec.timeouts.handshake is "), "{said}");
            assert!(
                said.ends_with("a duration from 100ms to 10m, such as 30s, 1m30s or 500ms"),
                "{said}"
            );
            assert!(!said.contains('\u{1b}'), "{said}");
        }
    }

    #[test]
    fn counts_have_the_files_bounds() {
        let spec = crd::Limits {
            connections: Some(10_000_001),
            handshakes: None,
        };
        assert_eq!(
            limits(&spec),
            Err("spec.limits.connections is 10000001; it must be from 1 to 10000000".to_owned())
        );
        let spec = crd::Limits {
            connections: Some(1),
            handshakes: Some(1_000_000),
        };
        assert_eq!(limits(&spec).map(|limits| limits.handshakes), Ok(1_000_000));
    }

    /// As `kubectl explain` and the reference show them.
    #[test]
    fn descriptions_contain_the_files_bounds_and_defaults() {
        let definition = serde_json::to_value(crd::definition()).unwrap();
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let spec = definition.pointer(spec).unwrap();
        let said = |block: &str, field: &str, words: [String; 2]| {
            let field = &spec[block]["properties"][field];
            let text = field["description"].as_str().unwrap();
            for words in words {
                assert!(text.contains(&words), "{words}: {text}");
            }
            assert!(
                field["default"].is_null(),
                "the API server would write it into each listener"
            );
            assert!(spec[block]["required"].is_null(), "{block}");
        };
        let words = |(least, most), default| {
            let [least, most, default] = [least, most, default]
                .map(|duration| humantime::format_duration(duration).to_string());
            [format!("{least} to {most}"), format!("Default: {default}.")]
        };
        let (file, phase) = (Timeouts::default(), Timeouts::PHASE);
        said("timeouts", "handshake", words(phase, file.handshake));
        said("timeouts", "firstPacket", words(phase, file.first_packet));
        said("timeouts", "dial", words(phase, file.dial));
        said(
            "timeouts",
            "halfClose",
            words(Timeouts::HALF_CLOSE, file.half_close),
        );
        let words = |(least, most): (u32, u32), default: u32| {
            [format!("{least} to {most}"), format!("Default: {default}.")]
        };
        let file = Limits::default();
        said(
            "limits",
            "connections",
            words(Limits::CONNECTIONS, file.connections),
        );
        said(
            "limits",
            "handshakes",
            words(Limits::HANDSHAKES, file.handshakes),
        );
        let default = format!("Default: {:?}.", Tickets::default());
        said("tls", "tickets", [default, "`None`".to_owned()]);
    }

    #[test]
    fn tickets_match_the_file() {
        for (ours, files) in [
            (crd::Tickets::None, Tickets::None),
            (crd::Tickets::Tls12, Tickets::Tls12),
            (crd::Tickets::All, Tickets::All),
        ] {
            let spec = crd::Tls {
                tickets: Some(ours),
            };
            assert_eq!(tls(&spec).tickets, files);
        }
    }
}
