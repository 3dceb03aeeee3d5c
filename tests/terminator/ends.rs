//! How connections end: a matrix of how a client leaves, what it has sent and what the broker does meanwhile,
//! through the terminator and its peers side by side. Complete messages are delivered, and no will is published
//! after a DISCONNECT.

mod backend;
mod client;
mod mosquitto;
mod report;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use tests::clients::tls::Connector;
use tests::paho::{Paho, PahoClient, PahoEnd};
use tests::peers::Nginx;
use tests::pki::Ca;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::backend::{Backend, Company, Expected};
use self::client::Start;
use self::report::{Outcome, Report};
use crate::fixture::Fixture;

/// Maximum number of concurrent connections through one server; each needs four descriptors.
const AT_ONCE: usize = 64;

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// Sends close_notify and a FIN, then waits for the server's end.
    Notify,
    /// Sends close_notify and closes the socket.
    NotifyAndGo,
    /// Closes the socket: a bare FIN.
    Fin,
    /// Closes the socket in the middle of a record.
    CutRecord,
    /// Resets the connection after all its data has arrived.
    Reset,
    /// Closes the socket with unread data, after all its data has arrived.
    Killed,
}

impl Ending {
    const ALL: [Self; 6] = [
        Self::Notify,
        Self::NotifyAndGo,
        Self::Fin,
        Self::CutRecord,
        Self::Reset,
        Self::Killed,
    ];
}

/// What a client sends, at QoS 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sent {
    Small,
    Kilobytes300,
    Megabytes2,
    Burst,
}

impl Sent {
    const ALL: [Self; 4] = [
        Self::Small,
        Self::Kilobytes300,
        Self::Megabytes2,
        Self::Burst,
    ];

    /// Number of messages and size of each, in bytes.
    fn messages(self) -> (usize, usize) {
        match self {
            Self::Small => (1, 20),
            Self::Kilobytes300 => (1, 300_000),
            Self::Megabytes2 => (1, 2_000_000),
            Self::Burst => (2_000, 200),
        }
    }
}

/// When the broker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reading {
    AtOnce,
    /// After 0.3 s.
    Late,
    /// Long after the client is gone.
    Never,
}

impl Reading {
    const ALL: [Self; 3] = [Self::AtOnce, Self::Late, Self::Never];
}

/// A cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) ending: Ending,
    pub(super) sent: Sent,
    pub(super) reading: Reading,
    pub(super) says_disconnect: bool,
}

impl Cell {
    fn all(readings: &[Reading]) -> Vec<Self> {
        let mut cells = Vec::new();
        for &reading in readings {
            for ending in Ending::ALL {
                for sent in Sent::ALL {
                    cells.extend([true, false].map(|says_disconnect| Self {
                        ending,
                        sent,
                        reading,
                        says_disconnect,
                    }));
                }
            }
        }
        cells
    }

    /// The client's ID, and its topic.
    fn id(self, server: &str) -> String {
        let goodbye = if self.says_disconnect {
            "said"
        } else {
            "unsaid"
        };
        format!(
            "{:?}/{:?}/{:?}/{goodbye}/{server}",
            self.ending, self.sent, self.reading
        )
    }

    /// The paho-mqtt client that does the same, as far as it can.
    fn paho(self, server: &str) -> PahoClient {
        let topic = self.id(server);
        let (count, size) = self.sent.messages();
        PahoClient {
            will: client::will_topic(&topic),
            id: topic.clone(),
            topic,
            count,
            size,
        }
    }
}

/// Parameters of a comparison.
#[derive(Clone, Copy)]
struct Way {
    version: &'static SupportedProtocolVersion,
    /// Clients send everything without waiting for an answer.
    is_eager: bool,
    /// The backend sends data to clients that have gone.
    talks: bool,
}

/// Devices that wait for their CONNACK, and a backend that sends nothing to clients that have gone.
const USUAL: Way = Way {
    version: &rustls::version::TLS13,
    is_eager: false,
    talks: false,
};

