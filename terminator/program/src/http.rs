//! Plain HTTP server for the admin ports of both programs, with limits on the number of connections and on the
//! duration of a request's header and of a connection.
//!
//! It must not know the routes. Probes are always answered: at the connection limit, the oldest connection is
//! closed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Maximum number of connections; each takes a file descriptor and about [`BUFFER_MAX`] of memory.
pub const CONNECTIONS_MAX: usize = 64;

/// Maximum size of a request's header, in bytes.
const BUFFER_MAX: usize = 16 * 1024;

/// Maximum number of header fields of a request.
const HEADERS_MAX: usize = 64;

/// Time to wait after accept fails, for example for lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The client's address, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub SocketAddr);

/// Time limits for a client.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the header of a request; also closes idle connections.
    pub head: Duration,
    /// From the start of a connection to its last request; scrapers reconnect.
    pub connection: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            connection: Duration::from_secs(60),
        }
    }
}

/// Serves connections until `until` resolves, then waits for the open ones to finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    until: impl Future<Output = ()>,
) {
    let mut until = pin!(until);
    let mut open = Open::default();
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                open.answer(
                    stream,
                    router.clone().layer(Extension(Client(from))),
                    patience,
                );
            }
            Err(_) => sleep(ACCEPT_RETRY).await,
        }
        // In a flood, let accepted connections run before they become the oldest.
        tokio::task::yield_now().await;
    }
    drop(listener);
    while open.tasks.join_next().await.is_some() {}
}

/// Open connections. Dropping it closes them.
#[derive(Default)]
struct Open {
    tasks: JoinSet<()>,
    /// Oldest first.
    handles: VecDeque<AbortHandle>,
}

impl Open {
    fn answer(&mut self, stream: TcpStream, router: Router, patience: Patience) {
        while self.tasks.try_join_next().is_some() {}
        self.handles.retain(|handle| !handle.is_finished());
        if self.handles.len() == CONNECTIONS_MAX
            && let Some(oldest) = self.handles.pop_front()
        {
            oldest.abort();
        }
        let handle = self.tasks.spawn(answer(stream, router, patience));
        self.handles.push_back(handle);
    }
}

/// Serves the requests of one connection.
async fn answer(stream: TcpStream, router: Router, patience: Patience) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(BUFFER_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        // Errors concern the client only.
        _ = &mut served => return,
        () = sleep(patience.connection) => served.as_mut().graceful_shutdown(),
    }
    let _ = timeout(patience.head, served).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::{BUFFER_MAX, CONNECTIONS_MAX, Patience, serve};

    const SOON: Duration = Duration::from_secs(20);
    const LONG: Duration = Duration::from_secs(1000);

    async fn start(patience: Patience) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "hello"));
        tokio::spawn(serve(listener, router, patience, std::future::pending()));
        address
    }

    async fn begin(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Reads to the end of the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut rest = Vec::new();
        // A reset ends the connection as well as a FIN.
        let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    #[tokio::test]
    async fn an_unfinished_request_ends_in_time() {
        let head = Duration::from_millis(100);
        let address = start(Patience {
            head,
            connection: LONG,
        })
        .await;
        let silent = begin(address, "").await;
        let unfinished = begin(address, "GET / HTTP/1.1\r\nA: ").await;
        let idle = begin(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(rest(silent).await, "");
        rest(unfinished).await;
        assert!(rest(idle).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_busy_connection_ends_in_time() {
        let connection = Duration::from_millis(200);
        let address = start(Patience {
            head: LONG,
            connection,
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let asking = async {
            let mut answer = [0; 1024];
            loop {
                let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
                if stream.write_all(request).await.is_err()
                    || stream.read(&mut answer).await.unwrap_or(0) == 0
                {
                    return;
                }
            }
        };
        timeout(SOON, asking).await.unwrap();
    }

    #[tokio::test]
    async fn a_large_header_is_rejected() {
        let address = start(Patience {
            head: LONG,
            connection: LONG,
        })
        .await;
        let long = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(BUFFER_MAX));
        let answer = rest(begin(address, &long).await).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn the_oldest_makes_room_for_a_new_connection() {
        let address = start(Patience {
            head: LONG,
            connection: LONG,
        })
        .await;
        let oldest = begin(address, "").await;
        let mut others = Vec::new();
        for _ in 1..CONNECTIONS_MAX {
            others.push(begin(address, "GET").await);
        }
        let request = "GET / HTTP/1.0\r\n\r\n";
        assert!(rest(begin(address, request).await).await.ends_with("hello"));
        assert_eq!(rest(oldest).await, "");
        // The others stay open.
        let mut newest = others.pop().unwrap();
        newest.write_all(b" / HTTP/1.0\r\n\r\n").await.unwrap();
        assert!(rest(newest).await.ends_with("hello"));
    }
}
