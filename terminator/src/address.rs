//! Judges where to listen, before anything is bound: addresses that no client can connect to, and two
//! ports that are one.
//!
//! It must not ask the machine: whether an address is its own, or a port free, is known only by binding.

use std::net::IpAddr;

use mqtt_tls_config::Config;

use crate::reload::Reload;

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It can be bound, and no connection ever arrives.
    #[error("{address} is {kind}, to which nobody can connect; {advice}")]
    Unreachable {
        /// The address.
        address: IpAddr,
        /// What it is, in words.
        kind: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The listener has the port already, on the same address or on all of them.
    #[error(
        "port {0} is the listener's own (the key `port`), on the same address or on all addresses; choose \
         another for one of them"
    )]
    Shared(u16),
}

impl Error {
    /// The kind of error, one of a fixed set.
    pub(crate) fn reason(&self) -> Reload {
        match self {
            Self::Unreachable { .. } => Reload::UnreachableHost,
            Self::Shared(_) => Reload::SharedPort,
        }
    }
}

/// All that is wrong with a configuration's addresses, by key.
pub(crate) fn judge(config: &Config) -> Vec<(&'static str, Error)> {
    let advice = "name an address of this machine, or leave it out to listen on all addresses";
    let host = config.host.and_then(|host| unreachable(host, advice));
    let advice = "name an address of this machine, or leave it out for 127.0.0.1";
    let admin = unreachable(config.admin.host, advice);
    let is_shared =
        config.port == config.admin.port && overlap(config.host, Some(config.admin.host));
    let shared = is_shared.then_some(Error::Shared(config.port));
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
    let kind = match address.to_canonical() {
        address if address.is_multicast() => "a multicast address",
        IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
        IpAddr::V4(address) if address.octets()[0] == 0 && !address.is_unspecified() => {
            "an address of \"this network\" (0.0.0.0/8)"
        }
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    Some(Error::Unreachable {
        address,
        kind,
        advice,
    })
}

/// Whether sockets on both addresses would have one in common; none is all addresses.
fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return true;
    };
    // A socket on all IPv6 addresses takes IPv4 as well.
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
    fn one_port_cannot_be_two() {
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
    fn nobody_connects_to_many_at_once() {
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
