//! What holds for all listeners, as values: the caller knows where the terminators run, and
//! the plan does not ask. It must not read the environment.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mqtt_tls_config::Backend;

use crate::crd::ADMIN_PORT;

/// What holds for all listeners.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The image of the terminator.
    pub terminator_image: String,
    /// The DNS domain in which Services have names, without dots at its ends; none where there are no Services.
    pub cluster_domain: Option<String>,
    /// The broker, instead of the one that the listener names.
    pub backend: Option<Backend>,
    /// From SIGTERM to the end of a terminator's last connection.
    pub drain_deadline: Duration,
    /// Where the terminators answer probes.
    pub admin: SocketAddr,
    /// The port that no listener may have; none if the terminators can answer probes anywhere.
    pub reserved_port: Option<u16>,
    /// Whether devices reach a loopback address.
    pub is_loopback_reached: bool,
    /// Whether what is found may have been served by an earlier release, although nothing says so.
    pub is_at_start: bool,
}

impl Environment {
    /// In pods of a cluster.
    pub fn cluster(
        terminator_image: String,
        cluster_domain: String,
        drain_deadline: Duration,
    ) -> Self {
        Self {
            terminator_image,
            cluster_domain: Some(cluster_domain),
            backend: None,
            drain_deadline,
            // On all addresses of the pod, of either family.
            admin: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), ADMIN_PORT),
            reserved_port: Some(ADMIN_PORT),
            is_loopback_reached: false,
            is_at_start: false,
        }
    }

    /// In this process.
    pub fn process(
        backend: Option<Backend>,
        drain_deadline: Duration,
        admin: SocketAddr,
        is_at_start: bool,
    ) -> Self {
        Self {
            terminator_image: String::new(),
            cluster_domain: None,
            backend,
            drain_deadline,
            admin,
            reserved_port: None,
            is_loopback_reached: true,
            is_at_start,
        }
    }
}
