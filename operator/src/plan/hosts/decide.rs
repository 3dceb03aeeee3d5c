//! Decides about one host: what it serves, or that it stays as it was, or is left out.
//!
//! It must never be served with another host's client authentication or backend.

use mqtt_tls_config as file;

use super::{ChosenHost, Decision, Found, Input, Wish, alpn, identity, kept, renewed};
use crate::plan::certificates::entry::Entry;
use crate::plan::certificates::previous::Previous;
use crate::plan::host_key::HostKey;
use crate::plan::listener::{Authentication, Host};
use crate::plan::problem::Problem;

impl Input<'_> {
    /// Decides about a host, and returns its problems.
    pub(super) fn decide_host(
        &self,
        host: &Host,
        key: &HostKey,
        decision: &mut Decision,
    ) -> Vec<Problem> {
        let before = self.previous.host(&host.names);
        let wish = Wish {
            key,
            certificates: &host.certificates,
            optional: &host.optional,
            client_auth: &host.client_auth,
            backend: host.backend.as_ref(),
            alpn: host.alpn.as_ref(),
            before,
        };
        let mut found = self.find(&wish);
        let mut problems = std::mem::take(&mut found.problems);
        decision
            .choices
            .dates
            .extend_from_slice(&found.chosen.dates);
        let keeps_broker = (found.has_backend || !self.has_other_backend(host, &found))
            && (found.has_protocols || !self.has_other_protocols(host, &found));
        if found.has_default && found.has_client_auth && keeps_broker {
            decision.choices.hosts.push(found.host(host, key));
            return problems;
        }
        let had_none = before.is_some_and(|before| before.sources().is_empty());
        let kept = before.and_then(|before| self.kept(&wish, before, &decision.alpn));
        let what = match kept {
            _ if had_none && found.has_client_auth => {
                found.chosen.served.clear();
                decision.choices.hosts.push(found.host(host, key));
                "until then it has the listener's certificates, as before"
            }
            Some(kept) => {
                let choices = &mut decision.choices;
                choices.dates.extend_from_slice(&kept.chosen.dates);
                choices.hosts.push(kept);
                "the host stays as it was"
            }
            // The names would be served with the client authentication and backend of another.
            None if self.previous.has_host(&host.names) => {
                decision.is_complete = false;
                "until then no new configuration is rendered, because the names belong to a host that is served; certificates are still renewed"
            }
            None => {
                problems = self.problems_alone(&wish).unwrap_or(problems);
                "until then the host is left out, and its names are served as any other"
            }
        };
        if let Some(problem) = problems.pop() {
            problems.push(problem.until_then(what));
        }
        problems
    }

    /// Reports whether clients that request one of a host's names have other protocols, or other backends of them, than those
    /// found.
    fn has_other_protocols(&self, host: &Host, found: &Found) -> bool {
        let listener = self.previous.listener();
        let mut before = self.previous.hosts_of(&host.names);
        before.any(|before| found.alpn.as_ref() != Some(&alpn::effective(before, listener)))
    }

    /// Reports whether clients that request one of a host's names have another backend than the one found.
    fn has_other_backend(&self, host: &Host, found: &Found) -> bool {
        let inherited = self.previous.listener().backend();
        let mut before = self.previous.hosts_of(&host.names);
        before.any(|before| before.backend().or(inherited) != found.backend.as_ref())
    }

    /// Chooses again what the previous configuration has for a host; `None` if it would change with the listener, from which
    /// it took what the host has now itself.
    fn kept(&self, wish: &Wish<'_>, before: &Entry, listeners: &file::Alpn) -> Option<ChosenHost> {
        let was_as_listener = matches!(before.authentication(), Ok(Authentication::AsListener));
        let is_as_listener = matches!(wish.client_auth, Authentication::AsListener);
        let would_change = (was_as_listener && !is_as_listener)
            || (before.backend().is_none() && wish.backend.is_some());
        if would_change {
            return None;
        }
        let chosen = renewed(before, self.world, (self.previous, self.trials), self.now)?;
        // Terminators refuse a certificate without a suite.
        chosen.fits(&self.listener.tls).then_some(())?;
        // What it took from the listener stays, too.
        let listener = self.previous.listener();
        let client_identity = self.listener.client_identity.as_ref();
        Some(ChosenHost {
            alpn: alpn::kept(before, listener, listeners),
            client_identity: identity::kept(before, listener, client_identity),
            ..kept(chosen, wish.key.clone(), before)
        })
    }

    /// Returns the problems of a host of which nothing stays in use, although other hosts may serve the same objects.
    fn problems_alone(&self, wish: &Wish<'_>) -> Option<Vec<Problem>> {
        let alone = Input {
            previous: &Previous::default(),
            ..*self
        };
        let found = alone.find(&Wish {
            before: None,
            ..*wish
        });
        (!found.problems.is_empty()).then_some(found.problems)
    }
}

impl Found {
    /// Returns the host that serves it.
    fn host(self, host: &Host, key: &HostKey) -> ChosenHost {
        ChosenHost {
            key: key.clone(),
            names: host.names.clone(),
            chosen: self.chosen,
            backend: self.backend,
            alpn: self.alpn,
            client_identity: host.client_identity.clone(),
        }
    }
}
