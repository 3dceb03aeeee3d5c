//! The user name and the client ID of a client: what its certificate gives, against what it sent.
//!
//! It must not let a client without a certificate in under a name that a certificate can give.

use super::template::{NAME_MAX, Template, Unnamed, has_wildcard};
use super::{Identity, is_usable};

/// A name in a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Client ID.
    ClientId,
    /// User name.
    UserName,
}

impl Target {
    /// Both, the user name first.
    pub const ALL: [Self; 2] = [Self::UserName, Self::ClientId];
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ClientId => "client ID",
            Self::UserName => "user name",
        })
    }
}

/// What becomes of a client that sent no name, or another than its certificate gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Without a name it gets the certificate's, with another it is refused.
    Set,
    /// In both cases it gets the certificate's.
    Overwrite,
    /// In both cases it is refused.
    Require,
}

/// Where a name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Makes the name.
    pub template: Template,
    /// What becomes of a client that sent none, or another.
    pub action: Action,
}

/// Names for clients without a certificate; without any they are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallback {
    /// The user name that they get, whatever they sent.
    pub user_name: Option<String>,
    /// What is put before their client ID. An empty client ID stays empty: the broker assigns one.
    pub client_id_prefix: Option<String>,
}

/// Where both names come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    user_name: Option<Source>,
    client_id: Option<Source>,
    fallback: Option<Fallback>,
    /// Names of clients without a certificate at other hosts with the same broker.
    reserved: Vec<Fallback>,
}

/// Errors in a naming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A fallback is empty, too long, or has control characters.
    #[error(
        "the {0} of clients without a certificate is empty, has control characters, or more than {NAME_MAX} bytes"
    )]
    BadFallback(Target),
    /// A name comes from certificates, and clients without one would keep their own.
    #[error(
        "the {0} comes from certificates, so clients without one need another; set it, or let them be refused"
    )]
    MissingFallback(Target),
    /// No name comes from certificates.
    #[error(
        "neither user name nor client ID comes from certificates; set one of them, or remove this"
    )]
    Nothing,
    /// Clients without a certificate get a name, and others do not.
    #[error("clients without a certificate get a {0}, but certificates give none; remove it")]
    UnusedFallback(Target),
}

/// What a client sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent<'s> {
    /// User name.
    pub user_name: Option<&'s str>,
    /// Client ID; may be empty.
    pub client_id: &'s str,
}

/// What a name becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// What the client sent.
    Kept,
    /// Set, where the client sent none.
    Filled(String),
    /// Set, where the client sent another.
    Overwritten(String),
}

impl Choice {
    /// Returns the name to set, if it is not kept.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Kept => None,
            Self::Filled(name) | Self::Overwritten(name) => Some(name),
        }
    }
}

/// What both names become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// User name.
    pub user_name: Choice,
    /// Client ID.
    pub client_id: Choice,
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client sent another name.
    #[error("the client sent another {0} than its certificate gives")]
    Mismatch(Target),
    /// The client ID of a client without a certificate cannot be prefixed.
    #[error(
        "the client has no certificate, and its client ID is too long to be prefixed, begins or ends with a space, or has `+`, \
        `#`, or characters that cannot be seen"
    )]
    GuestId,
    /// The certificate gives a name of clients without one.
    #[error("the certificate gives a {0} that belongs to clients without a certificate")]
    Reserved(Target),
    /// The client has no certificate.
    #[error("names come from certificates, and the client has none")]
    Unauthenticated,
    /// The certificate gives no name.
    #[error("the certificate gives no {0}")]
    Unnamed(Target, #[source] Unnamed),
}

/// Why a client is refused, as one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Several values of a field.
    Ambiguous,
    /// Another client ID.
    ClientIdMismatch,
    /// No value of a field.
    Missing,
    /// A name of clients without a certificate.
    Reserved,
    /// A name that is too long.
    TooLong,
    /// No certificate.
    Unauthenticated,
    /// A value that cannot be used.
    Unusable,
    /// Another user name.
    UserNameMismatch,
}

