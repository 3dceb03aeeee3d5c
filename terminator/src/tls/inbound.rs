//! Reads from a client's socket and decrypts: prepends the held part of a record or message to each read.
//!
//! It must not keep state: the session holds incomplete data, and the caller uses the result before the
//! thread's buffers are lent again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::scratch::{CIPHER_READ, HELD_MAX, Scratch};
use crate::tls::session::Session;

/// Maximum ciphertext held after the handshake, in bytes: one full record (RFC 8446, section 5.2). More would be a
/// message spread over many records, and there are no long messages after the handshake.
pub(crate) const HELD_AFTER_MAX: usize = 18 * 1024;

/// Result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Data was received; its plaintext, if any, is in [`Scratch::plain`].
    Some,
    /// The client ended its TCP direction.
    End,
}

/// Errors in reading.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client's connection failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// A message exceeds the limit on held data.
    #[error("the client sent a message of more than {0} bytes")]
    TooLarge(usize),
    /// The client violated the protocol; the alert is queued in the session.
    #[error("the client violated the TLS protocol")]
    Tls(#[source] rustls::Error),
}

impl Error {
    /// Returns the number of the alert that the client sent, if that is the error.
    pub(crate) fn alert(&self) -> Option<u8> {
        match self {
            Self::Tls(rustls::Error::AlertReceived(alert)) => Some((*alert).into()),
            _ => None,
        }
    }
}

/// Reads once and decrypts into [`Scratch::plain`]. If this fails, the plaintext of complete records before the
/// failure is still there: it is authentic.
pub(crate) fn poll_read(
    client: &mut TcpStream,
    session: &mut Session,
    scratch: &mut Scratch,
    cx: &mut Context<'_>,
) -> Poll<Result<Read, Error>> {
    scratch.plain.clear();
    let held_max = if session.is_handshaking() {
        HELD_MAX
    } else {
        HELD_AFTER_MAX
    };
    let held = session.restore(&mut scratch.cipher);
    let mut buffer = ReadBuf::new(&mut scratch.cipher[held..held + CIPHER_READ]);
    ready!(Pin::new(client).poll_read(cx, &mut buffer)).map_err(Error::Io)?;
    let filled = held + buffer.filled().len();
    if filled == held {
        return Poll::Ready(Ok(Read::End));
    }
    let received = session.receive(&mut scratch.cipher[..filled], &mut scratch.plain);
    received.map_err(Error::Tls)?;
    if session.held() > held_max {
        return Poll::Ready(Err(Error::TooLarge(held_max)));
    }
    Poll::Ready(Ok(Read::Some))
}
