//! A proxy between an operator and the API server, for faults that a real one does not produce on request: a failing
//! request, expired watches, silence. It forwards everything else unchanged.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use futures::channel::mpsc;
use kube::Client;
use tests::operator::{kubeconfig_to, refusal};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Largest request body of an operator, in bytes.
const REQUEST_MAX: usize = 4 << 20;

/// The fault to produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Requests for this path fail.
    Internal(String),
    /// Watches of this resource end and are refused with this status, and so are lists of it.
    Refused(&'static str, StatusCode),
    /// Every watch ends and cannot be resumed, and lists fail.
    Expired,
    /// Watches of listeners end, and new ones get 404, as from an API server that has just started; lists succeed.
    Unknown,
    /// No response continues and no request is answered, while connections stay open. Requests that began before
    /// the end of this fault are never answered.
    Silent,
}

/// A proxy with an administrator's permissions.
pub(crate) struct Proxy {
    /// A kubeconfig that leads through the proxy.
    pub(crate) kubeconfig: PathBuf,
    fault: watch::Sender<Fault>,
    shared: Arc<Shared>,
}

struct Shared {
    /// The API server to which it leads.
    client: watch::Sender<Client>,
    fault: watch::Receiver<Fault>,
    /// Number of watches without a response because of [`Fault::Silent`].
    unanswered: AtomicUsize,
    /// Number of watches with a response.
    answered: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn start(client: Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kubeconfig = kubeconfig_to(&url);
        let (fault, seen) = watch::channel(Fault::None);
        let shared = Arc::new(Shared {
            client: watch::Sender::new(client),
            fault: seen,
            unanswered: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            kubeconfig,
            fault,
            shared,
        }
    }

    /// Number of watches without a response because of [`Fault::Silent`].
    pub(crate) fn unanswered(&self) -> usize {
        self.shared.unanswered.load(Ordering::Relaxed)
    }

    /// Number of watches with a response.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Leads to another API server. Responses that are not complete end, as with a load balancer.
    pub(crate) fn lead_to(&self, client: Client) {
        self.shared.client.send_replace(client);
    }

    /// Switches to this fault.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send(fault).unwrap();
    }
}

/// Forwards one request, and its response for as long as it lasts.
async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let mut fault = shared.fault.clone();
    let now = fault.borrow_and_update().clone();
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.contains("watch=true");
    let is_listeners = request.uri().path().ends_with("/mqtttlslisteners");
    match now {
        Fault::Internal(path) if request.uri().path().ends_with(&path) => {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
        }
        Fault::Refused(resource, code) if is_of(&request, resource) => {
            return refusal(code, code.canonical_reason().unwrap_or_default());
        }
        Fault::Unknown if is_watch && is_listeners => {
            return refusal(StatusCode::NOT_FOUND, "NotFound");
        }
        Fault::Expired if is_watch => return refusal(StatusCode::GONE, "Expired"),
        Fault::Expired => return refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Fault::Silent => {
            shared
                .unanswered
                .fetch_add(usize::from(is_watch), Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        Fault::Internal(_) | Fault::Refused(..) | Fault::Unknown | Fault::None => {}
    }
    let path = request.uri().path().to_owned();
    shared
        .answered
        .fetch_add(usize::from(is_watch), Ordering::Relaxed);
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::HOST);
    let body = to_bytes(body, REQUEST_MAX).await.unwrap();
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let mut client = shared.client.subscribe();
    let now = client.borrow_and_update().clone();
    let Ok(answer) = now.send(request).await else {
        return refusal(StatusCode::BAD_GATEWAY, "BadGateway");
    };
    let (parts, body) = answer.into_parts();
    let (sender, receiver) = mpsc::unbounded();
    let all = forward(Body::new(body), sender, fault, path);
    tokio::spawn(async move {
        tokio::select! {
            () = all => {}
            _ = client.changed() => {}
        }
    });
    Response::from_parts(parts, Body::from_stream(receiver))
}

/// Reports whether it lists or watches a resource.
fn is_of(request: &Request, resource: &str) -> bool {
    request.method() == Method::GET && ends_with(request.uri().path(), resource)
}

fn ends_with(path: &str, resource: &str) -> bool {
    path.rsplit('/').next() == Some(resource)
}

/// Forwards a response until it ends, or a fault interrupts it.
async fn forward(
    answer: Body,
    sender: mpsc::UnboundedSender<Result<Bytes, axum::Error>>,
    mut fault: watch::Receiver<Fault>,
    path: String,
) {
    let mut answer = answer.into_data_stream();
    let wrong = async {
        let found = fault.wait_for(|now| match now {
            Fault::Internal(_) | Fault::None => false,
            Fault::Refused(resource, _) => ends_with(&path, resource),
            Fault::Expired | Fault::Unknown | Fault::Silent => true,
        });
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
