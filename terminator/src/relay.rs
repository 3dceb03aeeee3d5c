//! The relay: decrypts the client's data for the backend and encrypts the backend's data for the client, until both
//! directions have ended.
//!
//! It must not know about clients or limits. It owns no buffer while idle; a blocked direction owns the blocked
//! data and reads nothing until it is sent.

mod asked;
mod broker;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt_tls_judge::identity::naming::Naming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::backend::known::Known;
use crate::backlog::Backlog;
use crate::end::End;
use crate::scratch;
use crate::settings::Settings;
use crate::state::Worker;
use crate::tls::handshake::Established;
use crate::tls::inbound::{self, Read};
use crate::tls::session::Session;
use crate::trial::Draw;
use broker::Broker;
use watch::Watch;

/// State of a direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Open,
    /// Reads nothing more; sends the queued data, then ends the direction.
    Ending,
    Done,
}

/// Result of one step of a direction.
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
    /// What is known of the backend.
    pub(crate) known: Arc<Known>,
    pub(crate) session: Session,
    to_backend: Backlog,
    up: Direction,
    down: Direction,
    /// Cause of the first end of a direction.
    first: Option<End>,
    /// The client no longer receives data.
    pub(crate) client_is_gone: bool,
    /// The backend no longer accepts data. Data that it sent before is still forwarded.
    backend_failed: bool,
    /// The backend will send nothing more.
    backend_ended: bool,
    watch: Watch,
    broker: Broker,
    /// Maximum time that one direction may stay open, without data, after the other has ended.
    half_close: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    pub(crate) worker: Arc<Worker>,
}

impl Relay {
    pub(crate) fn new(
        client: TcpStream,
        (backend, known): (TcpStream, Arc<Known>),
        established: Established,
        settings: &Settings,
        (naming, draw): (Option<&Naming>, Option<Box<Draw>>),
        worker: Arc<Worker>,
    ) -> Self {
        let Established {
            session,
            mut to_backend,
        } = established;
        let mut watch = Watch::new(naming);
        let (first, up, down) = if let Some(end) = watch.begin(&mut to_backend) {
            (Some(end), Direction::Ending, Direction::Ending)
        } else if session.peer_closed() {
            // The client has sent close_notify together with its first packet.
            (Some(End::ClientClosed), Direction::Ending, Direction::Open)
        } else {
            (None, Direction::Open, Direction::Open)
        };
        worker
            .counts()
            .to_backend
            .add(to_backend.waiting().len() as u64);
        Self {
            client,
            backend,
            known,
            session,
            to_backend,
            up,
            down,
            first,
            client_is_gone: false,
            backend_failed: false,
            backend_ended: false,
            watch,
            broker: Broker::new(settings.protocol, draw),
            half_close: settings.timeouts.half_close,
            deadline: None,
            worker,
        }
    }

    /// Reports whether close_notify may be sent: none of the backend's data was lost.
    pub(crate) fn ends_in_order(&self) -> bool {
        !self.backend_failed && self.first != Some(End::TlsError)
    }

    /// Reports whether the client has received all data, close_notify and a FIN, as far as the kernel knows.
    pub(crate) fn has_sent_fin(&self) -> bool {
        self.down == Direction::Done && !self.client_is_gone
    }

    /// Relays data; ready when both directions have ended, or when one is open too long after the other.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // Alternate, so that neither direction starves the other.
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

    /// Returns how the connection ended.
    fn end(&mut self) -> End {
        let first = self.first.unwrap_or(End::BackendClosed);
        self.broker.end(first)
    }

    /// Reports whether a direction has ended and the other one was idle for too long.
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

    /// Restarts the half-close timeout after data was relayed.
    fn has_moved(&mut self) {
        if let Some(deadline) = &mut self.deadline {
            deadline.as_mut().reset(Instant::now() + self.half_close);
        }
    }

    /// Relays from the client to the backend.
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
            if !scratch.plain.is_empty() {
                self.broker.hears();
            }
            if let Some(end) = self.watch.go_on(&mut scratch.plain) {
                self.end_up(end);
                self.down = self.down.max(Direction::Ending);
            }
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
                // Many clients do not answer close_notify with their own.
                Ok(Read::End) => self.end_up(End::ClientCut),
                Err(inbound::Error::Io(_)) => self.lose_client(),
                Err(error @ (inbound::Error::Tls(_) | inbound::Error::TooLarge(_))) => {
                    self.broker.fails(error.alert());
                    self.end_up(End::TlsError);
                    // Nothing may follow the queued alert.
                    self.down = self.down.max(Direction::Ending);
                }
            }
            if sent.is_err() {
                return self.give_up_backend();
            }
            Step::Moved
        })
    }

    /// Ends the direction from the client. Complete data is delivered however the connection ended: MQTT has
    /// its own framing, so the broker can interpret the FIN after it.
    fn end_up(&mut self, end: End) {
        self.first.get_or_insert(self.broker.left(end));
        self.up = Direction::Ending;
    }

    /// Handles a failed read from the client.
    fn lose_client(&mut self) {
        self.end_up(End::ClientReset);
        self.stop_hearing();
    }

    /// Stops sending to the client. The backend's data is still read: closing a socket with unread data resets
    /// it, and the backend would lose data in flight.
    fn stop_hearing(&mut self) {
        self.first.get_or_insert(End::ClientReset);
        self.client_is_gone = true;
        self.session.to_client = Backlog::default();
    }

    /// Stops sending to the backend. A broker that rejects a client answers and closes while the client may
    /// still be sending; the answer in the socket must still be forwarded.
    fn give_up_backend(&mut self) -> Step {
        self.first.get_or_insert(End::BackendReset);
        self.backend_failed = true;
        self.to_backend = Backlog::default();
        self.up = Direction::Done;
        Step::Moved
    }

    /// Relays from the backend to the client.
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
            // Stop before reading data that could not be encrypted. The client reconnects and gets a new key.
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
                // After a failed write, the end of the stream is a reset that the write consumed.
                return self.end_of_backend(if self.backend_failed {
                    End::BackendReset
                } else {
                    End::BackendClosed
                });
            }
            self.broker.says(plain[0], &self.known);
            self.has_moved();
            self.worker.counts().to_client.add(plain.len() as u64);
            let Some(size) = self.session.encrypt(plain, &mut scratch.cipher) else {
                // The session cannot encrypt any more.
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

    /// Ends the direction from the backend; after a reset also the one to it.
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

    /// Reads and discards the backend's data.
    fn discard(&mut self, cx: &mut Context<'_>) -> Step {
        if self.backend_ended || self.backend_failed {
            self.down = Direction::Done;
            return Step::Done;
        }
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch.read);
            match Pin::new(&mut self.backend).poll_read(cx, &mut buffer) {
                Poll::Pending => Step::Blocked,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.broker.says(buffer.filled()[0], &self.known);
                    Step::Moved
                }
                Poll::Ready(_) => {
                    self.backend_ended = true;
                    Step::Moved
                }
            }
        })
    }

    /// Sends close_notify, unless data was lost, and then ends the TCP direction.
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
