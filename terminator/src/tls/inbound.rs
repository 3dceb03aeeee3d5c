//! From a client's socket to plaintext: the one place that reads, puts what waited for its rest before it, and
//! decrypts.
//!
//! It must not keep anything: what waits for its rest is the session's, and what was read is the caller's until
//! the thread's buffers are lent again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::scratch::{CIPHER_READ, Scratch};
use crate::tls::session::Session;

/// How much ciphertext may wait for its rest during the handshake, in bytes: the largest handshake message that
/// rustls takes, which refuses larger ones with an alert, and its records' headers.
pub(crate) const HELD_MAX: usize = 66 * 1024;

/// The same after the handshake: more than one record of full size (RFC 8446, section 5.2) is a message that
/// somebody spreads over many, and after the handshake there are no long ones.
pub(crate) const HELD_AFTER_MAX: usize = 18 * 1024;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Something; what it says, if it is data, is in [`Scratch::plain`].
    Some,
    /// The end of the client's TCP direction.
    End,
}

/// Why nothing more is read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client's connection failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// A message is spread over more bytes than may wait for their rest.
    #[error("the client sent a message of more than {0} bytes")]
    TooLarge(usize),
    /// The client broke the protocol; the alert waits in the session.
    #[error("the client broke the TLS protocol")]
    Tls(#[source] rustls::Error),
}

/// Reads once, and takes in what came. [`Scratch::plain`] holds the data that was whole, also where this fails:
/// it was authentic.
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
