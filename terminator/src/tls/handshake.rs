//! The handshake: first the ClientHello, then ciphertext back and forth until both sides have keys.
//!
//! It must not wait longer than its caller lets it (there is no deadline in here), and must not hold more than
//! [`HELLO_MAX`] for a client that is nobody yet, nor any state of TLS before its ClientHello is whole.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::admission::{Place, Stage};
use crate::arrival::{self, Arrival};
use crate::backlog::Backlog;
use crate::scratch;
use crate::tls::Served;
use crate::tls::failure::Error;
use crate::tls::hello::{self, Needs, Progress};
use crate::tls::inbound;
use crate::tls::session::{Session, Version};

/// How long a ClientHello may be with its records' headers, in bytes. The largest have 2 KiB.
pub(crate) const HELLO_MAX: usize = 18 * 1024;

/// A fatal alert before there are keys (RFC 8446, section 6): `illegal_parameter`, as OpenSSL and BoringSSL answer
/// a message that is too long.
const TOO_LARGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 47];

/// The same: `protocol_version`, as GnuTLS and Go answer SSL 2.0.
const SSL2: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

/// A handshake while it goes on. It outlives the future that drives it, so that something can be told of a
/// handshake that was given up.
#[derive(Default)]
pub(crate) struct Attempt {
    /// What the client sent until its ClientHello was whole.
    pub(crate) hello: Vec<u8>,
    session: Option<Session>,
    /// An alert of our own making.
    alert: Backlog,
    is_done: bool,
}

/// A session that stands, and what the client has said in it that the backend has not got yet.
pub(crate) struct Established {
    pub(crate) session: Session,
    pub(crate) to_backend: Backlog,
}

impl Attempt {
    /// The protocol version, once it is settled.
    pub(crate) fn version(&self) -> Version {
        self.session
            .as_ref()
            .map_or(Version::None, Session::version)
    }

    /// Whether there was a session.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// The alert that waits to be sent, as far as it can be read.
    pub(crate) fn alert(&self) -> &[u8] {
        let queued = self.session.as_ref().map(|session| &session.to_client);
        let queued = queued.filter(|queued| !queued.is_empty());
        queued.unwrap_or(&self.alert).waiting()
    }

    /// What the client is still owed: the alert that says why there is no session.
    pub(crate) fn into_alert(self) -> Backlog {
        let queued = self.session.map(|session| session.to_client);
        queued
            .filter(|queued| !queued.is_empty())
            .unwrap_or(self.alert)
    }

