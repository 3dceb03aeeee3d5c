//! Parses the resource into a valid [`Listener`], or returns all problems.
//!
//! The API server has validated most of it by the schema. It is validated again, because an object may be older
//! than a rule, and standalone mode has no API server. It must not look at other objects.

use std::net::IpAddr;
use std::time::Duration;

use mqtt_tls_config::{
    self as file, ClientAuthMode as Mode, Identity as ClientIdentity, Limits, Protocol,
    SharedNames, Timeouts, Tls, UnknownNames,
};

use super::environment::Environment;
use super::host_key::HostKey;
use super::issued::{self, Issued};
use super::names::{Identity, Name};
use super::problem::Problem;
use super::source::{DataKey, Source};
use super::trials::settings::Settings;
use super::{bounds, checks, client_rules};
use crate::crd::{
    self, CertificateSource, ClientAuthMode, MqttTlsListener, PodTemplate, ServiceTemplate,
};

/// A valid MqttTlsListener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Name, namespace and uid.
    pub identity: Identity,
    /// The address to listen on; none for all.
    pub host: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// Sources of the certificates, the default first; never empty.
    pub certificates: Vec<Source>,
    /// Those of them that may be missing.
    pub optional: Vec<Source>,
    /// The certificates that cert-manager issues for it and its hosts.
    pub issued: Vec<Issued>,
    /// Whether the CA certificates that devices are to trust are published.
    pub publishes_ca: bool,
    /// How long a certificate stays in use after its ReferenceGrant was withdrawn.
    pub grace: Duration,
    /// How a renewed certificate of another class is tried.
    pub trial: Settings,
    /// Mutual TLS.
    pub client_auth: Authentication,
    /// Names from clients' certificates.
    pub client_identity: Option<ClientIdentity>,
    /// The hosts, in the order of the spec.
    pub hosts: Vec<Host>,
    /// What clients get that request a name that no host has.
    pub unknown_names: UnknownNames,
    /// What happens if clients of one host could take the names of another's.
    pub shared_names: SharedNames,
    /// What clients speak inside TLS.
    pub protocol: Protocol,
    /// Whether the pods list connections.
    pub lists_connections: bool,
    /// TLS options, without the protocols.
    pub tls: Tls,
    /// The protocols that TLS negotiates.
    pub alpn: Alpn,
    /// Time limits of the phases of a connection.
    pub timeouts: Timeouts,
    /// Limits on the connections of a pod.
    pub limits: Limits,
    /// The broker.
    pub backend: Backend,
    /// Number of pods.
    pub replicas: i32,
    /// The user's settings for the Service.
    pub service: ServiceTemplate,
    /// The user's settings for the pods.
    pub pod: PodTemplate,
}

impl Listener {
    /// Returns it without pods if it is stopped.
    #[must_use]
    pub fn stopped_if(self, is_stopped: bool) -> Self {
        let replicas = if is_stopped { 0 } else { self.replicas };
        Self { replicas, ..self }
    }
}

/// A host of a listener.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its names.
    pub names: Vec<String>,
    /// Sources of its certificates, the default first; the listener's if empty.
    pub certificates: Vec<Source>,
    /// Those of them that may be missing.
    pub optional: Vec<Source>,
    /// Mutual TLS.
    pub client_auth: Authentication,
    /// Names from clients' certificates; as by the listener if none.
    pub client_identity: Option<ClientIdentity>,
    /// Its broker; the listener's if none.
    pub backend: Option<Backend>,
    /// The protocols that TLS negotiates; the listener's if none.
    pub alpn: Option<Alpn>,
}

/// The protocols that TLS negotiates (ALPN).
#[derive(Clone, Debug, Default)]
pub struct Alpn {
    /// Their names, the preferred one first, each with its broker if that is one of its own.
    pub protocols: Vec<(String, Option<Backend>)>,
    /// Whether clients that offer none of them are refused.
    pub required: bool,
}

/// How clients are authenticated.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// Of a host: as by the listener.
    AsListener,
    /// Not at all.
    Off,
    /// By certificates.
    Mutual(ClientAuth),
}

/// Mutual TLS.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Everything but the CA certificates; its mode is not None.
    pub settings: file::ClientAuth,
    /// Sources of the CA certificates that client certificates must chain to; at least one.
    pub cas: Vec<DataKey>,
    /// Sources of revocation lists.
    pub crls: Vec<DataKey>,
    /// Revocation lists that the pods fetch.
    pub urls: Vec<CrlUrl>,
}

/// A revocation list that the pods fetch.
#[derive(Clone, Debug)]
pub struct CrlUrl {
    /// Its URL.
    pub url: String,
    /// Source of the CA certificates of its server.
    pub ca: Option<DataKey>,
    /// How often it is fetched.
    pub refresh: Duration,
}

