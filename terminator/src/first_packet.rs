//! The first packet: the client's CONNECT, before anyone dials the broker for it.
//!
//! It must not wait longer than its caller lets it (there is no deadline in here), and must not change what the
//! client said. A client that cannot be heard to the end, but has said its CONNECT, has a right to the broker: all
//! that it sent is delivered.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::admission::{Place, Stage};
use crate::backlog::Backlog;
use crate::mqtt::{self, Start};
use crate::record::End;
use crate::scratch;
use crate::tls::handshake::Established;
use crate::tls::inbound::{self, Read};

/// How much of a CONNECT is waited for, in bytes. A longer one (a will may have any length) is passed on as it
/// comes: somebody who has sent so much means it.
const WAITED_FOR_MAX: usize = 16 * 1024;

/// Why the broker is not dialled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// close_notify came first.
    #[error("the client closed the connection before it sent a CONNECT")]
    Closed,
    /// The connection ended without close_notify.
    #[error("the client's connection ended before it sent a CONNECT")]
    Cut,
    /// No MQTT client begins so.
    #[error("the client's first packet is no CONNECT: it does not speak MQTT")]
    NotMqtt,
    /// The connection failed.
    #[error("the connection failed before the client sent a CONNECT")]
    Reset(#[source] std::io::Error),
    /// The time is over.
    #[error("the client sent no CONNECT in time")]
    Timeout,
    /// The client broke the TLS protocol; the alert waits in the session.
    #[error("the client broke the TLS protocol before it sent a CONNECT")]
    Tls(#[source] inbound::Error),
}

impl Error {
    /// How the connection ends.
    pub(crate) fn end(&self) -> End {
        match self {
            Self::Closed => End::ClientClosed,
            Self::Cut => End::ClientCut,
            Self::NotMqtt => End::NotMqtt,
            Self::Reset(_) => End::ClientReset,
            Self::Timeout => End::FirstPacketTimeout,
            Self::Tls(_) => End::TlsError,
        }
    }

    /// Whether the client has been told why: nothing may follow an alert.
    pub(crate) fn is_alerted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// Reads until the client's CONNECT is there, and leaves it where it waits for the backend.
pub(crate) async fn read(
    client: &mut TcpStream,
    established: &mut Established,
    place: &mut Place,
) -> Result<(), Error> {
    poll_fn(|cx| {
        loop {
            let said = established.to_backend.waiting();
            match mqtt::start(said) {
                Start::Connect => return Poll::Ready(Ok(())),
                Start::Other => return Poll::Ready(Err(Error::NotMqtt)),
                Start::Partial if said.len() > WAITED_FOR_MAX => return Poll::Ready(Ok(())),
                Start::Partial if established.session.peer_closed() => {
                    return Poll::Ready(Err(Error::Closed));
                }
                Start::Partial => {}
            }
            let polled = step(client, established, cx);
            if polled.is_pending() {
                place.wait(Stage::FirstPacket);
            }
            ready!(polled)?;
        }
    })
    .await
}

/// Sends what the handshake has left to send, reads once, and takes in what came.
fn step(
    client: &mut TcpStream,
    Established {
        session,
        to_backend,
    }: &mut Established,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    match session.to_client.poll_flush(client, cx) {
        Poll::Ready(Ok(())) | Poll::Pending => {}
        // It hears nothing more, and may have said something all the same.
        Poll::Ready(Err(_)) => session.to_client = Backlog::default(),
    }
    scratch::with(|scratch| {
        let read = ready!(inbound::poll_read(client, session, scratch, cx));
        if !scratch.plain.is_empty() {
            to_backend.push(&scratch.plain);
        }
        Poll::Ready(match read {
            Ok(Read::Some) => Ok(()),
            Ok(Read::End) => Err(Error::Cut),
            Err(inbound::Error::Io(error)) => Err(Error::Reset(error)),
            Err(error) => Err(Error::Tls(error)),
        })
    })
}
