//! From text to [`Config`], with all that is wrong listed at once.
//!
//! It must not quote a value other than a number: any value may be a key that slipped.

use std::net::IpAddr;
use std::time::Duration;

use crate::problem::{Problem, Problems};
use crate::yaml::{self, Step, Value};
use crate::{
    Admin, Backend, CERTIFICATES_MAX, Certificate, ClientAuth, ClientAuthMode, Config, Drain,
    Limits, Pem, Timeouts, VERSION_LENGTH_MAX, paste,
};

/// The keys at the top of the file.
pub(crate) const KEYS: [&str; 11] = [
    "admin",
    "backend",
    "certificates",
    "clientAuth",
    "drain",
    "host",
    "limits",
    "pem",
    "port",
    "timeouts",
    "version",
];

/// How far a key may be from a known one to be taken for a slip of it, by Jaro-Winkler's measure.
const NEAREST_MIN: f64 = 0.75;

/// The longest unknown key that is shown, in characters.
const KEY_SHOWN_MAX: usize = 64;

/// Reads the file's text.
pub(crate) fn config(text: &str) -> Result<Config, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = paste::indent(text);
    let root = yaml::value(&text).map_err(|error| {
        let message = format!("this is not YAML: {}", error.message);
        Problems::one(Problem {
            line: error.line,
            key: String::new(),
            message,
        })
    })?;
    let mut report = Report {
        text: &text,
        problems: Vec::new(),
    };
    let config = top(root, &mut report);
    Problems::check(report.problems)?;
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
    let client_auth = section.nested("clientAuth", client_auth);
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
    let mode = section
        .take("mode", "None, Optional or Require", |value| mode(&value))
        .unwrap_or_default();
    let ca = section.take("ca", "the text of a PEM with CA certificates", text);
    if mode != ClientAuthMode::None && ca.is_none() {
        let message = "missing: without CA certificates no client certificate can be verified; \
                       add them, or set `mode: None`";
        section.complain("ca", message.to_owned());
    }
    ClientAuth { mode, ca }
}

fn timeouts(section: &mut Section<'_, '_>) -> Timeouts {
    let default = Timeouts::default();
    let (tenth, ten_minutes) = (Duration::from_millis(100), Duration::from_secs(600));
    let hour = Duration::from_secs(3600);
    let phase = "a duration from 100ms to 10m";
    let half = "a duration from 100ms to 1h";
    Timeouts {
        handshake: section
            .take("handshake", phase, within(tenth, ten_minutes))
            .unwrap_or(default.handshake),
        dial: section
            .take("dial", phase, within(tenth, ten_minutes))
            .unwrap_or(default.dial),
        half_close: section
            .take("halfClose", half, within(tenth, hour))
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
                number(1, 10_000_000),
            )
            .unwrap_or(default.connections),
        handshakes: section
            .take(
                "handshakes",
                "a whole number from 1 to 1000000",
                number(1, 1_000_000),
            )
            .unwrap_or(default.handshakes),
    }
}

fn drain(section: &mut Section<'_, '_>) -> Drain {
    let longest = Duration::from_secs(3600);
    let deadline = section.take(
        "deadline",
        "a duration from 0s to 1h",
        within(Duration::ZERO, longest),
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
    }
}

const PORT: &str = "a port, a whole number from 1 to 65535";
const ADDRESS: &str = "an IP address";
const HOST: &str = "a DNS name or an IP address, at most 253 characters";
const VERSION: &str = "a text of at most 253 printable characters";

/// Reads a text, taking it over without a copy.
fn text(value: Value) -> Option<Pem> {
    match value {
        Value::String(text) => Some(Pem::new(text)),
        _ => None,
    }
}

/// Reads a whole number between two bounds, both allowed.
fn number<T: TryFrom<u64>>(least: u64, most: u64) -> impl FnOnce(Value) -> Option<T> {
    move |value| {
        let number = value
            .as_u64()
            .filter(|number| (least..=most).contains(number))?;
        T::try_from(number).ok()
    }
}

/// Reads an IP address. Brackets around IPv6 are accepted, as in a URL.
fn address(value: &Value) -> Option<IpAddr> {
    let text = value.as_str()?.trim();
    let text = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    text.parse().ok()
}