impl Refusal {
    /// Returns the reason, one of a fixed set.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Mismatch(Target::ClientId) => Reason::ClientIdMismatch,
            Self::Mismatch(Target::UserName) => Reason::UserNameMismatch,
            Self::GuestId => Reason::Unusable,
            Self::Reserved(_) => Reason::Reserved,
            Self::Unauthenticated => Reason::Unauthenticated,
            Self::Unnamed(_, why) => match why {
                Unnamed::Ambiguous(..) => Reason::Ambiguous,
                Unnamed::Missing(_) => Reason::Missing,
                Unnamed::TooLong(_) => Reason::TooLong,
                Unnamed::Separator(_) | Unnamed::Unusable(_) => Reason::Unusable,
            },
        }
    }
}

impl Naming {
    /// Makes a naming; without a fallback, clients without a certificate are refused.
    ///
    /// # Errors
    ///
    /// No name comes from certificates, or clients without one could take such a name.
    pub fn new(
        user_name: Option<Source>,
        client_id: Option<Source>,
        fallback: Option<Fallback>,
    ) -> Result<Self, Error> {
        if user_name.is_none() && client_id.is_none() {
            return Err(Error::Nothing);
        }
        if let Some(Fallback {
            user_name: name,
            client_id_prefix: prefix,
        }) = &fallback
        {
            check(Target::UserName, user_name.is_some(), name.as_deref())?;
            check(Target::ClientId, client_id.is_some(), prefix.as_deref())?;
        }
        Ok(Self {
            user_name,
            client_id,
            fallback,
            reserved: Vec::new(),
        })
    }

    /// Returns the names of clients without a certificate.
    pub fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// Gives no certificate names of clients without one at another host with the same broker.
    pub fn reserve(&mut self, names: Fallback) {
        self.reserved.push(names);
    }

    /// Returns the template of a name that comes from certificates.
    pub fn template(&self, target: Target) -> Option<&Template> {
        let source = match target {
            Target::ClientId => &self.client_id,
            Target::UserName => &self.user_name,
        };
        source.as_ref().map(|source| &source.template)
    }

    /// Reports whether the user name comes from certificates, and whether the client ID does.
    pub fn names(&self) -> (bool, bool) {
        (self.user_name.is_some(), self.client_id.is_some())
    }

    /// Reports whether clients without a certificate get a name.
    pub fn takes_guests(&self) -> bool {
        self.fallback.is_some()
    }

    /// Decides the names of a client. `identity` is that of a verified certificate; `None` for any other client.
    ///
    /// # Errors
    ///
    /// The client is refused.
    pub fn decide(&self, identity: Option<&Identity>, sent: Sent<'_>) -> Result<Names, Refusal> {
        let Some(identity) = identity else {
            return self.without_certificate(sent);
        };
        let user_name = match &self.user_name {
            None => Choice::Kept,
            Some(source) => {
                let name = given(source, identity, Target::UserName)?;
                let mut reserved = self.reserved().filter_map(|it| it.user_name.as_ref());
                if reserved.any(|reserved| *reserved == name) {
                    return Err(Refusal::Reserved(Target::UserName));
                }
                source.choose(name, sent.user_name, Target::UserName)?
            }
        };
        let client_id = match &self.client_id {
            None => Choice::Kept,
            Some(source) => {
                let name = given(source, identity, Target::ClientId)?;
                let mut prefixes = self
                    .reserved()
                    .filter_map(|it| it.client_id_prefix.as_deref());
                if prefixes.any(|prefix| name.starts_with(prefix)) {
                    return Err(Refusal::Reserved(Target::ClientId));
                }
                let sent = Some(sent.client_id).filter(|id| !id.is_empty());
                source.choose(name, sent, Target::ClientId)?
            }
        };
        Ok(Names {
            user_name,
            client_id,
        })
    }

    /// Returns the names that no certificate may give.
    fn reserved(&self) -> impl Iterator<Item = &Fallback> {
        self.fallback.iter().chain(&self.reserved)
    }

    fn without_certificate(&self, sent: Sent<'_>) -> Result<Names, Refusal> {
        let fallback = self.fallback.as_ref().ok_or(Refusal::Unauthenticated)?;
        let user_name = match (&fallback.user_name, sent.user_name) {
            (None, _) => Choice::Kept,
            (Some(name), None) => Choice::Filled(name.clone()),
            (Some(name), Some(sent)) if sent == name => Choice::Kept,
            (Some(name), Some(_)) => Choice::Overwritten(name.clone()),
        };
        let client_id = match &fallback.client_id_prefix {
            Some(prefix) if !sent.client_id.is_empty() => {
                let prefixed = format!("{prefix}{}", sent.client_id);
                // The longest client ID that MQTT allows.
                let is_too_long = prefixed.len() > usize::from(u16::MAX);
                if is_too_long || has_wildcard(sent.client_id) || !is_usable(sent.client_id) {
                    return Err(Refusal::GuestId);
                }
                Choice::Overwritten(prefixed)
            }
            _ => Choice::Kept,
        };
        Ok(Names {
            user_name,
            client_id,
        })
    }
}

