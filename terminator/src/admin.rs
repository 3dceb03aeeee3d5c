//! The admin port: `/livez`, `/readyz`, `/metrics`, `/status`, `/handshakes` and `/connections`, in plain HTTP.
//!
//! It must not change state or show key material. It runs on the control thread, so that scrapes do not delay
//! connections.

mod preview;
mod status;

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures::future::join_all;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::error;

use crate::acceptor;
use crate::backend;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::roster;
use crate::settings::Settings;
use crate::settings::hosts::Target;
use crate::sockets::{self, Sharing};
use crate::state;
use mqtt_tls_program::http::{self, Client, Patience};
use preview::Preview;
use status::{Backend, Doubt, ProtocolStatus};
pub use status::{ReloadError, Status};

/// How long `/status` waits for an attempt to connect to the backend.
const ATTEMPT_WAIT: Duration = Duration::from_millis(500);

/// Answer to a request for what may be seen within the pod only.
const ON_LOOPBACK_ONLY: &str =
    "served on loopback only; run kubectl port-forward POD 9883, and ask for localhost:9883\n";

/// State shown on the admin port, shared with the control thread.
pub(crate) struct Board {
    registry: Registry,
    metrics: Metrics,
    pulse: Pulse,
    state: Arc<state::State>,
    /// Whether lists are awaited that clients are judged by.
    awaits_lists: AtomicBool,
    /// Held during an attempt to connect to the backend.
    attempt: Arc<Semaphore>,
    active: Mutex<Active>,
}

/// The active settings, and their status.
#[derive(Clone)]
struct Active {
    settings: Arc<Settings>,
    status: Status,
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
            awaits_lists: AtomicBool::new(false),
            attempt: Arc::new(Semaphore::new(1)),
            active: Mutex::new(Active { settings, status }),
        }
    }

    /// Replaces the active settings and their status.
    pub(crate) fn announce(&self, settings: Arc<Settings>, status: Status) {
        *self.lock() = Active { settings, status };
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.lock().settings)
    }

    /// Connects to each backend about which no attempt counts any more, at most once at a time. Returns after
    /// [`ATTEMPT_WAIT`]; the attempts go on.
    async fn try_backends(&self) {
        let settings = Arc::clone(&self.lock().settings);
        let targets = settings.hosts.all().flat_map(|host| host.targets());
        let stale: Vec<_> = targets
            .filter(|target| target.known.health.is_stale())
            .cloned()
            .collect();
        if stale.is_empty() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.attempt).try_acquire_owned() else {
            return;
        };
        let within = settings.timeouts.dial;
        let attempts = tokio::spawn(async move {
            let stale = stale.into_iter();
            let attempts = stale.map(async |target: Target| {
                // A backend of several hosts is tried once.
                if target.known.health.is_stale() {
                    // Only its result counts, which the attempt has recorded.
                    let _ = backend::attempt(&target, within).await;
                }
            });
            join_all(attempts).await;
            drop(permit);
        });
        let _ = timeout(ATTEMPT_WAIT, attempts).await;
    }

    /// Changes the status.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Status) -> R) -> R {
        change(&mut self.lock().status)
    }

    /// Returns the reasons for not being ready.
    fn waiting_for(&self) -> Vec<&'static str> {
        let mut reasons = self.lock().status.waiting_for.clone();
        if self.awaits_lists.load(Ordering::Relaxed) {
            reasons.push("revocation lists");
        }
        reasons
    }

    /// Says whether lists are awaited that clients are judged by.
    pub(crate) fn await_lists(&self, are_awaited: bool) {
        self.awaits_lists.store(are_awaited, Ordering::Relaxed);
    }

    /// Returns the current status.
    pub(crate) fn status(&self) -> Status {
        let Active {
            settings,
            mut status,
        } = self.lock().clone();
        status.connections.open = self.state.open.load(Ordering::Relaxed);
        let own = (&mut status.backend, &mut status.by_protocol);
        let hosts = status.hosts.iter_mut();
        let hosts = hosts.map(|host| (&mut host.backend, &mut host.by_protocol));
        let shown = std::iter::once(own).chain(hosts);
        for ((backend, by_protocol), host) in shown.zip(settings.hosts.all()) {
            *backend = Backend::of(&host.target);
            *by_protocol = ProtocolStatus::all(host);
        }
        status.waiting_for = self.waiting_for();
        status.ticket_keys = status::whose(&settings);
        status.revocation = settings.crls.shown();
        status.trials = self.state.trials.shown();
        status.preview = Preview::of(&self.state, Instant::now());
        status.connections.handshaking = self.state.waiting.handshaking();
        status.connections.to_recheck = self.state.to_recheck();
        let warnings = self.metrics.current.warnings().into_iter();
        let advice = settings.advice().into_iter().map(Doubt::from);
        let lists = settings.crls.warnings(Timestamp::now());
        let lists = lists.into_iter().map(Doubt::from);
        status.warnings = warnings
            .map(Doubt::from)
            .chain(advice)
            .chain(lists)
            .collect();
        status
    }

    fn lock(&self) -> MutexGuard<'_, Active> {
        // The status is consistent even if an update panicked.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
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
                board.try_backends().await;
                Json(board.status())
            }),
        )
        .route("/handshakes", get(handshakes))
        .route("/connections", get(connections))
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

