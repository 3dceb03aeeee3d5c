//! An MQTT connection of the third-party library that reconnects by itself, as devices do. Clients, the monitor and
//! the sender share it; it must not interpret packets beyond CONNACK.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::report::{Failure, Journal, Who};
use super::tls::{DIAL, HANDSHAKE};

/// Backoff before a reconnect: doubled after each failure, with jitter over its upper half.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Upper bound for CONNACK after the TLS handshake.
const CONNACK: Duration = Duration::from_secs(15);

/// A rate limit of new connections. Hundreds of handshakes at once would keep a machine with two cores busy until the
/// server's deadline, and show nothing about the server.
pub(super) struct Pace(Mutex<Interval>);

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        let mut interval = interval(Duration::from_secs(1) / per_second);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(Mutex::new(interval))
    }

    /// Waits for the next slot. The monitor and the sender do not queue behind hundreds of clients.
    async fn wait(&self, who: Who) {
        if let Who::Client(_) = who {
            self.0.lock().await.tick().await;
        }
    }
}

/// The records that all connections of a fleet share.
pub(super) struct Records {
    pub(super) journal: Journal,
    pub(super) pace: Pace,
    pub(super) open: AtomicUsize,
    pub(super) connects: AtomicUsize,
    pub(super) resumed: AtomicUsize,
}

/// How to connect. A closure of the caller makes the socket, with its address and TLS.
pub(super) struct Dialling {
    pub(super) client_id: String,
    pub(super) keep_alive: Duration,
    pub(super) clean_session: bool,
    /// Maximum number of queued requests, and of unacknowledged messages.
    pub(super) depth: u16,
}

/// A client and its event loop, not yet connected.
pub(super) fn line<F, S>(
    dialling: Dialling,
    socket: impl Fn() -> F + Send + Sync + 'static,
) -> (AsyncClient, EventLoop)
where
    F: Future<Output = Result<S, Failure>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    // The closure dials; this name is never resolved.
    let mut options = MqttOptions::new(dialling.client_id, ("fleet.invalid", 1883));
    options.set_transport(Transport::Tcp);
    options.set_socket_connector(move |_, _| {
        let made = socket();
        async move { made.await.map_err(io::Error::from) }
    });
    let seconds = dialling.keep_alive.as_secs();
    options.set_keep_alive(u16::try_from(seconds).expect("a keepalive has 16 bits"));
    options.set_clean_session(dialling.clean_session);
    options.set_inflight(dialling.depth);
    let (client, mut events) = AsyncClient::builder(options)
        .capacity(usize::from(dialling.depth))
        .build();
    let mut network = events.network_options();
    network.set_connection_timeout((DIAL + HANDSHAKE + CONNACK).as_secs());
    events.set_network_options(network);
    (client, events)
}

/// Keeps the connection up until the client disconnects, and passes each packet from the broker to `packet`.
pub(super) async fn run(
    who: Who,
    mut events: EventLoop,
    records: Arc<Records>,
    mut packet: impl FnMut(Packet),
) {
    let mut session = Session::new(who, Arc::clone(&records));
    let mut failures = 0;
    records.pace.wait(who).await;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(incoming)) => {
                if let Packet::ConnAck(connack) = &incoming {
                    failures = 0;
                    session.open(connack.session_present);
                }
                packet(incoming);
            }
            Ok(Event::Outgoing(_)) => {}
            Err(ConnectionError::RequestsDone) => return,
            Err(error) => {
                records.journal.note(who, session.is_open, &error);
                session.close();
                sleep(pause(failures)).await;
                failures += 1;
                records.pace.wait(who).await;
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    let most = PAUSE_MAX.min(PAUSE * 2_u32.saturating_pow(failures.min(10)));
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Counts a client's connection while it is open, also when its task is aborted.
struct Session {
    counted: bool,
    is_open: bool,
    records: Arc<Records>,
}

impl Session {
    fn new(who: Who, records: Arc<Records>) -> Self {
        Self {
            counted: matches!(who, Who::Client(_)),
            is_open: false,
            records,
        }
    }

    fn open(&mut self, resumed: bool) {
        self.is_open = true;
        if self.counted {
            self.records.open.fetch_add(1, Ordering::Relaxed);
            self.records.connects.fetch_add(1, Ordering::Relaxed);
            let resumed = usize::from(resumed);
            self.records.resumed.fetch_add(resumed, Ordering::Relaxed);
        }
    }

    fn close(&mut self) {
        if self.is_open && self.counted {
            self.records.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.is_open = false;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_and_has_jitter() {
        for failures in 0..40 {
            let most = PAUSE_MAX.min(PAUSE * 2_u32.pow(failures.min(10)));
            let pause = pause(failures);
            assert!(pause >= most / 2 && pause <= most, "{failures}: {pause:?}");
        }
        assert!(pause(0) < pause(4));
    }
}
