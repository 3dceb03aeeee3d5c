//! A running terminator with a certificate, in this process, and a scripted backend. It must not check results.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mqtt_tls_config::{Backend, ClientAuth, ClientAuthMode, Config, Pem};
use mqtt_tls_terminator::{Files, Terminator};
use tests::clients::tls::Connector;
use tests::mqtt;
use tests::pki::{Ca, Leaf};
use tests::ports;
use tests::wait::eventually;
use tests::workdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A broker's answer to a CONNECT (MQTT 3.1.1, section 3.2).
pub(crate) const CONNACK: &[u8] = &[0x20, 2, 0, 0];

/// Timeout for steps that should be fast; exceeding it is a failure, not a measurement.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A terminator that serves a leaf for `localhost`.
pub(crate) struct Fixture {
    pub(crate) ca: Ca,
    pub(crate) leaf: Leaf,
    pub(crate) config: Config,
    pub(crate) file: PathBuf,
    pub(crate) terminator: Terminator,
}

impl Fixture {
    pub(crate) fn start(backend: SocketAddr) -> Self {
        Self::start_with(backend, |_| {})
    }

    /// Starts a terminator with a changed configuration.
    pub(crate) fn start_with(backend: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_from(backend, change, |_| None)
    }

    /// Starts a terminator with a changed configuration, and with a file of revocation lists beside it if there are any.
    pub(crate) fn start_with_crls(
        backend: SocketAddr,
        lists: Option<&str>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::start_from(backend, change, |file| {
            let crls = Self::crls_beside(file);
            if let Some(lists) = lists {
                workdir::replace(&crls, lists);
            }
            Some(crls)
        })
    }

    fn start_from(
        backend: SocketAddr,
        change: impl FnOnce(&mut Config),
        crls: impl FnOnce(&Path) -> Option<PathBuf>,
    ) -> Self {
        let ca = Ca::new("server CA");
        let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").issue();
        let mut config = config(&leaf, backend);
        change(&mut config);
        let file = write(&config);
        let crls = crls(&file);
        let files = Files {
            crls: crls.as_deref(),
            ..file.as_path().into()
        };
        let terminator = start(files);
        Self {
            ca,
            leaf,
            config,
            file,
            terminator,
        }
    }

    /// Returns the path of the file of revocation lists.
    pub(crate) fn crls_beside(file: &Path) -> PathBuf {
        file.with_file_name("crls")
    }

    /// Starts a terminator for clients that send nothing after the handshake; it closes them soon.
    pub(crate) fn start_for_handshakes(change: impl FnOnce(&mut Config)) -> Self {
        let unused = ports::free_addr();
        Self::start_with(unused, |config| {
            config.timeouts.first_packet = Duration::from_millis(100);
            change(config);
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::new(
            self.config.host.expect("the fixture says one"),
            self.config.port,
        )
    }

    /// Returns a client that trusts the fixture's CA.
    pub(crate) fn client(&self) -> Connector {
        Connector::new(&self.ca)
    }

    /// Replaces the file by a rename.
    pub(crate) fn rewrite(&self, config: &Config) {
        self.rewrite_text(config.to_yaml().expose());
    }

    pub(crate) fn rewrite_text(&self, text: &str) {
        workdir::replace(&self.file, text);
    }

    /// Waits until this generation of the configuration is active.
    #[track_caller]
    pub(crate) fn wait_for_generation(&self, generation: u64) {
        eventually(SOON, &format!("generation {generation} is active"), || {
            (self.terminator.status().configuration.generation == generation).then_some(())
        });
    }

    /// Waits until a new configuration has been refused, and returns the error.
    #[track_caller]
    pub(crate) fn wait_for_refusal(&self) -> (&'static str, String) {
        eventually(SOON, "a configuration is refused", || {
            let error = self.terminator.status().configuration.last_error?;
            Some((error.reason, error.message))
        })
    }

    /// Returns the status code and the body of an answer of the admin port.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(
            SocketAddr::new(self.config.admin.host, self.config.admin.port),
            path,
        )
    }

