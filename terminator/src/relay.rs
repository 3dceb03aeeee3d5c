//! The relay: ciphertext from the client becomes plaintext for the backend, and the reverse, until
//! both directions have ended.
//!
//! It must not know who is connected or why. It owns no buffer while nothing moves; a direction that is
//! blocked owns what is blocked and reads nothing more until that is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::backlog::Backlog;
use crate::handshake::{self, Established};
use crate::metrics::Traffic;
use crate::scratch;
use crate::session::Session;

/// How much ciphertext may wait for its rest, in bytes: more than one record is a handshake message that
/// somebody spreads over many, and after the handshake there are no long ones.
const HELD_MAX: usize = handshake::BUFFER_MAX;

/// How a connection ended, by what happened first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The backend closed its side.
    BackendClosed,
    /// The backend's connection was reset.
    BackendReset,
    /// The client said close_notify.
    ClientClosed,
    /// The client's connection ended without close_notify: what it had to say may be cut off.
    ClientCut,
    /// The client's connection was reset.
    ClientReset,
    /// This process is ending.
    Drained,
    /// The client broke the TLS protocol.
    TlsError,
}

impl End {
    /// As a metric's label.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::BackendClosed => "backend_closed",
            Self::BackendReset => "backend_reset",
            Self::ClientClosed => "client_closed",
            Self::ClientCut => "client_cut",
            Self::ClientReset => "client_reset",
            Self::Drained => "drained",
            Self::TlsError => "tls_error",
        }
    }
}

/// How far a direction is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Open,
    /// Nothing more will be read; what is left is sent, and then the end.
    Ending,
    Done,
}

/// What one step of a direction brought.
enum Step {
    Moved,
    Blocked,
    Done,
}

/// One connection between client and backend.
pub(crate) struct Relay<'t> {
    pub(crate) client: TcpStream,
    pub(crate) backend: TcpStream,
    pub(crate) session: Session,
    to_backend: Backlog,
    up: Direction,
    down: Direction,
    /// What ended the first direction.
    first: Option<End>,
    /// What ended both directions at once, if something did.
    lost: Option<End>,
    /// The backend takes nothing more. What it said before is still passed on.
    backend_failed: bool,
    /// How long one direction may outlive the other.
    half_close: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    traffic: &'t Traffic,
}

impl<'t> Relay<'t> {
    pub(crate) fn new(
        client: TcpStream,
        backend: TcpStream,
        established: Established,
        half_close: Duration,
        traffic: &'t Traffic,
    ) -> Self {
        let Established {
            session,
            to_backend,
        } = established;
        // A client may have said all it had to say together with its last handshake message.
        let up = if session.peer_closed() {
            Direction::Ending
        } else {
            Direction::Open
        };
        Self {
            client,
            backend,
            session,
            to_backend,
            up,
            down: Direction::Open,
            first: (up == Direction::Ending).then_some(End::ClientClosed),
            lost: None,
            backend_failed: false,
            half_close,
            deadline: None,
            traffic,
        }
    }

    /// Ends the direction to the client, as if the backend had: the client sees close_notify, and what
    /// it still says is passed on until its own end or the deadline.
    pub(crate) fn begin_drain(&mut self) {
        self.first.get_or_insert(End::Drained);
        if self.down == Direction::Open {
            self.down = Direction::Ending;
        }
    }

    /// Whether there is no client any more to say anything to.
    pub(crate) fn client_is_gone(&self) -> bool {
        self.lost == Some(End::ClientReset)
    }

    /// Whether the client may be told close_notify: nothing that the backend had to say was cut off.
    pub(crate) fn ends_in_order(&self) -> bool {
        self.lost.is_none() && !self.backend_failed
    }

    /// Whether the backend has got everything, and its FIN.
    pub(crate) fn backend_has_all(&self) -> bool {
        self.up == Direction::Done && !self.backend_failed
    }

