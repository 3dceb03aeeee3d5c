//! Sockets as this program wants them: how they are bound, and which options they carry.
//!
//! It must not accept or connect.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use mqtt_tls_config::Limits;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use mqtt_tls_program::http;

/// Connections that the kernel keeps for a thread that is busy.
const BACKLOG: i32 = 4096;

/// How a peer that is gone without a word is noticed: after so much silence, so many probes so far apart,
/// or so much time without acknowledgement of what was sent, or without reading (tcp(7)).
struct Patience {
    silence: Duration,
    interval: Duration,
    probes: u32,
    unacknowledged: Duration,
}

/// Devices sleep, and wake for each probe: MQTT has a keep-alive of its own, by which the broker notices.
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

/// Who is at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Backend,
    Client,
}

/// File descriptors that are kept for everything but connections, of which the admin port's are 64 at most
/// ([`http`]), and for each thread.
const DESCRIPTORS_KEPT: u64 = 64 + http::CONNECTIONS_MAX as u64;
const DESCRIPTORS_KEPT_BY_THREAD: u64 = 16;

/// The part of the sockets, one in so many, that clients may take that are waited for.
const WAITING_PART: u64 = 4;

/// How many sockets there are file descriptors for. Without what is kept, probes would go unanswered and renewed
/// certificates unread when devices come in crowds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    sockets: u64,
    threads: u64,
}

impl Room {
    /// For so many accepting threads, by the limit on file descriptors as it is now.
    pub(crate) fn of(threads: usize) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Self::within(limit.current.unwrap_or(u64::MAX), threads as u64)
    }

    /// Many threads and few descriptors leave half of them to connections all the same.
    fn within(limit: u64, threads: u64) -> Self {
        let kept = DESCRIPTORS_KEPT + DESCRIPTORS_KEPT_BY_THREAD * threads;
        let sockets = limit - kept.min(limit / 2);
        Self { sockets, threads }
    }

    /// How many clients each thread may wait for at once. The same number for each thread, at least one.
    pub(crate) fn places(&self, limits: &Limits) -> usize {
        let places = self.waiting(limits).div_ceil(self.threads);
        usize::try_from(places).unwrap_or(usize::MAX).max(1)
    }

    /// How many connections may be open: each has two sockets, and nobody who keeps us waiting takes one from them.
    pub(crate) fn connections(&self, limits: &Limits) -> u32 {
        let possible = self.sockets.saturating_sub(self.waiting(limits)) / 2;
        let possible = u32::try_from(possible).unwrap_or(u32::MAX);
        possible.min(limits.connections).max(1)
    }

    fn waiting(&self, limits: &Limits) -> u64 {
        u64::from(limits.handshakes).min(self.sockets / WAITING_PART)
    }
}

/// Whether someone else may already listen on the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Then binding fails. With `SO_REUSEPORT` alone, two programs of one user would share a port
    /// without a word, and each get half of the connections.
    Alone,
    /// This process itself listens there, on the same port.
    WithOurselves,
}

impl Sharing {
    /// For a change from one port to another or to the same one.
    pub(crate) fn between(old_port: u16, new_port: u16) -> Self {
        if old_port == new_port {
            Self::WithOurselves
        } else {
            Self::Alone
        }
    }
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
            // A machine without IPv6.
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

/// Whether binding failed because someone else listens there.
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
    // Accepted sockets inherit what is set here.
    tune(&socket, Peer::Client);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options of a connection. None of them is worth failing for.
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

/// Makes the close of a connection a reset: its peer learns that it was cut.
pub(crate) fn reset_on_close<S: std::os::fd::AsFd>(socket: &S) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::Limits;

    use super::Room;

    #[test]
    fn there_is_room_within_any_limit_on_descriptors() {
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
        };
        let room = Room::within(1024, 2);
        assert_eq!((room.connections(&few), room.places(&few)), (1, 1));
    }
}
