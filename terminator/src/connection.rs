//! The life of a connection: accept, ClientHello, admit, handshake, first packet, dial, relay, close.
//!
//! This is the one file that knows both TLS and the backend. It must not outlive its deadlines, and
//! each connection that comes in is counted once when it ends, however it ends.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::admission::{Place, Stage};
use crate::backend;
use crate::backlog::Backlog;
use crate::context::{Context, Shared};
use crate::drain::Watch;
use crate::end::End;
use crate::first_packet;
use crate::handshake::{self, Attempt, Established};
use crate::relay::Relay;
use crate::session::Session;
use crate::settings::Settings;
use crate::sockets;

/// How long the last words to a client may take, and how long it is listened to after them. Closing
/// a socket with unread data resets it, and the reset can overtake the words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much is listened to after the last words, in bytes.
const LAST_WORDS_READ_MAX: usize = 256 * 1024;

/// A connection that was accepted, before anything is known of its client.
pub(crate) struct Accepted {
    pub(crate) client: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) at: Instant,
    pub(crate) settings: Arc<Settings>,
    pub(crate) context: Arc<Context>,
    pub(crate) drain: Watch,
}

/// Serves a connection to its end.
pub(crate) async fn serve(accepted: Accepted) {
    let context = Arc::clone(&accepted.context);
    let mut record = Record::begin(&context);
    // Boxed, so that all that it takes to open a connection is gone when the relay starts.
    let opened = Box::pin(open(accepted, &context, &mut record)).await;
    let Some(mut opened) = opened else {
        return;
    };
    let end = run(&mut opened).await;
    context.shared.notices.ended(end);
    record.end = end.reason();
    // Counted until now: a drain waits for the last words, and the limit for the sockets.
    Box::pin(close(*opened)).await;
    drop(record);
}

/// A connection that has a backend.
struct Opened<'c> {
    relay: Relay<'c>,
    drain: Watch,
    permit: Permit<'c>,
}

/// Counts one connection when it ends, however that comes about.
struct Record<'c> {
    context: &'c Context,
    end: &'static str,
}

impl<'c> Record<'c> {
    /// Whatever ends without a word is cut off: at the deadline of a drain, or by a fault of ours.
    fn begin(context: &'c Context) -> Self {
        context.metrics.accepted.inc();
        Self {
            context,
            end: "cut_off",
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.context.metrics.ended(self.end);
    }
}

/// One of the connections that there may be; dropping it makes room for the next.
struct Permit<'c>(&'c Context);

impl<'c> Permit<'c> {
    /// For a client that has said its first packet, if there is one left.
    fn take(context: &'c Context, settings: &Settings) -> Result<Self, Refusal> {
        let most = context.room.connections(&settings.limits);
        let open = &context.metrics.connections;
        open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < most).then_some(open + 1)
        })
        .map(|_| Self(context))
        .map_err(|_| Refusal::of(most, settings))
    }

    /// Whether there is one left now; if not, the handshake would be for nothing.
    fn is_left(context: &Context, settings: &Settings) -> Result<(), Refusal> {
        let most = context.room.connections(&settings.limits);
        let is_left = context.metrics.connections.load(Ordering::Relaxed) < most;
        is_left.then_some(()).ok_or(Refusal::of(most, settings))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection is refused for want of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Connections,
    Descriptors,
    /// It kept us waiting, and its place was needed for another.
    Places,
}

impl Refusal {
    fn of(most: u32, settings: &Settings) -> Self {
        if most < settings.limits.connections {
            Self::Descriptors
        } else {
            Self::Connections
        }
    }

    /// As a metric's label.
    fn limit(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Descriptors => "descriptors",
            Self::Places => "handshakes",
        }
    }
}

/// Why a client gets no backend.
enum Closed {
    Backend(backend::Error, Box<Session>),
    FirstPacket(first_packet::Error, Box<Session>),
    Handshake(handshake::Error),
    Refused(Refusal),
}

/// From accept to the relay.
async fn open<'c>(
    accepted: Accepted,
    context: &'c Context,
    record: &mut Record<'c>,
) -> Option<Box<Opened<'c>>> {
    let Accepted {
        mut client,
        address,
        at,
        settings,
        drain,
        ..
    } = accepted;
    let places = context.room.places(&settings.limits);
    let mut place = Place::new(Arc::clone(&context.admission), address.ip(), places);
    let notice = place.notice();
    let mut attempt = Attempt::default();
    let introduced = tokio::select! {
        biased;
        introduced = introduce(&mut client, at, &settings, context, &mut attempt, &mut place) => introduced,
        () = notice.notified() => Err(Closed::Refused(Refusal::Places)),
    };
    let reached = match introduced {
        Ok((permit, established)) => {
            place.leave();
            reach_backend(&settings, established, context)
                .await
                .map(|(backend, established)| (permit, backend, established))
        }
        Err(closed) => Err(closed),
    };
    match reached {
        Ok((permit, backend, established)) => {
            let half_close = settings.timeouts.half_close;
            let traffic = &context.metrics.traffic[context.thread];
            let relay = Relay::new(client, backend, established, half_close, traffic);
            Some(Box::new(Opened {
                relay,
                drain,
                permit,
            }))
        }
        Err(closed) => {
            if let Closed::Handshake(error) = &closed {
                let shared = &context.shared;
                shared.handshake_failed(error, &attempt, address, settings.journal);
            }
            let words = account(closed, attempt, record, &client)?;
            place.wait(Stage::LastWords);
            tokio::select! {
                () = last_words(client, words) => {}
                () = notice.notified() => {}
            }
            None
        }
    }
}

