//! The operator's admin port: `/livez`, `/readyz`, `/metrics`. It must not change anything.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tracing::info;

use crate::shutdown::Shutdown;

/// What the admin port shows.
pub struct Board {
    /// What is counted.
    pub registry: Registry,
    /// Whether the listeners have been listed once.
    pub is_synced: AtomicBool,
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
///
/// # Errors
///
/// The socket fails.
pub async fn serve(listener: TcpListener, board: Arc<Board>, shutdown: Shutdown) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(board);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.begun())
        .await
}

async fn readyz(State(board): State<Arc<Board>>) -> impl IntoResponse {
    if board.is_synced.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the list of listeners\n",
        )
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
