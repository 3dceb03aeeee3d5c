//! Chooses what a listener and each of its hosts serve, all in the same way.
//!
//! A host whose objects are not usable stays as it was, and is left out if it is new. It must never be served with another
//! host's client authentication or backend.

pub mod fit;
mod together;

use jiff::Timestamp;
use mqtt_tls_config as file;

use super::backend;
use super::certificates::choose::{Choice, Chosen, choose};
use super::certificates::previous::{Entry, Previous};
use super::certificates::serving::{Part, Warning};
use super::environment::Environment;
use super::host_key::HostKey;
use super::listener::{Authentication, Backend, Host, Listener};
use super::problem::Problem;
use super::source::{Source, Sources};
use super::world::World;
use crate::crd::HostStatus;

static LISTENER: HostKey = HostKey::LISTENER;

/// What is served as a host.
pub struct ChosenHost {
    /// Its key.
    key: HostKey,
    /// Its names.
    names: Vec<String>,
    /// Certificates and client authentication; the listener's if there are none.
    chosen: Chosen,
    /// Its backend; the listener's if none.
    backend: Option<file::Backend>,
}

impl ChosenHost {
    /// Returns its key.
    fn key(&self) -> &HostKey {
        &self.key
    }

    /// Returns its entry in the configuration.
    pub fn rendered(&self) -> file::Host {
        let mut pems = self.chosen.served.iter().map(|one| one.pem.clone());
        file::Host {
            names: self.names.clone(),
            pem: pems.next(),
            certificates: pems.map(|pem| file::Certificate { pem }).collect(),
            client_auth: self.chosen.client_auth.clone(),
            identity: None,
            backend: self.backend.clone(),
        }
    }
}

/// What is served as the listener itself, and as its hosts.
#[derive(Default)]
pub struct Choices {
    /// The listener itself.
    pub listener: Chosen,
    /// The hosts.
    pub hosts: Vec<ChosenHost>,
    /// Dates at which a certificate becomes valid or expires.
    pub dates: Vec<Timestamp>,
}

impl Choices {
    /// Returns the sources of all certificates and CA bundles.
    pub fn sources(&self) -> Sources {
        let hosts = self.hosts.iter();
        Sources {
            listener: self.listener.sources(),
            hosts: hosts.map(|host| host.chosen.sources()).collect(),
        }
    }

    /// Returns the warnings about all of them together, with the listener's backend.
    pub fn warnings(&self, backend: &file::Backend) -> Vec<Warning> {
        together::warnings(self, backend)
    }

    /// Returns what is served as each of them, the listener first.
    pub fn parts(&self) -> Vec<Part<'_>> {
        let hosts = self.hosts.iter();
        let hosts = hosts.map(|host| (&host.key, &*host.names, &host.chosen));
        std::iter::once((&LISTENER, &[][..], &self.listener))
            .chain(hosts)
            .map(|(key, names, chosen)| Part {
                key,
                names,
                served: &chosen.served,
                ca_warnings: &chosen.ca_warnings,
            })
            .collect()
    }
}

/// What is chosen for a listener, and what is wrong with it.
#[derive(Default)]
pub struct Decision {
    /// What is served.
    pub choices: Choices,
    /// The listener's backend.
    pub backend: file::Backend,
    /// The problems.
    pub problems: Vec<Problem>,
    /// The hosts with problems.
    pub status: Vec<HostStatus>,
    /// Whether a configuration with it can be rendered. Otherwise devices would get no certificate, or would be served with
    /// less client authentication than wanted, or with that of another host.
    pub is_complete: bool,
}

/// The input of all choices.
#[derive(Clone, Copy)]
pub struct Input<'i> {
    /// The listener.
    pub listener: &'i Listener,
    /// The current objects.
    pub world: &'i World,
    /// The operator's settings.
    pub environment: &'i Environment,
    /// The previous configuration.
    pub previous: &'i Previous,
    /// The current time.
    pub now: Timestamp,
}

/// Chooses what a listener and its hosts serve.
pub fn decide(input: &Input<'_>) -> Decision {
    let Input {
        listener, previous, ..
    } = input;
    let found = input.find(&Wish {
        key: &LISTENER,
        certificates: &listener.certificates,
        client_auth: &listener.client_auth,
        backend: Some(&listener.backend),
        before: Some(previous.listener()),
    });
    let mut decision = Decision {
        is_complete: found.has_default && found.has_client_auth,
        backend: found.backend.unwrap_or_default(),
        problems: found.problems,
        ..Decision::default()
    };
    decision
        .choices
        .dates
        .extend_from_slice(&found.chosen.dates);
    decision.choices.listener = found.chosen;
    for (index, host) in listener.hosts.iter().enumerate() {
        let key = HostKey::of_spec(index, &host.names);
        let problems = input.decide_host(host, &key, &mut decision);
        let Decision {
            problems: all,
            status,
            ..
        } = &mut decision;
        status.extend(Problem::of_host(&key, &problems));
        let problems = problems.into_iter();
        all.extend(problems.map(|problem| problem.about_host(&key)));
    }
    decision
}

