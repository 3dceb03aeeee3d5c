//! From a listener and what its Secrets hold to the terminators' configuration.
//!
//! A bad or missing object never takes down what serves: the last good rendering of it stays. It must
//! never weaken client authentication for want of a CA.

use std::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use mqtt_tls_config::{Admin, Backend, Certificate, ClientAuth, Config, Drain, FILE_SIZE_MAX, Pem};
use mqtt_tls_judge::Date;

use super::authorities::{Bundle, read_authorities};
use super::certificate::{self, Served, Warning};
use super::listener::{self, Listener};
use super::previous::Previous;
use super::{About, Place, Problem, Settings, World};
use crate::crd::{ADMIN_PORT, CaRef};

/// What the terminators are given.
#[derive(Default)]
pub struct Rendering {
    /// The configuration; none if there is nothing that could be served.
    pub config: Option<Config>,
    /// The certificates in it, the default first.
    pub served: Vec<Served>,
    /// The certificates that were rendered before.
    pub before: Vec<Served>,
    /// The object behind the CA bundle in it.
    pub ca_source: Option<String>,
    /// What someone should look at in the CA bundle.
    pub ca_warnings: Vec<Warning>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// When a certificate begins or ends.
    pub dates: Vec<Timestamp>,
}

/// Renders the configuration.
pub fn render(
    listener: &Listener,
    world: &World,
    settings: &Settings,
    now: Timestamp,
) -> Rendering {
    let previous = Previous::read(&listener.identity, world.children.config_secret.as_ref());
    let mut rendering = Rendering::default();
    let new = New {
        world,
        previous: &previous,
        settings,
    };
    choose_all(listener, &new, now, &mut rendering);
    let client_auth = client_auth(listener, &new, &mut rendering);
    backend_problems(
        listener,
        world.backend.as_ref(),
        settings,
        &mut rendering.problems,
    );
    let default_is_there = rendering
        .served
        .first()
        .is_some_and(|default| is_default(default, listener, &previous));
    if let (true, Some(client_auth)) = (default_is_there, client_auth) {
        rendering.config = config(listener, &rendering.served, client_auth, settings);
    }
    if rendering.config.as_ref().is_some_and(is_too_large) {
        rendering.config = None;
        rendering.problems.push(Problem {
            about: About::ResolvedRefs,
            reason: "ConfigurationTooLarge",
            message: format!(
                "the certificates and CA certificates together have more than {FILE_SIZE_MAX} bytes, \
                 which is what a Secret holds; name fewer or smaller ones"
            ),
        });
    }
    rendering.before = previous.certificates;
    rendering
}

/// What there is now, judged by what was there before.
struct New<'w> {
    world: &'w World,
    previous: &'w Previous,
    settings: &'w Settings,
}

impl New<'_> {
    /// What a Secret holds now. What can never verify is refused, unless it is what serves already: an upgrade takes
    /// nobody down.
    fn certificate(&self, name: &str) -> Result<Served, Problem> {
        let served = certificate::read(name, self.world.secrets.get(name))?;
        if self.is_at_start() || self.previous.serves(&served) {
            return Ok(served);
        }
        certificate::strictly(served)
    }

    /// What the object with the CA certificates holds now, by the same rule.
    fn bundle(&self, ca: &CaRef) -> Result<Bundle, Problem> {
        let (secrets, config_maps) = (&self.world.secrets, &self.world.config_maps);
        let bundle = read_authorities(ca, secrets, config_maps)?;
        if self.is_at_start() || self.previous.trusts(&bundle) {
            return Ok(bundle);
        }
        bundle.strictly()
    }

    /// Whether this process begins, and does not know what served before it.
    fn is_at_start(&self) -> bool {
        matches!(
            self.settings.place,
            Place::Process {
                is_at_start: true,
                ..
            }
        )
    }
}

/// Whether the first certificate that was chosen is one for the first place: other certificates are
/// shown only to those who ask for their names.
fn is_default(chosen: &Served, listener: &Listener, previous: &Previous) -> bool {
    let before = previous.certificates.first();
    listener
        .certificates
        .first()
        .is_some_and(|name| *name == chosen.source)
        || before.is_some_and(|before| before.source == chosen.source)
}

/// Chooses each certificate, and tells what is wrong with those that cannot be.
fn choose_all(listener: &Listener, new: &New<'_>, now: Timestamp, rendering: &mut Rendering) {
    let previous = new.previous;
    for (index, name) in listener.certificates.iter().enumerate() {
        let fresh = new.certificate(name);
        if let Ok(fresh) = &fresh {
            rendering.dates.extend(dates(fresh));
        }
        let chosen = choose(
            fresh,
            previous.certificate(name),
            now,
            &mut rendering.problems,
        );
        // Only the default has a stand-in: it is what a device gets that asks for no name.
        let stand_in = || stand_in(listener, new, now);
        let chosen = chosen.or_else(|| if index == 0 { stand_in() } else { None });
        let Some(chosen) = chosen else { continue };
        if rendering
            .served
            .iter()
            .any(|served| served.source == chosen.source)
        {
            continue;
        }
        rendering.dates.extend(dates(&chosen));
        rendering.served.push(chosen);
    }
}

/// When there is something else to say about a certificate.
fn dates(served: &Served) -> impl Iterator<Item = Timestamp> {
    served.certificate.dates().map(Date::timestamp)
}

/// The default certificate that was rendered before, from another Secret than the one that is wanted.
fn stand_in(listener: &Listener, new: &New<'_>, now: Timestamp) -> Option<Served> {
    let before = new.previous.certificates.first()?;
    if !listener.certificates.contains(&before.source) {
        return Some(before.clone());
    }
    // Its Secret is still named, in another place, where its problems are told.
    let fresh = new.certificate(&before.source);
    choose(fresh, Some(before), now, &mut Vec::new())
}

