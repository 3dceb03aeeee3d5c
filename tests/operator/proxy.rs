//! Stands between an operator and the API server, and does what a real one cannot be asked to do: fails at one
//! request, forgets what watches go by, falls silent. Whatever it lets through it passes on as it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::channel::mpsc;
use kube::Client;
use serde_json::json;
use tests::workdir;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// No request of an operator is longer.
const REQUEST_MAX: usize = 4 << 20;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// What reads this path fails.
    Internal(String),
    /// Every watch ends, and there is no going on from where it was; and nothing can be listed.
    Expired,
    /// Watches of listeners end, and when they are begun again it is said that there is no such resource, as by an
    /// API server that has just started; lists do not fail.
    Unknown,
    /// No answer goes on, and no request is answered, though connections stay open: also later, if they began
    /// before or during this.
    Silent,
}

/// The way to the API server, with an administrator's rights.
pub(crate) struct Proxy {
    /// For whoever takes this way.
    pub(crate) kubeconfig: PathBuf,
    fault: watch::Sender<Fault>,
    way: Arc<Way>,
}

struct Way {
    client: Client,
    fault: watch::Receiver<Fault>,
    /// How many watches were asked for, and had no answer because of a silence.
    unanswered: AtomicUsize,
    /// How many watches had an answer.
    answered: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn start(client: Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kubeconfig = workdir::scratch("proxy").join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        // JSON is YAML.
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let (fault, seen) = watch::channel(Fault::None);
        let way = Arc::new(Way {
            client,
            fault: seen,
            unanswered: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&way));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            kubeconfig,
            fault,
            way,
        }
    }

    /// How many watches were asked for, and had no answer because of a silence.
    pub(crate) fn unanswered(&self) -> usize {
        self.way.unanswered.load(Ordering::Relaxed)
    }

    /// How many watches had an answer.
    pub(crate) fn answered(&self) -> usize {
        self.way.answered.load(Ordering::Relaxed)
    }

    /// From now on this is wrong.
    pub(crate) fn becomes(&self, fault: Fault) {
        self.fault.send(fault).unwrap();
    }
}

/// One request, and its answer for as long as that goes on.
async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    let mut fault = way.fault.clone();
    let now = fault.borrow_and_update().clone();
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.contains("watch=true");
    let is_listeners = request.uri().path().ends_with("/mqtttlslisteners");
    match now {
        Fault::Internal(path) if request.uri().path().ends_with(&path) => {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
        }
        Fault::Unknown if is_watch && is_listeners => {
            return refuse(StatusCode::NOT_FOUND, "NotFound");
        }
        Fault::Expired if is_watch => return refuse(StatusCode::GONE, "Expired"),
        Fault::Expired => return refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Fault::Silent => {
            way.unanswered
                .fetch_add(usize::from(is_watch), Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        Fault::Internal(_) | Fault::Unknown | Fault::None => {}
    }
    way.answered
        .fetch_add(usize::from(is_watch), Ordering::Relaxed);
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::HOST);
    let body = to_bytes(body, REQUEST_MAX).await.unwrap();
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let (parts, body) = way.client.send(request).await.unwrap().into_parts();
    let (sender, receiver) = mpsc::unbounded();
    tokio::spawn(hand_on(Body::new(body), sender, fault));
    Response::from_parts(parts, Body::from_stream(receiver))
}

/// Hands an answer on until it is over, or something is wrong with it.
async fn hand_on(
    answer: Body,
    sender: mpsc::UnboundedSender<Result<Bytes, axum::Error>>,
    mut fault: watch::Receiver<Fault>,
) {
    let mut answer = answer.into_data_stream();
    let wrong = async {
        let found = fault.wait_for(|now| !matches!(now, Fault::Internal(_) | Fault::None));
        found.await.is_ok_and(|found| *found == Fault::Silent)
    };
    let all = async {
        while let Some(chunk) = answer.next().await {
            if sender.unbounded_send(chunk).is_err() {
                return;
            }
        }
    };
    let is_silent = tokio::select! {
        () = all => false,
        is_silent = wrong => is_silent,
    };
    if is_silent {
        std::future::pending::<()>().await;
    }
}

/// As the API server says it.
fn refuse(code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": "said by a test",
    });
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (code, headers, status.to_string()).into_response()
}
