//! A backend that takes MQTT packets in as it is told, client by client, and tells what came. It must not know
//! which server is in front of it, nor what is right.

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

/// How late [`Reading::Late`] is.
const PAUSE: Duration = Duration::from_millis(300);
/// How long [`Reading::Never`] reads nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is said to a client that is gone: an acknowledgement of nothing.
const TO_NOBODY: [u8; 4] = [mqtt::PUBACK, 2, 0, 1];

/// How a client's connection to the backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketEnd {
    Fin,
    Reset,
    /// Not at all within 20 seconds.
    Open,
    /// There was none.
    Missing,
}

/// What came of one client.
#[derive(Debug)]
pub(super) struct Seen {
    /// How many PUBLISH packets came whole, and how long their bodies were together.
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
    /// It sends a PINGREQ first, and says when it is gone.
    Known {
        is_gone: watch::Receiver<bool>,
        /// Whether the backend says something to a client that has gone.
        talks: bool,
    },
    Unknown,
}

/// What will be seen of a client that is expected.
pub(super) struct Expected(oneshot::Receiver<Seen>);

impl Expected {
    /// Waits for its end; nothing is seen of a client that does not come.
    pub(super) async fn seen(self) -> Seen {
        let told = timeout(3 * SOON, self.0).await;
        told.ok().and_then(Result::ok).unwrap_or(NOTHING)
    }
}

/// What is done with one client.
struct Script {
    reading: Reading,
    company: Company,
    tell: oneshot::Sender<Seen>,
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
                    // Whatever goes wrong before the script is known shows as a client of whom nothing came.
                    let _ = backend.serve(stream).await;
                });
            }
        });
        backend
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Says what is to be done with a client that is going to come; what comes of it is told at its end.
    pub(super) fn expect(&self, client: &str, reading: Reading, company: Company) -> Expected {
        let (tell, told) = oneshot::channel();
        let script = Script {
            reading,
            company,
            tell,
        };
        let before = self
            .scripts
            .lock()
            .unwrap()
            .insert(client.to_owned(), script);
        assert!(before.is_none(), "{client} is expected twice");
        Expected(told)
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut packets = Packets::default();
        let connect = packets.next(&mut stream).await?;
        let script = self.scripts.lock().unwrap().remove(&client_id(&connect.1));
        let Some(script) = script else {
            return Err(io::Error::other("nobody expects this client"));
        };
        stream.write_all(&[mqtt::CONNACK, 2, 0, 0]).await?;
        let mut gone = None;
        if let Company::Known { mut is_gone, talks } = script.company {
            packets.next(&mut stream).await?;
            stream.write_all(&mqtt::PINGRESP).await?;
            // So that it is the backend who is late, also on a machine where the client is.
            let patience = match script.reading {
                Reading::AtOnce => Duration::ZERO,
                Reading::Late => 4 * PAUSE,
                Reading::Never => PATIENCE,
            };
            let _ = timeout(patience, is_gone.wait_for(|gone| *gone)).await;
            // It is told again to whoever asks later.
            gone = talks.then(|| is_gone.clone());
        }
        match script.reading {
            Reading::AtOnce => {}
            Reading::Late => sleep(PAUSE).await,
            Reading::Never => sleep(PATIENCE).await,
        }
        let seen = read_to_end(&mut stream, packets, gone).await;
        // Nobody may be waiting any more.
        let _ = script.tell.send(seen);
        Ok(())
    }
}

/// Reads all that there is, and says something to a client of whom it is told that it has gone.
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
            // What is said to nobody goes out before anything is read.
            biased;
            is_gone = departure(&mut gone) => {
                gone = None;
                // A reset that was told once is not told again.
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

/// Whether the client is gone, once that is known.
async fn departure(gone: &mut Option<watch::Receiver<bool>>) -> bool {
    match gone {
        Some(gone) => gone.wait_for(|gone| *gone).await.is_ok(),
        None => std::future::pending().await,
    }
}

/// The client's ID in the body of a CONNECT of MQTT 3.1.1.
fn client_id(body: &[u8]) -> String {
    let rest = body.get(10..).unwrap_or_default();
    let length = rest
        .get(..2)
        .map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
    let id = rest.get(2..2 + usize::from(length)).unwrap_or_default();
    String::from_utf8_lossy(id).into_owned()
}

/// What was read, cut into packets.
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

    /// The first byte and the body of the next packet, if it is whole.
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
