//! The admin port: `/livez`, `/readyz`, `/metrics`, `/status` and `/handshakes`, in plain HTTP.
//!
//! It must not change anything, and must not show key material. It runs on a thread of its own, so
//! that a scrape does not delay a connection.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use axum::{Extension, Router};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tracing::error;

use crate::acceptor;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::settings::{Settings, Warning};
use crate::sockets::{self, Sharing};
use crate::state;
use crate::tls::ClientTrust;
use mqtt_tls_judge::certificate::{Certificate, Facts};
use mqtt_tls_program::http::{self, Client, Patience};

/// What `/status` tells.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version of this program.
    pub program: &'static str,
    /// Where connections are accepted.
    pub listen: String,
    /// Where they go.
    pub backend: String,
    /// Whether clients are asked for a certificate: `None`, `Optional` or `Require`.
    pub client_auth: &'static str,
    /// What runs.
    pub configuration: Configuration,
    /// What is served; the default first.
    pub certificates: Vec<Arc<Facts>>,
    /// What someone should look at in it, judged when this is asked for.
    pub warnings: Vec<Doubt>,
    /// How many there are.
    pub connections: Connections,
    /// What is waited for before this is ready; empty when it is.
    pub waiting_for: Vec<&'static str>,
}

/// Which configuration runs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Its `version`, in its writer's words.
    pub version: Option<String>,
    /// How many have run since the start, this one included.
    pub generation: u64,
    /// Since when it runs.
    pub loaded_at: Timestamp,
    /// Why a newer one does not run.
    pub last_error: Option<ReloadError>,
}

/// Why a newer configuration does not run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadError {
    /// One of a fixed set.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When it was tried.
    pub at: Timestamp,
}

/// What someone should look at in what is served.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// The configuration's key.
    pub key: String,
    /// One of a fixed set.
    pub reason: &'static str,
    /// For people.
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

/// How many connections there are.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// Open: their clients have said a first packet.
    pub open: u32,
    /// In their handshake.
    pub handshaking: u32,
}

impl Status {
    /// What is known of settings that run from now on.
    pub(crate) fn of(settings: &Settings, listen: String, generation: u64, now: Timestamp) -> Self {
        let trust = match settings.trust {
            ClientTrust::Nobody => "None",
            ClientTrust::Optional(_) => "Optional",
            ClientTrust::Required(_) => "Require",
        };
        let facts = |certificate: &Certificate| Arc::clone(certificate.facts());
        Self {
            program: env!("CARGO_PKG_VERSION"),
            listen,
            backend: settings.backend.to_string(),
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

/// What the admin port shows; the one place that both it and the control thread know.
pub(crate) struct Board {
    registry: Registry,
    metrics: Metrics,
    pulse: Pulse,
    state: Arc<state::State>,
    status: Mutex<Status>,
}

impl Board {
    pub(crate) fn new(
        registry: Registry,
        metrics: Metrics,
        pulse: Pulse,
        state: Arc<state::State>,
        status: Status,
    ) -> Self {
        Self {
            registry,
            metrics,
            pulse,
            state,
            status: Mutex::new(status),
        }
    }

    /// Changes what is shown.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Status) -> R) -> R {
        change(&mut self.lock())
    }

    /// What is waited for before this is ready.
    fn waiting_for(&self) -> Vec<&'static str> {
        self.lock().waiting_for.clone()
    }

    /// What is shown now.
    pub(crate) fn status(&self) -> Status {
        use std::sync::atomic::Ordering::Relaxed;
        let mut status = self.lock().clone();
        status.connections.open = self.state.open.load(Relaxed);
        status.connections.handshaking = self.state.waiting.handshaking();
        let warnings = self.metrics.warnings.now().into_iter();
        status.warnings = warnings.map(Doubt::from).collect();
        status
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // A status is whole after each change, whatever happened to the one who made it.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Binds the admin port. All IPv6 addresses mean all addresses, also where there is no IPv6.
pub(crate) fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let host = Some(address.ip()).filter(|host| *host != Ipv6Addr::UNSPECIFIED);
    let bound = sockets::bind(host, address.port(), 1, sharing)?;
    bound
        .into_iter()
        .next()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Answers until dropped.
pub(crate) async fn serve(listener: TcpListener, board: Arc<Board>) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route(
            "/status",
            get(async |State(board): State<Arc<Board>>| Json(board.status())),
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
        Err(error) => error!(%error, "the admin port cannot be served"),
    }
}

/// This thread answers, so it lives; the accepting threads are asked.
async fn livez(State(board): State<Arc<Board>>) -> impl IntoResponse {
    match board.pulse.silent().await {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(index) => {
            let name = acceptor::name(index);
            let answer = format!("the thread {name} does not answer\n");
            (StatusCode::SERVICE_UNAVAILABLE, answer)
        }
    }
}

/// Addresses and names are nobody's business outside of the pod; `kubectl port-forward` comes from within.
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
    let mut answer = "not ready, because of:\n".to_owned();
    for what in waiting_for {
        // Writing to a String does not fail.
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
    fn clients_are_told_of_on_loopback_only() {
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
