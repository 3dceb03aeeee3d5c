//! Chooses the backend: the wanted one, or the last good one while the Service of the wanted one is missing or has not
//! its port.
//!
//! It must not resolve a name: terminators do, as clients connect.

use mqtt_tls_config as file;

use super::checks::is_loopback;
use super::environment::Environment;
use super::host_key::HostKey;
use super::listener::{Backend, Listener};
use super::problem::Problem;
use super::reason::Reason;
use super::world::World;

/// What a backend is chosen by: that of the listener itself, or of one of its hosts.
pub struct Choice<'c> {
    /// Whose it is.
    pub key: &'c HostKey,
    /// The path of its field.
    pub path: &'c str,
    /// The backend that the spec names.
    pub backend: &'c Backend,
    /// The listener.
    pub listener: &'c Listener,
    /// The current objects.
    pub world: &'c World,
    /// The operator's settings.
    pub environment: &'c Environment,
    /// The backend before, if there is one.
    pub before: Option<&'c file::Backend>,
}

/// The path of the field of a listener's or host's own backend.
pub const OWN: &str = "backend";

/// Returns the path of the field of a protocol's backend.
pub fn protocol_backend(index: usize) -> String {
    format!("tls.alpn.protocols[{index}].backend")
}

/// Returns the backend that receives the plaintext, and what is wrong with the wanted one. A first configuration has
/// the wanted one in any case: its Service may be created later.
pub fn choose(choice: &Choice<'_>) -> (file::Backend, Option<Problem>) {
    let wanted = wanted(choice);
    let Some(problem) = problem(choice) else {
        return (wanted, None);
    };
    match choice.before.filter(|before| **before != wanted) {
        Some(before) => {
            let (host, port) = (before.host.trim_end_matches('.').to_owned(), before.port);
            let shown = file::Backend { host, port };
            let problem = problem.until_then(&format!("keeping the current backend {shown}"));
            (before.clone(), Some(problem))
        }
        None => (wanted, Some(problem)),
    }
}

/// Returns the backend that the spec names.
fn wanted(choice: &Choice<'_>) -> file::Backend {
    let environment = choice.environment;
    if let Some(backend) = &environment.backend {
        return backend.clone();
    }
    match (choice.backend, &environment.cluster_domain) {
        (Backend::Service { port, .. }, None) => file::Backend {
            port: *port,
            ..file::Backend::default()
        },
        (Backend::Service { name, port }, Some(domain)) => {
            // The trailing dot makes the name absolute, so that no search domain is tried.
            let host = format!("{}.{}.svc.{domain}.", name.name, name.namespace);
            file::Backend { host, port: *port }
        }
        (Backend::Address { host, port }, _) => file::Backend {
            host: host.clone(),
            port: *port,
        },
    }
}

/// Returns a problem if the broker's Service or its port is missing, or if it leads to terminators, in a cluster.
fn problem(choice: &Choice<'_>) -> Option<Problem> {
    let Backend::Service { name, port } = choice.backend else {
        return None;
    };
    let listener = choice.listener;
    let field = |field: &str| choice.key.field(&format!("{}.{field}", choice.path));
    choice.environment.cluster_domain.as_ref()?;
    let (service, name) = (choice.world.services.get(name), &name.name);
    let Some(spec) = service.map(|service| service.spec.clone().unwrap_or_default()) else {
        let message = format!(
            "Service {name} does not exist in this namespace; create it in front of smart-mqtt, or \
             correct {}",
            field("service")
        );
        return Some(Problem::of_reference(Reason::BackendNotFound, message));
    };
    let external = spec.type_.as_deref() == Some("ExternalName");
    let host = spec.external_name.filter(|_| external).unwrap_or_default();
    let selector = spec.selector.unwrap_or_default();
    if is_loopback(&host)
        || (!external
            && listener
                .identity
                .is_selected(&selector, &listener.pod.labels))
    {
        let why = if external {
            format!("is {host}, a loopback address")
        } else {
            let labels = selector
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let labels: Vec<String> = labels.collect();
            format!("selects terminators ({})", labels.join(","))
        };
        let message = format!(
            "Service {name} {why}, so connections would not reach the broker; correct the Service, or {}",
            field("service")
        );
        return Some(Problem::of_reference(Reason::BackendIsOwn, message));
    }
    let ports = spec.ports.unwrap_or_default();
    if external || ports.iter().any(|one| one.port == i32::from(*port)) {
        return None;
    }
    let known: Vec<String> = ports.iter().map(|one| one.port.to_string()).collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    let message = format!(
        "Service {name} has no port {port} (it has {known}); correct {}",
        field("service.port")
    );
    Some(Problem::of_reference(Reason::BackendPortNotFound, message))
}
