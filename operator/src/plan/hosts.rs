//! Chooses what a listener and each of its hosts serve, all in the same way.
//!
//! A host whose objects are not usable stays as it was, and is left out if it is new. It must never be served with another
//! host's client authentication or backend.

mod alpn;
mod decide;
pub mod fit;
mod identity;
#[cfg(test)]
mod made;
mod renewed;
mod together;

use jiff::Timestamp;
use mqtt_tls_config as file;

use super::backend;
use super::certificates::choose::{Choice, Chosen, choose};
use super::certificates::entry::Entry;
use super::certificates::lists::{Lists, Pool};
use super::certificates::previous::Previous;
use super::certificates::serving::{Part, Warning};
use super::config::Inherited;
use super::environment::Environment;
use super::host_key::HostKey;
use super::issued;
use super::listener::{Alpn, Authentication, Backend, Listener};
use super::problem::Problem;
use super::reason::Reason;
use super::source::{Source, Sources};
use super::trials::stage::{Staged, Trials};
use super::world::World;
use crate::crd::HostStatus;

pub use renewed::renew;
use renewed::{kept, renewed};

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
    /// Its protocols; the listener's if none.
    alpn: Option<file::Alpn>,
    /// Names from its clients' certificates; as by the listener if none.
    client_identity: Option<file::Identity>,
}

impl ChosenHost {
    /// Returns its entry in the configuration.
    pub fn rendered(&self) -> file::Host {
        let mut certificates = self.chosen.rendered();
        let default = certificates.next();
        let (pem, candidate) = default.map_or((None, None), |one| (Some(one.pem), one.candidate));
        file::Host {
            names: self.names.clone(),
            pem,
            candidate,
            certificates: certificates.collect(),
            client_auth: self.chosen.client_auth.clone(),
            identity: self.client_identity.clone(),
            backend: self.backend.clone(),
            tls: file::HostTls {
                alpn: self.alpn.clone(),
            },
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
    /// The revocation lists that were read.
    pub crls: Pool,
    /// Dates at which a certificate becomes valid or expires, or a revocation list is outdated.
    pub dates: Vec<Timestamp>,
}

impl Choices {
    /// Moves the revocation lists of what is chosen to those of all.
    fn pool(&mut self) {
        let hosts = self.hosts.iter_mut().map(|host| &mut host.chosen);
        for chosen in std::iter::once(&mut self.listener).chain(hosts) {
            for lists in chosen.lists.drain(..) {
                self.crls.add(lists);
            }
        }
    }

    /// Returns the lists of all sources, with those of before where CA certificates were put back.
    ///
    /// # Errors
    ///
    /// A source has none for the CA certificates that stay.
    pub fn all_crls(&self, previous: &Previous, now: Timestamp) -> Result<Pool, Problem> {
        let hosts = self.hosts.iter().map(|host| &host.chosen);
        let mut pool = Pool::default();
        for chosen in std::iter::once(&self.listener).chain(hosts) {
            let Some(authorities) = &chosen.authorities else {
                continue;
            };
            for source in &chosen.crls {
                let fresh = self.crls.read_for(source, authorities).cloned();
                let again = || self.crls.lists(source, authorities, now);
                let before = || previous.crls().lists(source, authorities, now);
                // It had none of these CAs before either.
                let none = || previous.crls().knows(source).then(|| Lists::none(source));
                let lists = fresh.or_else(again).or_else(before).or_else(none);
                let Some(lists) = lists else {
                    let message = format!(
                        "{source}: it has no list of the CA certificates that stay in use; until then no new configuration is rendered"
                    );
                    return Err(Problem::of_reference(Reason::UnusableCrl, message));
                };
                pool.add(lists);
            }
        }
        Ok(pool)
    }

    /// Returns the sources of all certificates and CA bundles.
    pub fn sources(&self) -> Sources {
        let (urls, hosts) = (self.urls(), self.hosts.iter());
        Sources {
            listener: self.listener.sources(&urls),
            hosts: hosts.map(|host| host.chosen.sources(&urls)).collect(),
        }
    }

    /// Returns the revocation lists that the pods fetch, each once.
    pub fn urls(&self) -> Vec<file::CrlUrl> {
        let hosts = self.hosts.iter().map(|host| &host.chosen);
        let all = std::iter::once(&self.listener).chain(hosts);
        let mut urls: Vec<file::CrlUrl> = Vec::new();
        for url in all.flat_map(|chosen| &chosen.urls) {
            if !urls.iter().any(|known| known.url == url.url) {
                urls.push(url.clone());
            }
        }
        urls
    }

    /// Returns the renewed certificates that are not served in place of those before.
    pub fn staged(&self) -> impl Iterator<Item = &Staged> {
        let hosts = self.hosts.iter().map(|host| &host.chosen);
        std::iter::once(&self.listener)
            .chain(hosts)
            .flat_map(|chosen| &chosen.staged)
    }

    /// Returns the same, to be changed.
    fn staged_mut(&mut self) -> impl Iterator<Item = &mut Staged> {
        let hosts = self.hosts.iter_mut().map(|host| &mut host.chosen);
        let all = std::iter::once(&mut self.listener).chain(hosts);
        all.flat_map(|chosen| &mut chosen.staged)
    }

    /// Returns the warnings about all of them together.
    pub fn warnings(&self, inherited: &Inherited) -> Vec<Warning> {
        together::warnings(self, inherited)
    }

    /// Reports whether clients of one host could take the names of another, with what a configuration says about them.
    pub fn conflicts(&self, config: &file::Config) -> bool {
        identity::conflict(self, config).is_some()
    }

    /// Puts all CA certificates, and the revocation lists that they have signed, back to those of the previous configuration, from
    /// whose objects all was chosen.
    pub fn keep_authorities(&mut self, previous: &Previous) {
        self.crls = Pool::default();
        self.listener.put_ca_back(previous.listener());
        for host in &mut self.hosts {
            if let Some(before) = previous.host(&host.names) {
                host.chosen.put_ca_back(before);
            }
        }
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
                authorities: match &chosen.client_auth {
                    Some(_) => chosen.authorities.as_ref(),
                    None => self.listener.authorities.as_ref(),
                },
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
    /// The listener's protocols.
    pub alpn: file::Alpn,
    /// The problems.
    pub problems: Vec<Problem>,
    /// The hosts with problems.
    pub status: Vec<HostStatus>,
    /// Whether no certificate is left to be served, because the listener may not use them any more.
    pub is_suspended: bool,
    /// Whether a configuration with it can be rendered. Otherwise devices would get no certificate, or would be served with
    /// less client authentication than wanted, or with that of another host.
    pub is_complete: bool,
}

impl Decision {
    /// Lets the certificate of a host take the place of the listener's, if those are all gone: the others must go on.
    fn replace_default(&mut self) {
        let hosts = self.choices.hosts.iter();
        let mut served = hosts.flat_map(|host| &host.chosen.served);
        let Some(one) = served.next().filter(|_| self.is_suspended) else {
            return;
        };
        self.choices.listener.served.push(one.clone());
        self.is_complete = self.choices.listener.client_auth.is_some();
        self.is_suspended = false;
    }
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
    /// The trials of renewed certificates.
    pub trials: &'i Trials<'i>,
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
        optional: &listener.optional,
        client_auth: &listener.client_auth,
        backend: Some(&listener.backend),
        alpn: Some(&listener.alpn),
        before: Some(previous.listener()),
    });
    let mut decision = Decision {
        is_complete: found.has_default && found.has_client_auth,
        is_suspended: found.chosen.served.is_empty() && !found.chosen.gone.is_empty(),
        backend: found.backend.unwrap_or_default(),
        alpn: found.alpn.unwrap_or_default(),
        problems: found.problems,
        ..Decision::default()
    };
    // It is the cause of others.
    let missing = issued::without_cert_manager(&listener.issued, input.world);
    decision.problems.splice(0..0, missing);
    let failing = issued::failing(&listener.issued, input.world);
    decision.problems.extend(failing);
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
    decision.replace_default();
    decision.choices.pool();
    input.trials.limit(decision.choices.staged_mut());
    decision
}

/// What is wanted for the listener itself, or for one of its hosts.
#[derive(Clone, Copy)]
struct Wish<'w> {
    key: &'w HostKey,
    certificates: &'w [Source],
    optional: &'w [Source],
    client_auth: &'w Authentication,
    /// The listener's if none.
    backend: Option<&'w Backend>,
    /// The listener's if none.
    alpn: Option<&'w Alpn>,
    /// What the previous configuration has for it.
    before: Option<&'w Entry>,
}

