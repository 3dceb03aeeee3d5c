//! A key of the file as a value: its name, the values it takes, its default and its meaning. The reader, the
//! words of its errors, the operator's checks and the terminator's reference are all made from it.
//!
//! It must not know any key in particular: those are in `sections` and in the crate's root.

use std::net::IpAddr;
use std::time::Duration;

use crate::yaml::Value;
use crate::{ALSO_LISTEN_MAX, Pem, scalar};

/// A key that may be left out.
#[derive(Debug)]
pub struct Key<T: 'static> {
    /// Its name, within its section.
    pub name: &'static str,
    /// The values it takes.
    pub values: Values<T>,
    /// Returns the value that holds where the file has none.
    pub default: fn() -> T,
    /// What it is for, as the reference shows it.
    pub meaning: &'static str,
}

impl<T: PartialEq> Key<T> {
    /// Reports whether a value is the default, and need not be written.
    pub(crate) fn is_default(&self, value: &T) -> bool {
        *value == (self.default)()
    }
}

/// A key that each file has.
#[derive(Debug)]
pub struct Required<T: 'static> {
    /// Its name, within its section.
    pub name: &'static str,
    /// The values it takes.
    pub values: Values<T>,
    /// What it is for, as the reference shows it.
    pub meaning: &'static str,
}

/// A part of the file with keys of its own.
pub trait Section: Sized {
    /// The key whose value it is.
    const NAME: &'static str;

    /// What it is for, as the reference shows it.
    const MEANING: &'static str;

    /// Takes the value of each of its keys from a visitor.
    fn visit(visitor: &mut impl Visitor) -> Self;
}

/// One of a fixed set of names.
pub trait Named: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Returns its name.
    fn name(self) -> &'static str;
}

/// What a section takes its values from: the file's text, the defaults, or a listener's spec. The reference
/// visits a section to learn its keys.
pub trait Visitor {
    /// Returns a key's value, or its default.
    fn key<T>(&mut self, key: &Key<T>) -> T;
}

/// The visitor that gives each key its default.
#[derive(Debug)]
pub struct Defaults;

impl Visitor for Defaults {
    fn key<T>(&mut self, key: &Key<T>) -> T {
        (key.default)()
    }
}

/// The values that a key takes, and how they are read and shown.
#[derive(Debug)]
pub struct Values<T: 'static> {
    noun: &'static str,
    range: Option<(T, T)>,
    names: &'static [(&'static str, T)],
    read: fn(&Self, Value) -> Option<T>,
    show: fn(&Self, &T) -> String,
    is_plain: fn(&str) -> bool,
}

impl<T> Values<T> {
    /// Reads a value; `None` if the key does not take it.
    pub fn read(&self, value: Value) -> Option<T> {
        (self.read)(self, value)
    }

    /// Reports whether a text is written as the API server takes it in a listener. The file takes more notations of
    /// a duration.
    pub fn is_plain(&self, text: &str) -> bool {
        (self.is_plain)(text)
    }

    /// Shows a value as the file has it.
    pub fn show(&self, value: &T) -> String {
        (self.show)(self, value)
    }

    /// Describes the values, as in `a duration from 100ms to 10m`.
    pub fn expected(&self) -> String {
        if let Some((least, most)) = &self.range {
            return format!(
                "{} from {} to {}",
                self.noun,
                self.show(least),
                self.show(most)
            );
        }
        let names: Vec<&str> = self.names.iter().map(|(name, _)| *name).collect();
        match names.split_last() {
            None => self.noun.to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        }
    }

    const fn of(
        noun: &'static str,
        read: fn(&Self, Value) -> Option<T>,
        show: fn(&Self, &T) -> String,
    ) -> Self {
        Self {
            noun,
            range: None,
            names: &[],
            read,
            show,
            is_plain: |_| true,
        }
    }

    const fn within(
        noun: &'static str,
        range: (T, T),
        read: fn(&Self, Value) -> Option<T>,
        show: fn(&Self, &T) -> String,
    ) -> Self {
        Self {
            noun,
            range: Some(range),
            names: &[],
            read,
            show,
            is_plain: |_| true,
        }
    }

    fn allows(&self, value: &T) -> bool
    where
        T: PartialOrd,
    {
        self.range
            .as_ref()
            .is_none_or(|(least, most)| (least..=most).contains(&value))
    }
}

impl<T: Copy + PartialEq> Values<T> {
    /// One of several names.
    pub const fn named(names: &'static [(&'static str, T)]) -> Self {
        Self {
            noun: "",
            range: None,
            names,
            read: |values, value| {
                let name = value.as_str()?;
                values
                    .names
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| *value)
            },
            show: |values, value| {
                let name = values.names.iter().find(|(_, known)| known == value);
                name.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
            },
            is_plain: |_| true,
        }
    }
}

impl<T: Named> Values<Vec<T>> {
    /// A list of names, each once, at least one.
    pub const fn list(noun: &'static str) -> Self {
        Self::of(
            noun,
            |_, value| {
                let named = |value: &Value| {
                    let name = value.as_str()?;
                    T::ALL.iter().copied().find(|known| known.name() == name)
                };
                let list: Vec<T> = match value {
                    Value::Sequence(list) => list.iter().map(named).collect::<Option<_>>()?,
                    _ => return None,
                };
                let is_twice = |(index, one): (usize, &T)| list[..index].contains(one);
                (!list.is_empty() && !list.iter().enumerate().any(is_twice)).then_some(list)
            },
            |_, list| {
                if list == T::ALL {
                    return "all".to_owned();
                }
                let names: Vec<&str> = list.iter().map(|one| one.name()).collect();
                format!("[{}]", names.join(", "))
            },
        )
    }
}

