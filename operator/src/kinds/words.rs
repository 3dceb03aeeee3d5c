//! The words of the table: kinds and verbs. It must not say what they are to a listener.

use std::fmt;

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Named by listeners.
    ConfigMap,
    /// The definition of the listeners themselves.
    CustomResourceDefinition,
    /// The terminators.
    Deployment,
    /// What is worth a word to whoever describes a listener.
    Event,
    /// By which one of several operators is chosen.
    Lease,
    /// The listeners.
    MqttTlsListener,
    /// A terminator.
    Pod,
    /// How many terminators may be disrupted at once.
    PodDisruptionBudget,
    /// Named by listeners, and the terminators' configuration.
    Secret,
    /// Named by listeners, and in front of the terminators.
    Service,
}

/// What is asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One object.
    Get,
    /// Several objects.
    List,
    /// What happens to them.
    Watch,
    /// A new object.
    Create,
    /// An object as a whole.
    Update,
    /// A part of an object.
    Patch,
    /// An object, made or changed on the server's side.
    Apply,
    /// An object, gone.
    Delete,
}

impl Kind {
    /// Its name, as in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::CustomResourceDefinition => "CustomResourceDefinition",
            Self::Deployment => "Deployment",
            Self::Event => "Event",
            Self::Lease => "Lease",
            Self::MqttTlsListener => "MqttTlsListener",
            Self::Pod => "Pod",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Secret => "Secret",
            Self::Service => "Service",
        }
    }

    /// Whether what is in its objects may not be shown, not even in part.
    pub fn is_confidential(self) -> bool {
        self == Self::Secret
    }
}

impl Verb {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Apply => "apply",
            Self::Delete => "delete",
        }
    }

    /// The rights that it takes.
    pub fn rights(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["get"],
            Self::List => &["list"],
            Self::Watch => &["watch"],
            Self::Create => &["create"],
            Self::Update => &["update"],
            Self::Patch => &["patch"],
            Self::Apply => &["create", "patch"],
            Self::Delete => &["delete"],
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