    /// Moves what can be moved; ready when both directions have ended, when one has outlived the
    /// other for too long, or when there is nobody left to talk to.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // By turns, so that neither direction starves the other.
            let steps = self
                .step_up(cx)
                .and_then(|up| Ok((up, self.step_down(cx)?)));
            match steps {
                Err(end) => {
                    self.lost = Some(end);
                    return Poll::Ready(self.first.unwrap_or(end));
                }
                Ok((Step::Done, Step::Done)) => {
                    return Poll::Ready(self.first.unwrap_or(End::BackendClosed));
                }
                Ok((Step::Moved, _) | (_, Step::Moved)) => {}
                Ok((Step::Blocked, Step::Blocked)) => return Poll::Pending,
                Ok((Step::Done, Step::Blocked) | (Step::Blocked, Step::Done)) => {
                    let half_close = self.half_close;
                    let deadline = self
                        .deadline
                        .get_or_insert_with(|| Box::pin(sleep(half_close)));
                    return deadline
                        .as_mut()
                        .poll(cx)
                        .map(|()| self.first.unwrap_or(End::BackendClosed));
                }
            }
        }
    }

    /// Client to backend.
    fn step_up(&mut self, cx: &mut Context<'_>) -> Result<Step, End> {
        if self.up == Direction::Done {
            return Ok(Step::Done);
        }
        match self.to_backend.poll_flush(&mut self.backend, cx) {
            Poll::Pending => return Ok(Step::Blocked),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Ok(self.give_up_backend()),
        }
        if self.up == Direction::Ending {
            return Ok(match Pin::new(&mut self.backend).poll_shutdown(cx) {
                Poll::Pending => Step::Blocked,
                Poll::Ready(Ok(())) => {
                    self.up = Direction::Done;
                    Step::Moved
                }
                Poll::Ready(Err(_)) => self.give_up_backend(),
            });
        }
        scratch::with(|scratch| {
            let held = self.session.restore(&mut scratch.cipher);
            let mut buffer = ReadBuf::new(&mut scratch.cipher[held..]);
            match Pin::new(&mut self.client).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Step::Blocked),
                Poll::Ready(Err(_)) => return Err(End::ClientReset),
                Poll::Ready(Ok(())) => {}
            }
            let filled = held + buffer.filled().len();
            if filled == held {
                return self.client_ended();
            }
            scratch.plain.clear();
            let received = self
                .session
                .receive(&mut scratch.cipher[..filled], &mut scratch.plain);
            self.traffic.add_up(scratch.plain.len());
            let sent = self
                .to_backend
                .poll_send(&mut self.backend, cx, &scratch.plain);
            received.map_err(|_| End::TlsError)?;
            if self.session.held() > HELD_MAX {
                return Err(End::TlsError);
            }
            if self.session.peer_closed() {
                self.first.get_or_insert(End::ClientClosed);
                self.up = Direction::Ending;
            }
            if sent.is_err() {
                return Ok(self.give_up_backend());
            }
            Ok(Step::Moved)
        })
    }

    /// The backend took no more. A broker that refuses a client answers and closes, while the client may
    /// still be sending: the answer lies in our socket, and must not be lost with it.
    fn give_up_backend(&mut self) -> Step {
        self.first.get_or_insert(End::BackendReset);
        self.backend_failed = true;
        self.to_backend = Backlog::default();
        self.up = Direction::Done;
        Step::Moved
    }

    /// The client's TCP connection ended without close_notify. Once it has been told close_notify
    /// itself, many a client leaves it at that, and nothing is cut off that anyone waits for.
    fn client_ended(&mut self) -> Result<Step, End> {
        if self.down == Direction::Open {
            return Err(End::ClientCut);
        }
        self.up = Direction::Ending;
        Ok(Step::Moved)
    }

    /// Backend to client.
    fn step_down(&mut self, cx: &mut Context<'_>) -> Result<Step, End> {
        match self.session.to_client.poll_flush(&mut self.client, cx) {
            Poll::Pending => return Ok(Step::Blocked),
            Poll::Ready(flushed) => flushed.map_err(|_| End::ClientReset)?,
        }
        match self.down {
            Direction::Done => return Ok(Step::Done),
            Direction::Ending => return self.end_down(cx),
            Direction::Open => {}
        }
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch.read);
            match Pin::new(&mut self.backend).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Step::Blocked),
                Poll::Ready(Err(_)) => return Err(End::BackendReset),
                Poll::Ready(Ok(())) => {}
            }
            let plain = buffer.filled();
            if plain.is_empty() && self.backend_failed {
                // The write that failed took the reset with it: this is no end in order.
                return Err(End::BackendReset);
            }
            if plain.is_empty() {
                self.first.get_or_insert(End::BackendClosed);
                self.down = Direction::Ending;
                return Ok(Step::Moved);
            }
            self.traffic.add_down(plain.len());
            let size = self
                .session
                .encrypt(plain, &mut scratch.cipher)
                .map_err(|_| End::TlsError)?;
            self.session
                .to_client
                .poll_send(&mut self.client, cx, &scratch.cipher[..size])
                .map_err(|_| End::ClientReset)?;
            Ok(Step::Moved)
        })
    }

    /// Says close_notify, and then the end of the TCP direction. All that came before has been sent.
    fn end_down(&mut self, cx: &mut Context<'_>) -> Result<Step, End> {
        self.session.queue_close_notify();
        if !self.session.to_client.is_empty() {
            let sent: Poll<io::Result<()>> =
                self.session.to_client.poll_flush(&mut self.client, cx);
            if let Poll::Ready(sent) = sent {
                sent.map_err(|_| End::ClientReset)?;
            } else {
                return Ok(Step::Blocked);
            }
        }
        match Pin::new(&mut self.client).poll_shutdown(cx) {
            Poll::Pending => Ok(Step::Blocked),
            Poll::Ready(shutdown) => {
                shutdown.map_err(|_| End::ClientReset)?;
                self.down = Direction::Done;
                Ok(Step::Moved)
            }
        }
    }
}