/// Chooses again what the previous configuration serves, from the same sources as far as they were read; `None` if any of
/// it would be lost.
pub fn renew(world: &World, previous: &Previous, now: Timestamp) -> Option<Choices> {
    let listener = renewed(previous.listener(), world, previous, now)?;
    let mut dates = listener.dates.clone();
    let mut hosts = Vec::with_capacity(previous.hosts().len());
    for before in previous.hosts() {
        let chosen = renewed(before, world, previous, now)?;
        dates.extend_from_slice(&chosen.dates);
        hosts.push(kept(chosen, before.key().clone(), before));
    }
    Some(Choices {
        listener,
        hosts,
        dates,
    })
}

fn renewed(before: &Entry, world: &World, previous: &Previous, now: Timestamp) -> Option<Chosen> {
    let certificates = before.sources();
    let client_auth = before.authentication().ok()?;
    let choice = Choice {
        key: before.key(),
        certificates: &certificates,
        client_auth: &client_auth,
        world,
        previous,
        before: Some(before),
        is_at_start: false,
        now,
    };
    let chosen = choose(&choice);
    let is_all = chosen.served.len() == certificates.len() && choice.has_client_auth(&chosen);
    is_all.then_some(chosen)
}

fn kept(chosen: Chosen, key: HostKey, before: &Entry) -> ChosenHost {
    ChosenHost {
        key,
        names: before.names().to_vec(),
        chosen,
        backend: before.backend().cloned(),
    }
}

/// What is wanted for the listener itself, or for one of its hosts.
#[derive(Clone, Copy)]
struct Wish<'w> {
    key: &'w HostKey,
    certificates: &'w [Source],
    client_auth: &'w Authentication,
    /// The listener's if none.
    backend: Option<&'w Backend>,
    /// What the previous configuration has for it.
    before: Option<&'w Entry>,
}

/// What was found for a wish.
struct Found {
    chosen: Chosen,
    backend: Option<file::Backend>,
    problems: Vec<Problem>,
    /// Whether there is a default certificate.
    has_default: bool,
    /// Whether clients can be authenticated as wanted.
    has_client_auth: bool,
    /// Whether the backend is the wanted one or the last good one, and not one whose Service is missing.
    has_backend: bool,
}

impl Input<'_> {
    /// Finds what is wanted for the listener itself, or for one of its hosts.
    fn find(&self, wish: &Wish<'_>) -> Found {
        let choice = Choice {
            key: wish.key,
            certificates: wish.certificates,
            client_auth: wish.client_auth,
            world: self.world,
            previous: self.previous,
            before: wish.before,
            is_at_start: self.environment.is_at_start,
            now: self.now,
        };
        let mut chosen = choose(&choice);
        let mut problems = std::mem::take(&mut chosen.problems);
        // What has none of its own has had the listener's.
        let inherited = self.previous.listener().backend();
        let before = wish.before;
        let before = before.and_then(|before| before.backend().or(inherited));
        let mut has_backend = true;
        let backend = wish.backend.map(|backend| {
            let (backend, problem) = backend::choose(&backend::Choice {
                key: wish.key,
                backend,
                listener: self.listener,
                world: self.world,
                environment: self.environment,
                before,
            });
            has_backend = problem.is_none() || before.is_some();
            problems.extend(problem);
            backend
        });
        Found {
            has_default: choice.has_default(&chosen),
            has_client_auth: choice.has_client_auth(&chosen),
            has_backend,
            chosen,
            backend,
            problems,
        }
    }

    /// Decides about a host, and returns its problems.
    fn decide_host(&self, host: &Host, key: &HostKey, decision: &mut Decision) -> Vec<Problem> {
        let before = self.previous.host(&host.names);
        let wish = Wish {
            key,
            certificates: &host.certificates,
            client_auth: &host.client_auth,
            backend: host.backend.as_ref(),
            before,
        };
        let mut found = self.find(&wish);
        let mut problems = std::mem::take(&mut found.problems);
        decision
            .choices
            .dates
            .extend_from_slice(&found.chosen.dates);
        let keeps_broker = found.has_backend || !self.has_other_backend(host, &found);
        if found.has_default && found.has_client_auth && keeps_broker {
            decision.choices.hosts.push(found.host(host, key));
            return problems;
        }
        let had_none = before.is_some_and(|before| before.sources().is_empty());
        let kept = before.and_then(|before| self.kept(&wish, before));
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

    /// Reports whether clients that request one of a host's names have another backend than the one found.
    fn has_other_backend(&self, host: &Host, found: &Found) -> bool {
        let inherited = self.previous.listener().backend();
        let mut before = self.previous.hosts_of(&host.names);
        before.any(|before| before.backend().or(inherited) != found.backend.as_ref())
    }

    /// Chooses again what the previous configuration has for a host; `None` if it would change with the listener, from which
    /// it took what the host has now itself.
    fn kept(&self, wish: &Wish<'_>, before: &Entry) -> Option<ChosenHost> {
        let was_as_listener = matches!(before.authentication(), Ok(Authentication::AsListener));
        let is_as_listener = matches!(wish.client_auth, Authentication::AsListener);
        let would_change = (was_as_listener && !is_as_listener)
            || (before.backend().is_none() && wish.backend.is_some());
        if would_change {
            return None;
        }
        let chosen = renewed(before, self.world, self.previous, self.now)?;
        Some(kept(chosen, wish.key.clone(), before))
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
        }
    }
}
