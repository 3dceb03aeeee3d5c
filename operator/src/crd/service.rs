//! The user's settings for the Service in front of the terminators.
//!
//! It must not offer what the operator decides: the selector and the ports.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::maps;

/// The Service in front of the terminators.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'")
        .message("service.nodePort requires type NodePort or LoadBalancer; set service.type, or \
                  remove nodePort")
        .field_path(".nodePort"),
    validation = Rule::new("!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'")
        .message("service.externalTrafficPolicy requires type NodePort or LoadBalancer; set \
                  service.type, or remove externalTrafficPolicy")
        .field_path(".externalTrafficPolicy"),
    validation = Rule::new("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'")
        .message("service.loadBalancerClass requires type LoadBalancer; set service.type, or remove \
                  loadBalancerClass")
        .field_path(".loadBalancerClass"),
    validation = Rule::new("!has(self.loadBalancerSourceRanges) || self.type == 'LoadBalancer'")
        .message("service.loadBalancerSourceRanges requires type LoadBalancer; set service.type, or \
                  remove loadBalancerSourceRanges")
        .field_path(".loadBalancerSourceRanges")
)]
pub struct ServiceTemplate {
    /// `ClusterIP`: reachable within the cluster. `NodePort`: also on a port of every node. `LoadBalancer`:
    /// also through a load balancer of the cloud or the cluster. Default: ClusterIP.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,

    /// Annotations of the Service, for example for a cloud's load balancer. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "maps::annotations")]
    pub annotations: BTreeMap<String, String>,

    /// Labels of the Service, in addition to the operator's own. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "maps::labels")]
    pub labels: BTreeMap<String, String>,

    /// The load balancer implementation. Immutable while the type is LoadBalancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,

    /// Networks from which the load balancer accepts connections, in CIDR notation. At most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "maps::networks")]
    pub load_balancer_source_ranges: Option<Vec<String>>,

    /// `Local` preserves the device's address and avoids a hop; `Cluster` balances evenly. Kubernetes
    /// defaults to Cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,

    /// The port on every node, within the cluster's range. Default: chosen by the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "maps::node_port")]
    pub node_port: Option<u16>,
}

/// Where a Service is reachable from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ServiceType {
    /// Within the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Also on a port of every node.
    NodePort,
    /// Also through a load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// Returns the type's name in Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Which pods receive the external connections of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// Pods on all nodes.
    Cluster,
    /// Pods on the same node.
    Local,
}

impl ExternalTrafficPolicy {
    /// Returns the policy's name in Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}
