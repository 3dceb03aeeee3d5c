//! The admin port: `/livez`, `/readyz` and `/metrics`, in plain HTTP. It must not change state.

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

/// State shown on the admin port.
pub struct Board {
    /// The metrics.
    pub registry: Registry,
    /// The current stage.
    stage: Mutex<Stage>,
}

/// Stage of the operator's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not ready; waits for this.
    Waiting(String),
    /// Ready to take over from this leader.
    StandingBy(String),
    /// The listeners are listed, and are reconciled.
    Working,
}

impl Board {
    /// Starts by waiting for the API server.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            stage: Mutex::new(Stage::Waiting("the API server".to_owned())),
        }
    }

    /// Enters a stage and returns the previous one.
    pub fn reach(&self, stage: Stage) -> Stage {
        let mut current = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, stage)
    }

    /// Returns the current stage.
    pub fn stage(&self) -> Stage {
        let current = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

/// Binds the admin port. The unspecified IPv6 address means all addresses, also on machines without IPv6.
///
/// # Errors
///
/// The port is in use, or the address is not one of this machine.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        Err(error) if address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], address.port()))).await
        }
        bound => bound,
    }?;
    info!(address = %bound.local_addr()?, "listening on admin port");
    Ok(bound)
}

/// Serves requests until shutdown.
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
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &board.registry);
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}
