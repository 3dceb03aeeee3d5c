//! Plain HTTP for the admin ports of both programs, within bounds: how many connections there are, and how long
//! a request's head and a connection may take.
//!
//! It must not know what is asked. A probe is always answered: where all places are taken, the oldest connection
//! goes.

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

/// How many connections there may be: each has a file descriptor, and memory of some [`BUFFER_MAX`].
pub const CONNECTIONS_MAX: usize = 64;

/// How large a request's head may be, in bytes.
const BUFFER_MAX: usize = 16 * 1024;

/// How many headers a request may have.
const HEADERS_MAX: usize = 64;

/// How long to wait after a failure to accept, as for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Where a request comes from, as its extension.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub SocketAddr);

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of a request. A connection that asks for nothing more ends by it.
    pub head: Duration,
    /// From a connection's begin to its last request. Whoever scrapes connects again.
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

/// Answers connections, in the current task's runtime, until told to end; then those that are open.
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
        // In a flood those that were let in get their turn too, before they are the oldest.
        tokio::task::yield_now().await;
    }
    drop(listener);
    while open.tasks.join_next().await.is_some() {}
}

/// The connections that there are. Dropping it ends them.
#[derive(Default)]
struct Open {
    tasks: JoinSet<()>,
    /// The oldest first.
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

/// Answers one connection's requests.
async fn answer(stream: TcpStream, router: Router, patience: Patience) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(BUFFER_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        // How it went is the client's business.
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

    /// What is said to the end of the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut rest = Vec::new();
        // A reset is as good an end as a FIN.
        let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_is_not_finished_ends_in_time() {
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
    async fn a_connection_ends_in_time_though_it_asks_on_and_on() {
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
    async fn a_head_that_is_too_large_is_refused() {
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
    async fn the_oldest_makes_room_for_whoever_comes() {
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
        // The others are as they were.
        let mut newest = others.pop().unwrap();
        newest.write_all(b" / HTTP/1.0\r\n\r\n").await.unwrap();
        assert!(rest(newest).await.ends_with("hello"));
    }
}
