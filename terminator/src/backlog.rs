//! Bytes that a socket has not accepted yet. Callers must flush them before they read more data for that socket, so
//! that the memory of a blocked connection is bounded by the size of one read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Queue of bytes to send. Owns no memory while empty.
#[derive(Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Makes room for further bytes, and not for more.
    pub(crate) fn reserve(&mut self, size: usize) {
        self.bytes.reserve_exact(size);
    }

    /// Appends `size` bytes for the caller to fill.
    pub(crate) fn grow(&mut self, size: usize) -> &mut [u8] {
        let end = self.bytes.len();
        self.bytes.resize(end + size, 0);
        &mut self.bytes[end..]
    }

    /// Returns the bytes not sent yet.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Replaces the first `size` bytes not sent yet.
    pub(crate) fn replace(&mut self, size: usize, bytes: &[u8]) {
        self.bytes
            .splice(self.sent..self.sent + size, bytes.iter().copied());
    }

    /// Removes the last `size` bytes.
    pub(crate) fn shrink(&mut self, size: usize) {
        self.bytes.truncate(self.bytes.len().saturating_sub(size));
    }

    /// Sends all queued bytes.
    pub(crate) fn poll_flush(
        &mut self,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            self.sent += ready!(Pin::new(&mut *socket).poll_write(cx, &self.bytes[self.sent..]))?;
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }

    /// Sends bytes directly if the queue is empty, and queues the rest.
    pub(crate) fn poll_send(
        &mut self,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> io::Result<()> {
        while self.is_empty() && !bytes.is_empty() {
            match Pin::new(&mut *socket).poll_write(cx, bytes) {
                Poll::Ready(Ok(sent)) => bytes = &bytes[sent..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if !bytes.is_empty() {
            self.push(bytes);
        }
        Ok(())
    }
}
