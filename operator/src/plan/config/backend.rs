//! The backend in the configuration, and problems with its Service. The configuration must not depend on whether the
//! broker exists: terminators resolve its name as clients connect.

use mqtt_tls_config as file;

use crate::plan::environment::Environment;
use crate::plan::listener::{Backend, Listener};
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;
use crate::plan::world::World;

/// Returns the backend that receives the plaintext.
pub(super) fn backend(listener: &Listener, environment: &Environment) -> file::Backend {
    if let Some(backend) = &environment.backend {
        return backend.clone();
    }
    match (&listener.backend, &environment.cluster_domain) {
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

/// Returns a problem if the broker's Service or its port is missing, in a cluster.
pub fn problem(listener: &Listener, world: &World, environment: &Environment) -> Option<Problem> {
    let Backend::Service { name, port } = &listener.backend else {
        return None;
    };
    environment.cluster_domain.as_ref()?;
    let (service, name) = (world.services.get(name), &name.name);
    let Some(spec) = service.map(|service| service.spec.clone().unwrap_or_default()) else {
        let message = format!(
            "Service {name} does not exist in this namespace; create it in front of smart-mqtt, or \
             correct spec.backend.service"
        );
        return Some(Problem::of_reference(Reason::BackendNotFound, message));
    };
    let ports = spec.ports.unwrap_or_default();
    let external = spec.type_.as_deref() == Some("ExternalName");
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
        "Service {name} has no port {port} (it has {known}); correct spec.backend.service.port"
    );
    Some(Problem::of_reference(Reason::BackendPortNotFound, message))
}
