//! The life of a connection: accept, admit, handshake, dial, relay, close.
//!
//! This is the one file that knows both TLS and the backend. It must not outlive its deadlines, and
//! each connection that comes in is counted once when it ends, however it ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::backend::{self, Outages};
use crate::backlog::Backlog;
use crate::drain::Watch;
use crate::handshake::{self, Established};
use crate::metrics::Metrics;
use crate::relay::{End, Relay};
use crate::settings::Settings;
use crate::sockets;

/// How long the last words to a client may take, and how long it is listened to after them. Closing
/// a socket with unread data resets it, and the reset can overtake the words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much is listened to after the last words, in bytes.
const LAST_WORDS_READ_MAX: usize = 64 * 1024;

/// What a thread lends to each of its connections.
pub(crate) struct Context {
    pub(crate) metrics: Metrics,
    /// Which of the threads' traffic counters is its own.
    pub(crate) thread: usize,
    /// How many connections there are file descriptors for.
    pub(crate) connections_possible: u32,
    /// Whether the backend is reached.
    pub(crate) outages: Arc<Outages>,
}

/// One of a limited number; dropping it makes room for the next.
pub(crate) struct Permit {
    context: Arc<Context>,
    which: fn(&Metrics) -> &AtomicU32,
}

impl Permit {
    fn take(context: &Arc<Context>, which: fn(&Metrics) -> &AtomicU32, most: u32) -> Option<Self> {
        let counter = which(&context.metrics);
        counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < most).then_some(taken + 1)
            })
            .ok()
            .map(|_| Self {
                context: Arc::clone(context),
                which,
            })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.which)(&self.context.metrics).fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that was let in, before any cryptography.
pub(crate) struct Admitted {
    client: TcpStream,
    accepted: Instant,
    settings: Arc<Settings>,
    context: Arc<Context>,
    drain: Watch,
    /// Held to the connection's end.
    connection: Permit,
    /// Held to the handshake's end.
    handshake: Permit,
}

/// Lets a connection in, if the limits allow; what is refused costs a close and a counter.
pub(crate) fn admit(
    client: TcpStream,
    settings: &Arc<Settings>,
    context: &Arc<Context>,
    drain: Watch,
) -> Option<Admitted> {
    let metrics = &context.metrics;
    metrics.accepted.inc();
    let limits = &settings.limits;
    let refuse = |limit| {
        metrics.refused(limit);
        // Nothing is owed to it, not even a socket in TIME_WAIT.
        sockets::reset_on_close(&client);
    };
    let most = limits.connections.min(context.connections_possible);
    let connections: fn(&Metrics) -> &AtomicU32 = |metrics| &metrics.population.connections;
    let Some(connection) = Permit::take(context, connections, most) else {
        let by_descriptors = most < limits.connections;
        refuse(if by_descriptors {
            "descriptors"
        } else {
            "connections"
        });
        return None;
    };
    let Some(handshake) = Permit::take(
        context,
        |metrics| &metrics.population.handshakes,
        limits.handshakes,
    ) else {
        refuse("handshakes");
        return None;
    };
    Some(Admitted {
        client,
        accepted: Instant::now(),
        settings: Arc::clone(settings),
        context: Arc::clone(context),
        drain,
        connection,
        handshake,
    })
}

/// Serves a connection from its handshake to its end.
pub(crate) async fn serve(admitted: Admitted) {
    let Admitted {
        client,
        accepted,
        settings,
        context,
        mut drain,
        connection,
        handshake,
    } = admitted;
    let metrics = &context.metrics;
    let mut record = Record::begin(&context);
    // Boxed, so that the handshake's state is gone when the relay starts.
    let shaken = shake_hands(client, &settings, accepted, handshake, &mut record);
    let Some((client, established)) = Box::pin(shaken).await else {
        return;
    };
    let reached = reach_backend(client, established, &settings, &mut record);
    let Some((client, backend, established)) = Box::pin(reached).await else {
        return;
    };
    let half_close = settings.timeouts.half_close;
    // A connection outlives the settings that it began under.
    drop(settings);
    let traffic = &metrics.traffic[context.thread];
    let mut relay = Relay::new(client, backend, established, half_close, traffic);
    record.end = run(&mut relay, &mut drain).await.reason();
    Box::pin(close(relay)).await;
    // Counted until now: a drain waits for the last words, and the limit for the sockets.
    drop((record, drain, connection));
}

