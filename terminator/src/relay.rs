//! The relay: ciphertext from the client becomes plaintext for the backend, and the reverse, until
//! both directions have ended.
//!
//! It must not know who is connected or why. It owns no buffer while nothing moves; a direction that is
//! blocked owns what is blocked and reads nothing more until that is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::backlog::Backlog;
use crate::mqtt::{self, Answer};
use crate::record::End;
use crate::scratch;
use crate::state::Worker;
use crate::tls::handshake::Established;
use crate::tls::inbound::{self, Read};
use crate::tls::session::Session;

/// How far a direction is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Open,
    /// Nothing more will be read; what is left is sent, and then the end.
    Ending,
    Done,
}

/// What one step of a direction brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    Blocked,
    Done,
}

/// One connection between client and backend.
pub(crate) struct Relay {
    pub(crate) client: TcpStream,
    pub(crate) backend: TcpStream,
    pub(crate) session: Session,
    to_backend: Backlog,
    up: Direction,
    down: Direction,
    /// What ended the first direction.
    first: Option<End>,
    /// Nobody hears what is said to the client any more.
    pub(crate) client_is_gone: bool,
    /// The backend takes nothing more. What it said before is still passed on.
    backend_failed: bool,
    /// The backend will say nothing more.
    backend_ended: bool,
    /// What the backend said first.
    answer: Option<Answer>,
    /// How long one direction may outlive the other without passing anything on.
    half_close: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    worker: Arc<Worker>,
}

