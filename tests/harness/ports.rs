//! Free TCP ports on loopback, for programs that need their port before they start.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

/// Below Linux' range of ephemeral ports (32768 and up), so that an outgoing connection of another test cannot take the
/// port of a server that is restarting.
const RANGE: std::ops::Range<u16> = 14_000..32_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Returns a port that is free on all addresses, and that this process has not returned before.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().expect("no holder of the lock panics");
    let span = u32::from(RANGE.end - RANGE.start);
    // Concurrent test processes begin at different ports.
    let start = std::process::id().wrapping_mul(197) % span;
    for step in 0..span {
        let offset = u16::try_from((start + step) % span).expect("the span fits a port");
        let port = RANGE.start + offset;
        if !given.contains(&port) && is_free(port) {
            given.insert(port);
            return port;
        }
    }
    panic!("no free TCP port in {RANGE:?}")
}

/// [`free_port`] as an address on 127.0.0.1.
pub fn free_addr() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

/// Binding the wildcard address fails if the port is in use on any address. IPv6 may be unavailable.
fn is_free(port: u16) -> bool {
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port));
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && v6.map_or_else(|error| error.kind() != ErrorKind::AddrInUse, |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_unique_and_not_in_use() {
        let first = free_port();
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("it was free");
        assert!(!is_free(first));
        assert_ne!(free_port(), first);
    }
}
