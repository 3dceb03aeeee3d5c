//! Validates the configured addresses before binding: rejects addresses that clients cannot connect to, and
//! conflicting ports.
//!
//! It must not query the system: only binding shows whether an address is local and a port free.

use std::net::IpAddr;

use mqtt_tls_config::Config;

use crate::reload::Reload;

/// Errors in addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The address can be bound but not connected to.
    #[error("{address} is {kind}, which clients cannot connect to; {advice}")]
    Unreachable {
        /// The address.
        address: IpAddr,
        /// Kind of the address.
        kind: &'static str,
        /// Advice to the user.
        advice: &'static str,
    },
    /// The listener uses the same port, on the same address or on all addresses.
    #[error(
        "port {port} is the listener's own (key `{key}`), on the same address or on all addresses; choose another \
    port for one of them"
    )]
    Shared {
        /// The port.
        port: u16,
        /// The listener's key.
        key: &'static str,
    },
}

impl Error {
    /// Returns the reason, one of a fixed set.
    pub(crate) fn reason(&self) -> Reload {
        match self {
            Self::Unreachable { .. } => Reload::UnreachableHost,
            Self::Shared { .. } => Reload::SharedPort,
        }
    }
}

/// Returns all errors in a configuration's addresses, by key.
pub(crate) fn judge(config: &Config) -> Vec<(&'static str, Error)> {
    let advice = "set an address of this machine, or omit the key to listen on all addresses";
    let host = config.host.and_then(|host| unreachable(host, advice));
    let advice = "set an address of this machine, or omit the key for 127.0.0.1";
    let admin = unreachable(config.admin.host, advice);
    let port = config.admin.port;
    let key = if config.port == port {
        Some("port")
    } else {
        config.also_listen.contains(&port).then_some("alsoListen")
    };
    let key = key.filter(|_| overlap(config.host, Some(config.admin.host)));
    let shared = key.map(|key| Error::Shared { port, key });
    let found = [
        ("host", host),
        ("admin.host", admin),
        ("admin.port", shared),
    ];
    found
        .into_iter()
        .filter_map(|(key, error)| Some((key, error?)))
        .collect()
}

fn unreachable(address: IpAddr, advice: &'static str) -> Option<Error> {
    let kind = mqtt_tls_config::unreachable(address)?;
    Some(Error::Unreachable {
        address,
        kind,
        advice,
    })
}

/// Reports whether sockets on both addresses would conflict; `None` is all addresses.
fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return true;
    };
    // A socket on all IPv6 addresses accepts IPv4 too.
    let holds = |all: IpAddr, one: IpAddr| match all {
        IpAddr::V4(all) => all.is_unspecified() && one.is_ipv4(),
        IpAddr::V6(all) => all.is_unspecified(),
    };
    let (one, other) = (one.to_canonical(), other.to_canonical());
    one == other || holds(one, other) || holds(other, one)
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::{Config, Pem};

    use super::judge;

    fn reasons(
        listen: Option<&str>,
        admin: &str,
        ports: (u16, u16),
    ) -> Vec<(&'static str, &'static str)> {
        let mut config = Config::new(ports.0, Pem::new(String::new()));
        config.host = listen.map(|host| host.parse().unwrap());
        config.admin.host = admin.parse().unwrap();
        config.admin.port = ports.1;
        let found = judge(&config);
        found
            .iter()
            .map(|(key, error)| (*key, error.reason().name()))
            .collect()
    }

    #[test]
    fn conflicting_ports_are_rejected() {
        let shared = [("admin.port", "SharedPort")];
        for (listen, admin) in [
            (None, "127.0.0.1"),
            (None, "::"),
            (Some("0.0.0.0"), "127.0.0.1"),
            (Some("127.0.0.1"), "0.0.0.0"),
            (Some("::"), "10.0.0.1"),
            (Some("10.0.0.1"), "::"),
            (Some("0.0.0.0"), "::"),
            (Some("10.0.0.1"), "10.0.0.1"),
            (Some("::ffff:10.0.0.1"), "10.0.0.1"),
            (Some("fd00::1"), "::"),
        ] {
            assert_eq!(
                reasons(listen, admin, (8883, 8883)),
                shared,
                "{listen:?} {admin}"
            );
            assert_eq!(
                reasons(listen, admin, (8883, 9883)),
                [],
                "{listen:?} {admin}"
            );
        }
        let mut config = Config::new(8883, Pem::new(String::new()));
        config.also_listen = vec![8884, config.admin.port];
        let said = judge(&config).pop().unwrap().1.to_string();
        assert!(said.contains("(key `alsoListen`)"), "{said}");
        for (listen, admin) in [
            (Some("10.0.0.1"), "127.0.0.1"),
            (Some("fd00::1"), "0.0.0.0"),
            (Some("0.0.0.0"), "::1"),
            (Some("fd00::1"), "::1"),
        ] {
            assert_eq!(
                reasons(listen, admin, (8883, 8883)),
                [],
                "{listen:?} {admin}"
            );
        }
    }

    #[test]
    fn multicast_and_broadcast_addresses_are_rejected() {
        for bad in [
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "0.0.0.1",
            "ff02::1",
            "::ffff:224.0.0.1",
        ] {
            assert_eq!(
                reasons(Some(bad), "127.0.0.1", (1, 2)),
                [("host", "UnreachableHost")],
                "{bad}"
            );
            assert_eq!(
                reasons(None, bad, (1, 2)),
                [("admin.host", "UnreachableHost")],
                "{bad}"
            );
        }
        for good in [
            "0.0.0.0",
            "::",
            "127.0.0.1",
            "192.0.2.1",
            "fe80::1",
            "1.0.0.0",
            "::1",
        ] {
            assert_eq!(reasons(Some(good), good, (1, 2)), [], "{good}");
        }
    }
}
