//! What comes of loading the configuration file, as one of a fixed set: for the metric and `/status`.
//!
//! It must not hold details: those are in the error's message.

use mqtt_tls_judge::refusal::Refusal;

/// What came of loading the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reload {
    /// A rule in `clientAuth` is invalid.
    ClientRules,
    /// An expired certificate would have replaced a valid one.
    Expired,
    /// A certificate's kind of key has no suite.
    NoSuite,
    /// The file is not written as it must be.
    Malformed,
    /// `identity` cannot be applied.
    Identity,
    /// A certificate that is not yet valid would have replaced a valid one.
    NotYetValid,
    /// The file is served.
    Ok,
    /// rustls refused the provider.
    Provider,
    /// A certificate or a CA bundle was refused.
    Refused(Refusal),
    /// After a refused file, the file that is served is back.
    Reverted,
    /// The admin port is the listener's.
    SharedPort,
    /// rustls could not make session tickets.
    Tickets,
    /// A port could not be bound.
    Unbindable,
    /// On request, the file was found unchanged.
    Unchanged,
    /// No client can reach the address.
    UnreachableHost,
    /// The file could not be read.
    Unreadable,
}

impl Reload {
    /// Those that are not about a certificate or a CA bundle, by name.
    const OWN: [Self; 15] = [
        Self::ClientRules,
        Self::Identity,
        Self::NoSuite,
        Self::Provider,
        Self::SharedPort,
        Self::Tickets,
        Self::UnreachableHost,
        Self::Expired,
        Self::Malformed,
        Self::NotYetValid,
        Self::Ok,
        Self::Reverted,
        Self::Unbindable,
        Self::Unchanged,
        Self::Unreadable,
    ];

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.map(Self::Refused);
        Self::OWN.into_iter().chain(refused)
    }

    /// As the metric's label has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientRules => "ClientRules",
            Self::Expired => "expired",
            Self::Identity => "Identity",
            Self::Malformed => "malformed",
            Self::NoSuite => "NoSuite",
            Self::NotYetValid => "not_yet_valid",
            Self::Ok => "ok",
            Self::Provider => "Provider",
            Self::Refused(refusal) => refusal.name(),
            Self::Reverted => "reverted",
            Self::SharedPort => "SharedPort",
            Self::Tickets => "Tickets",
            Self::Unbindable => "unbindable",
            Self::Unchanged => "unchanged",
            Self::UnreachableHost => "UnreachableHost",
            Self::Unreadable => "unreadable",
        }
    }

    /// What it means, for the reference; `None` where the reference of reasons says it.
    pub(crate) fn meaning(self) -> Option<&'static str> {
        let meaning = match self {
            Self::ClientRules => "a rule in `clientAuth.rules` is invalid",
            Self::Expired => "an expired certificate would have replaced a valid one",
            Self::Identity => {
                "a template in `identity` is invalid, its clients have no certificates, or clients of another host could take the \
                 names that it gives"
            }
            Self::Malformed => "the file is not YAML, or its keys or values are wrong",
            Self::NoSuite => {
                "a certificate's kind of key has no suite of TLS 1.2 in `tls.suites`, and TLS 1.2 is on"
            }
            Self::NotYetValid => {
                "a certificate that is not yet valid would have replaced a valid one"
            }
            Self::Ok => "the file is served",
            Self::Provider => "rustls refused the cryptography provider",
            Self::Refused(_) => return None,
            Self::Reverted => "after a refused file, the file that is served is back",
            Self::SharedPort => "the admin port is the listener's",
            Self::Tickets => "no keys for session tickets could be made",
            Self::Unbindable => "a port could not be bound",
            Self::Unchanged => "SIGHUP found the file unchanged",
            Self::UnreachableHost => "no client can reach the address",
            Self::Unreadable => "the file could not be read",
        };
        Some(meaning)
    }

    /// Whether the newest file is the one that is served.
    pub(crate) fn is_newest(self) -> bool {
        matches!(self, Self::Ok | Self::Reverted | Self::Unchanged)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reload;

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Reload::all().map(Reload::name).collect();
        assert_eq!(names.len(), Reload::all().count());
    }
}
