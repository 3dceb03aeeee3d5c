//! The object of a call to the API server, for logs and conditions. It must not hold more than names.

use std::fmt;

use super::table::Kind;

/// The object of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The kind.
    pub kind: Kind,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    One(String),
    Status(String),
    Of(String),
    Event,
}

impl Target {
    /// One object.
    pub fn one(kind: Kind, name: &str) -> Self {
        let which = Which::One(name.to_owned());
        Self { kind, which }
    }

    /// The status of one object.
    pub fn status(kind: Kind, name: &str) -> Self {
        let which = Which::Status(name.to_owned());
        Self { kind, which }
    }

    /// All objects that belong to one of this name.
    pub fn of(kind: Kind, owner: &str) -> Self {
        let which = Which::Of(owner.to_owned());
        Self { kind, which }
    }

    /// An event; its name is generated and not shown.
    pub fn event() -> Self {
        let (kind, which) = (Kind::Event, Which::Event);
        Self { kind, which }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        match &self.which {
            Which::One(name) => write!(f, "{kind} {name}"),
            Which::Status(name) => write!(f, "status of {kind} {name}"),
            Which::Of(owner) => write!(f, "{kind}s of {owner}"),
            Which::Event => f.write_str("an event"),
        }
    }
}