impl Values<Duration> {
    /// A duration such as `10s` or `1m 30s`, between two bounds, both allowed.
    pub const fn duration(range: (Duration, Duration)) -> Self {
        Self {
            is_plain: scalar::is_plain_duration,
            ..Self::within(
                "a duration such as 30s or 1m30s,",
                range,
                |values, value| scalar::duration(&value).filter(|duration| values.allows(duration)),
                |_, duration| scalar::show_duration(*duration),
            )
        }
    }
}

impl Values<u32> {
    /// A whole number between two bounds, both allowed.
    pub const fn count(range: (u32, u32)) -> Self {
        Self::within(
            "a whole number",
            range,
            |values, value| scalar::number(&value).filter(|number| values.allows(number)),
            |_, number| number.to_string(),
        )
    }
}

impl Values<u16> {
    /// A TCP port.
    pub const PORT: Self = Self::within(
        "a port, a whole number",
        (1, u16::MAX),
        |values, value| scalar::number(&value).filter(|port| values.allows(port)),
        |_, port| port.to_string(),
    );
}

impl Values<Vec<u16>> {
    /// A list of TCP ports.
    pub const PORTS: Self = Self::of(
        PORTS,
        |_, value| match value {
            Value::Sequence(ports) if ports.len() <= ALSO_LISTEN_MAX => {
                let port = |port: &Value| scalar::number(port).filter(|port| *port > 0);
                ports.iter().map(port).collect()
            }
            _ => None,
        },
        |_, ports| {
            let shown: Vec<String> = ports.iter().map(u16::to_string).collect();
            or_none((!ports.is_empty()).then(|| format!("[{}]", shown.join(", "))))
        },
    );
}

impl Values<bool> {
    /// `true` or `false`.
    pub const SWITCH: Self = Self::of(
        "true or false",
        |_, value| value.as_bool(),
        |_, on| on.to_string(),
    );
}

impl Values<IpAddr> {
    /// An IP address.
    pub const ADDRESS: Self = Self::of(
        ADDRESS,
        |_, value| scalar::address(&value),
        |_, address| address.to_string(),
    );
}

impl Values<Option<IpAddr>> {
    /// An IP address, or none.
    pub const ADDRESS: Self = Self::of(
        ADDRESS,
        |_, value| scalar::address(&value).map(Some),
        |_, address| or_none(address.as_ref()),
    );
}

impl Values<String> {
    /// A host: a DNS name or an IP address.
    pub const HOST: Self = Self::of(
        "a DNS name or an IP address, at most 253 characters",
        |_, value| scalar::host(&value),
        |_, host| host.clone(),
    );

    /// The name of an ALPN protocol.
    pub const PROTOCOL: Self = Self::of(
        "a text of 1 to 64 letters, digits and other printable ASCII characters, without spaces",
        |_, value| scalar::protocol(value),
        |_, protocol| protocol.clone(),
    );

    /// The ID of a trial.
    pub const TRIAL: Self = Self::of(
        "a text of 1 to 40 of a-z, 0-9 and hyphens",
        |_, value| scalar::trial_id(value),
        |_, id| id.clone(),
    );

    /// A template for a name.
    pub const TEMPLATE: Self = Self::of(
        "a text of at most 1,024 bytes without control characters",
        |_, value| scalar::name(value),
        |_, name| name.clone(),
    );

    /// A URL.
    pub const URL: Self = Self::of(
        "a URL that begins with `http://` or `https://`, at most 2,048 bytes, without user name, password and `#`",
        |_, value| scalar::url(value),
        |_, url| url.clone(),
    );
}

impl Values<Option<String>> {
    /// A name, or none.
    pub const NAME: Self = Self::of(
        "a text of at most 1,024 bytes without control characters",
        |_, value| scalar::name(value).map(Some),
        |_, name| or_none(name.as_ref()),
    );

    /// A text of the writer's own, or none.
    pub const VERSION: Self = Self::of(
        "a text of at most 253 printable characters",
        |_, value| scalar::version(value).map(Some),
        |_, version| or_none(version.as_ref()),
    );
}

impl Values<Vec<String>> {
    /// A list of names of a host.
    pub const NAMES: Self = Self::of(
        "a list of DNS names, each perhaps after `*.`, at least one",
        |_, value| match value {
            Value::Sequence(names) if !names.is_empty() => {
                names.iter().map(scalar::host_name).collect()
            }
            _ => None,
        },
        |_, names| format!("[{}]", names.join(", ")),
    );
}

impl Values<Pem> {
    /// The text of a PEM.
    pub const fn pem(noun: &'static str) -> Self {
        Self::of(
            noun,
            |_, value| scalar::text(value),
            |_, _| NOT_SHOWN.to_owned(),
        )
    }
}

impl Values<Option<Pem>> {
    /// The text of a PEM, or none.
    pub const fn optional_pem(noun: &'static str) -> Self {
        Self::of(
            noun,
            |_, value| scalar::text(value).map(Some),
            |_, pem| or_none(pem.as_ref().map(|_| NOT_SHOWN)),
        )
    }
}

const ADDRESS: &str = "an IP address";

/// As many as [`ALSO_LISTEN_MAX`].
const PORTS: &str = "a list of at most 4 ports, each a whole number from 1 to 65535";

/// What stands for a text that may hold a key.
const NOT_SHOWN: &str = "(not shown)";

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