impl Relay {
    pub(crate) fn new(
        client: TcpStream,
        backend: TcpStream,
        established: Established,
        half_close: Duration,
        worker: Arc<Worker>,
    ) -> Self {
        let Established {
            session,
            to_backend,
        } = established;
        worker
            .counts()
            .to_backend
            .add(to_backend.waiting().len() as u64);
        // A client may have said all it had to say together with its first packet.
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
            client_is_gone: false,
            backend_failed: false,
            backend_ended: false,
            answer: None,
            half_close,
            deadline: None,
            worker,
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

    /// Whether the client may be told close_notify: nothing that the backend had to say was cut off.
    pub(crate) fn ends_in_order(&self) -> bool {
        !self.backend_failed && self.first != Some(End::TlsError)
    }

    /// Moves what can be moved; ready when both directions have ended, or when one has outlived the
    /// other for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // By turns, so that neither direction starves the other.
            let steps = (self.step_up(cx), self.step_down(cx));
            if steps == (Step::Done, Step::Done) {
                return Poll::Ready(self.end());
            }
            if self.is_overdue(cx) {
                return Poll::Ready(self.end());
            }
            if steps.0 != Step::Moved && steps.1 != Step::Moved {
                return Poll::Pending;
            }
        }
    }

    /// What happened first. Where the backend ended it, what it had answered says more than whether it closed or reset.
    fn end(&self) -> End {
        match (self.first.unwrap_or(End::BackendClosed), self.answer) {
            (End::BackendClosed | End::BackendReset, None) => End::BackendMute,
            (End::BackendClosed | End::BackendReset, Some(Answer::Tls)) => End::BackendTls,
            (End::BackendClosed | End::BackendReset, Some(Answer::Other)) => End::BackendNotMqtt,
            (end, _) => end,
        }
    }

    /// Whether something has ended, and since then nothing was passed on for too long.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if self.first.is_none() {
            return false;
        }
        let half_close = self.half_close;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(half_close)));
        deadline.as_mut().poll(cx).is_ready()
    }

    /// Notes that something was passed on.
    fn has_moved(&mut self) {
        if let Some(deadline) = &mut self.deadline {
            deadline.as_mut().reset(Instant::now() + self.half_close);
        }
    }

    /// Client to backend.
    fn step_up(&mut self, cx: &mut Context<'_>) -> Step {
        if self.up == Direction::Done {
            return Step::Done;
        }
        let waiting = self.to_backend.waiting().len();
        let flushed = self.to_backend.poll_flush(&mut self.backend, cx);
        if self.to_backend.waiting().len() < waiting {
            self.has_moved();
        }
        match flushed {
            Poll::Pending => return Step::Blocked,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return self.give_up_backend(),
        }
        if self.up == Direction::Ending {
            return match Pin::new(&mut self.backend).poll_shutdown(cx) {
                Poll::Pending => Step::Blocked,
                Poll::Ready(Ok(())) => {
                    self.up = Direction::Done;
                    Step::Moved
                }
                Poll::Ready(Err(_)) => self.give_up_backend(),
            };
        }
        scratch::with(|scratch| {
            let polled = inbound::poll_read(&mut self.client, &mut self.session, scratch, cx);
            let Poll::Ready(read) = polled else {
                return Step::Blocked;
            };
            self.has_moved();
            self.worker
                .counts()
                .to_backend
                .add(scratch.plain.len() as u64);
            let sent = self
                .to_backend
                .poll_send(&mut self.backend, cx, &scratch.plain);
            match read {
                Ok(Read::Some) if self.session.peer_closed() => self.end_up(End::ClientClosed),
                Ok(Read::Some) => {}
                // Once it has been told close_notify itself, many a client leaves it at that.
                Ok(Read::End) => self.end_up(End::ClientCut),
                Err(inbound::Error::Io(_)) => self.lose_client(),
                Err(inbound::Error::Tls(_) | inbound::Error::TooLarge(_)) => {
                    self.end_up(End::TlsError);
                    // After the alert, which waits to be sent, nothing may follow.
                    self.down = self.down.max(Direction::Ending);
                }
            }
            if sent.is_err() {
                return self.give_up_backend();
            }
            Step::Moved
        })
    }

    /// The client has said all that it will say. What came whole is delivered, however it ended: MQTT frames its own
    /// end, so that a broker takes the FIN after it for what it is.
    fn end_up(&mut self, end: End) {
        self.first.get_or_insert(end);
        self.up = Direction::Ending;
    }

    /// The client's connection was reset. What it had sent before can still be read, unless reading failed.
    fn lose_client(&mut self) {
        self.end_up(End::ClientReset);
        self.stop_hearing();
    }

    /// The client takes nothing more; what the backend says is read all the same, for a socket that is closed with
    /// something unread in it is reset, and its peer loses what is still on the way.
    fn stop_hearing(&mut self) {
        self.first.get_or_insert(End::ClientReset);
        self.client_is_gone = true;
        self.session.to_client = Backlog::default();
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

    /// Backend to client.
    fn step_down(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.client_is_gone {
            let waiting = self.session.to_client.waiting().len();
            let flushed = self.session.to_client.poll_flush(&mut self.client, cx);
            if self.session.to_client.waiting().len() < waiting {
                self.has_moved();
            }
            match flushed {
                Poll::Pending => return Step::Blocked,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.stop_hearing(),
            }
        }
        if self.client_is_gone {
            return self.discard(cx);
        }
        match self.down {
            Direction::Done => self.discard(cx),
            Direction::Ending => self.end_down(cx),
            Direction::Open => self.pass_down(cx),
        }
    }

    fn pass_down(&mut self, cx: &mut Context<'_>) -> Step {
        if self.session.is_spent() {
            // Before anything is read that could not be passed on. The client comes back with a new key.
            self.first.get_or_insert(End::KeySpent);
            self.down = Direction::Ending;
            return Step::Moved;
        }
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch.read);
            match Pin::new(&mut self.backend).poll_read(cx, &mut buffer) {
                Poll::Pending => return Step::Blocked,
                Poll::Ready(Err(_)) => return self.end_of_backend(End::BackendReset),
                Poll::Ready(Ok(())) => {}
            }
            let plain = buffer.filled();
            if plain.is_empty() {
                // A write that failed took the reset with it: this is no end in order.
                return self.end_of_backend(if self.backend_failed {
                    End::BackendReset
                } else {
                    End::BackendClosed
                });
            }
            self.answer.get_or_insert_with(|| mqtt::answer(plain[0]));
            self.has_moved();
            self.worker.counts().to_client.add(plain.len() as u64);
            let Some(size) = self.session.encrypt(plain, &mut scratch.cipher) else {
                // Both ends of the key's life, and of the session.
                self.end_up(End::TlsError);
                self.stop_hearing();
                return Step::Moved;
            };
            let cipher = &scratch.cipher[..size];
            let sent = self
                .session
                .to_client
                .poll_send(&mut self.client, cx, cipher);
            if sent.is_err() {
                self.stop_hearing();
            }
            Step::Moved
        })
    }

    /// The backend has said its last word. After a reset nothing can be said to it, either.
    fn end_of_backend(&mut self, end: End) -> Step {
        self.first.get_or_insert(end);
        self.backend_ended = true;
        self.down = Direction::Ending;
        if end == End::BackendReset {
            self.backend_failed = true;
            self.to_backend = Backlog::default();
            self.up = Direction::Done;
        }
        Step::Moved
    }

    /// Reads what the backend still says, for nobody.
    fn discard(&mut self, cx: &mut Context<'_>) -> Step {
        if self.backend_ended || self.backend_failed {
            self.down = Direction::Done;
            return Step::Done;
        }
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch.read);
            match Pin::new(&mut self.backend).poll_read(cx, &mut buffer) {
                Poll::Pending => Step::Blocked,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => Step::Moved,
                Poll::Ready(_) => {
                    self.backend_ended = true;
                    Step::Moved
                }
            }
        })
    }

    /// Says close_notify, where all was said, and then the end of the TCP direction.
    fn end_down(&mut self, cx: &mut Context<'_>) -> Step {
        if self.ends_in_order() {
            self.session.queue_close_notify();
        }
        let flushed = self.session.to_client.poll_flush(&mut self.client, cx);
        let ended = match flushed {
            Poll::Ready(Ok(())) => Pin::new(&mut self.client).poll_shutdown(cx),
            other => other,
        };
        match ended {
            Poll::Pending => return Step::Blocked,
            Poll::Ready(Ok(())) => self.down = Direction::Done,
            Poll::Ready(Err(_)) => self.stop_hearing(),
        }
        Step::Moved
    }
}
