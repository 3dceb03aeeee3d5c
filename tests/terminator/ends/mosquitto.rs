//! The same with a real broker, which publishes the wills: mosquitto behind the terminator, behind nginx, and
//! with its own TLS listener.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tests::clients::tls::Connector;
use tests::mqtt::{self, Version};
use tests::paho::{Paho, PahoClient, PahoEnd};
use tests::peers::{MosquittoTls, Nginx};
use tests::pki::Ca;
use tests::wait::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::client::{self, Start};
use super::report::{Outcome, Report};
use super::{Cell, Reading};
use crate::fixture::{Fixture, SOON};

const PAUSE: Duration = Duration::from_millis(300);
/// The topic that ends an observation.
const MARKER: &str = "observed";

/// A subscriber to everything, in plaintext, which counts messages by topic.
struct Observer {
    counting: JoinHandle<BTreeMap<String, usize>>,
    broker: SocketAddr,
}

impl Observer {
    async fn start(broker: SocketAddr) -> Self {
        let mut stream = open(broker, "observer").await;
        stream
            .write_all(&mqtt::subscribe(Version::V311, 1, "#", 0))
            .await
            .unwrap();
        let mut stream = BufReader::with_capacity(1024 * 1024, stream);
        while read(&mut stream).await.0 != mqtt::SUBACK {}
        let counting = tokio::spawn(async move {
            let mut counts = BTreeMap::new();
            loop {
                let (_, topic) = read(&mut stream).await;
                if topic == MARKER {
                    return counts;
                }
                *counts.entry(topic).or_insert(0) += 1;
            }
        });
        Self { counting, broker }
    }

    /// Returns the counts so far; the broker keeps the order.
    async fn counts(self) -> BTreeMap<String, usize> {
        let mut marker = open(self.broker, MARKER).await;
        let publish = mqtt::publish(Version::V311, MARKER, 0, 0, b"");
        marker.write_all(&publish).await.unwrap();
        let counted = timeout(SOON, self.counting).await;
        counted.expect("the marker comes").unwrap()
    }
}

async fn open(broker: SocketAddr, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(broker).await.unwrap();
    stream
        .write_all(&mqtt::connect_with_keepalive(Version::V311, id, 0))
        .await
        .unwrap();
    assert_eq!(read(&mut stream).await.0, mqtt::CONNACK);
    stream
}

/// Reads the next packet; returns its first byte, and its topic if it is a PUBLISH at QoS 0.
async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (u8, String) {
    let head = stream.read_u8().await.unwrap();
    let (mut length, mut shift) = (0, 0);
    loop {
        let digit = stream.read_u8().await.unwrap();
        length |= usize::from(digit & 0x7F) << shift;
        shift += 7;
        if digit & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    if head >> 4 != 3 {
        return (head, String::new());
    }
    let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    (head, String::from_utf8_lossy(&body[2..end]).into_owned())
}

/// Returns mosquitto's log text about the end of these clients, by ID.
fn departures(broker: &MosquittoTls, ids: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut left = BTreeMap::new();
    for line in broker.process().lines() {
        let line = line.trim_end_matches('.');
        // "Client ID disconnected", "Client ID closed its connection", "… on client ID, disconnecting".
        let Some((_, rest)) = line.split_once("lient ") else {
            continue;
        };
        let Some(end) = rest.find([' ', ',']) else {
            continue;
        };
        if let Some(id) = ids.get(&rest[..end]) {
            let how = rest[end..].trim_start_matches([' ', ',']);
            let how = if line.contains("rror") { "error" } else { how };
            left.insert(id.clone(), how.to_owned());
        }
    }
    left
}

/// Waits until the broker has seen all these clients leave, and returns how. Omits clients that it has not seen
/// leave.
async fn all_departed(
    broker: &Arc<MosquittoTls>,
    ids: BTreeSet<String>,
) -> BTreeMap<String, String> {
    let broker = Arc::clone(broker);
    let looking = tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + SOON;
        eventually(2 * SOON, "clients leave", || {
            let left = departures(&broker, &ids);
            let is_over = left.len() == ids.len() || std::time::Instant::now() > deadline;
            is_over.then_some(left)
        })
    });
    looking.await.unwrap()
}