/// The client's part, before anyone dials for it: its ClientHello, its handshake, its first packet.
async fn introduce<'c>(
    client: &mut TcpStream,
    at: Instant,
    settings: &Settings,
    context: &'c Context,
    attempt: &mut Attempt,
    place: &mut Place,
) -> Result<(Permit<'c>, Established), Closed> {
    let shaken = timeout_at((at + settings.timeouts.handshake).into(), async {
        let heard = attempt.hear(client, place).await;
        heard.map_err(Closed::Handshake)?;
        let turn = handshake::turn(client, place, &context.turns).await;
        let turn = turn.map_err(Closed::Handshake)?;
        Permit::is_left(context, settings).map_err(Closed::Refused)?;
        let shaken = attempt
            .shake(client, Arc::clone(&settings.tls), place, turn)
            .await;
        shaken.map_err(Closed::Handshake)
    });
    let mut established = match shaken.await {
        Ok(shaken) => shaken?,
        Err(_) => return Err(Closed::Handshake(handshake::Error::Timeout)),
    };
    let session = &established.session;
    context
        .metrics
        .handshake_succeeded(session.version(), session.is_resumed(), at.elapsed());
    let read = first_packet::read(client, &mut established, place);
    let read = timeout(settings.timeouts.first_packet, read).await;
    match read.unwrap_or(Err(first_packet::Error::Timeout)) {
        Ok(()) => {}
        Err(error) => return Err(Closed::FirstPacket(error, Box::new(established.session))),
    }
    context.metrics.opened.inc();
    let permit = Permit::take(context, settings).map_err(Closed::Refused)?;
    Ok((permit, established))
}

/// Dials the backend.
async fn reach_backend(
    settings: &Settings,
    established: Established,
    context: &Context,
) -> Result<(TcpStream, Established), Closed> {
    let metrics = &context.metrics;
    let Shared {
        outages, resolver, ..
    } = &context.shared;
    let began = Instant::now();
    match backend::dial(&settings.backend, resolver, settings.timeouts.dial).await {
        Ok(backend) => {
            metrics.dialed(began.elapsed());
            if outages.end() {
                info!(backend = %settings.backend, "the backend is reached again");
            }
            Ok((backend, established))
        }
        Err(error) => {
            let (backend, reason) = (settings.backend.to_string(), error.reason());
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            if outages.begin() {
                warn!(backend, reason, %error, cause, "the backend is not reached, and its clients are sent away");
            } else {
                debug!(backend, reason, %error, cause, "the backend is not reached");
            }
            Err(Closed::Backend(error, Box::new(established.session)))
        }
    }
}

/// Counts why a client gets no backend; what it is still told, unless it is told nothing.
fn account(
    closed: Closed,
    attempt: Attempt,
    record: &mut Record<'_>,
    client: &TcpStream,
) -> Option<Backlog> {
    let metrics = &record.context.metrics;
    match closed {
        // A client for whom there is no backend is told so by a clean end.
        Closed::Backend(error, mut session) => {
            record.end = error.reason();
            session.queue_close_notify();
            Some(session.to_client)
        }
        Closed::FirstPacket(error, mut session) => {
            record.end = error.reason();
            record.context.shared.notices.no_first_packet(&error);
            if !error.is_alerted() {
                session.queue_close_notify();
            }
            Some(session.to_client)
        }
        Closed::Handshake(error) => {
            record.end = "handshake_failed";
            metrics.handshake_failed(error.reason(), attempt.version());
            Some(attempt.into_alert())
        }
        Closed::Refused(refusal) => {
            record.end = "refused";
            metrics.refused(refusal.limit());
            if refusal == Refusal::Places && !attempt.is_done() {
                metrics.handshake_failed("evicted", attempt.version());
            }
            // Nothing is owed to it, not even a socket in TIME_WAIT.
            sockets::reset_on_close(client);
            None
        }
    }
}

/// Relays until the end, which a drain may bring on.
async fn run(Opened { relay, drain, .. }: &mut Opened<'_>) -> End {
    tokio::select! {
        biased;
        end = poll_fn(|cx| relay.poll(cx)) => return end,
        () = drain.turn() => {}
    }
    relay.begin_drain();
    poll_fn(|cx| relay.poll(cx)).await
}

/// Ends what is left when the relay is over. The backend has got its FIN, unless it took nothing more.
async fn close(
    Opened {
        relay,
        drain: _drain,
        permit: _permit,
    }: Opened<'_>,
) {
    let ends_in_order = relay.ends_in_order();
    let Relay {
        client,
        backend,
        mut session,
        client_is_gone,
        ..
    } = relay;
    drop(backend);
    if client_is_gone {
        return;
    }
    // Without close_notify the client knows that something was cut off (RFC 8446, section 6.1).
    if ends_in_order {
        session.queue_close_notify();
    }
    last_words(client, session.to_client).await;
}

/// Sends what is left to say, ends the direction, and listens for a moment, so that the words are not
/// lost to a reset.
async fn last_words(mut client: TcpStream, mut words: Backlog) {
    let say = async {
        poll_fn(|cx| words.poll_flush(&mut client, cx)).await?;
        client.shutdown().await?;
        for _ in 0..LAST_WORDS_READ_MAX / 4096 {
            let mut ignored = [0; 4096];
            client.readable().await?;
            match client.try_read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // Whoever does not take them in time goes without.
    let _ = timeout(LAST_WORDS, say).await;
}

#[cfg(test)]
mod tests {
    use super::{Opened, serve};

    /// The size of what a function that waits keeps while it does.
    fn size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_keeps_little() {
        // Each byte is paid for by each of a hundred thousand devices.
        let size = size(serve) + size_of::<Opened<'_>>();
        assert!((500..=900).contains(&size), "{size} bytes");
    }
}
