//! The sockets that one thread accepts from, which may be several while clients move from one port to another.
//!
//! It must not serve what it accepts.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use tokio::net::{TcpListener, TcpStream};

use crate::sockets::{Bound, Place};

/// Maximum number of connections accepted from the kernel's queue before a socket is closed.
const QUEUE_MAX: usize = 8192;

/// An accepted connection, and the client's address.
pub(crate) type Accepted = (TcpStream, SocketAddr);

/// The sockets of one thread.
pub(crate) struct Listeners {
    all: Vec<(Place, TcpListener)>,
    /// Index of the socket that is asked first.
    next: usize,
}

impl Listeners {
    /// Takes bound sockets over.
    pub(crate) fn new(bound: Bound) -> io::Result<Self> {
        let mut listeners = Self {
            all: Vec::new(),
            next: 0,
        };
        listeners.add(bound)?;
        Ok(listeners)
    }

    /// Adds sockets.
    pub(crate) fn add(&mut self, bound: Bound) -> io::Result<()> {
        for (place, listener) in bound {
            self.all.push((place, TcpListener::from_std(listener)?));
        }
        Ok(())
    }

    /// Accepts from each socket in turn, so that a busy one does not keep another waiting. Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<Accepted> {
        let Self { all, next } = self;
        let (count, first) = (all.len(), *next);
        poll_fn(|context| {
            let in_turn = all.iter().enumerate().cycle().skip(first).take(count);
            for (index, (_, listener)) in in_turn {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    *next = (index + 1) % count;
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Closes the sockets of other places than these, after serving the connections in their queues. Returns how many of
    /// those failed: the others, and the sockets that stay, are not affected.
    pub(crate) fn keep(&mut self, places: &[Place], serve: impl Fn(Accepted)) -> u64 {
        self.next = 0;
        let is_other = |(place, _): &mut (Place, TcpListener)| !places.contains(place);
        let closed: Vec<_> = self.all.extract_if(.., is_other).collect();
        let closed = closed.into_iter().map(|(_, listener)| {
            let listener = listener.into_std();
            listener.map_or(1, |listener| empty(&listener, register, &serve))
        });
        closed.sum()
    }
}

/// Reports whether an accept error concerns a single connection (accept(2)).
pub(crate) fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Accepts the queued connections, which closing the socket would reset, and returns how many of them failed. Asks the
/// kernel directly, since the runtime may not know of the newest connections yet.
fn empty(
    listener: &std::net::TcpListener,
    register: impl Fn(std::net::TcpStream) -> io::Result<TcpStream>,
    serve: impl Fn(Accepted),
) -> u64 {
    let mut failed = 0;
    for _ in 0..QUEUE_MAX {
        match listener.accept() {
            Ok((client, from)) => match register(client) {
                Ok(client) => serve((client, from)),
                Err(_) => failed += 1,
            },
            Err(error) if is_about_one(&error) => failed += 1,
            // Usually WouldBlock: the queue is empty.
            Err(_) => break,
        }
    }
    failed
}

/// Hands a connection to the runtime.
fn register(client: std::net::TcpStream) -> io::Result<TcpStream> {
    client.set_nonblocking(true)?;
    TcpStream::from_std(client)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::io;

    use super::{empty, register};

    /// As when the kernel has no memory for another registration.
    #[tokio::test]
    async fn a_queued_connection_that_fails_does_not_affect_the_others() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        listener.set_nonblocking(true).unwrap();
        let (tried, served) = (Cell::new(0), RefCell::new(vec![]));
        let second_fails = |client| {
            tried.set(tried.get() + 1);
            if tried.get() == 2 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            register(client)
        };
        let failed = empty(&listener, second_fails, |(_, from)| {
            served.borrow_mut().push(from);
        });
        assert_eq!(failed, 1);
        let [first, _, third] = clients.map(|client| client.local_addr().unwrap());
        assert_eq!(served.into_inner(), [first, third]);
    }
}
