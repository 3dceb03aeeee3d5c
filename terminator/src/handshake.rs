//! The handshake: ciphertext back and forth until both sides have keys.
//!
//! It must not wait longer than its caller lets it (there is no deadline in here), and must not hold
//! more than [`BUFFER_MAX`] for a client that is nobody yet.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::backlog::Backlog;
use crate::scratch;
use crate::session::Session;

/// How much of a handshake message may wait for its rest, in bytes: one record of full size and
/// another header (RFC 8446, section 5.2). The largest ClientHellos have 2 KiB, client certificate
/// chains some 5.
pub(crate) const BUFFER_MAX: usize = 18 * 1024;

/// The content type of a handshake record (RFC 8446, section 5.1), with which every client begins.
const HANDSHAKE_RECORD: u8 = 22;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Also a reset before the first byte: load balancers end their health checks so.
    #[error("the client ended the connection in the middle of the handshake")]
    Cut,
    #[error("the connection failed in the handshake")]
    Io(#[source] io::Error),
    #[error("the client does not speak TLS; its first byte is {0:#04x}")]
    NotTls(u8),
    #[error("no session can be made")]
    Setup(#[source] rustls::Error),
    #[error("the handshake was not finished in time")]
    Timeout,
    #[error("the handshake failed")]
    Tls(#[source] rustls::Error),
    #[error("the client sent a handshake message of more than {BUFFER_MAX} bytes")]
    TooLarge,
}

impl Error {
    /// The kind of error, one of a fixed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Io(_) => "io",
            Self::NotTls(_) => "not_tls",
            Self::Setup(_) => "setup",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Tls(error) => match error {
                rustls::Error::AlertReceived(_) => "client_alert",
                rustls::Error::InvalidCertificate(_) => "client_certificate_refused",
                rustls::Error::NoCertificatesPresented => "client_certificate_missing",
                rustls::Error::PeerIncompatible(_) => "incompatible",
                _ => "bad_message",
            },
        }
    }
}

/// A session that stands, and the data that came together with its last handshake message.
pub(crate) struct Established {
    pub(crate) session: Session,
    pub(crate) to_backend: Backlog,
}

/// A session that did not come about, with the alert that the client is owed.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) alert: Backlog,
    pub(crate) version: &'static str,
}

/// Shakes hands.
pub(crate) async fn accept(
    client: &mut TcpStream,
    config: Arc<ServerConfig>,
) -> Result<Established, Failed> {
    let mut session = match Session::new(config) {
        Ok(session) => session,
        Err(error) => return Err(failed(Error::Setup(error), None)),
    };
    let mut to_backend = Backlog::default();
    let mut is_first = true;
    loop {
        let flushed = poll_fn(|cx| session.to_client.poll_flush(client, cx)).await;
        if let Err(error) = flushed {
            return Err(failed(Error::Io(error), Some(session)));
        }
        if !session.is_handshaking() {
            return Ok(Established {
                session,
                to_backend,
            });
        }
        let step = |cx: &mut Context<'_>| step(client, &mut session, &mut to_backend, is_first, cx);
        if let Err(error) = poll_fn(step).await {
            return Err(failed(error, Some(session)));
        }
        is_first = false;
    }
}

fn failed(error: Error, session: Option<Session>) -> Failed {
    let version = session.as_ref().map_or("none", Session::version);
    let alert = session.map(|session| session.to_client).unwrap_or_default();
    Failed {
        error,
        alert,
        version,
    }
}

/// Reads once and takes in what came.
fn step(
    client: &mut TcpStream,
    session: &mut Session,
    to_backend: &mut Backlog,
    is_first: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    scratch::with(|scratch| {
        let held = session.restore(&mut scratch.cipher);
        let mut buffer = ReadBuf::new(&mut scratch.cipher[held..held + BUFFER_MAX]);
        let read = ready!(Pin::new(client).poll_read(cx, &mut buffer));
        read.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionReset if is_first => Error::Cut,
            _ => Error::Io(error),
        })?;
        let filled = held + buffer.filled().len();
        if filled == held {
            return Poll::Ready(Err(Error::Cut));
        }
        if is_first && scratch.cipher[0] != HANDSHAKE_RECORD {
            return Poll::Ready(Err(Error::NotTls(scratch.cipher[0])));
        }
        scratch.plain.clear();
        session
            .receive(&mut scratch.cipher[..filled], &mut scratch.plain)
            .map_err(Error::Tls)?;
        if !scratch.plain.is_empty() {
            to_backend.push(&scratch.plain);
        }
        if session.is_handshaking() && session.held() > BUFFER_MAX {
            return Poll::Ready(Err(Error::TooLarge));
        }
        Poll::Ready(Ok(()))
    })
}
