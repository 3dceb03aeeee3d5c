//! The operator's admin port: `/livez`, `/readyz`, `/metrics`. It must not change anything.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use mqtt_tls_program::http::{self, Patience};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tracing::info;

use crate::shutdown::Shutdown;

/// What the admin port shows.
pub struct Board {
    /// What is counted.
    pub registry: Registry,
    /// How far it is.
    stage: Mutex<Stage>,
}

/// How far this operator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not ready: it waits for this.
    Waiting(String),
    /// Another one leads: it is ready to take over from this one.
    StandingBy(String),
    /// The listeners are known, and are worked on.
    Working,
}

impl Board {
    /// At the start.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            stage: Mutex::new(Stage::Waiting("the API server".to_owned())),
        }
    }

    /// It is this far now. What was before is handed back.
    pub fn reach(&self, stage: Stage) -> Stage {
        let mut current = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, stage)
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        let current = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

/// Binds the admin port. Where there is no IPv6, all addresses are those of IPv4.
///
/// # Errors
///
/// The port is taken, or the address is not one of this machine.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        Err(error) if address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], address.port()))).await
        }
        bound => bound,
    }?;
    info!(address = %bound.local_addr()?, "the admin port is open");
    Ok(bound)
}

/// Answers until the end.
pub async fn serve(listener: TcpListener, board: Arc<Board>, shutdown: Shutdown) {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(board);
    http::serve(listener, router, Patience::default(), shutdown.begun()).await;
}

async fn readyz(State(board): State<Arc<Board>>) -> impl IntoResponse {
    match board.stage() {
        Stage::Working => (StatusCode::OK, "ok\n".to_owned()),
        Stage::StandingBy(leader) => (StatusCode::OK, format!("standing by; {leader} leads\n")),
        Stage::Waiting(what) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {what}\n"),
        ),
    }
}

async fn metrics(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let mut text = String::new();
    // Writing into a text does not fail.
    let _ = encode(&mut text, &board.registry);
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}