/// Between what the Secret holds now and what was rendered before.
fn choose(
    fresh: Result<Served, Problem>,
    before: Option<&Served>,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> Option<Served> {
    match (fresh, before) {
        (Ok(fresh), Some(before)) if !fresh.is_valid(now) && before.is_valid(now) => {
            problems.push(Problem {
                about: About::CertificateValid,
                reason: fresh.invalidity(now),
                message: format!(
                    "{}; the valid certificate that was served before stays until {}",
                    fresh.told(now),
                    before.facts.not_after
                ),
            });
            Some(before.clone())
        }
        (Ok(fresh), _) => Some(fresh),
        (Err(problem), Some(before)) => {
            let message = format!(
                "{}; the certificate that was served before stays",
                problem.message
            );
            problems.push(Problem { message, ..problem });
            Some(before.clone())
        }
        (Err(problem), None) => {
            problems.push(problem);
            None
        }
    }
}

/// Mutual TLS; `None` if it is wanted and there is no CA to do it with.
fn client_auth(
    listener: &Listener,
    new: &New<'_>,
    rendering: &mut Rendering,
) -> Option<ClientAuth> {
    let Some(wanted) = &listener.client_auth else {
        return Some(ClientAuth::default());
    };
    let (source, bundle) = match (new.bundle(&wanted.ca), &new.previous.authorities) {
        (Ok(bundle), _) => (source_of(&wanted.ca), bundle),
        (Err(problem), Some((source, bundle))) => {
            let message = format!("{}; the CA certificates used before stay", problem.message);
            rendering.problems.push(Problem { message, ..problem });
            (source.clone(), bundle.clone())
        }
        (Err(problem), None) => {
            let message = format!(
                "{}; until then no configuration is made that would let devices in unchecked",
                problem.message
            );
            rendering.problems.push(Problem { message, ..problem });
            return None;
        }
    };
    rendering.ca_source = Some(source);
    rendering.ca_warnings = bundle.warnings();
    Some(ClientAuth {
        mode: wanted.mode,
        ca: Some(bundle.pem),
    })
}

fn source_of(ca: &CaRef) -> String {
    format!("{}/{}/{}", ca.kind.name(), ca.name, ca.key)
}

/// The configuration with the first certificate as the default.
fn config(
    listener: &Listener,
    served: &[Served],
    client_auth: ClientAuth,
    settings: &Settings,
) -> Option<Config> {
    let (default, others) = served.split_first()?;
    let certificate = |one: &Served| Certificate {
        pem: one.pem.clone(),
    };
    Some(Config {
        host: listener.host,
        backend: backend(listener, settings),
        client_auth,
        tls: listener.tls.clone(),
        timeouts: listener.timeouts.clone(),
        limits: listener.limits.clone(),
        drain: Drain {
            deadline: settings.drain_deadline,
        },
        admin: admin(settings),
        certificates: others.iter().map(certificate).collect(),
        ..Config::new(listener.port, Pem::clone(&default.pem))
    })
}

fn is_too_large(config: &Config) -> bool {
    u64::try_from(config.to_yaml().expose().len()).unwrap_or(u64::MAX) > FILE_SIZE_MAX
}

/// Where the plaintext goes.
fn backend(listener: &Listener, settings: &Settings) -> Backend {
    if let Place::Process {
        backend: Some(backend),
        ..
    } = &settings.place
    {
        return backend.clone();
    }
    match (&listener.backend, &settings.place) {
        (listener::Backend::Service { port, .. }, Place::Process { .. }) => Backend {
            port: *port,
            ..Backend::default()
        },
        (listener::Backend::Service { name, port }, Place::Cluster) => {
            let namespace = &listener.identity.namespace;
            // The dot at the end makes the name absolute: no search domain is tried before it.
            let host = format!("{name}.{namespace}.svc.{}.", settings.cluster_domain);
            Backend { host, port: *port }
        }
        (listener::Backend::Address { host, port }, _) => Backend {
            host: host.clone(),
            port: *port,
        },
    }
}

/// Where probes are answered: in a pod on all its addresses, of either family.
fn admin(settings: &Settings) -> Admin {
    match &settings.place {
        Place::Cluster => Admin {
            host: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            port: ADMIN_PORT,
            journal: true,
        },
        Place::Process { admin, .. } => Admin {
            host: admin.ip(),
            port: admin.port(),
            journal: true,
        },
    }
}

/// Says when the backend's Service or its port is missing. The configuration does not depend on it: the
/// name is resolved anew for each connection.
fn backend_problems(
    listener: &Listener,
    service: Option<&Service>,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) {
    let listener::Backend::Service { name, port } = &listener.backend else {
        return;
    };
    if matches!(settings.place, Place::Process { .. }) {
        return;
    }
    let mut complain = |reason, message| {
        problems.push(Problem {
            about: About::ResolvedRefs,
            reason,
            message,
        });
    };
    let Some(spec) = service.map(|service| service.spec.clone().unwrap_or_default()) else {
        return complain(
            "BackendNotFound",
            format!(
                "Service {name} does not exist in this namespace; create it in front of smart-mqtt, or \
                 correct spec.backend.service"
            ),
        );
    };
    let ports = spec.ports.unwrap_or_default();
    let external = spec.type_.as_deref() == Some("ExternalName");
    if !external && !ports.iter().any(|one| one.port == i32::from(*port)) {
        let known: Vec<String> = ports.iter().map(|one| one.port.to_string()).collect();
        complain(
            "BackendPortNotFound",
            format!(
                "Service {name} has no port {port} (it has {}); correct spec.backend.service.port",
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            ),
        );
    }
}
