//! Names the listener itself or one of its hosts in messages. It must not know what is served.

/// The listener itself, or one of its hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKey {
    /// Its index in the spec, if it is known.
    index: Option<usize>,
    /// The first of its names; none for the listener itself.
    name: Option<String>,
}

impl HostKey {
    /// The listener itself.
    pub const LISTENER: Self = Self {
        index: None,
        name: None,
    };

    /// Returns the key of a host of a spec.
    pub fn of_spec(index: usize, names: &[String]) -> Self {
        Self {
            index: Some(index),
            name: Some(names.first().cloned().unwrap_or_default()),
        }
    }

    /// Returns the key of a host of a configuration, whose index in the spec is unknown.
    pub fn of_file(names: &[String]) -> Self {
        Self {
            index: None,
            name: Some(names.first().cloned().unwrap_or_default()),
        }
    }

    /// Returns the first of its names; none for the listener itself.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the path of one of its fields in the spec.
    pub fn field(&self, field: &str) -> String {
        match (self.index, &self.name) {
            (Some(index), _) => format!("spec.hosts[{index}].{field}"),
            (None, Some(_)) => format!("spec.hosts[].{field}"),
            (None, None) => format!("spec.{field}"),
        }
    }

    /// Returns a message that has the path of one of its fields, which its index is part of.
    pub fn named(&self, message: &str) -> String {
        match &self.name {
            Some(name) => format!("host {name}: {message}"),
            None => message.to_owned(),
        }
    }

    /// Returns a message about it.
    pub fn says(&self, message: &str) -> String {
        match (self.index, &self.name) {
            (Some(index), Some(name)) => format!("hosts[{index}] ({name}): {message}"),
            (None, Some(name)) => format!("host {name}: {message}"),
            (_, None) => message.to_owned(),
        }
    }
}