/// Reports whether a request may see addresses and names: only from within the pod, as `kubectl port-forward` makes it. A
/// mesh's sidecar passes requests of other pods on from 127.0.0.6, and a web page may have a name that leads to loopback.
fn may_see_clients(from: SocketAddr, headers: &HeaderMap) -> bool {
    let is_loopback = |address: IpAddr| {
        let address = address.to_canonical();
        address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
    };
    let is_asked_for = |host: &HeaderValue| {
        let host = host.to_str().ok()?.parse::<Authority>().ok()?;
        let name = host.host();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse();
        Some(name.eq_ignore_ascii_case("localhost") || address.is_ok_and(is_loopback))
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_local = hosts.next().and_then(is_asked_for) == Some(true) && hosts.next().is_none();
    is_loopback(from.ip()) && is_local
}

/// Returns an answer that a browser takes as what it says it is.
fn unsniffed(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    let value = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, value);
    response
}

async fn handshakes(
    State(board): State<Arc<Board>>,
    Extension(Client(from)): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    if !may_see_clients(from, &headers) {
        return unsniffed((StatusCode::FORBIDDEN, ON_LOOPBACK_ONLY));
    }
    unsniffed(Json(board.state.journal.entries()))
}

async fn connections(
    State(board): State<Arc<Board>>,
    Extension(Client(from)): Extension<Client>,
    headers: HeaderMap,
    query: Result<Query<roster::Query>, QueryRejection>,
) -> Response {
    if !may_see_clients(from, &headers) {
        return unsniffed((StatusCode::FORBIDDEN, ON_LOOPBACK_ONLY));
    }
    unsniffed(listed(&board, query).await)
}

async fn listed(board: &Board, query: Result<Query<roster::Query>, QueryRejection>) -> Response {
    if !board.settings().connections {
        let answer = "connections are not kept; set `connections: true` in `admin`\n";
        return (StatusCode::NOT_FOUND, answer).into_response();
    }
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            let answer = format!("{}\n", rejection.body_text());
            return (StatusCode::BAD_REQUEST, answer).into_response();
        }
    };
    let rosters = board.state.clients.iter().map(|clients| &clients.roster);
    match roster::page(rosters, &query).await {
        Some(page) => Json(page).into_response(),
        None => (StatusCode::BAD_REQUEST, "`after` is not from an answer\n").into_response(),
    }
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
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::may_see_clients;

    fn is_shown(from: &str, hosts: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        may_see_clients(from.parse().unwrap(), &headers)
    }

    #[test]
    fn clients_are_shown_on_loopback_only() {
        for (from, expected) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("127.0.0.6:1", false),
            ("[::ffff:127.0.0.6]:1", false),
            ("10.0.0.1:1", false),
            ("[fe80::1]:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(is_shown(from, &["localhost:9883"]), expected, "{from}");
        }
    }

    #[test]
    fn clients_are_shown_under_loopbacks_names_only() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1",
            "127.0.0.1:9883",
            "[::1]",
            "[::1]:9883",
        ] {
            assert!(is_shown("127.0.0.1:1", &[host]), "{host}");
        }
        for hosts in [
            &[][..],
            &[""],
            &["evil.example:9883"],
            &["localhost.evil.example"],
            &["127.0.0.1.evil.example"],
            &["127.0.0.6"],
            &["user@evil.example"],
            &["localhost", "evil.example"],
        ] {
            assert!(!is_shown("127.0.0.1:1", hosts), "{hosts:?}");
        }
    }
}