    /// Returns the value of a metric's line, 0 if there is none.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let value = text
            .lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| {
            value.parse().expect("a metric's value is a number")
        })
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, line: &str, expected: f64) {
        eventually(SOON, &format!("{line} is {expected}"), || {
            ((self.metric(line) - expected).abs() < 0.5).then_some(())
        });
    }
}

/// Starts a terminator, which must succeed.
#[track_caller]
pub(crate) fn start(files: Files<'_>) -> Terminator {
    Terminator::start(files, None)
        .unwrap_or_else(|error| panic!("the terminator does not start: {}", error.chain()))
}

/// Makes a configuration on free loopback ports.
pub(crate) fn config(leaf: &Leaf, backend: SocketAddr) -> Config {
    let mut config = Config::new(ports::free_port(), Pem::new(leaf.bundle()));
    config.host = Some("127.0.0.1".parse().expect("an address"));
    config.backend = Backend {
        host: backend.ip().to_string(),
        port: backend.port(),
    };
    config.admin.port = ports::free_port();
    config
}

/// Writes a configuration into a new folder.
pub(crate) fn write(config: &Config) -> PathBuf {
    write_text(config.to_yaml().expose())
}

pub(crate) fn write_text(text: &str) -> PathBuf {
    let file = workdir::scratch("terminator").join("config.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    file
}

/// Makes the configuration of client authentication.
pub(crate) fn trust(mode: ClientAuthMode, ca: &Ca) -> ClientAuth {
    ClientAuth {
        mode,
        ca: Some(Pem::new(ca.cert_pem())),
        ..ClientAuth::default()
    }
}

/// Sends an HTTP GET for a host; returns the whole answer.
fn ask(addr: SocketAddr, path: &str, host: &str) -> String {
    let mut stream = std::net::TcpStream::connect(addr).expect("the admin port is open");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("the admin port reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the admin port answers with text");
    answer
}

/// Sends an HTTP GET; returns status code and body.
pub(crate) fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let answer = ask(addr, path, &addr.to_string());
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("an answer has a status"), body.to_owned())
}

/// A backend scripted by the test, connection by connection.
pub(crate) struct Scripted {
    listener: TcpListener,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a loopback port is free");
        Self { listener }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Accepts, and reads the first packet of a client opened with `Connector::open`.
    pub(crate) async fn accept(&self) -> Peer {
        Peer::greeted(self.accept_any().await.0).await
    }

    /// Accepts without reading a first packet.
    pub(crate) async fn accept_any(&self) -> Peer {
        let accepted = timeout(SOON, self.listener.accept()).await;
        let (stream, _) = accepted
            .expect("the terminator dials soon")
            .expect("accepting works");
        Peer(stream)
    }
}

/// The backend's side of one connection.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    /// Makes the backend's side of a connection, and reads the client's first packet.
    pub(crate) async fn greeted(stream: TcpStream) -> Self {
        let mut peer = Self(stream);
        let expected = mqtt::first_packet();
        assert_eq!(peer.read_exact(expected.len()).await, expected);
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the terminator reads");
    }

    pub(crate) async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = timeout(SOON, self.0.read_exact(&mut bytes)).await;
        read.expect("the bytes come soon").expect("the bytes come");
        bytes
    }

    /// Reads to the end; returns the data, and whether it ended in order or by a reset.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<u8>, Result<(), std::io::ErrorKind>) {
        let mut bytes = Vec::new();
        let read = timeout(SOON, self.0.read_to_end(&mut bytes))
            .await
            .expect("it ends soon");
        (bytes, read.map(drop).map_err(|error| error.kind()))
    }

    /// Sends a FIN; can still read.
    pub(crate) async fn fin(&mut self) {
        self.0.shutdown().await.expect("the terminator is there");
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().expect("the option exists");
    }
}
