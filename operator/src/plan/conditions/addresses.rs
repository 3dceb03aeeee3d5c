//! The addresses where devices connect: those of the load balancer, and the Service's name. It must not resolve them.

use k8s_openapi::api::core::v1::Service;

use crate::crd::{Address, AddressType};
use crate::plan::names::Identity;

/// Maximum number of a load balancer's addresses; with the Service's name, as many as the status allows.
const SHOWN_MAX: usize = 15;

pub(super) fn addresses(identity: &Identity, service: Option<&Service>) -> Vec<Address> {
    let Some(service) = service else {
        return Vec::new();
    };
    let spec = service.spec.as_ref();
    let port = spec
        .and_then(|spec| spec.ports.as_ref()?.first())
        .map_or(0, |port| port.port);
    let address = |type_, value| Address { type_, value, port };
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref()?.ingress.clone())
        .unwrap_or_default();
    let mut addresses: Vec<Address> = ingress
        .into_iter()
        .filter_map(|one| match (one.ip, one.hostname) {
            (Some(value), _) => Some(address(AddressType::IpAddress, value)),
            (None, Some(value)) => Some(address(AddressType::Hostname, value)),
            (None, None) => None,
        })
        .take(SHOWN_MAX)
        .collect();
    let value = format!("{}.{}.svc", identity.child_name(), identity.namespace);
    addresses.push(address(AddressType::Hostname, value));
    addresses
}