/// Reads a name in the shape of RFC 1123, section 2.1, with an optional dot at its end, or an IP
/// address. Underscores are accepted: they resolve.
fn host(value: &Value) -> Option<String> {
    if let Some(address) = address(value) {
        return Some(address.to_string());
    }
    let name = value.as_str()?;
    let labels = name.strip_suffix('.').unwrap_or(name).split('.');
    let fits = |label: &str| {
        let bytes = label.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= 63
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    // A name whose last label is a number is a mistyped IPv4 address.
    let last_is_numeric = labels.clone().next_back().is_some_and(numeric);
    (name.len() <= 253 && !last_is_numeric && labels.clone().all(fits)).then(|| name.to_owned())
}

fn version(value: Value) -> Option<String> {
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
fn mode(value: &Value) -> Option<ClientAuthMode> {
    match value.as_str() {
        Some("None") => Some(ClientAuthMode::None),
        Some("Optional") => Some(ClientAuthMode::Optional),
        Some("Require") => Some(ClientAuthMode::Require),
        _ => None,
    }
}

/// Reads a duration such as `10s` or `1m 30s` between two bounds, both allowed.
fn within(least: Duration, most: Duration) -> impl FnOnce(Value) -> Option<Duration> {
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

/// What has been found so far, and the text that the lines are looked up in.
struct Report<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

/// One mapping of the file, of which each key is taken at most once.
struct Section<'r, 't> {
    entries: Vec<(String, Value)>,
    path: Vec<Step>,
    known: Vec<&'static str>,
    report: &'r mut Report<'t>,
}

impl<'r, 't> Section<'r, 't> {
    /// Opens a mapping; anything else is a problem. An empty value is an empty mapping, as in
    /// `drain:` with all its keys commented out.
    fn new(value: Value, path: Vec<Step>, report: &'r mut Report<'t>) -> Option<Self> {
        let mut section = Self {
            entries: Vec::new(),
            path,
            known: Vec::new(),
            report,
        };
        match value {
            Value::Null => {}
            Value::Mapping(mapping) => {
                for (key, value) in mapping {
                    match key {
                        Value::String(key) => section.entries.push((key, value)),
                        other => section
                            .complain_here(format!("a key must be a text, found {}", kind(&other))),
                    }
                }
            }
            other => {
                section.complain_here(format!("expected keys and values, found {}", kind(&other)));
                return None;
            }
        }
        Some(section)
    }

    /// Takes a key's value, if it is there; a value that does not read is a problem.
    fn take<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let found = kind(&value);
        let taken = read(value);
        if taken.is_none() {
            self.complain(key, format!("expected {expected}, found {found}"));
        }
        taken
    }

    /// Reads a nested mapping, if it is there.
    fn nested<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        let mut section = Section::new(value, path, self.report)?;
        let read = read(&mut section);
        section.finish();
        Some(read)
    }

    /// Complains of a missing key, unless it was there and wrong: then that was said already.
    fn require(&mut self, key: &'static str, taken: bool) {
        let dotted = dotted(&self.path, key);
        if !taken
            && !self
                .report
                .problems
                .iter()
                .any(|problem| problem.key == dotted)
        {
            self.complain(key, "missing: it is mandatory".to_owned());
        }
    }

    /// Complains of the keys that nobody took.
    fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.entries) {
            let nearest = self
                .known
                .iter()
                .map(|known| {
                    (
                        strsim::jaro_winkler(&key.to_lowercase(), &known.to_lowercase()),
                        known,
                    )
                })
                .filter(|(likeness, _)| *likeness >= NEAREST_MIN)
                .max_by(|one, other| one.0.total_cmp(&other.0));
            let message = match nearest {
                Some((_, known)) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known here are {}", self.known.join(", ")),
            };
            self.complain(&key, message);
        }
    }

    fn remove(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.entries.swap_remove(index);
        // `host:` with nothing behind it is as if it were not there.
        (!value.is_null()).then_some(value)
    }

    fn complain(&mut self, key: &str, message: String) {
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        // A missing key has no line of its own: its parent's is the nearest.
        let line = yaml::line_of(self.report.text, &path).or_else(|| {
            (!self.path.is_empty())
                .then(|| yaml::line_of(self.report.text, &self.path))
                .flatten()
        });
        let key = dotted(&self.path, &shown(key));
        self.report.problems.push(Problem { line, key, message });
    }

    fn complain_here(&mut self, message: String) {
        let line = yaml::line_of(self.report.text, &self.path);
        let key = dotted(&self.path, "");
        self.report.problems.push(Problem { line, key, message });
    }
}

/// What a value is, in words, and which number if it is one.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a text that is not one".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "keys and values".to_owned(),
        Value::Tagged(_) => "a value with a tag".to_owned(),
    }
}

/// A key as it may be shown: a text that does not look like a key may be a slipped secret.
fn shown(key: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
    if key.len() <= KEY_SHOWN_MAX && key.chars().all(plain) {
        return key.to_owned();
    }
    format!("(a key of {} characters, not shown)", key.chars().count())
}

fn dotted(path: &[Step], key: &str) -> String {
    let mut dotted = String::new();
    for step in path {
        match step {
            Step::Key(key) if dotted.is_empty() => dotted.push_str(key),
            Step::Key(key) => dotted = format!("{dotted}.{key}"),
            Step::Index(index) => dotted = format!("{dotted}[{index}]"),
        }
    }
    match (dotted.is_empty(), key.is_empty()) {
        (_, true) => dotted,
        (true, false) => key.to_owned(),
        (false, false) => format!("{dotted}.{key}"),
    }
}
