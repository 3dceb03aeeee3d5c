//! From text to [`Config`], with all that is wrong listed at once.
//!
//! It must not quote a value other than a number: any value may be a key that slipped.

use std::time::Duration;

use crate::problem::{Problem, Problems};
use crate::scalar::{
    address, count, duration_within, host, mode, number, switch, text, tickets, version,
};
use crate::section::{Report, Section, kind};
use crate::yaml::{self, Step, Value};
use crate::{
    Admin, Backend, CERTIFICATES_MAX, Certificate, ClientAuth, ClientAuthMode, Config, Drain,
    Limits, Timeouts, Tls, paste,
};

/// Reads the file's text.
pub(crate) fn config(text: &str) -> Result<Config, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let indented = paste::indent(text);
    let text = indented.as_ref().map_or(text, |indented| indented.as_str());
    let root = yaml::value(text).map_err(|error| {
        let message = format!("this is not YAML: {}", error.message);
        Problems::one(Problem {
            line: error.line,
            key: String::new(),
            message,
        })
    })?;
    let mut report = Report::new(text);
    let config = top(root, &mut report);
    Problems::check(report.into_problems())?;
    // Without problems all mandatory keys were there.
    config.ok_or_else(|| {
        let message = "the file could not be read; please report this".to_owned();
        Problems::one(Problem {
            line: None,
            key: String::new(),
            message,
        })
    })
}

fn top(root: Value, report: &mut Report<'_>) -> Option<Config> {
    let mut section = Section::new(root, Vec::new(), report)?;
    let port = section.take("port", PORT, number(1, 65_535));
    let pem = section.take(
        "pem",
        "the text of a PEM (as `pem: |` and below it the blocks)",
        text,
    );
    section.require("port", port.is_some());
    section.require("pem", pem.is_some());
    let host = section.take("host", ADDRESS, |value| address(&value));
    let version = section.take("version", VERSION, version);
    let backend = section.nested("backend", backend);
    if section.says_nothing("clientAuth") {
        // Whoever writes it wants it, and an empty one would let everyone in.
        section.complain("clientAuth", CLIENT_AUTH_EMPTY.to_owned());
    }
    let client_auth = section.nested("clientAuth", client_auth);
    let tls = section.nested("tls", tls);
    let timeouts = section.nested("timeouts", timeouts);
    let limits = section.nested("limits", limits);
    let drain = section.nested("drain", drain);
    let admin = section.nested("admin", admin);
    let certificates = certificates(&mut section);
    section.finish();
    Some(Config {
        host,
        port: port?,
        version,
        backend: backend.unwrap_or_default(),
        client_auth: client_auth.unwrap_or_default(),
        tls: tls.unwrap_or_default(),
        timeouts: timeouts.unwrap_or_default(),
        limits: limits.unwrap_or_default(),
        drain: drain.unwrap_or_default(),
        admin: admin.unwrap_or_default(),
        pem: pem?,
        certificates,
    })
}

fn certificates(section: &mut Section<'_, '_>) -> Vec<Certificate> {
    let Some(value) = section.remove("certificates") else {
        return Vec::new();
    };
    let Value::Sequence(entries) = value else {
        section.complain(
            "certificates",
            format!("expected a list, found {}", kind(&value)),
        );
        return Vec::new();
    };
    if entries.len() > CERTIFICATES_MAX {
        let message = format!(
            "{} entries; at most {CERTIFICATES_MAX} are allowed",
            entries.len()
        );
        section.complain("certificates", message);
        return Vec::new();
    }
    let mut path = section.path.clone();
    path.push(Step::Key("certificates".to_owned()));
    let mut certificates = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let mut path = path.clone();
        path.push(Step::Index(index));
        let Some(mut entry) = Section::new(entry, path, section.report) else {
            continue;
        };
        let pem = entry.take("pem", "the text of a PEM", text);
        entry.require("pem", pem.is_some());
        entry.finish();
        certificates.extend(pem.map(|pem| Certificate { pem }));
    }
    certificates
}

fn backend(section: &mut Section<'_, '_>) -> Backend {
    let default = Backend::default();
    Backend {
        host: section
            .take("host", HOST, |value| host(&value))
            .unwrap_or(default.host),
        port: section
            .take("port", PORT, number(1, 65_535))
            .unwrap_or(default.port),
    }
}

fn client_auth(section: &mut Section<'_, '_>) -> ClientAuth {
    let mode = section.take("mode", "None, Optional or Require", |value| mode(&value));
    let ca = section.take("ca", "the text of a PEM with CA certificates", text);
    // Who names a CA wants it used, and a mode that is not said would be none.
    section.require("mode", mode.is_some() || ca.is_none());
    let mode = mode.unwrap_or_default();
    if mode != ClientAuthMode::None && ca.is_none() {
        let message = "missing: without CA certificates no client certificate can be verified; \
                       add them, or set `mode: None`";
        section.complain("ca", message.to_owned());
    }
    ClientAuth { mode, ca }
}

fn tls(section: &mut Section<'_, '_>) -> Tls {
    let tickets = section.take("tickets", "None, Tls12 or All", |value| tickets(&value));
    Tls {
        tickets: tickets.unwrap_or_default(),
    }
}

fn timeouts(section: &mut Section<'_, '_>) -> Timeouts {
    let default = Timeouts::default();
    let (phase_bounds, half_bounds) = (Timeouts::PHASE, Timeouts::HALF_CLOSE);
    let phase = "a duration from 100ms to 10m";
    let half = "a duration from 100ms to 1h";
    Timeouts {
        handshake: section
            .take("handshake", phase, duration_within(phase_bounds))
            .unwrap_or(default.handshake),
        first_packet: section
            .take("firstPacket", phase, duration_within(phase_bounds))
            .unwrap_or(default.first_packet),
        dial: section
            .take("dial", phase, duration_within(phase_bounds))
            .unwrap_or(default.dial),
        half_close: section
            .take("halfClose", half, duration_within(half_bounds))
            .unwrap_or(default.half_close),
    }
}

fn limits(section: &mut Section<'_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        connections: section
            .take(
                "connections",
                "a whole number from 1 to 10000000",
                count(Limits::CONNECTIONS),
            )
            .unwrap_or(default.connections),
        handshakes: section
            .take(
                "handshakes",
                "a whole number from 1 to 1000000",
                count(Limits::HANDSHAKES),
            )
            .unwrap_or(default.handshakes),
    }
}

fn drain(section: &mut Section<'_, '_>) -> Drain {
    let longest = Duration::from_secs(3600);
    let deadline = section.take(
        "deadline",
        "a duration from 0s to 1h",
        duration_within((Duration::ZERO, longest)),
    );
    Drain {
        deadline: deadline.unwrap_or(Drain::default().deadline),
    }
}

fn admin(section: &mut Section<'_, '_>) -> Admin {
    let default = Admin::default();
    Admin {
        host: section
            .take("host", ADDRESS, |value| address(&value))
            .unwrap_or(default.host),
        port: section
            .take("port", PORT, number(1, 65_535))
            .unwrap_or(default.port),
        journal: section
            .take("journal", "true or false", |value| switch(&value))
            .unwrap_or(default.journal),
    }
}

const CLIENT_AUTH_EMPTY: &str = "it is there and says nothing: set `mode: Require` or `mode: Optional`, with the \
     CA certificates as `ca`, or `mode: None`";
const PORT: &str = "a port, a whole number from 1 to 65535";
const ADDRESS: &str = "an IP address";
const HOST: &str = "a DNS name or an IP address, at most 253 characters";
const VERSION: &str = "a text of at most 253 printable characters";