/// What was found for a wish.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says of a part of its own whether it was found"
)]
struct Found {
    chosen: Chosen,
    backend: Option<file::Backend>,
    alpn: Option<file::Alpn>,
    problems: Vec<Problem>,
    /// Whether there is a default certificate.
    has_default: bool,
    /// Whether clients can be authenticated as wanted.
    has_client_auth: bool,
    /// Whether the backend is the wanted one or the last good one, and not one whose Service is missing.
    has_backend: bool,
    /// Whether the same is true of the backends of its protocols.
    has_protocols: bool,
}

impl Input<'_> {
    /// Finds what is wanted for the listener itself, or for one of its hosts.
    fn find(&self, wish: &Wish<'_>) -> Found {
        let choice = Choice {
            key: wish.key,
            certificates: wish.certificates,
            optional: wish.optional,
            grace: self.listener.grace,
            client_auth: wish.client_auth,
            tls: &self.listener.tls,
            world: self.world,
            previous: self.previous,
            trials: self.trials,
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
            let (backend, problem) = self.backend(wish.key, backend::OWN, backend, before);
            has_backend = problem.is_none() || before.is_some();
            problems.extend(problem);
            backend
        });
        let (mut alpn, mut has_protocols) = (None, true);
        if let Some(wanted) = wish.alpn {
            let found = self.alpn(wish.key, wish.before, wanted, &mut problems);
            has_protocols = found.is_none_missing;
            alpn = Some(found.alpn);
        }
        Found {
            alpn,
            has_protocols,
            has_default: choice.has_default(&chosen),
            has_client_auth: choice.has_client_auth(&chosen),
            has_backend,
            chosen,
            backend,
            problems,
        }
    }
}
