//! The listener and its hosts together: what each has, its own and what it takes from the listener, and the warnings about
//! what one of them makes of another. It must not choose.

use mqtt_tls_config::{Backend, CRLS_MAX, ClientAuth, ClientAuthMode, Identity};
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::hosts::{Host, Required, findings};

use super::{Choices, LISTENER};
use crate::plan::certificates::served::Served;
use crate::plan::certificates::serving::Warning;
use crate::plan::config::Inherited;
use crate::plan::host_key::HostKey;
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;

/// What the listener itself, or one of its hosts, has.
pub(super) struct Effective<'e> {
    pub(super) key: &'e HostKey,
    names: &'e [String],
    served: &'e [Served],
    pub(super) client_auth: Option<&'e ClientAuth>,
    pub(super) authorities: Option<&'e Authorities>,
    /// The names from clients' certificates, if clients get any.
    pub(super) identity: Option<&'e Identity>,
    has_own_identity: bool,
    /// Its own backend, and those of protocols that clients may choose (ALPN).
    pub(super) backends: Vec<&'e Backend>,
}

impl<'e> Effective<'e> {
    /// Returns what each has, the listener itself first.
    pub(super) fn all(choices: &'e Choices, inherited: &'e Inherited) -> Vec<Self> {
        let listener = &choices.listener;
        let giving = |identity: Option<&'e Identity>| identity.filter(|one| one.gives_names());
        let of_listener = inherited.client_identity.as_ref();
        let own = Self {
            key: &LISTENER,
            names: &[],
            served: &listener.served,
            client_auth: listener.client_auth.as_ref(),
            authorities: listener.authorities.as_ref(),
            identity: giving(of_listener),
            has_own_identity: true,
            backends: Self::backends(&inherited.backend, Some(&inherited.alpn)),
        };
        let hosts = choices.hosts.iter().map(|host| {
            let chosen = &host.chosen;
            let has_own_trust = chosen.client_auth.is_some();
            // The listener's protocols have brokers for hosts without one of their own.
            let of_listener_alpn = host.backend.is_none().then_some(&inherited.alpn);
            Self {
                key: &host.key,
                names: &host.names,
                served: if chosen.served.is_empty() {
                    &listener.served
                } else {
                    &chosen.served
                },
                client_auth: chosen.client_auth.as_ref().or(own.client_auth),
                authorities: if has_own_trust {
                    chosen.authorities.as_ref()
                } else {
                    own.authorities
                },
                identity: giving(host.client_identity.as_ref().or(of_listener)),
                has_own_identity: host.client_identity.is_some(),
                backends: Self::backends(
                    host.backend.as_ref().unwrap_or(&inherited.backend),
                    host.alpn.as_ref().or(of_listener_alpn),
                ),
            }
        });
        let hosts: Vec<Self> = hosts.collect();
        std::iter::once(own).chain(hosts).collect()
    }

    fn backends(own: &'e Backend, alpn: Option<&'e mqtt_tls_config::Alpn>) -> Vec<&'e Backend> {
        let protocols = alpn.into_iter().flat_map(|alpn| &alpn.protocols);
        let of_protocols = protocols.filter_map(|one| one.backend.as_ref());
        std::iter::once(own).chain(of_protocols).collect()
    }

    fn required(&self) -> Option<Required<'e>> {
        let auth = self.client_auth?;
        (auth.mode == ClientAuthMode::Require).then_some(Required {
            authorities: self.authorities?,
            rules: !auth.rules.is_empty(),
            revocation: auth.revocation.is_some(),
        })
    }
}

/// Returns the warnings about what is chosen for a listener.
pub(super) fn warnings(choices: &Choices, inherited: &Inherited) -> Vec<Warning> {
    let all = Effective::all(choices, inherited);
    let backends: Vec<Vec<String>> = all
        .iter()
        .map(|one| one.backends.iter().map(ToString::to_string).collect())
        .collect();
    let hosts = all.iter().zip(&backends).map(|(one, backends)| Host {
        names: one.names,
        certificates: one.served.iter().map(|one| &*one.facts.dns_names).collect(),
        required: one.required(),
        keeps_client_ids: one.has_own_identity
            && one
                .identity
                .is_some_and(|identity| identity.client_id.is_none()),
        backends,
    });
    let found = findings(&hosts.collect::<Vec<_>>()).into_iter();
    found
        .map(|(index, finding)| Warning::about(all[index].key, &finding))
        .collect()
}

impl Choices {
    /// Returns the problem with the number of lists that the pods fetch: hosts that stay as they were have some, too.
    pub(super) fn too_many_urls(&self) -> Option<Problem> {
        let count = self.urls().len();
        (count > CRLS_MAX).then(|| {
            let message = format!(
                "clientAuth.revocation.crlUrls, with those of hosts that stay as they were, have {count} URLs; the limit is {CRLS_MAX}; until \
                 then no new configuration is rendered; certificates are still renewed"
            );
            Problem::of_reference(Reason::UnusableCrl, message)
        })
    }
}
