//! The first packet: reads the client's CONNECT before the broker is dialed.
//!
//! The caller sets the deadline. It must not change the client's data. If the connection fails after the
//! CONNECT, the broker still gets all data that the client sent.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use mqtt_tls_mqtt::Start;
use tokio::net::TcpStream;

use crate::admission::{Place, Stage};
use crate::backlog::Backlog;
use crate::end::End;
use crate::scratch;
use crate::tls::handshake::Established;
use crate::tls::inbound::{self, Read};

/// Maximum number of bytes to wait for before dialing. A longer CONNECT (a will may have any length) is
/// forwarded as it arrives.
const WAITED_FOR_MAX: usize = 16 * 1024;

/// Errors that prevent dialing the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client sent close_notify.
    #[error("the client closed the connection before it sent a CONNECT")]
    Closed,
    /// The connection ended without close_notify.
    #[error("the client's connection ended before it sent a CONNECT")]
    Cut,
    /// The client does not speak MQTT.
    #[error("the client's first packet is not a CONNECT")]
    NotMqtt,
    /// The connection failed.
    #[error("the connection failed before the client sent a CONNECT")]
    Reset(#[source] std::io::Error),
    /// The deadline passed.
    #[error("timed out waiting for the client's CONNECT")]
    Timeout,
    /// The client violated the TLS protocol; the alert is queued in the session.
    #[error("the client violated the TLS protocol before it sent a CONNECT")]
    Tls(#[source] inbound::Error),
}

impl Error {
    /// Returns how the connection ends.
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

    /// Reports whether an alert is queued; nothing may follow it.
    pub(crate) fn is_alerted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// Reads until the client's CONNECT is complete, and queues it for the backend.
pub(crate) async fn read(
    client: &mut TcpStream,
    established: &mut Established,
    place: &mut Place,
) -> Result<(), Error> {
    poll_fn(|cx| {
        loop {
            let said = established.to_backend.waiting();
            match mqtt_tls_mqtt::start(said) {
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

/// Sends what is left of the handshake, and reads once.
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
        // The client receives nothing more, but may have sent data.
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
