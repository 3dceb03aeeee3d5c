//! The end of a connection without a backend: counts it, and sends its client an alert or close_notify. Also the
//! orderly close of any client: send the queued data, shut the direction down, and read for a moment.
//!
//! It must not wait for a client longer than [`LAST_WORDS`].

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::admission::{Place, Stage};
use crate::backend;
use crate::backlog::Backlog;
use crate::clients::Membership;
use crate::end::{End, Limit};
use crate::first_packet;
use crate::journal::Entry;
use crate::sockets;
use crate::state::Worker;
use crate::tls::failure::{self, Failure};
use crate::tls::handshake::Attempt;
use crate::tls::session::Session;

/// Time limit for sending the last data to a client and for reading after it. Closing a socket with unread data
/// resets it, and the client may lose data that it has not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Maximum number of bytes to read and discard after the last data.
const LAST_WORDS_READ_MAX: usize = 256 * 1024;

/// Reasons for which a client gets no backend.
pub(crate) enum Cause {
    Backend(backend::Error, Box<Session>),
    FirstPacket(first_packet::Error, Box<Session>),
    Handshake(failure::Error),
    /// A probe whose handshake succeeded.
    Probe(Box<Session>),
    Refused(Limit),
}

impl From<failure::Error> for Cause {
    fn from(error: failure::Error) -> Self {
        Self::Handshake(error)
    }
}

impl From<Limit> for Cause {
    fn from(limit: Limit) -> Self {
        Self::Refused(limit)
    }
}

/// A connection without a backend.
pub(crate) struct Unserved {
    pub(crate) cause: Cause,
    pub(crate) client: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) attempt: Attempt,
    pub(crate) place: Place,
    /// Whether to add a failed handshake to the journal.
    pub(crate) is_kept: bool,
    /// Makes drains wait for the close.
    pub(crate) membership: Membership,
}

impl Unserved {
    /// Returns how the connection ended.
    pub(crate) fn end(&self) -> End {
        match &self.cause {
            Cause::Backend(error, _) => error.end(),
            Cause::FirstPacket(error, _) => error.end(),
            Cause::Handshake(error) if self.is_answered_probe(error) => End::Probed,
            Cause::Handshake(_) => End::HandshakeFailed,
            Cause::Probe(_) => End::Probed,
            Cause::Refused(_) => End::Refused,
        }
    }

    /// Counts and logs the reason, and closes the client's connection.
    pub(crate) async fn close(mut self: Box<Self>, worker: Arc<Worker>) {
        self.count(&worker);
        self.settle(&worker);
        let Self {
            cause,
            client,
            attempt,
            mut place,
            membership: _membership,
            ..
        } = *self;
        let words = match cause {
            Cause::Backend(_, mut session) | Cause::Probe(mut session) => {
                session.queue_close_notify();
                session.to_client
            }
            Cause::FirstPacket(error, mut session) => {
                if let Some(connack) = error.connack() {
                    session.queue(connack.as_bytes());
                }
                if !error.is_alerted() {
                    session.queue_close_notify();
                }
                session.to_client
            }
            Cause::Handshake(_) => attempt.into_alert(),
            Cause::Refused(_) => {
                // Reset it: that costs the least, and leaves no socket in TIME_WAIT.
                sockets::reset_on_close(&client);
                return;
            }
        };
        let notice = place.notice();
        place.wait(Stage::LastWords);
        tokio::select! {
            () = last_words(client, words) => {}
            () = notice.notified() => {}
        }
    }

    /// Reports whether it is a probe that got the certificate and has none itself; any other failure counts.
    fn is_answered_probe(&self, error: &failure::Error) -> bool {
        self.attempt.is_probe() && error.failure() == Failure::ClientCertificateMissing
    }

    fn count(&self, worker: &Worker) {
        let version = self.attempt.version();
        match &self.cause {
            Cause::Backend(..) | Cause::Probe(_) => {}
            Cause::Handshake(error) if self.is_answered_probe(error) => {}
            Cause::FirstPacket(error, _) => {
                worker.state.notices.no_first_packet(self.address, error);
            }
            Cause::Handshake(error) => {
                worker.counts().handshake_failed(error.failure(), version);
                self.note(error, worker);
            }
            Cause::Refused(limit) => {
                worker.counts().refuse(*limit);
                if *limit == Limit::Handshakes && !self.attempt.is_done() {
                    worker.counts().handshake_failed(Failure::Evicted, version);
                }
            }
        }
    }

    /// Counts a client that aborted after it was shown a certificate that is on trial.
    fn settle(&mut self, worker: &Worker) {
        let abort = match &self.cause {
            Cause::FirstPacket(error, _) => error.abort(),
            Cause::Handshake(error) => error.abort(),
            Cause::Backend(..) | Cause::Probe(_) | Cause::Refused(_) => None,
        };
        // Otherwise the draw says nothing, and is dropped.
        if let (Some(draw), Some(abort)) = (self.attempt.drawn(), abort)
            && let Some(trial) = draw.aborted(abort)
        {
            let notices = &worker.state.notices;
            notices.candidate_refused(self.address, &trial, abort);
        }
    }

    /// Records a failed handshake in the log and, if enabled, in the journal. Health checks, which send
    /// nothing, are only counted and logged at debug.
    fn note(&self, error: &failure::Error, worker: &Worker) {
        let address = self.address;
        if self.attempt.hello.is_empty() {
            debug!(%address, reason = error.failure().name(), "handshake failed");
            return;
        }
        let entry = Entry::of(address, Timestamp::now(), error, &self.attempt);
        worker.state.notices.handshake_failed(error, &entry);
        if self.is_kept {
            worker.state.journal.add(entry);
        }
    }
}

/// Sends the queued data, shuts the direction down, and reads for a moment, so that no reset destroys the data.
pub(crate) async fn last_words(mut client: TcpStream, mut words: Backlog) {
    let say = async {
        poll_fn(|cx| words.poll_flush(&mut client, cx)).await?;
        client.shutdown().await?;
        discard(&client).await
    };
    // A client that does not read in time misses the data.
    let _ = timeout(LAST_WORDS, say).await;
}

/// Reads for a moment after the last data and the FIN were sent, so that no reset destroys the data.
pub(crate) async fn linger(client: TcpStream) {
    let _ = timeout(LAST_WORDS, discard(&client)).await;
}

/// Reads until the client's end, or until it has sent too much.
async fn discard(client: &TcpStream) -> io::Result<()> {
    for _ in 0..LAST_WORDS_READ_MAX / 4096 {
        let mut ignored = [0; 4096];
        client.readable().await?;
        match client.try_read(&mut ignored) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