/// Returns the outcomes of these cells.
async fn outcomes(
    broker: &Arc<MosquittoTls>,
    observer: Observer,
    sent: Vec<(&'static str, Cell, std::io::Result<()>)>,
) -> Vec<(&'static str, Cell, Outcome)> {
    let ids = sent
        .iter()
        .map(|(server, cell, _)| cell.id(server))
        .collect();
    let left = all_departed(broker, ids).await;
    let counts = observer.counts().await;
    let count = |topic: &str| counts.get(topic).copied().unwrap_or(0);
    sent.into_iter()
        .map(|(server, cell, sent)| {
            let id = cell.id(server);
            let end = left.get(&id).map_or("open", String::as_str);
            let wills = count(&client::will_topic(&id));
            let outcome = Outcome {
                delivered: count(&id),
                willed: wills > 0,
                end: end.to_owned(),
                in_order: end != "open" && end != "error",
                trouble: sent.err().map(|error| error.to_string()),
            };
            (server, cell, outcome)
        })
        .collect()
}

/// Terminator and nginx before one mosquitto with its own TLS listener.
struct Servers {
    broker: Arc<MosquittoTls>,
    /// CA of mosquitto's own listener.
    ca: Ca,
    fixture: Fixture,
    nginx: Nginx,
}

impl Servers {
    fn start() -> Self {
        let ca = Ca::new("mosquitto's CA");
        let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").issue();
        let broker = Arc::new(MosquittoTls::start(&leaf));
        let fixture = Fixture::start(broker.addr());
        let nginx = Nginx::start(&fixture.leaf, broker.addr());
        Self {
            broker,
            ca,
            fixture,
            nginx,
        }
    }

    fn all(&self) -> [(&'static str, SocketAddr, &Ca); 3] {
        [
            ("terminator", self.fixture.addr(), &self.fixture.ca),
            ("nginx", self.nginx.addr(), &self.fixture.ca),
            ("mosquitto", self.broker.tls(), &self.ca),
        ]
    }
}

/// Compares the servers. All clients connect before the first one sends; a late broker is stopped meanwhile.
async fn compare(reading: Reading) -> String {
    let servers = Servers::start();
    let observer = Observer::start(servers.broker.addr()).await;
    let (connecting, mut all_connected) = mpsc::channel(1);
    let (go, gone_on) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for (name, addr, ca) in servers.all() {
        let connector = Connector::new(ca);
        for cell in Cell::all(&[reading]) {
            let connector = connector.clone();
            let start = Start::Told(connecting.clone(), gone_on.clone());
            let (gone, _) = watch::channel(false);
            tasks.spawn(async move {
                let sent = client::run(&connector, addr, cell, name, start, gone).await;
                (name, cell, sent)
            });
        }
    }
    drop(connecting);
    assert!(all_connected.recv().await.is_none());
    let is_late = reading != Reading::AtOnce;
    if is_late {
        servers.broker.process().signal(Signal::STOP);
    }
    go.send_replace(true);
    if is_late {
        sleep(PAUSE).await;
        servers.broker.process().signal(Signal::CONT);
    }
    let sent = tasks.join_all().await;
    let mut report = Report::default();
    let outcomes = outcomes(&servers.broker, observer, sent).await;
    for (name, ..) in servers.all() {
        let of_this = outcomes.iter().filter(|(server, ..)| *server == name);
        let of_this = of_this.map(|(_, cell, outcome)| (*cell, outcome.clone()));
        report.add(name, of_this.collect());
    }
    report.judge()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_gets_complete_messages_as_through_nginx() {
    println!("{}", compare(Reading::AtOnce).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_mosquitto_gets_complete_messages_as_through_nginx() {
    println!("{}", compare(Reading::Late).await);
}

/// Python devices that send everything and leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_of_paho_reach_mosquitto_as_through_nginx_and_publish_no_wills() {
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 2_000;
    let servers = Servers::start();
    let observer = Observer::start(servers.broker.addr()).await;
    let client = |server: &str, number: usize| {
        let id = format!("burst/{server}/{number}");
        PahoClient {
            will: client::will_topic(&id),
            topic: id.clone(),
            id,
            count: MESSAGES,
            size: 200,
        }
    };
    let clients = |server| (0..CLIENTS).map(move |number| client(server, number));
    let running = servers.all().map(|(name, addr, ca)| {
        let clients: Vec<_> = clients(name).collect();
        Paho::start(addr, ca, PahoEnd::Disconnect, &clients)
    });
    tokio::task::spawn_blocking(move || running.map(Paho::finish))
        .await
        .unwrap();
    let all = servers.all().map(|(name, ..)| name);
    let ids = all
        .iter()
        .flat_map(|name| clients(name))
        .map(|client| client.id);
    all_departed(&servers.broker, ids.collect()).await;
    let counts = observer.counts().await;
    let came = all.map(|name| {
        let count = |topic: &str| counts.get(topic).copied().unwrap_or(0);
        let messages: usize = clients(name).map(|client| count(&client.topic)).sum();
        let wills: usize = clients(name).map(|client| count(&client.will)).sum();
        (name, messages, wills)
    });
    println!("{came:?}");
    assert_eq!(came, all.map(|name| (name, CLIENTS * MESSAGES, 0)));
}
