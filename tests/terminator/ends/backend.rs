//! A backend that reads MQTT packets as scripted for each client, and reports what it received. It must not
//! know which server is in front of it, nor the expected result.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests::mqtt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::Reading;
use crate::fixture::SOON;

/// Delay of [`Reading::Late`].
const PAUSE: Duration = Duration::from_millis(300);
/// Delay of [`Reading::Never`].
const PATIENCE: Duration = Duration::from_secs(3);
/// Packet to a client that is gone: a PUBACK for no message.
const TO_NOBODY: [u8; 4] = [mqtt::PUBACK, 2, 0, 1];

/// How a client's connection to the backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketEnd {
    Fin,
    Reset,
    /// It was still open after 20 seconds.
    Open,
    /// There was no connection.
    Missing,
}

/// What the backend saw of one client.
#[derive(Debug)]
pub(super) struct Seen {
    /// Number of complete PUBLISH packets, and the total size of their bodies.
    pub(super) publishes: usize,
    pub(super) bytes: usize,
    pub(super) disconnect: bool,
    pub(super) end: SocketEnd,
}

const NOTHING: Seen = Seen {
    publishes: 0,
    bytes: 0,
    disconnect: false,
    end: SocketEnd::Missing,
};

/// What the backend knows of a client.
pub(super) enum Company {
    /// It sends a PINGREQ first, and reports when it is gone.
    Known {
        is_gone: watch::Receiver<bool>,
        /// Whether the backend sends data to a client that has gone.
        talks: bool,
    },
    Unknown,
}

/// Pending result for an expected client.
pub(super) struct Expected(oneshot::Receiver<Seen>);

impl Expected {
    /// Waits for its end; the result is empty if the client does not connect.
    pub(super) async fn seen(self) -> Seen {
        let received = timeout(3 * SOON, self.0).await;
        received.ok().and_then(Result::ok).unwrap_or(NOTHING)
    }
}

/// Script for one client.
struct Script {
    reading: Reading,
    company: Company,
    sender: oneshot::Sender<Seen>,
}

/// A running backend.
pub(super) struct Backend {
    addr: SocketAddr,
    scripts: Mutex<HashMap<String, Script>>,
}

impl Backend {
    pub(super) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Arc::new(Self {
            addr: listener.local_addr().unwrap(),
            scripts: Mutex::default(),
        });
        let serving = Arc::clone(&backend);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let backend = Arc::clone(&serving);
                tokio::spawn(async move {
                    // A failure before the script is known shows as a client without data.
                    let _ = backend.serve(stream).await;
                });
            }
        });
        backend
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets the script for a client; returns its pending result.
    pub(super) fn expect(&self, client: &str, reading: Reading, company: Company) -> Expected {
        let (sender, received) = oneshot::channel();
        let script = Script {
            reading,
            company,
            sender,
        };
        let before = self
            .scripts
            .lock()
            .unwrap()
            .insert(client.to_owned(), script);
        assert!(before.is_none(), "{client} is expected twice");
        Expected(received)
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut packets = Packets::default();
        let connect = packets.next(&mut stream).await?;
        let script = self.scripts.lock().unwrap().remove(&client_id(&connect.1));
        let Some(script) = script else {
            return Err(io::Error::other("unexpected client"));
        };
        stream.write_all(&[mqtt::CONNACK, 2, 0, 0]).await?;
        let mut gone = None;
        if let Company::Known { mut is_gone, talks } = script.company {
            packets.next(&mut stream).await?;
            stream.write_all(&mqtt::PINGRESP).await?;
            // Delay from the connection, so that the backend is late even if the client is slow.
            let patience = match script.reading {
                Reading::AtOnce => Duration::ZERO,
                Reading::Late => 4 * PAUSE,
                Reading::Never => PATIENCE,
            };
            let _ = timeout(patience, is_gone.wait_for(|gone| *gone)).await;
            // Keep it for later queries.
            gone = talks.then(|| is_gone.clone());
        }
        match script.reading {
            Reading::AtOnce => {}
            Reading::Late => sleep(PAUSE).await,
            Reading::Never => sleep(PATIENCE).await,
        }
        let seen = read_to_end(&mut stream, packets, gone).await;
        // The receiver may be gone.
        let _ = script.sender.send(seen);
        Ok(())
    }
}

/// Reads to the end; sends data to a client that is known to have gone.
async fn read_to_end(
    stream: &mut TcpStream,
    mut packets: Packets,
    mut gone: Option<watch::Receiver<bool>>,
) -> Seen {
    let mut seen = NOTHING;
    let mut was_reset = false;
    loop {
        while let Some((head, body)) = packets.take() {
            match head >> 4 {
                3 => {
                    seen.publishes += 1;
                    seen.bytes += body.len();
                }
                14 => seen.disconnect = true,
                other => panic!("a client sent a packet of type {other}"),
            }
        }
        let read = tokio::select! {
            // Send the data to the gone client before reading.
            biased;
            is_gone = departure(&mut gone) => {
                gone = None;
                // A reset that was reported once is not reported again.
                was_reset |= is_gone && stream.write_all(&TO_NOBODY.repeat(8)).await.is_err();
                continue;
            }
            read = timeout(SOON, packets.read(stream)) => read,
        };
        seen.end = match read {
            Ok(Ok(0)) if was_reset => SocketEnd::Reset,
            Ok(Ok(0)) => SocketEnd::Fin,
            Ok(Ok(_)) => continue,
            Ok(Err(_)) => SocketEnd::Reset,
            Err(_) => SocketEnd::Open,
        };
        return seen;
    }
}

/// Resolves when the client is known to have gone.
async fn departure(gone: &mut Option<watch::Receiver<bool>>) -> bool {
    match gone {
        Some(gone) => gone.wait_for(|gone| *gone).await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Returns the client's ID from the body of an MQTT 3.1.1 CONNECT.
fn client_id(body: &[u8]) -> String {
    let rest = body.get(10..).unwrap_or_default();
    let length = rest
        .get(..2)
        .map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
    let id = rest.get(2..2 + usize::from(length)).unwrap_or_default();
    String::from_utf8_lossy(id).into_owned()
}

/// Splits the received data into packets.
#[derive(Default)]
struct Packets {
    bytes: Vec<u8>,
    taken: usize,
}

impl Packets {
    async fn read(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.reserve(64 * 1024);
        stream.read_buf(&mut self.bytes).await
    }

    async fn next(&mut self, stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some(packet) = self.take() {
                return Ok(packet);
            }
            if timeout(SOON, self.read(stream)).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Returns the first byte and the body of the next packet, if it is complete.
    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let rest = &self.bytes[self.taken..];
        let head = *rest.first()?;
        let (mut length, mut digits) = (0, 0);
        loop {
            let digit = *rest.get(1 + digits)?;
            length |= usize::from(digit & 0x7F) << (7 * digits);
            digits += 1;
            if digit & 0x80 == 0 {
                break;
            }
        }
        let body = rest.get(1 + digits..1 + digits + length)?.to_vec();
        self.taken += 1 + digits + length;
        Some((head, body))
    }
}
