//! Sockets as this program wants them: how they are bound, and which options they carry.
//!
//! It must not accept or connect.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel keeps for a thread that is busy.
const BACKLOG: i32 = 4096;

/// A peer that is gone without a word is noticed after these: 60 s of silence, then 4 probes, 15 s
/// apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// How long sent data may go without acknowledgement, or a peer without reading (tcp(7),
/// `TCP_USER_TIMEOUT`).
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(120);

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
    tune(&socket);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options of a connection. None of them is worth failing for.
pub(crate) fn tune<S: std::os::fd::AsFd>(socket: &S) {
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
}

/// Makes the close of a connection a reset: its peer learns that it was cut.
pub(crate) fn reset_on_close<S: std::os::fd::AsFd>(socket: &S) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