    /// Reads until the ClientHello is whole.
    pub(crate) async fn hear(
        &mut self,
        client: &mut TcpStream,
        place: &mut Place,
    ) -> Result<(), Error> {
        poll_fn(|cx| {
            loop {
                let polled = self.poll_hello(client, cx);
                if polled.is_pending() {
                    place.wait(if self.hello.is_empty() {
                        Stage::Silent
                    } else {
                        Stage::Hello
                    });
                }
                if ready!(polled)? != Progress::Partial {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }

    /// Reads once, and looks at how far the ClientHello has come.
    fn poll_hello(
        &mut self,
        client: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Progress, Error>> {
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch.cipher[..HELLO_MAX + 1 - self.hello.len()]);
            let is_first = self.hello.is_empty();
            ready!(Pin::new(client).poll_read(cx, &mut buffer)).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::ConnectionReset if is_first => Error::Cut,
                    _ => Error::Io(error),
                }
            })?;
            if buffer.filled().is_empty() {
                let is_tls = is_first || arrival::name(&self.hello) == Arrival::Tls;
                return Poll::Ready(Err(if is_tls {
                    Error::Cut
                } else {
                    Error::NotTls(Arrival::Undecided)
                }));
            }
            self.hello.extend_from_slice(buffer.filled());
            let progress = match arrival::name(&self.hello) {
                Arrival::Tls => hello::progress(&self.hello, HELLO_MAX),
                Arrival::Undecided => Progress::Partial,
                other => {
                    if other == Arrival::Ssl2 {
                        self.alert.push(&SSL2);
                    }
                    return Poll::Ready(Err(Error::NotTls(other)));
                }
            };
            if progress == Progress::TooLarge
                || (progress == Progress::Partial && self.hello.len() > HELLO_MAX)
            {
                self.alert.push(&TOO_LARGE);
                return Poll::Ready(Err(Error::TooLarge(HELLO_MAX)));
            }
            Poll::Ready(Ok(progress))
        })
    }

    /// Shakes hands with a client whose ClientHello is there, and whose [`turn`] it is.
    pub(crate) async fn shake(
        &mut self,
        client: &mut TcpStream,
        served: &Served,
        place: &mut Place,
        turn: Option<SemaphorePermit<'_>>,
    ) -> Result<Established, Error> {
        let needs = Needs::read(&self.hello);
        let session = Session::new(served.to(needs)).map_err(Error::Setup)?;
        let session = self.session.insert(session);
        session.limit_records(needs.record_max);
        let mut to_backend = Backlog::default();
        scratch::with(|scratch| {
            scratch.plain.clear();
            let hello = &mut scratch.cipher[..self.hello.len()];
            hello.copy_from_slice(&self.hello);
            session.receive(hello, &mut scratch.plain)
        })
        .map_err(|error| Error::of(error, &self.hello))?;
        drop(turn);
        while session.is_handshaking() {
            poll_fn(|cx| {
                let polled = step(client, session, &mut to_backend, cx);
                if polled.is_pending() {
                    place.wait(Stage::Handshake);
                }
                polled
            })
            .await?;
        }
        self.is_done = true;
        let session = self.session.take();
        // It was put there above, and nothing else takes it.
        let session = session.ok_or(Error::Setup(rustls::Error::HandshakeNotComplete))?;
        Ok(Established {
            session,
            to_backend,
        })
    }
}

/// Waits for its turn, behind all who came before, and sees whether the client is still there. Until what is handed
/// back is dropped, nobody else has a turn.
///
/// Cryptography takes longer than all that leads to it. A flood of ClientHellos would be accepted faster than it is
/// answered, and everyone would wait behind all of it, the relays too: so a thread goes once through all else that it
/// has to do between two turns, so many wait as there are places, and who has to leave then is chosen as everywhere.
pub(crate) async fn turn<'t>(
    client: &TcpStream,
    place: &mut Place,
    turns: &'t Semaphore,
) -> Result<Option<SemaphorePermit<'t>>, Error> {
    place.wait(Stage::Turn);
    // It is never closed.
    let turn = turns.acquire().await.ok();
    tokio::task::yield_now().await;
    if !place.leave() {
        // It has to go, and has been told so.
        drop(turn);
        return std::future::pending().await;
    }
    let peeked = poll_fn(|cx| {
        let mut byte = [0];
        Poll::Ready(match client.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(peeked) => peeked.map(|count| count > 0),
            Poll::Pending => Ok(true),
        })
    });
    match peeked.await {
        Ok(true) => Ok(turn),
        Ok(false) => Err(Error::Cut),
        Err(error) => Err(Error::Io(error)),
    }
}

/// Sends what there is to send, reads once, and takes in what came.
fn step(
    client: &mut TcpStream,
    session: &mut Session,
    to_backend: &mut Backlog,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    ready!(session.to_client.poll_flush(client, cx)).map_err(left)?;
    scratch::with(|scratch| {
        let read = ready!(inbound::poll_read(client, session, scratch, cx));
        Poll::Ready(match read {
            Ok(inbound::Read::Some) => {
                if !scratch.plain.is_empty() {
                    to_backend.push(&scratch.plain);
                }
                Ok(())
            }
            Ok(inbound::Read::End) => Err(Error::Left),
            Err(inbound::Error::Io(error)) => Err(left(error)),
            Err(inbound::Error::Tls(error)) => Err(Error::Tls(error)),
            Err(inbound::Error::TooLarge(most)) => Err(Error::TooLarge(most)),
        })
    })
}

/// A client that has been sent something, and whose connection fails then.
fn left(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Error::Left,
        _ => Error::Io(error),
    }
}
