//! The Service in front of the terminators.
//!
//! It must not rename its port: users' routes and policies refer to it.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::kinds::Child;
use crate::plan::listener::Listener;

/// Makes service meshes pass the port's TLS through. Istio knows `tls`, and guesses the protocol for names that it
/// does not know, such as IANA's `secure-mqtt`. Linkerd knows no such name, and detects from the client's first bytes
/// that the connection is not HTTP.
const APP_PROTOCOL: &str = "tls";

/// Builds the Service, which leads to this port.
pub(super) fn build(listener: &Listener, port: u16) -> Service {
    let template = &listener.service;
    let port = i32::from(port);
    let ports = vec![ServicePort {
        name: Some("mqtts".to_owned()),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some(APP_PROTOCOL.to_owned()),
        port,
        // A number, not a name: pods can open a new port without being replaced.
        target_port: Some(IntOrString::Int(port)),
        node_port: template.node_port.map(i32::from),
    }];
    Service {
        metadata: listener.identity.child(
            Child::Service,
            &template.labels,
            template.annotations.clone(),
        ),
        spec: Some(ServiceSpec {
            type_: Some(template.type_.name().to_owned()),
            selector: Some(listener.identity.selector_labels()),
            ports: Some(ports),
            load_balancer_class: template.load_balancer_class.clone(),
            load_balancer_source_ranges: template.load_balancer_source_ranges.clone(),
            external_traffic_policy: template
                .external_traffic_policy
                .map(|policy| policy.name().to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