/// Checks that clients without a certificate have a name of their own exactly if certificates give one.
fn check(target: Target, is_given: bool, fallback: Option<&str>) -> Result<(), Error> {
    match fallback {
        None if is_given => Err(Error::MissingFallback(target)),
        Some(_) if !is_given => Err(Error::UnusedFallback(target)),
        Some(name)
            if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) =>
        {
            Err(Error::BadFallback(target))
        }
        _ => Ok(()),
    }
}

fn given(source: &Source, identity: &Identity, target: Target) -> Result<String, Refusal> {
    let name = source.template.name(identity);
    name.map_err(|why| Refusal::Unnamed(target, why))
}

impl Source {
    fn choose(&self, name: String, sent: Option<&str>, target: Target) -> Result<Choice, Refusal> {
        match (sent, self.action) {
            (Some(sent), _) if sent == name => Ok(Choice::Kept),
            (None, Action::Set | Action::Overwrite) => Ok(Choice::Filled(name)),
            (Some(_), Action::Overwrite) => Ok(Choice::Overwritten(name)),
            (None, Action::Require) | (Some(_), Action::Set | Action::Require) => {
                Err(Refusal::Mismatch(target))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::identity;
    use super::{Action, Choice, Error, Fallback, Naming, Reason, Refusal, Sent};
    use super::{Source, Target, Template, Unnamed};
    use crate::identity::Field::{CommonName, Dns};

    fn source(action: Action) -> Source {
        Source {
            template: Template::parse("{cn}").unwrap(),
            action,
        }
    }

    fn fallback(user_name: Option<&str>, prefix: Option<&str>) -> Fallback {
        Fallback {
            user_name: user_name.map(str::to_owned),
            client_id_prefix: prefix.map(str::to_owned),
        }
    }

    #[test]
    fn each_action_decides_for_no_name_the_same_and_another() {
        use Action::{Overwrite, Require, Set};
        let device = identity(&[(CommonName, Some("p7"))]);
        let refused = Err(Refusal::Mismatch(Target::UserName));
        let filled = || Ok(Choice::Filled("p7".to_owned()));
        let overwritten = || Ok(Choice::Overwritten("p7".to_owned()));
        for (action, none, other) in [
            (Set, filled(), refused.clone()),
            (Overwrite, filled(), overwritten()),
            (Require, refused.clone(), refused.clone()),
        ] {
            let naming = Naming::new(Some(source(action)), None, None).unwrap();
            let decided = |user_name| {
                let sent = Sent {
                    user_name,
                    client_id: "mine",
                };
                naming.decide(Some(&device), sent).map(|names| {
                    assert_eq!(names.client_id, Choice::Kept);
                    names.user_name
                })
            };
            assert_eq!(decided(None), none);
            assert_eq!(decided(Some("p8")), other);
            assert_eq!(decided(Some("")), other);
            assert_eq!(decided(Some("p7")), Ok(Choice::Kept));
        }
    }

    #[test]
    fn an_empty_client_id_counts_as_none() {
        let naming = Naming::new(None, Some(source(Action::Set)), None).unwrap();
        let device = identity(&[(CommonName, Some("p7"))]);
        let names = naming.decide(Some(&device), Sent::default()).unwrap();
        assert_eq!(names.client_id.name(), Some("p7"));
        assert_eq!(names.user_name, Choice::Kept);
    }

    #[test]
    fn a_client_without_a_certificate_is_refused_or_gets_a_name_of_its_own() {
        let both = || Some(source(Action::Overwrite));
        let claim = Sent {
            user_name: Some("p7"),
            client_id: "p7",
        };
        let strict = Naming::new(both(), both(), None).unwrap();
        assert_eq!(strict.decide(None, claim), Err(Refusal::Unauthenticated));
        let open = Naming::new(
            both(),
            both(),
            Some(fallback(Some("guest"), Some("guest-"))),
        )
        .unwrap();
        let names = open.decide(None, claim).unwrap();
        assert_eq!(names.user_name.name(), Some("guest"));
        assert_eq!(names.client_id.name(), Some("guest-p7"));
        // No certificate can give these names.
        for (cn, target) in [("guest", Target::UserName), ("guest-p7", Target::ClientId)] {
            let device = identity(&[(CommonName, Some(cn))]);
            let refused = open.decide(Some(&device), Sent::default());
            assert_eq!(refused, Err(Refusal::Reserved(target)));
            // Nor can one of another host with the same broker.
            let mut other = Naming::new(both(), both(), None).unwrap();
            other.reserve(open.fallback().unwrap().clone());
            let refused = other.decide(Some(&device), Sent::default());
            assert_eq!(refused, Err(Refusal::Reserved(target)));
        }
    }

    #[test]
    fn a_client_id_that_cannot_be_prefixed_is_refused() {
        let named = Some(source(Action::Overwrite));
        let open = Naming::new(None, named, Some(fallback(None, Some("guest-")))).unwrap();
        for client_id in ["+", "a#", " a", "a\u{200b}", &*"n".repeat(65_530)] {
            let sent = Sent {
                user_name: None,
                client_id,
            };
            assert_eq!(open.decide(None, sent), Err(Refusal::GuestId));
        }
    }

    #[test]
    fn namings_with_a_gap_are_refused() {
        let some = || Some(source(Action::Overwrite));
        let fallback = |user_name, prefix| Some(fallback(user_name, prefix));
        for (user_name, client_id, fallback, error) in [
            (None, None, None, Error::Nothing),
            (
                some(),
                some(),
                fallback(Some("guest"), None),
                Error::MissingFallback(Target::ClientId),
            ),
            (
                some(),
                None,
                fallback(None, None),
                Error::MissingFallback(Target::UserName),
            ),
            (
                some(),
                None,
                fallback(Some("guest"), Some("g-")),
                Error::UnusedFallback(Target::ClientId),
            ),
            (
                some(),
                None,
                fallback(Some(""), None),
                Error::BadFallback(Target::UserName),
            ),
            (
                None,
                some(),
                fallback(None, Some("g\0")),
                Error::BadFallback(Target::ClientId),
            ),
        ] {
            assert_eq!(Naming::new(user_name, client_id, fallback), Err(error));
        }
    }

    #[test]
    fn a_certificate_without_the_name_is_refused_whatever_is_sent() {
        let naming = Naming::new(Some(source(Action::Overwrite)), None, None).unwrap();
        let device = identity(&[(Dns, Some("p7"))]);
        let sent = Sent {
            user_name: Some("p7"),
            client_id: "",
        };
        let why = Unnamed::Missing(CommonName);
        let refusal = Refusal::Unnamed(Target::UserName, why);
        assert_eq!(naming.decide(Some(&device), sent), Err(refusal));
        assert_eq!(refusal.reason(), Reason::Missing);
    }

    proptest! {
        /// Whatever is sent and whatever certificates give: the names of clients with and without one differ.
        #[test]
        fn no_name_is_of_both_kinds_of_client(
            cn in "g?u?e?s?t?-?[a-c]{0,2}",
            with in ("[a-c]{0,2}", "[a-c]{0,2}"),
            without in ("g?u?e?s?t?-?[a-c]{0,2}", "g?u?e?s?t?-?[a-c]{1,2}"),
        ) {
            let both = || Some(source(Action::Overwrite));
            let fallback = Some(fallback(Some("guest"), Some("guest-")));
            let naming = Naming::new(both(), both(), fallback).unwrap();
            let device = identity(&[(CommonName, Some(&*cn))]);
            let sent = Sent { user_name: Some(&with.0), client_id: &with.1 };
            let guest = Sent { user_name: Some(&without.0), client_id: &without.1 };
            if let Ok(device) = naming.decide(Some(&device), sent) {
                let guest_names = naming.decide(None, guest).unwrap();
                let user = |names: &super::Names, sent| names.user_name.name().unwrap_or(sent).to_owned();
                let id = |names: &super::Names, sent| names.client_id.name().unwrap_or(sent).to_owned();
                prop_assert_ne!(user(&device, &with.0), user(&guest_names, &without.0));
                prop_assert_ne!(id(&device, &with.1), id(&guest_names, &without.1));
            }
        }
    }
}