/// The broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service.
    Service {
        /// The Service.
        name: Name,
        /// Its port.
        port: u16,
    },
    /// A host and a port.
    Address {
        /// A DNS name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Parses a listener.
///
/// # Errors
///
/// All problems of its spec.
pub fn parse(
    listener: &MqttTlsListener,
    environment: &Environment,
) -> Result<Listener, Vec<Problem>> {
    let problems = checks::run(listener, environment);
    let (spec, identity) = (&listener.spec, Identity::of(listener));
    let namespace = identity.namespace.as_str();
    // The checks report everything that makes this fail.
    let hosts = spec.hosts.iter().enumerate();
    let hosts = hosts.map(|(index, one)| host(one, index, &identity));
    let of_listener = spec.tls.alpn.as_ref();
    let of_listener = of_listener.map_or(Some(Alpn::default()), |own| alpn(own, namespace));
    let (
        Some(backend),
        Some(alpn),
        Some(client_auth),
        Some(hosts),
        Ok(timeouts),
        Ok(limits),
        Ok(tls),
        true,
    ) = (
        backend(&spec.backend, namespace),
        of_listener,
        client_auth(&spec.client_auth, namespace),
        hosts.collect::<Option<Vec<Host>>>(),
        bounds::section(&spec.timeouts),
        bounds::section(&spec.limits),
        bounds::section(&spec.tls),
        problems.is_empty(),
    )
    else {
        return Err(problems);
    };
    Ok(Listener {
        host: spec.host.as_ref().and_then(|host| host.parse().ok()),
        port: spec.port,
        certificates: certificates(&spec.certificates, &HostKey::LISTENER, &identity),
        optional: optional(&spec.certificates, &HostKey::LISTENER, &identity),
        issued: issued::all(listener),
        publishes_ca: spec.publishes_ca(),
        grace: checks::grace_of(spec),
        trial: Settings::of(spec),
        client_auth,
        client_identity: spec.identity.as_ref().map(crd::Identity::to_file),
        hosts,
        shared_names: match spec.shared_names.unwrap_or_default() {
            crd::SharedNames::Refuse => SharedNames::Refuse,
            crd::SharedNames::Accept => SharedNames::Accept,
        },
        protocol: match spec.protocol.unwrap_or_default() {
            crd::Protocol::Mqtt => Protocol::Mqtt,
            crd::Protocol::Websocket => Protocol::Websocket,
            crd::Protocol::Tcp => Protocol::Tcp,
        },
        lists_connections: spec.admin.connections,
        unknown_names: match spec.unknown_names {
            crd::UnknownNames::Serve => UnknownNames::Serve,
            crd::UnknownNames::Refuse => UnknownNames::Refuse,
        },
        tls,
        alpn,
        timeouts,
        limits,
        backend,
        replicas: spec.replicas,
        service: spec.service.clone(),
        pod: spec.pod.clone(),
        identity,
    })
}

fn host(host: &crd::Host, index: usize, listener: &Identity) -> Option<Host> {
    let namespace = &listener.namespace;
    let key = HostKey::of_spec(index, &host.names);
    Some(Host {
        names: host.names.clone(),
        certificates: certificates(&host.certificates, &key, listener),
        optional: optional(&host.certificates, &key, listener),
        client_auth: match &host.client_auth {
            Some(own) => client_auth(own, namespace)?,
            None => Authentication::AsListener,
        },
        client_identity: host.identity.as_ref().map(crd::Identity::to_file),
        backend: match &host.backend {
            Some(own) => Some(backend(own, namespace)?),
            None => None,
        },
        alpn: match &host.tls.alpn {
            Some(own) => Some(alpn(own, namespace)?),
            None => None,
        },
    })
}

fn alpn(spec: &crd::Alpn, namespace: &str) -> Option<Alpn> {
    let protocols = spec.protocols.iter().map(|protocol| {
        let backend = match &protocol.backend {
            Some(own) => Some(backend(own, namespace)?),
            None => None,
        };
        Some((protocol.name.clone(), backend))
    });
    Some(Alpn {
        protocols: protocols.collect::<Option<_>>()?,
        required: spec.required,
    })
}

fn certificates(sources: &[CertificateSource], host: &HostKey, listener: &Identity) -> Vec<Source> {
    let sources = sources.iter();
    sources.map(|one| source(one, host, listener)).collect()
}

fn optional(sources: &[CertificateSource], host: &HostKey, listener: &Identity) -> Vec<Source> {
    let optional = sources.iter().filter(|one| one.optional);
    optional.map(|one| source(one, host, listener)).collect()
}

fn source(source: &CertificateSource, host: &HostKey, listener: &Identity) -> Source {
    match &source.secret_ref {
        Some(secret) => Source::of_secret(secret, &listener.namespace),
        None => Source::Issued(issued::name_of(listener, host, source)),
    }
}

fn backend(backend: &crd::Backend, namespace: &str) -> Option<Backend> {
    match (&backend.service, &backend.address) {
        (Some(service), None) => Some(Backend::Service {
            name: Name::new(namespace, &service.name),
            port: service.port,
        }),
        (None, Some(address)) => Some(Backend::Address {
            host: address.host.clone(),
            port: address.port,
        }),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn client_auth(spec: &crd::ClientAuth, namespace: &str) -> Option<Authentication> {
    let mode = match spec.mode {
        ClientAuthMode::None => return Some(Authentication::Off),
        ClientAuthMode::Optional => Mode::Optional,
        ClientAuthMode::Require => Mode::Require,
        ClientAuthMode::DryRun => Mode::DryRun,
    };
    let rules = spec.rules.iter().map(client_rules::of_spec);
    let revocation = spec.revocation.as_ref();
    let lists = revocation.into_iter();
    let urls = lists.clone().flat_map(|one| &one.crl_urls);
    let urls = urls.map(|one| {
        Some(CrlUrl {
            url: one.url.clone(),
            ca: one.ca_ref.as_ref().map(|ca| DataKey::of(ca, namespace)),
            refresh: file::CrlUrl::refresh_of(one.refresh.as_deref())?,
        })
    });
    let crls = lists.flat_map(|one| &one.crl_refs);
    // The checks refuse what cannot be read, and a mode without a CA.
    Some(Authentication::Mutual(ClientAuth {
        settings: file::ClientAuth {
            mode,
            ca: None,
            accept_server_purpose: spec.accept_server_purpose,
            rules: rules.collect::<Option<_>>()?,
            revocation: revocation.map(client_rules::revocation),
        },
        cas: spec.cas().map(|ca| DataKey::of(ca, namespace)).collect(),
        crls: crls.map(|crl| DataKey::of_crl(crl, namespace)).collect(),
        urls: urls.collect::<Option<_>>()?,
    }))
}