/// Runs all cells through one server to the scripted backend.
async fn scripted(
    backend: &Arc<Backend>,
    connector: &Connector,
    server: (&'static str, SocketAddr),
    way: Way,
) -> Vec<(Cell, Outcome)> {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    let (name, addr) = server;
    for cell in Cell::all(&Reading::ALL) {
        let (backend, connector) = (Arc::clone(backend), connector.clone());
        let slots = Arc::clone(&slots);
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await.unwrap();
            let (gone, is_gone) = watch::channel(false);
            let company = Company::Known {
                is_gone,
                talks: way.talks,
            };
            let expected = backend.expect(&cell.id(name), cell.reading, company);
            let start = if way.is_eager {
                Start::Eager
            } else {
                Start::Connected
            };
            let sent = client::run(&connector, addr, cell, name, start, gone).await;
            (
                cell,
                Outcome::scripted(cell, name, sent, &expected.seen().await),
            )
        });
    }
    tasks.join_all().await
}

/// Compares terminator and nginx before one scripted backend.
async fn compare(way: Way) -> String {
    let backend = Backend::start().await;
    let fixture = Fixture::start(backend.addr());
    let nginx = Nginx::start(&fixture.leaf, backend.addr());
    let connector = Connector::build(&fixture.ca, None, &[way.version]);
    let through = |server| scripted(&backend, &connector, server, way);
    let (ours, theirs) = tokio::join!(
        through(("terminator", fixture.addr())),
        through(("nginx", nginx.addr())),
    );
    let mut report = Report::default();
    report.add("terminator", ours);
    report.add("nginx", theirs);
    report.judge()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_messages_are_delivered_as_by_nginx_over_tls_1_3() {
    println!("{}", compare(USUAL).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_messages_are_delivered_as_by_nginx_over_tls_1_2() {
    let version = &rustls::version::TLS12;
    println!("{}", compare(Way { version, ..USUAL }).await);
}

/// Data to a client that has gone can cause a reset by a socket that was closed too early; nginx loses messages
/// in this way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_messages_are_delivered_as_by_nginx_to_a_broker_that_keeps_sending() {
    let talks = true;
    println!("{}", compare(Way { talks, ..USUAL }).await);
}

/// In TLS 1.2, where such a client leaves no ticket unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_eager_clients_are_delivered_as_by_nginx() {
    let way = Way {
        version: &rustls::version::TLS12,
        is_eager: true,
        talks: true,
    };
    println!("{}", compare(way).await);
}

/// paho-mqtt clients that end in this way, with their cells.
fn paho(
    backend: &Backend,
    ca: &Ca,
    server: (&'static str, SocketAddr),
    end: PahoEnd,
) -> (Paho, Vec<(Cell, Expected)>) {
    let (ending, says_disconnect) = match end {
        PahoEnd::Disconnect => (Ending::Fin, true),
        PahoEnd::Kill => (Ending::Killed, false),
    };
    let (name, addr) = server;
    let mut cells = Cell::all(&Reading::ALL);
    cells.retain(|cell| (cell.ending, cell.says_disconnect) == (ending, says_disconnect));
    let clients: Vec<_> = cells.iter().map(|cell| cell.paho(name)).collect();
    let expect = |cell: Cell| {
        (
            cell,
            backend.expect(&cell.id(name), cell.reading, Company::Unknown),
        )
    };
    let expected = cells.into_iter().map(expect).collect();
    (Paho::start(addr, ca, end, &clients), expected)
}

/// The part of the matrix that paho-mqtt can do: `disconnect()`, which closes with a bare FIN, and being killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_paho_are_delivered_as_by_nginx() {
    let backend = Backend::start().await;
    let fixture = Fixture::start(backend.addr());
    let nginx = Nginx::start(&fixture.leaf, backend.addr());
    let mut running = Vec::new();
    for server in [("terminator", fixture.addr()), ("nginx", nginx.addr())] {
        for end in [PahoEnd::Disconnect, PahoEnd::Kill] {
            running.push((server.0, paho(&backend, &fixture.ca, server, end)));
        }
    }
    let mut report = Report::default();
    for (name, (paho, expected)) in running {
        let finished = tokio::task::spawn_blocking(move || paho.finish());
        finished.await.unwrap();
        let mut outcomes = Vec::new();
        for (cell, expected) in expected {
            let seen = expected.seen().await;
            outcomes.push((cell, Outcome::scripted(cell, name, Ok(()), &seen)));
        }
        report.add(name, outcomes);
    }
    println!("{}", report.judge());
}
