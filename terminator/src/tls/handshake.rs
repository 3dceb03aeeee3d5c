//! The handshake: reads the ClientHello, then exchanges messages until the session is established.
//!
//! The caller sets the deadline. Before the ClientHello is complete, it must not hold more than [`HELLO_MAX`] for a
//! client, nor any TLS state.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mqtt_tls_judge::client::Refusal;
use mqtt_tls_judge::name_of;
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::admission::{Place, Stage};
use crate::arrival::{self, Arrival};
use crate::backlog::Backlog;
use crate::scratch;
use crate::tls::drawn;
use crate::tls::failure::{Error, Failure};
use crate::tls::hello::fingerprint::fingerprint;
use crate::tls::hello::{self, Needs, Progress};
use crate::tls::inbound;
use crate::tls::policy::Verdict;
use crate::tls::session::{Session, Version};
use crate::tls::{ClientTrust, Served};
use crate::trial::{Draw, Trials};

/// Maximum size of a ClientHello with its record headers, in bytes. The largest in practice have 2 KiB.
pub(crate) const HELLO_MAX: usize = 18 * 1024;

/// Plaintext fatal alert (RFC 8446, section 6): `illegal_parameter`, as OpenSSL and BoringSSL answer a message
/// that is too long.
const TOO_LARGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 47];

/// Plaintext fatal alert: `protocol_version`, as GnuTLS and Go answer SSL 2.0.
const SSL2: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

/// Plaintext fatal alert: `unrecognized_name` (RFC 6066, section 3).
const UNKNOWN_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Plaintext fatal alert: `no_application_protocol` (RFC 7301, section 3.2).
const NO_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// A handshake in progress. It outlives the future that drives it, so that cancelled handshakes can be reported.
#[derive(Default)]
pub(crate) struct Attempt {
    /// Data from the client, up to its complete ClientHello.
    pub(crate) hello: Vec<u8>,
    session: Option<Session>,
    /// An alert that is not from rustls.
    alert: Backlog,
    /// What follows from the ClientHello, once it is complete.
    needs: Needs,
    /// Which certificate it gets of one with a candidate, while there is a trial.
    draw: Option<Box<Draw>>,
    is_done: bool,
}

/// An established session, and the client's data that has not been sent to the backend.
pub(crate) struct Established {
    pub(crate) session: Session,
    pub(crate) to_backend: Backlog,
}

impl Attempt {
    /// Returns the protocol version, once it is negotiated.
    pub(crate) fn version(&self) -> Version {
        self.session
            .as_ref()
            .map_or(Version::None, Session::version)
    }

    /// Reports whether the handshake succeeded.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Reports whether it is a probe of the operator.
    pub(crate) fn is_probe(&self) -> bool {
        self.needs.is_probe
    }

    /// Returns what became of the client's handshake, with which changes it could not have connected; `None` if that says
    /// nothing about what it offers.
    pub(crate) fn verdict(&self, served: &Served, error: Option<&Error>) -> Option<Verdict> {
        match error {
            _ if self.needs.is_probe => None,
            None => Some(served.policy().verdict(self.needs.offered)),
            Some(error) => {
                (error.failure() == Failure::Incompatible).then_some(Verdict::Incompatible)
            }
        }
    }

    /// Draws for the client, if a certificate of its host is on trial. A probe gets the candidate only if it asks for it.
    pub(crate) fn draw(&mut self, trials: &Arc<Trials>, address: IpAddr, served: &Served) {
        if !served.has_candidates() {
            return;
        }
        let draw = if self.needs.is_probe {
            self.needs.is_of_candidate.then(Draw::of_probe)
        } else {
            trials.draw(address, || fingerprint(&self.hello))
        };
        self.draw = draw.map(Box::new);
    }

    /// Takes the draw of a client that was shown a certificate.
    pub(crate) fn drawn(&mut self) -> Option<Box<Draw>> {
        let draw = self.draw.take()?;
        self.has_shown(&draw).then(|| draw.settled()).flatten()
    }

