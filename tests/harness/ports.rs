//! Free TCP ports on loopback, for programs that need their port before they start. It must not return a port in Linux'
//! ephemeral range while there are others: an outgoing connection of another test could take the port of a server that
//! is restarting. And it must not return a port that another test process has: its program may not have bound it yet.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::sync::{LazyLock, Mutex};

use socket2::{Domain, Socket, Type};

/// The first and the last ephemeral port of this network namespace.
const OUTGOING: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The ranges to use, in order of preference. The first one does not overlap with Linux' default ephemeral range, 32768
/// to 60999, nor with the ports of Kubernetes' components.
const RANGES: [RangeInclusive<u16>; 3] = [14_000..=31_999, 32_000..=65_535, 1_024..=13_999];

/// Minimum number of ports in a range: a test process needs hundreds, and never reuses one.
const ENOUGH: usize = 4_000;

static CANDIDATES: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let outgoing = std::fs::read_to_string(OUTGOING);
    candidates(outgoing.ok().as_deref().and_then(range))
});

static GIVEN: Mutex<BTreeMap<u16, UnixDatagram>> = Mutex::new(BTreeMap::new());

/// Returns a port that is free on all addresses, and that no test process on this machine has returned before, unless it
/// has ended.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().expect("no holder of the lock panics");
    // Concurrent test processes begin at different ports, and may come to the same ones.
    let process = usize::try_from(std::process::id()).expect("an id has 32 bits");
    let start = process.wrapping_mul(197) % CANDIDATES.len();
    let (before, after) = CANDIDATES.split_at(start);
    let candidates = after.iter().chain(before).copied();
    let (port, claim) = candidates
        .filter(|port| !given.contains_key(port))
        .find_map(|port| Some((port, claim(port).ok()?)).filter(|_| is_free(port)))
        .expect("some TCP port is free");
    given.insert(port, claim);
    port
}

/// Claims a port among the test processes of this network namespace, for as long as the socket exists: its name can be
/// bound only once, and the kernel forgets it with the process.
fn claim(port: u16) -> io::Result<UnixDatagram> {
    let name = net::SocketAddr::from_abstract_name(format!("smart-mqtt-tls/tests/port/{port}"))?;
    UnixDatagram::bind_addr(&name)
}

/// [`free_port`] as an address on 127.0.0.1.
pub fn free_addr() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

/// Returns the ports to choose from, for this ephemeral range.
fn candidates(outgoing: Option<RangeInclusive<u16>>) -> Vec<u16> {
    let is_outgoing = |port: &u16| outgoing.as_ref().is_some_and(|range| range.contains(port));
    let outside = |range: RangeInclusive<u16>| -> Vec<u16> {
        range.filter(|port| !is_outgoing(port)).collect()
    };
    if let Some(ports) = RANGES
        .into_iter()
        .map(outside)
        .find(|ports| ports.len() >= ENOUGH)
    {
        return ports;
    }
    // All ports are ephemeral. Linux prefers every second one, beginning with the first (inet_hashtables.c,
    // __inet_hash_connect), so the ones in between are safer.
    let first = outgoing.map_or(0, |range| *range.start());
    let [range, ..] = RANGES;
    range.filter(|port| port % 2 != first % 2).collect()
}

/// Parses `ip_local_port_range`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ports = text.split_ascii_whitespace().map(str::parse);
    Some(ports.next()?.ok()?..=ports.next()?.ok()?)
}

/// Binding the wildcard address fails if another socket listens on the port, on any address. IPv6 may be unavailable. These sockets
/// do not listen: a program that another thread starts at this moment has copies of them until it runs, and those must not keep the
/// port.
fn is_free(port: u16) -> bool {
    let bind = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    };
    let v6 = bind((Ipv6Addr::LOCALHOST, port).into());
    bind((Ipv4Addr::UNSPECIFIED, port).into()).is_ok()
        && v6.map_or_else(|error| error.kind() != ErrorKind::AddrInUse, |()| true)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn ports_are_unique_and_not_in_use() {
        let first = free_port();
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("it was free");
        assert!(!is_free(first));
        assert_ne!(free_port(), first);
    }

    /// A program that another thread starts has a copy of each open socket until it runs.
    #[test]
    fn a_free_port_can_be_bound_while_programs_start() {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        Command::new("true").status().expect("it is installed");
                    }
                });
            }
            // Other tests get none of these.
            let taken = (11_000..13_000).filter(|port| {
                is_free(*port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err()
            });
            let taken: Vec<u16> = taken.collect();
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(taken, [0_u16; 0]);
        });
    }

    #[test]
    fn a_port_of_another_test_process_is_not_returned() {
        // As another process would, before its program binds the port.
        let next = free_port() + 1;
        let theirs: Vec<_> = (next..next + 3).map(claim).collect();
        let mine = free_port();
        for (port, claimed) in (next..next + 3).zip(&theirs) {
            assert!(claimed.is_err() || mine != port, "{port}");
        }
    }

    #[test]
    fn ephemeral_ports_are_avoided() {
        for (outgoing, expected) in [
            ("32768\t60999\n", 14_000..=31_999),
            ("16384 65535", 1_024..=13_999),
            ("1024 31999", 32_000..=65_535),
            ("20000 60999", 14_000..=19_999),
        ] {
            let outgoing = range(outgoing).expect("two numbers");
            assert_eq!(candidates(Some(outgoing)), expected.collect::<Vec<u16>>());
        }
        assert_eq!(candidates(None), (14_000..=31_999).collect::<Vec<u16>>());
    }

    #[test]
    fn without_other_ports_it_uses_the_less_preferred_ephemeral_ones() {
        let ports = candidates(range("1024 65535"));
        assert!(ports.len() >= ENOUGH);
        assert!(ports.iter().all(|port| port % 2 == 1));
    }

    #[test]
    fn the_range_of_this_machine_can_be_parsed() {
        let text = std::fs::read_to_string(OUTGOING).expect("Linux has this file");
        let outgoing = range(&text).expect("two numbers");
        assert!(!outgoing.is_empty(), "{text}");
    }
}
