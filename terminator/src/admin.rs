//! The admin port: `/livez`, `/readyz`, `/metrics`, `/status` and `/handshakes`, in plain HTTP.
//!
//! It must not change state or show key material. It runs on the control thread, so that scrapes do not delay
//! connections.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use axum::{Extension, Router};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::error;

use crate::acceptor;
use crate::backend::{self, health::Seen};
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::settings::{Settings, Warning};
use crate::sockets::{self, Sharing};
use crate::state;
use crate::tls::ClientTrust;
use mqtt_tls_judge::certificate::{Certificate, Facts};
use mqtt_tls_program::http::{self, Client, Patience};

/// How long `/status` waits for an attempt to connect to the backend.
const ATTEMPT_WAIT: Duration = Duration::from_millis(500);

/// Content of `/status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of this program.
    pub program: &'static str,
    /// Address that accepts connections.
    pub listen: String,
    /// The broker.
    pub backend: Backend,
    /// Client authentication: `None`, `Optional` or `Require`.
    pub client_auth: &'static str,
    /// The active configuration.
    pub configuration: Configuration,
    /// Served certificates, the default first.
    pub certificates: Vec<Arc<Facts>>,
    /// Warnings at the time of the request.
    pub warnings: Vec<Doubt>,
    /// Number of connections.
    pub connections: Connections,
    /// Reasons for not being ready; empty when ready.
    pub waiting_for: Vec<&'static str>,
}

/// The broker, and whether it is reachable: whether the last attempts to connect to it succeeded (those of clients, or else
/// one that is made for the request), and whether it answers those that it accepts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Its address.
    pub address: String,
    /// Whether the last attempt succeeded, and not all of the last ten connections or more ended without an answer; `null`
    /// before the first attempt has ended.
    pub reachable: Option<bool>,
    /// Seconds since the first of the failed attempts, or of the connections without an answer.
    pub unreachable_for: Option<u64>,
    /// Error of the last attempt, or what happened to the last connection without an answer.
    pub error: Option<String>,
}

impl Backend {
    fn of(address: String, seen: Seen) -> Self {
        let (reachable, unreachable_for, error) = match seen {
            Seen::Nothing => (None, None, None),
            Seen::Reachable => (Some(true), None, None),
            Seen::Unreachable(since, error) => (Some(false), Some(since.as_secs()), Some(error)),
        };
        Self {
            address,
            reachable,
            unreachable_for,
            error,
        }
    }
}

/// The active configuration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Its key `version`.
    pub version: Option<String>,
    /// Number of configurations that have been active since the start, including this one.
    pub generation: u64,
    /// Time since which it is active.
    pub loaded_at: Timestamp,
    /// Error of the last reload, if it failed.
    pub last_error: Option<ReloadError>,
}

/// Error of a failed reload.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadError {
    /// Reason, one of a fixed set.
    pub reason: &'static str,
    /// Human-readable message.
    pub message: String,
    /// Time of the reload.
    pub at: Timestamp,
}

/// Warning about the active configuration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// Key of the configuration.
    pub key: String,
    /// Reason, one of a fixed set.
    pub reason: &'static str,
    /// Human-readable message.
    pub message: String,
}

impl From<Warning> for Doubt {
    fn from(warning: Warning) -> Self {
        Self {
            key: warning.key,
            reason: warning.finding.reason.name(),
            message: warning.finding.message,
        }
    }
}

/// Number of connections.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// Open connections: those whose client has sent its first packet.
    pub open: u32,
    /// Connections in the TLS handshake.
    pub handshaking: u32,
}

impl Status {
    /// Makes the status of newly active settings.
    pub(crate) fn of(settings: &Settings, listen: String, generation: u64, now: Timestamp) -> Self {
        let trust = match settings.trust {
            ClientTrust::Disabled => "None",
            ClientTrust::Optional(_) => "Optional",
            ClientTrust::Required(_) => "Require",
        };
        let facts = |certificate: &Certificate| Arc::clone(certificate.facts());
        Self {
            program: env!("CARGO_PKG_VERSION"),
            listen,
            backend: Backend::of(settings.backend.to_string(), Seen::Nothing),
            client_auth: trust,
            configuration: Configuration {
                version: settings.version.clone(),
                generation,
                loaded_at: now,
                last_error: None,
            },
            certificates: settings.certificates.iter().map(facts).collect(),
            warnings: Vec::new(),
            connections: Connections {
                open: 0,
                handshaking: 0,
            },
            waiting_for: Vec::new(),
        }
    }
}

