//! Faults that a real API server cannot produce on request: a response that is lost, or late.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, Request, Response};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower::service_fn;

use super::{Candidate, Election, Gate, Leadership};

/// A fault of one write.
#[derive(Clone, Copy)]
enum Fault {
    /// The write succeeds, and its response is lost.
    Unanswered,
    /// The write succeeds, and this whole process is paused for so long.
    Stopped(Duration),
}

/// An API server with one Lease.
#[derive(Default)]
struct Server(Mutex<State>);

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    /// Number of writes of the Lease.
    writes: u32,
    /// The fault of the next write.
    fault: Option<Fault>,
}

impl Server {
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let method = request.method().clone();
        let body = request.into_body().collect_bytes().await.unwrap();
        let (code, answer) = self.handle(&method, &body);
        let fault = match method {
            Method::GET => None,
            _ => self.0.lock().unwrap().fault.take(),
        };
        match fault {
            Some(Fault::Unanswered) => std::future::pending().await,
            Some(Fault::Stopped(time)) => std::thread::sleep(time),
            None => {}
        }
        let response = Response::builder().status(code);
        Ok(response.body(Body::from(answer)).unwrap())
    }

    fn handle(&self, method: &Method, body: &[u8]) -> (u16, Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        let refuse = |code: u16, reason: &str| {
            let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason});
            (code, status.to_string().into_bytes())
        };
        if *method != Method::GET {
            let mut lease: Lease = serde_json::from_slice(body).unwrap();
            let before = state.lease.take();
            let version = |lease: &Lease| lease.metadata.resource_version.clone();
            let is_stale =
                before.as_ref().map(version) != (*method == Method::PUT).then(|| version(&lease));
            if is_stale {
                state.lease = before;
                return refuse(409, "Conflict");
            }
            state.writes += 1;
            lease.metadata.resource_version = Some(state.writes.to_string());
            state.lease = Some(lease);
        }
        match &state.lease {
            Some(lease) => (200, serde_json::to_vec(lease).unwrap()),
            None => refuse(404, "NotFound"),
        }
    }

    fn holder(&self) -> Option<String> {
        let state = self.0.lock().unwrap();
        state.lease.as_ref()?.spec.as_ref()?.holder_identity.clone()
    }
}

fn server(fault: Option<Fault>) -> Arc<Server> {
    let state = State {
        fault,
        ..State::default()
    };
    Arc::new(Server(Mutex::new(state)))
}

fn election(server: &Arc<Server>, duration: Duration) -> Election {
    let server = Arc::clone(server);
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { server.answer(request).await }
    });
    Election {
        client: Client::new(service, "a"),
        candidate: Candidate {
            duration,
            ..candidate()
        },
        gate: Gate::default(),
    }
}

async fn win(server: &Arc<Server>, duration: Duration) -> Leadership {
    election(server, duration).win(|_| {}).await
}

/// It waits neither for the lost response beyond its deadline nor for its own Lease to expire.
#[tokio::test]
async fn a_claim_whose_response_is_lost_is_found_at_the_next_try() {
    let server = server(Some(Fault::Unanswered));
    let (begin, duration) = (Instant::now(), Duration::from_secs(6));
    let leadership = win(&server, duration).await;
    assert!(begin.elapsed() < duration, "{:?}", begin.elapsed());
    assert!(leadership.gate.deadline().is_some());
    let spec = leadership.lease.spec.unwrap();
    assert_eq!(
        (spec.lease_transitions, server.0.lock().unwrap().writes),
        (Some(0), 2)
    );
}

#[tokio::test]
async fn a_late_response_does_not_make_a_leader() {
    let duration = Duration::from_millis(900);
    let server = server(Some(Fault::Stopped(duration)));
    let leadership = win(&server, duration).await;
    assert!(leadership.gate.deadline().is_some());
    assert_eq!(server.0.lock().unwrap().writes, 2);
}

/// As when the work ends while a renewal is in flight.
#[tokio::test]
async fn a_modified_lease_is_released() {
    let server = server(None);
    let leadership = win(&server, Duration::from_secs(15)).await;
    let version = Some("99".to_owned());
    server
        .0
        .lock()
        .unwrap()
        .lease
        .as_mut()
        .unwrap()
        .metadata
        .resource_version = version;
    leadership.release().await;
    assert_eq!(server.holder(), None);
}

#[tokio::test]
async fn the_lease_of_another_holder_is_not_released() {
    let server = server(None);
    let leadership = win(&server, Duration::from_secs(15)).await;
    let change = |lease: &mut Lease| {
        lease.metadata.resource_version = Some("99".to_owned());
        lease.spec.get_or_insert_default().holder_identity = Some("they".to_owned());
    };
    change(server.0.lock().unwrap().lease.as_mut().unwrap());
    leadership.release().await;
    assert_eq!(server.holder().as_deref(), Some("they"));
}

fn candidate() -> Candidate {
    Candidate {
        namespace: "a".to_owned(),
        lease: "b".to_owned(),
        identity: "me".to_owned(),
        duration: Duration::from_secs(15),
    }
}

#[test]
fn times_match_client_go() {
    let candidate = candidate();
    assert_eq!(candidate.deadline(), Duration::from_secs(10));
    for _ in 0..100 {
        let pause = candidate.pause().as_millis();
        assert!((1_799..=2_201).contains(&pause), "{pause}");
    }
}

#[test]
fn a_claim_counts_transitions() {
    let candidate = candidate();
    let first = candidate.claim(None);
    assert_eq!(first.holder_identity.as_deref(), Some("me"));
    assert_eq!(first.lease_duration_seconds, Some(15));
    assert_eq!(first.lease_transitions, Some(0));
    let again = candidate.claim(Some(&first));
    assert_eq!(again.lease_transitions, Some(0));
    assert_eq!(again.acquire_time, first.acquire_time);
    let theirs = LeaseSpec {
        holder_identity: Some("they".to_owned()),
        ..first
    };
    assert_eq!(candidate.claim(Some(&theirs)).lease_transitions, Some(1));
}