/// Counts one connection when it ends, however that comes about.
struct Record<'c> {
    context: &'c Context,
    end: &'static str,
}

impl<'c> Record<'c> {
    /// Whatever ends without a word is cut off: at the deadline of a drain, or by a fault of ours.
    fn begin(context: &'c Context) -> Self {
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

/// Shakes hands under one deadline, counted from accept.
async fn shake_hands(
    mut client: TcpStream,
    settings: &Settings,
    accepted: Instant,
    permit: Permit,
    record: &mut Record<'_>,
) -> Option<(TcpStream, Established)> {
    let metrics = &record.context.metrics;
    let deadline = (accepted + settings.timeouts.handshake).into();
    let accept = handshake::accept(&mut client, Arc::clone(&settings.tls));
    let shaken = timeout_at(deadline, accept).await;
    // The last words to a client that failed hold up no other.
    drop(permit);
    let failed = match shaken {
        Ok(Ok(established)) => {
            let session = &established.session;
            metrics.handshake_succeeded(
                session.version(),
                session.is_resumed(),
                accepted.elapsed(),
            );
            return Some((client, established));
        }
        Ok(Err(failed)) => failed,
        Err(_) => handshake::Failed {
            error: handshake::Error::Timeout,
            alert: Backlog::default(),
            version: "none",
        },
    };
    record.end = "handshake_failed";
    let reason = failed.error.reason();
    metrics.handshake_failed(reason, failed.version);
    debug!(reason, error = %failed.error, cause = ?std::error::Error::source(&failed.error), "handshake failed");
    last_words(client, failed.alert).await;
    None
}

/// Dials the backend; a client for whom there is none is told so by a clean end.
async fn reach_backend(
    client: TcpStream,
    mut established: Established,
    settings: &Settings,
    record: &mut Record<'_>,
) -> Option<(TcpStream, TcpStream, Established)> {
    let Context {
        metrics, outages, ..
    } = record.context;
    let began = Instant::now();
    let error = match backend::dial(&settings.backend, settings.timeouts.dial).await {
        Ok(backend) => {
            metrics.dialed(began.elapsed());
            if outages.end() {
                info!(backend = %settings.backend, "the backend is reached again");
            }
            return Some((client, backend, established));
        }
        Err(error) => error,
    };
    record.end = error.reason();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let (backend, reason) = (settings.backend.to_string(), error.reason());
    if outages.begin() {
        warn!(backend, reason, %error, cause, "the backend is not reached, and its clients are sent away");
    } else {
        debug!(backend, reason, %error, cause, "the backend is not reached");
    }
    established.session.queue_close_notify();
    last_words(client, established.session.to_client).await;
    None
}

/// Relays until the end, which a drain may bring on.
async fn run(relay: &mut Relay<'_>, drain: &mut Watch) -> End {
    tokio::select! {
        biased;
        end = poll_fn(|cx| relay.poll(cx)) => return end,
        () = drain.turn() => {}
    }
    relay.begin_drain();
    poll_fn(|cx| relay.poll(cx)).await
}

/// Ends each side as what happened on the other one asks for.
async fn close(relay: Relay<'_>) {
    // The broker must not take what it has for all that there was.
    if !relay.backend_has_all() {
        sockets::reset_on_close(&relay.backend);
    }
    if relay.client_is_gone() {
        return;
    }
    let ends_in_order = relay.ends_in_order();
    let Relay {
        client,
        backend,
        mut session,
        ..
    } = relay;
    drop(backend);
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
        for _ in 0..LAST_WORDS_READ_MAX / 1024 {
            let mut ignored = [0; 1024];
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
