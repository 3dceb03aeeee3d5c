//! From the resource as it was written to a [`Listener`] that makes sense, or to all that is wrong.
//!
//! The API server has checked most of it by the resource's schema. It is checked again, because an object
//! may be older than a rule, and in a folder there is no API server. It must not look at other objects.

use std::net::IpAddr;

use mqtt_tls_config::{ClientAuthMode as Mode, Limits, Timeouts, Tls};

use super::environment::Environment;
use super::names::{Identity, Name};
use super::problem::Problem;
use super::source::{CaSource, Source};
use super::{bounds, checks};
use crate::crd::{ClientAuthMode, MqttTlsListener, PodTemplate, ServiceTemplate};

/// A valid MqttTlsListener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Who it is.
    pub identity: Identity,
    /// The address to listen on; none for all.
    pub host: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// Where the certificates come from, the default first; never empty.
    pub certificates: Vec<Source>,
    /// Mutual TLS, if any.
    pub client_auth: Option<ClientAuth>,
    /// What TLS offers.
    pub tls: Tls,
    /// How long each phase of a connection may take.
    pub timeouts: Timeouts,
    /// How many connections a pod takes.
    pub limits: Limits,
    /// The broker.
    pub backend: Backend,
    /// How many pods.
    pub replicas: i32,
    /// What the user says about the Service.
    pub service: ServiceTemplate,
    /// What the user says about the pods.
    pub pod: PodTemplate,
}

/// Mutual TLS.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Optional or Require.
    pub mode: Mode,
    /// What client certificates must chain to.
    pub ca: CaSource,
}

/// The broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service.
    Service {
        /// Which one.
        name: Name,
        /// Its port.
        port: u16,
    },
    /// Anything else.
    Address {
        /// A DNS name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Reads a listener.
///
/// # Errors
///
/// All that is wrong with it.
pub fn parse(
    listener: &MqttTlsListener,
    environment: &Environment,
) -> Result<Listener, Vec<Problem>> {
    let problems = checks::run(listener, environment);
    let (spec, identity) = (&listener.spec, Identity::of(listener));
    let namespace = identity.namespace.as_str();
    // The checks have found whatever makes this fail.
    let (Some(backend), Ok(timeouts), Ok(limits), Ok(tls), true) = (
        backend(listener, namespace),
        bounds::section(&spec.timeouts),
        bounds::section(&spec.limits),
        bounds::section(&spec.tls),
        problems.is_empty(),
    ) else {
        return Err(problems);
    };
    Ok(Listener {
        host: spec.host.as_ref().and_then(|host| host.parse().ok()),
        port: spec.port,
        certificates: spec
            .certificates
            .iter()
            .map(|one| Source::Secret(Name::new(namespace, &one.secret_ref.name)))
            .collect(),
        client_auth: client_auth(listener, namespace),
        tls,
        timeouts,
        limits,
        backend,
        replicas: spec.replicas,
        service: spec.service.clone(),
        pod: spec.pod.clone(),
        identity,
    })
}

fn backend(listener: &MqttTlsListener, namespace: &str) -> Option<Backend> {
    let backend = &listener.spec.backend;
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

fn client_auth(listener: &MqttTlsListener, namespace: &str) -> Option<ClientAuth> {
    let spec = &listener.spec.client_auth;
    let mode = match spec.mode {
        ClientAuthMode::None => return None,
        ClientAuthMode::Optional => Mode::Optional,
        ClientAuthMode::Require => Mode::Require,
    };
    // A mode without a CA does not get here: the checks refuse it.
    Some(ClientAuth {
        mode,
        ca: CaSource::of(spec.ca_ref.as_ref()?, namespace),
    })
}
