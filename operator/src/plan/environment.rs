//! Settings for all listeners. They are values, so that the plan need not know where the terminators run. It must
//! not read environment variables.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mqtt_tls_config::Backend;

use super::issuers::Issuers;
use crate::crd::ADMIN_PORT;

/// Settings for all listeners.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Image of the terminator.
    pub terminator_image: String,
    /// DNS domain of Services, without leading or trailing dots; `None` without Services.
    pub cluster_domain: Option<String>,
    /// Broker to use instead of the listeners' backends.
    pub backend: Option<Backend>,
    /// Time that a terminator has after SIGTERM to close its connections.
    pub drain_deadline: Duration,
    /// Address of the terminators' admin port.
    pub admin: SocketAddr,
    /// Port that no listener may use; `None` if the admin port is arbitrary.
    pub reserved_port: Option<u16>,
    /// Whether devices can reach a loopback address.
    pub is_loopback_reached: bool,
    /// Issuers of cert-manager that listeners may name.
    pub issuers: Issuers,
    /// Whether renewed certificates of another class can be tried: pods report what comes of it.
    pub has_trials: bool,
    /// Whether certificates may have been served before the start, although nothing records that.
    pub is_at_start: bool,
}

impl Environment {
    /// Returns the settings for pods in a cluster.
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
            // All addresses of the pod, IPv4 and IPv6.
            admin: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), ADMIN_PORT),
            reserved_port: Some(ADMIN_PORT),
            is_loopback_reached: false,
            has_trials: true,
            is_at_start: false,
            issuers: Issuers::default(),
        }
    }

    /// Returns the settings for terminators in this process.
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
            has_trials: false,
            is_at_start,
            issuers: Issuers::default(),
        }
    }
}
