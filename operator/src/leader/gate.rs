//! Lets writes pass only while the Lease is certainly held. It must not look at their content.
//!
//! It is a layer of the API client and not a check in the code that writes, so that no write can bypass it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Method, Request};
use kube::client::Body;
use tokio::time::Instant;
use tower::filter::FilterLayer;

/// A gate for writes. Clones share their state; a new gate is closed.
#[derive(Clone, Default)]
pub struct Gate {
    until: Arc<Mutex<Option<Instant>>>,
}

/// A write was blocked.
#[derive(Debug, thiserror::Error)]
#[error("this operator is no longer the leader; nothing was sent")]
pub struct Closed;

impl Gate {
    /// Lets writes pass until the deadline.
    pub(super) fn open_until(&self, deadline: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
    }

    /// Blocks all writes.
    pub(super) fn close(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns until when the gate is open, if it is open.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| Instant::now() < *until)
    }

    /// Returns the gate as a layer of an API client. Reads always pass.
    pub fn layer(
        &self,
    ) -> FilterLayer<impl Fn(Request<Body>) -> Result<Request<Body>, Closed> + Clone + use<>> {
        let gate = self.clone();
        FilterLayer::new(move |request: Request<Body>| {
            if request.method() == Method::GET || gate.deadline().is_some() {
                Ok(request)
            } else {
                Err(Closed)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{Request, Response};
    use kube::client::Body;
    use tokio::time::Instant;
    use tower::{Layer, Service, service_fn};

    use super::Gate;

    async fn passes(gate: &Gate, method: &str) -> bool {
        let server =
            service_fn(async |_: Request<Body>| Ok::<_, tower::BoxError>(Response::new(())));
        let request = Request::builder().method(method).body(Body::empty());
        gate.layer()
            .layer(server)
            .call(request.unwrap())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn only_reads_pass_a_closed_gate() {
        let gate = Gate::default();
        let now = Instant::now();
        for (deadline, is_open) in [
            (None, false),
            (Some(now + Duration::from_secs(60)), true),
            (Some(now), false),
        ] {
            if let Some(deadline) = deadline {
                gate.open_until(deadline);
            }
            assert!(passes(&gate, "GET").await);
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                assert_eq!(
                    passes(&gate, method).await,
                    is_open,
                    "{method} {deadline:?}"
                );
            }
        }
        gate.open_until(now + Duration::from_secs(60));
        gate.close();
        assert!(!passes(&gate, "PATCH").await);
    }
}
