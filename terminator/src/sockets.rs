//! Binds sockets and sets their options.
//!
//! It must not accept or connect.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use mqtt_tls_config::Limits;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use mqtt_tls_program::http;

/// Length of the kernel's queue of connections that wait for accept.
const BACKLOG: i32 = 4096;

/// TCP keepalive and timeout options, which detect peers that are gone without a FIN (tcp(7)).
struct Patience {
    /// Idle time before the first probe.
    silence: Duration,
    /// Time between probes.
    interval: Duration,
    /// Number of unanswered probes that end a connection.
    probes: u32,
    /// Maximum time that sent data may stay unacknowledged, or a peer may not read.
    unacknowledged: Duration,
}

/// Rare probes, since they wake sleeping devices; the broker also has MQTT's own keep-alive.
const WITH_CLIENTS: Patience = Patience {
    silence: Duration::from_secs(600),
    interval: Duration::from_secs(60),
    probes: 5,
    unacknowledged: Duration::from_secs(900),
};

const WITH_BACKENDS: Patience = Patience {
    silence: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    probes: 4,
    unacknowledged: Duration::from_secs(120),
};

/// Peer of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Backend,
    Client,
}

/// File descriptors reserved for everything but connections, including at most 64 for the admin port
/// ([`http`]), and for each thread.
const DESCRIPTORS_KEPT: u64 = 64 + http::CONNECTIONS_MAX as u64;
const DESCRIPTORS_KEPT_BY_THREAD: u64 = 16;

/// At most one in this many sockets is for clients that have not sent their first packet.
const WAITING_PART: u64 = 4;

/// Number of sockets for which there are file descriptors. The reserved ones are excluded, so that probes are
/// answered and certificates reloaded also when many devices connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    sockets: u64,
    threads: u64,
}

impl Room {
    /// Computes the room for a number of threads from the current limit on file descriptors.
    pub(crate) fn of(threads: usize) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Self::within(limit.current.unwrap_or(u64::MAX), threads as u64)
    }

    /// Reserves at most half of the descriptors, even with many threads.
    fn within(limit: u64, threads: u64) -> Self {
        let kept = DESCRIPTORS_KEPT + DESCRIPTORS_KEPT_BY_THREAD * threads;
        let sockets = limit - kept.min(limit / 2);
        Self { sockets, threads }
    }

    /// Returns the number of clients that each thread may wait for at once, at least one.
    pub(crate) fn places(&self, limits: &Limits) -> usize {
        let places = self.waiting(limits).div_ceil(self.threads);
        usize::try_from(places).unwrap_or(usize::MAX).max(1)
    }

    /// Returns the maximum number of open connections. Each has two sockets; waiting clients have their own share.
    pub(crate) fn connections(&self, limits: &Limits) -> u32 {
        let possible = self.sockets.saturating_sub(self.waiting(limits)) / 2;
        let possible = u32::try_from(possible).unwrap_or(u32::MAX);
        possible.min(limits.connections).max(1)
    }

    fn waiting(&self, limits: &Limits) -> u64 {
        u64::from(limits.handshakes).min(self.sockets / WAITING_PART)
    }
}

/// Whether another socket may already listen on the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// None may: binding fails. With `SO_REUSEPORT` alone, two programs of one user would silently share a
    /// port, and each would get half of the connections.
    Alone,
    /// This process already listens on the port.
    WithOurselves,
}

impl Sharing {
    /// Returns the value for a change of the ports.
    pub(crate) fn between(old: &[u16], new: u16) -> Self {
        if old.contains(&new) {
            Self::WithOurselves
        } else {
            Self::Alone
        }
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The address; `None` is all addresses.
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => SocketAddr::new(host, self.port).fmt(f),
            None => write!(f, "*:{}", self.port),
        }
    }
}

/// The sockets of one thread, with their places.
pub(crate) type Bound = Vec<(Place, TcpListener)>;

/// Binds one socket for each thread to each place, or none at all. `open` are the ports that this process listens on.
///
/// # Errors
///
/// The place that cannot be bound, and why.
pub(crate) fn bind_all(
    places: impl Iterator<Item = Place>,
    threads: usize,
    open: &[u16],
) -> Result<Vec<Bound>, (Place, io::Error)> {
    let mut all: Vec<Bound> = (0..threads).map(|_| Vec::new()).collect();
    for place in places {
        let sharing = Sharing::between(open, place.port);
        let bound = bind(place.host, place.port, threads, sharing);
        let bound = bound.map_err(|error| (place, error))?;
        for (thread, listener) in all.iter_mut().zip(bound) {
            thread.push((place, listener));
        }
    }
    Ok(all)
}

/// Binds one socket for each thread to the same address; `None` is all addresses.
pub(crate) fn bind(
    host: Option<IpAddr>,
    port: u16,
    threads: usize,
    sharing: Sharing,
) -> io::Result<Vec<TcpListener>> {
    let Some(host) = host else {
        let all = |host: IpAddr| bind(Some(host), port, threads, sharing);
        return match all(Ipv6Addr::UNSPECIFIED.into()) {
            // The machine may have no IPv6.
            Err(error) if !is_taken(&error) => all(Ipv4Addr::UNSPECIFIED.into()),
            bound => bound,
        };
    };
    let address = SocketAddr::new(host, port);
    if sharing == Sharing::Alone {
        drop(listen(address, false)?);
    }
    (0..threads).map(|_| listen(address, true)).collect()
}

/// Reports whether binding failed because another socket listens on the address.
pub(crate) fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn listen(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    // Accepted sockets inherit these options.
    tune(&socket, Peer::Client);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options of a connection; ignores failures, since none is essential.
pub(crate) fn tune<S: std::os::fd::AsFd>(socket: &S, peer: Peer) {
    let patience = match peer {
        Peer::Backend => WITH_BACKENDS,
        Peer::Client => WITH_CLIENTS,
    };
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(patience.silence)
        .with_interval(patience.interval)
        .with_retries(patience.probes);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(patience.unacknowledged));
}

/// Makes closing the connection send a reset.
pub(crate) fn reset_on_close<S: std::os::fd::AsFd>(socket: &S) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::Limits;

    use super::Room;

    #[test]
    fn the_room_fits_any_limit_on_descriptors() {
        let limits = Limits::default();
        for (descriptors, threads, least) in [
            (1_048_576, 2, 250_000),
            (1024, 2, 260),
            (1024, 64, 60),
            (4096, 128, 600),
        ] {
            let room = Room::within(descriptors, threads);
            let connections = room.connections(&limits);
            assert!(
                connections >= least,
                "{descriptors}, {threads}: {connections}"
            );
            let waiting = room.places(&limits) as u64;
            let most = u64::from(connections) * 2 + threads * waiting;
            assert!(most <= descriptors, "{descriptors}, {threads}: {most}");
        }
        let few = Limits {
            connections: 1,
            handshakes: 1,
            ..Limits::default()
        };
        let room = Room::within(1024, 2);
        assert_eq!((room.connections(&few), room.places(&few)), (1, 1));
    }
}
