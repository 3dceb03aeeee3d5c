//! How connections end: each way in which a client leaves, by what it has sent and by what the broker does meanwhile,
//! through the terminator and through its peers side by side. What came whole is delivered, and nobody's will is
//! published who said goodbye.

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

/// How many connections through one server are tried at once: each needs four descriptors.
const AT_ONCE: usize = 64;

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// close_notify and a FIN; then it waits for the server's end.
    Notify,
    /// close_notify, and the socket is closed.
    NotifyAndGo,
    /// The socket is closed: a bare FIN.
    Fin,
    /// The socket is closed in the middle of a record.
    CutRecord,
    /// A reset, when all that it sent has arrived.
    Reset,
    /// The socket is closed with unread data in it, when all that it sent has arrived.
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

    /// How many messages, of how many bytes.
    fn messages(self) -> (usize, usize) {
        match self {
            Self::Small => (1, 20),
            Self::Kilobytes300 => (1, 300_000),
            Self::Megabytes2 => (1, 2_000_000),
            Self::Burst => (2_000, 200),
        }
    }
}

/// What the broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reading {
    AtOnce,
    /// Not before 0.3 s are over.
    Late,
    /// Not until the client is long gone; then it looks at what it has.
    Never,
}

impl Reading {
    const ALL: [Self; 3] = [Self::AtOnce, Self::Late, Self::Never];
}

/// One of the matrix.
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

    /// The client of paho-mqtt that does the same, as far as it can.
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

/// What all cells of one comparison share.
#[derive(Clone, Copy)]
struct Way {
    version: &'static SupportedProtocolVersion,
    /// Clients send all without waiting for an answer.
    is_eager: bool,
    /// The backend talks to clients that have gone.
    talks: bool,
}

/// Devices that wait for their CONNACK, and a backend that knows when nobody listens.
const USUAL: Way = Way {
    version: &rustls::version::TLS13,
    is_eager: false,
    talks: false,
};

/// The scripted backend's view of all cells, through one server.
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

/// Terminator and nginx before one scripted backend.
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
async fn what_came_whole_is_delivered_as_by_nginx_over_tls_1_3() {
    println!("{}", compare(USUAL).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_whole_is_delivered_as_by_nginx_over_tls_1_2() {
    let version = &rustls::version::TLS12;
    println!("{}", compare(Way { version, ..USUAL }).await);
}

/// What it says to nobody is refused by a socket that was closed too early, and with a reset: nginx loses by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_whole_is_delivered_as_by_nginx_to_a_broker_that_goes_on_talking() {
    let talks = true;
    println!("{}", compare(Way { talks, ..USUAL }).await);
}

/// In TLS 1.2, where no ticket comes that such a client leaves unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_eager_clients_sent_is_delivered_as_by_nginx() {
    let way = Way {
        version: &rustls::version::TLS12,
        is_eager: true,
        talks: true,
    };
    println!("{}", compare(way).await);
}

/// Clients of paho-mqtt that end in this way, and the cells that they are in.
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

/// What paho-mqtt can do of the matrix: `disconnect()`, which closes with a bare FIN, and to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_paho_sent_is_delivered_as_by_nginx() {
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
