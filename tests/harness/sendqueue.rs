//! Waits until everything written to a TCP socket of this machine was acknowledged, according to the kernel's table.
//! It supports IPv4 only, and identifies a socket by its two ports.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;

const TABLE: &str = "/proc/net/tcp";

/// Interval between two reads of the table, which all waiters share.
const PAUSE: Duration = Duration::from_millis(20);

/// Number of unacknowledged bytes by local and remote port, without sockets that have none.
type Unsent = HashMap<(u16, u16), u32>;

/// The table at its last read. It is read only while something waits.
fn looks() -> &'static watch::Sender<Unsent> {
    static LOOKS: OnceLock<watch::Sender<Unsent>> = OnceLock::new();
    LOOKS.get_or_init(|| {
        // A thread, because tests have separate runtimes.
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(PAUSE);
                let looks = looks();
                if looks.receiver_count() > 0 {
                    let table = std::fs::read_to_string(TABLE).expect("Linux has this table");
                    looks.send_replace(parse(&table));
                }
            }
        });
        watch::Sender::default()
    })
}

/// Waits until everything written to a socket, including its FIN, was acknowledged, or the socket is gone.
pub async fn drained(local: SocketAddr, remote: SocketAddr) {
    let mut looks = looks().subscribe();
    // A read in progress may have begun before the last write, and one during a change of the table may miss a socket.
    let mut empty = 0;
    looks.changed().await.expect("the thread runs for ever");
    while empty < 2 {
        looks.changed().await.expect("the thread runs for ever");
        let ports = (local.port(), remote.port());
        let is_empty = !looks.borrow_and_update().contains_key(&ports);
        empty = if is_empty { empty + 1 } else { 0 };
    }
}

/// Parses lines of proc(5): number, local address, remote address, state, send queue, and more, at fixed positions after
/// the number. After a flood of connections there are a hundred thousand lines, and tests are not optimized, so lines
/// with an empty queue are skipped first.
fn parse(table: &str) -> Unsent {
    let row = |line: &str| {
        let row = line.get(line.find(':')? + 2..)?;
        let queue = row.get(31..39)?;
        if queue == "00000000" {
            return None;
        }
        let port = |place| u16::from_str_radix(row.get(place)?, 16).ok();
        let ports = (port(9..13)?, port(23..27)?);
        Some((ports, u32::from_str_radix(queue, 16).ok()?))
    };
    table.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    #[test]
    fn the_table_is_parsed() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n   \
                     0: 0100007F:1F90 0100007F:ABCD 01 0000002A:00000000 00:00000000 00000000     0\n\
                     70001: 0100007F:1F91 0100007F:ABCD 06 00000000:00000000 03:00000000 00000000     0\n";
        assert_eq!(parse(table), HashMap::from([((0x1F90, 0xABCD), 42)]));
    }

    #[tokio::test]
    async fn a_socket_whose_peer_does_not_read_is_not_drained() {
        const MUCH: usize = 64 * 1024 * 1024;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let remote = listener.local_addr().expect("it is bound");
        let mut client = TcpStream::connect(remote).await.expect("it listens");
        let local = client.local_addr().expect("it is connected");
        let (mut server, _) = listener.accept().await.expect("one has connected");
        let writing = tokio::spawn(async move {
            let _ = client.write_all(&vec![0; MUCH]).await;
        });
        let is_drained = drained(local, remote);
        tokio::pin!(is_drained);
        assert!(timeout(10 * PAUSE, &mut is_drained).await.is_err());
        let mut read = vec![0; MUCH];
        server.read_exact(&mut read).await.expect("all comes");
        timeout(Duration::from_secs(20), is_drained)
            .await
            .expect("all has come");
        writing.await.expect("no panic");
    }
}