    /// Returns the ID of the trial whose candidate the client was shown.
    pub(crate) fn candidate(&self) -> Option<&str> {
        let draw = self.draw.as_ref().filter(|draw| self.has_shown(draw))?;
        draw.candidate()
    }

    fn has_shown(&self, draw: &Draw) -> bool {
        let session = self.session.as_ref();
        self.is_done || session.is_some_and(|one| one.has_shown_certificate(draw.chosen))
    }

    /// Returns the host name that the client requests.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.needs.server_name.as_deref()
    }

    /// Refuses the name that the client requests.
    pub(crate) fn refuse_name(&mut self) -> Error {
        self.alert.push(&UNKNOWN_NAME);
        Error::UnknownName
    }

    /// Returns the queued alert.
    pub(crate) fn alert(&self) -> &[u8] {
        let queued = self.session.as_ref().map(|session| &session.to_client);
        let queued = queued.filter(|queued| !queued.is_empty());
        queued.unwrap_or(&self.alert).waiting()
    }

    /// Returns the queued alert for sending.
    pub(crate) fn into_alert(self) -> Backlog {
        let queued = self.session.map(|session| session.to_client);
        queued
            .filter(|queued| !queued.is_empty())
            .unwrap_or(self.alert)
    }

    /// Reads until the ClientHello is complete.
    pub(crate) async fn hear(
        &mut self,
        client: &mut TcpStream,
        place: &mut Place,
    ) -> Result<(), Error> {
        poll_fn(|cx| {
            loop {
                let polled = self.poll_hello(client, cx);
                if polled.is_pending() {
                    place.wait(if self.hello.is_empty() {
                        Stage::Silent
                    } else {
                        Stage::Hello
                    });
                }
                if ready!(polled)? != Progress::Partial {
                    self.needs = Needs::read(&self.hello);
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }

    /// Reads once, and checks the progress of the ClientHello.
    fn poll_hello(
        &mut self,
        client: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Progress, Error>> {
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch.cipher[..HELLO_MAX + 1 - self.hello.len()]);
            let is_first = self.hello.is_empty();
            ready!(Pin::new(client).poll_read(cx, &mut buffer)).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::ConnectionReset if is_first => Error::Cut,
                    _ => Error::Io(error),
                }
            })?;
            if buffer.filled().is_empty() {
                let is_tls = is_first || arrival::name(&self.hello) == Arrival::Tls;
                return Poll::Ready(Err(if is_tls {
                    Error::Cut
                } else {
                    Error::NotTls(Arrival::Undecided)
                }));
            }
            self.hello.extend_from_slice(buffer.filled());
            let progress = match arrival::name(&self.hello) {
                Arrival::Tls => hello::progress(&self.hello, HELLO_MAX),
                Arrival::Undecided => Progress::Partial,
                other => {
                    if other == Arrival::Ssl2 {
                        self.alert.push(&SSL2);
                    }
                    return Poll::Ready(Err(Error::NotTls(other)));
                }
            };
            if progress == Progress::TooLarge
                || (progress == Progress::Partial && self.hello.len() > HELLO_MAX)
            {
                self.alert.push(&TOO_LARGE);
                return Poll::Ready(Err(Error::TooLarge(HELLO_MAX)));
            }
            Poll::Ready(Ok(progress))
        })
    }

    /// Performs the handshake after the ClientHello, when it is the client's [`turn`].
    pub(crate) async fn shake(
        &mut self,
        client: &mut TcpStream,
        served: &Served,
        place: &mut Place,
        turn: Option<SemaphorePermit<'_>>,
    ) -> Result<Established, Error> {
        if served.lacks_protocol(&self.needs) {
            self.alert.push(&NO_PROTOCOL);
            return Err(Error::NoProtocol);
        }
        let session = Session::new(served.to(&self.needs), served.verifies());
        let session = session.map_err(Error::Setup)?;
        let session = self.session.insert(session);
        session.limit_records(served.record_max(&self.needs));
        let mut to_backend = Backlog::default();
        scratch::with(|scratch| {
            scratch.plain.clear();
            let hello = &mut scratch.cipher[..self.hello.len()];
            hello.copy_from_slice(&self.hello);
            drawn::lend(&mut self.draw, || {
                session.receive(hello, &mut scratch.plain)
            })
        })
        .map_err(|error| Error::of(error, &self.hello))?;
        drop(turn);
        while session.is_handshaking() {
            poll_fn(|cx| {
                // After a HelloRetryRequest the certificate is chosen again.
                let polled = drawn::lend(&mut self.draw, || {
                    step(client, session, &mut to_backend, cx)
                });
                if polled.is_pending() {
                    place.wait(Stage::Handshake);
                }
                polled
            })
            .await?;
        }
        if session.is_resumed() {
            // It has shown no certificate.
            self.draw = None;
        }
        self.is_done = true;
        let session = self.session.take();
        // It was set above, and nothing else takes it.
        let session = session.ok_or(Error::Setup(rustls::Error::HandshakeNotComplete))?;
        Ok(Established {
            session,
            to_backend,
        })
    }
}

