//! The addresses where devices connect: those of the load balancer, and the Service's name. It must not resolve them, and
//! must not show the Service's name where devices outside of the cluster are promised another.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};

use crate::crd::{Address, AddressType, ServiceType};
use crate::plan::names::Identity;

/// Maximum number of a load balancer's addresses; with the Service's name, as many as the status allows.
const SHOWN_MAX: usize = 15;

pub(super) fn addresses(identity: &Identity, service: Option<&Service>) -> Vec<Address> {
    let Some(service) = service.filter(|service| !is_pending(service)) else {
        return Vec::new();
    };
    let spec = service.spec.as_ref();
    let port = spec
        .and_then(|spec| spec.ports.as_ref()?.first())
        .map_or(0, |port| port.port);
    let assigned = ingress(service).iter().filter_map(of_ingress);
    let own = format!("{}.{}.svc", identity.child_name(), identity.namespace);
    assigned
        .take(SHOWN_MAX)
        .chain([(AddressType::Hostname, own)])
        .map(|(type_, value)| Address {
            type_,
            url: Some(url(&value, port)),
            value,
            port,
        })
        .collect()
}

/// Reports whether a load balancer has not assigned an address yet.
pub(super) fn is_pending(service: &Service) -> bool {
    let type_ = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    type_ == Some(ServiceType::LoadBalancer.name())
        && !ingress(service).iter().any(|one| of_ingress(one).is_some())
}

fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let status = service.status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref());
    ingress.unwrap_or_default()
}

fn of_ingress(one: &LoadBalancerIngress) -> Option<(AddressType, String)> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let ip = given(&one.ip).map(|ip| (AddressType::IpAddress, ip));
    ip.or_else(|| given(&one.hostname).map(|name| (AddressType::Hostname, name)))
}

/// Returns the address as MQTT clients take it.
fn url(host: &str, port: i32) -> String {
    match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("mqtts://[{ip}]:{port}"),
        _ => format!("mqtts://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::{Identity, addresses, is_pending};

    fn shown(type_: &str, ingress: &Value) -> Vec<String> {
        let service = json!({
            "spec": {"type": type_, "ports": [{"port": 8883}]},
            "status": {"loadBalancer": {"ingress": ingress}},
        });
        let service: Service = serde_json::from_value(service).unwrap();
        let identity = Identity {
            name: "edge".to_owned(),
            namespace: "iot".to_owned(),
            uid: "u".to_owned(),
            generation: None,
        };
        let addresses = addresses(&identity, Some(&service));
        assert_eq!(addresses.is_empty(), is_pending(&service));
        addresses.into_iter().filter_map(|one| one.url).collect()
    }

    #[test]
    fn the_services_own_name_does_not_stand_in_for_a_load_balancers() {
        let own = "mqtts://edge-mqtts.iot.svc:8883";
        assert_eq!(shown("ClusterIP", &json!([])), [own]);
        assert_eq!(shown("NodePort", &json!(null)), [own]);
        for pending in [json!(null), json!([]), json!([{}]), json!([{"ip": ""}])] {
            assert_eq!(shown("LoadBalancer", &pending), [""; 0], "{pending}");
        }
        let both = json!([{"ip": "2001:db8::1"}, {"hostname": "lb.example.com"}]);
        let wanted = [
            "mqtts://[2001:db8::1]:8883",
            "mqtts://lb.example.com:8883",
            own,
        ];
        assert_eq!(shown("LoadBalancer", &both), wanted);
    }
}
