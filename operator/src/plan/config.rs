//! Renders the terminators' configuration of a listener and what was chosen for it. It must not choose.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use mqtt_tls_config::{
    Admin, Alpn, Backend, ClientAuthMode, Config, Drain, Identity, Pem, Tickets, Tls,
};

use super::certificates::previous::Previous;
use super::environment::Environment;
use super::hosts::{Choices, ChosenHost};
use super::listener::Listener;

/// A rendered configuration.
pub struct Rendered {
    /// The file's text.
    pub text: Pem,
    /// Its version.
    pub version: Option<String>,
    /// Its port.
    pub port: u16,
    /// Size of the devices' TLS buffers in bytes, if they are small.
    pub device_buffer: Option<u32>,
    /// The revocation lists beside it, if there are any.
    pub crls: Option<ByteString>,
    /// What hosts take from the listener.
    pub inherited: Inherited,
    /// The clients that get session tickets.
    pub tickets: Tickets,
}

/// What hosts take from the listener, beside certificates and client authentication.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// Its backend.
    pub backend: Backend,
    /// Its protocols.
    pub alpn: Alpn,
    /// Its names from clients' certificates.
    pub client_identity: Option<Identity>,
}

impl Inherited {
    /// Returns what hosts take from a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            backend: config.backend.clone(),
            alpn: config.tls.alpn.clone(),
            client_identity: config.identity.clone(),
        }
    }
}

impl Rendered {
    /// Returns the size of the text in bytes.
    pub fn size(&self) -> usize {
        self.text.expose().len()
    }
}

/// Returns the configuration of a listener, without hosts, certificates and CA certificates.
pub fn of(
    listener: &Listener,
    (backend, alpn): (Backend, Alpn),
    also_listen: &[u16],
    environment: &Environment,
) -> Config {
    Config {
        host: listener.host,
        also_listen: also_listen.to_vec(),
        backend,
        tls: Tls {
            alpn,
            ..listener.tls.clone()
        },
        timeouts: listener.timeouts.clone(),
        limits: listener.limits.clone(),
        drain: Drain {
            deadline: environment.drain_deadline,
        },
        admin: Admin {
            host: environment.admin.ip(),
            port: environment.admin.port(),
            journal: true,
            connections: listener.lists_connections,
        },
        unknown_names: listener.unknown_names,
        shared_names: listener.shared_names,
        protocol: listener.protocol,
        identity: listener.client_identity.clone(),
        ..Config::new(listener.port, Pem::new(String::new()))
    }
}

/// Completes a configuration with the hosts and the chosen certificates and CA certificates, and renders it; `None` without a
/// certificate to serve. It has the previous file's version if nothing else differs. It may be too large.
pub fn render(
    mut config: Config,
    choices: &Choices,
    previous: &Previous,
    now: Timestamp,
) -> Option<Rendered> {
    let Choices {
        listener, hosts, ..
    } = choices;
    let mut certificates = listener.rendered();
    let (Some(default), Some(client_auth)) = (certificates.next(), &listener.client_auth) else {
        return None;
    };
    config.client_auth = client_auth.clone();
    (config.pem, config.candidate) = (default.pem, default.candidate);
    config.certificates = certificates.collect();
    config.crls = choices.urls();
    config.hosts = hosts.iter().map(ChosenHost::rendered).collect();
    config.version = previous.version().map(str::to_owned);
    let mut text = config.to_yaml();
    if !previous.is(&text) {
        config.version = Some(version(now, previous.version()));
        text = config.to_yaml();
    }
    let tickets = if has_anonymous_clients(&config) {
        config.tls.tickets
    } else {
        // Where all clients are asked for certificates, none gets a ticket.
        Tickets::None
    };
    Some(Rendered {
        text,
        crls: None,
        inherited: Inherited::of(&config),
        version: config.version,
        port: config.port,
        device_buffer: config.tls.device_buffer(),
        tickets,
    })
}

/// Reports whether clients of the listener itself, or of one of its hosts, are not asked for certificates.
fn has_anonymous_clients(config: &Config) -> bool {
    let own = config
        .hosts
        .iter()
        .filter_map(|host| host.client_auth.as_ref());
    let mut all = std::iter::once(&config.client_auth).chain(own);
    all.any(|auth| auth.mode == ClientAuthMode::None)
}

/// Returns a version that no configuration of this listener had before: the time of its rendering, or just after the
/// previous one if the clock was set back. A counter would begin again if the config Secret were deleted.
fn version(now: Timestamp, previous: Option<&str>) -> String {
    let previous: Option<Timestamp> = previous.and_then(|version| version.parse().ok());
    let next = previous.and_then(|time| time.checked_add(SignedDuration::from_millis(1)).ok());
    format!("{:.3}", next.map_or(now, |next| next.max(now)))
}