/// What a dry run found: a client that would be refused.
pub(crate) struct WouldRefuse {
    /// Why; `None` if it sent no certificate.
    pub(crate) refusal: Option<Refusal>,
    /// The subject of its certificate, escaped.
    pub(crate) certificate: Option<String>,
}

/// Judges the client of a new session where that is a dry run, as its certificate would have been judged in the handshake.
pub(crate) fn rehearse(trust: &ClientTrust, session: &Session) -> Option<WouldRefuse> {
    let ClientTrust::DryRun(trust) = trust else {
        return None;
    };
    let Some((leaf, others)) = session.presented().and_then(<[_]>::split_first) else {
        return Some(WouldRefuse {
            refusal: None,
            certificate: None,
        });
    };
    let refusal = trust.judge(leaf, others, UnixTime::now()).err()?;
    Some(WouldRefuse {
        refusal: Some(refusal),
        certificate: Some(name_of(leaf)),
    })
}

/// Waits for the client's turn, in order of arrival, and checks that it is still connected. The turn lasts
/// until the permit is dropped.
///
/// Cryptography takes longer than everything before it. In a flood, ClientHellos would be accepted faster than
/// they are answered, and all connections, including relays, would wait behind them. So a thread runs all other
/// tasks once between two turns, and the waiting clients are limited and evicted like in the other stages.
pub(crate) async fn turn<'t>(
    client: &TcpStream,
    place: &mut Place,
    turns: &'t Semaphore,
) -> Result<Option<SemaphorePermit<'t>>, Error> {
    place.wait(Stage::Turn);
    // The semaphore is never closed.
    let turn = turns.acquire().await.ok();
    tokio::task::yield_now().await;
    if !place.leave() {
        // The client was evicted; the caller's select ends this future.
        drop(turn);
        return std::future::pending().await;
    }
    let peeked = poll_fn(|cx| {
        let mut byte = [0];
        Poll::Ready(match client.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(peeked) => peeked.map(|count| count > 0),
            Poll::Pending => Ok(true),
        })
    });
    match peeked.await {
        Ok(true) => Ok(turn),
        Ok(false) => Err(Error::Cut),
        Err(error) => Err(Error::Io(error)),
    }
}

/// Sends the queued data, and reads once.
fn step(
    client: &mut TcpStream,
    session: &mut Session,
    to_backend: &mut Backlog,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    ready!(session.to_client.poll_flush(client, cx)).map_err(left)?;
    scratch::with(|scratch| {
        let read = ready!(inbound::poll_read(client, session, scratch, cx));
        Poll::Ready(match read {
            Ok(inbound::Read::Some) => {
                if !scratch.plain.is_empty() {
                    to_backend.push(&scratch.plain);
                }
                Ok(())
            }
            Ok(inbound::Read::End) => Err(Error::Left),
            Err(inbound::Error::Io(error)) => Err(left(error)),
            Err(inbound::Error::Tls(error)) => Err(Error::Tls(error)),
            Err(inbound::Error::TooLarge(most)) => Err(Error::TooLarge(most)),
        })
    })
}

/// Converts an I/O error after data was sent to the client.
fn left(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Error::Left,
        _ => Error::Io(error),
    }
}