/// State shown on the admin port, shared with the control thread.
pub(crate) struct Board {
    registry: Registry,
    metrics: Metrics,
    pulse: Pulse,
    state: Arc<state::State>,
    /// The active settings.
    settings: Mutex<Arc<Settings>>,
    /// Held during an attempt to connect to the backend.
    attempt: Arc<Semaphore>,
    status: Mutex<Status>,
}

impl Board {
    pub(crate) fn new(
        registry: Registry,
        metrics: Metrics,
        pulse: Pulse,
        state: Arc<state::State>,
        settings: Arc<Settings>,
        status: Status,
    ) -> Self {
        Self {
            registry,
            metrics,
            pulse,
            state,
            settings: Mutex::new(settings),
            attempt: Arc::new(Semaphore::new(1)),
            status: Mutex::new(status),
        }
    }

    /// Replaces the active settings and their status.
    pub(crate) fn announce(&self, settings: Arc<Settings>, status: Status) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        *self.lock() = status;
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connects to the backend if no attempt counts any more, at most once at a time. Returns after
    /// [`ATTEMPT_WAIT`]; the attempt goes on.
    async fn try_backend(&self) {
        if !self.state.health.is_stale() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.attempt).try_acquire_owned() else {
            return;
        };
        let (settings, state) = (self.settings(), Arc::clone(&self.state));
        let attempt = tokio::spawn(async move {
            // Only its result counts, which the attempt has recorded.
            let _ = backend::attempt(&settings, &state).await;
            drop(permit);
        });
        let _ = timeout(ATTEMPT_WAIT, attempt).await;
    }

    /// Changes the status.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Status) -> R) -> R {
        change(&mut self.lock())
    }

    /// Returns the reasons for not being ready.
    fn waiting_for(&self) -> Vec<&'static str> {
        self.lock().waiting_for.clone()
    }

    /// Returns the current status.
    pub(crate) fn status(&self) -> Status {
        use std::sync::atomic::Ordering::Relaxed;
        let mut status = self.lock().clone();
        status.connections.open = self.state.open.load(Relaxed);
        status.backend = Backend::of(status.backend.address, self.state.health.seen());
        status.connections.handshaking = self.state.waiting.handshaking();
        let warnings = self.metrics.warnings.now().into_iter();
        status.warnings = warnings.map(Doubt::from).collect();
        status
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // The status is consistent even if an update panicked.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Binds the admin port. The unspecified IPv6 address means all addresses, also on machines without IPv6.
pub(crate) fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let host = Some(address.ip()).filter(|host| *host != Ipv6Addr::UNSPECIFIED);
    let bound = sockets::bind(host, address.port(), 1, sharing)?;
    bound
        .into_iter()
        .next()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Serves the admin port until dropped.
pub(crate) async fn serve(listener: TcpListener, board: Arc<Board>) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route(
            "/status",
            get(async |State(board): State<Arc<Board>>| {
                board.try_backend().await;
                Json(board.status())
            }),
        )
        .route("/handshakes", get(handshakes))
        .with_state(board);
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => {
            http::serve(
                listener,
                router,
                Patience::default(),
                std::future::pending(),
            )
            .await;
        }
        Err(error) => error!(%error, "failed to serve the admin port"),
    }
}

/// Checks the accepting threads; the control thread is alive, since it answers.
async fn livez(State(board): State<Arc<Board>>) -> impl IntoResponse {
    match board.pulse.silent().await {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(index) => {
            let name = acceptor::name(index);
            let answer = format!("thread {name} does not respond\n");
            (StatusCode::SERVICE_UNAVAILABLE, answer)
        }
    }
}

/// Reports whether a client may see addresses and names: only from within the pod, as `kubectl port-forward` does.
fn may_see_clients(from: SocketAddr) -> bool {
    from.ip().to_canonical().is_loopback()
}

async fn handshakes(
    State(board): State<Arc<Board>>,
    Extension(Client(from)): Extension<Client>,
) -> impl IntoResponse {
    if may_see_clients(from) {
        return Json(board.state.journal.entries()).into_response();
    }
    let answer = "served on loopback only; run kubectl port-forward POD 9883\n";
    (StatusCode::FORBIDDEN, answer).into_response()
}

async fn readyz(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let waiting_for = board.waiting_for();
    if waiting_for.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut answer = "not ready:\n".to_owned();
    for what in waiting_for {
        // Writing to a String cannot fail.
        let _ = writeln!(answer, "{what}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, answer)
}

async fn metrics(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &board.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            error!(%error, "failed to encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::may_see_clients;

    #[test]
    fn handshakes_are_shown_on_loopback_only() {
        for (from, expected) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("[fe80::1]:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(may_see_clients(from.parse().unwrap()), expected, "{from}");
        }
    }
}
