//! A proxy between one operator and the API server. It records the operator's writes and makes one of them meet a fault;
//! everything else passes unchanged.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use kube::Client;
use socket2::{SockRef, Socket};
use tests::operator::{kubeconfig_to, refusal};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fault::Fault;
use crate::operator::Operator;
use crate::write::{Object, Request, Write};

/// Largest request body of an operator, in bytes.
const REQUEST_MAX: usize = 4 << 20;

/// A request of the operator.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// A reconciliation of this listener begins.
    Look(String),
    /// A write, and the API server's response if it got one.
    Write(Write, Option<StatusCode>),
}

/// What has passed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    calls: Vec<Call>,
    /// Where the counted writes begin; none are counted yet if absent.
    begin: Option<usize>,
    /// Whether the fault has happened.
    pub(crate) is_faulted: bool,
}

/// A proxy and its operator.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    served: JoinHandle<()>,
}

struct Shared {
    upstream: Client,
    operator: Operator,
    plan: Option<(Write, Fault)>,
    record: watch::Sender<Record>,
}

impl Record {
    /// Reports whether writes are counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.begin.is_some()
    }

    /// The position of the next call.
    pub(crate) fn end(&self) -> usize {
        self.calls.len()
    }

    /// The first reconciliation of a listener at or after a position.
    pub(crate) fn look(&self, from: usize, listener: &str) -> Option<usize> {
        let is_it = |call: &Call| matches!(call, Call::Look(name) if name == listener);
        let found = self.calls.get(from..)?.iter().position(is_it)?;
        Some(from + found)
    }

    /// Reports whether a write for a listener was tried between two positions.
    pub(crate) fn has_write(&self, from: usize, to: usize, listener: &str) -> bool {
        let is_it = |call: &Call| matches!(call, Call::Write(write, _) if write.object.listener() == listener);
        self.calls[from..to].iter().any(is_it)
    }

    fn counted(&self) -> impl Iterator<Item = (&Write, Option<StatusCode>)> {
        let begin = self.begin.unwrap_or(self.calls.len());
        self.calls[begin..].iter().filter_map(|call| match call {
            Call::Write(write, code) => Some((write, *code)),
            Call::Look(_) => None,
        })
    }

    /// The counted writes, in order, also those that failed.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.counted().map(|(write, _)| write.clone()).collect()
    }

    /// How often each object was written.
    pub(crate) fn executed(&self) -> BTreeMap<Object, usize> {
        let mut counts = BTreeMap::new();
        for (write, code) in self.counted() {
            if code.is_some_and(|code| code.is_success()) {
                *counts.entry(write.object.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Records a write, and returns its position.
    fn add(&mut self, verb: &'static str, object: Object) -> usize {
        let same = |write: &&Write| (write.verb, &write.object) == (verb, &object);
        let before = self.counted().map(|(write, _)| write).filter(same).count();
        let ordinal = before + 1;
        let write = Write {
            verb,
            object,
            ordinal,
        };
        self.calls.push(Call::Write(write, None));
        self.calls.len() - 1
    }

    fn is_at(&self, position: usize, point: &Write) -> bool {
        let is_counted = self.begin.is_some_and(|begin| begin <= position);
        is_counted && matches!(&self.calls[position], Call::Write(write, _) if write == point)
    }
}

impl Proxy {
    /// Starts a proxy and an operator for one namespace. `upstream` has the operator's permissions.
    pub(crate) async fn start(
        upstream: Client,
        namespace: &str,
        plan: Option<(Write, Fault)>,
    ) -> Self {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = kubeconfig_to(&format!("http://{}", inner.local_addr().unwrap()));
        let shared = Arc::new(Shared {
            upstream,
            operator: Operator::new(kubeconfig, namespace),
            plan,
            record: watch::Sender::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let router = router.into_make_service_with_connect_info::<Line>();
        let served = tokio::spawn(async move {
            axum::serve(Lines(inner), router).await.unwrap();
        });
        shared.operator.start().await;
        Self { shared, served }
    }

    /// Kills the operator, and ends.
    pub(crate) async fn end(self) {
        self.shared.operator.kill().await;
        self.served.abort();
    }

    /// The operator behind the proxy.
    pub(crate) fn operator(&self) -> &Operator {
        &self.shared.operator
    }

    /// From here writes are counted, and one of them meets the fault.
    pub(crate) fn count(&self) {
        let begin = |record: &mut Record| record.begin = Some(record.end());
        self.shared.record.send_modify(begin);
    }

    /// What has passed so far.
    pub(crate) fn record(&self) -> Record {
        self.shared.record.borrow().clone()
    }

    /// What has passed, and what will.
    pub(crate) fn watch(&self) -> watch::Receiver<Record> {
        self.shared.record.subscribe()
    }

    /// Waits until `found` finds something in what has passed.
    pub(crate) async fn wait_for<T>(&self, found: impl Fn(&Record) -> Option<T>) -> T {
        let mut record = self.shared.record.subscribe();
        let record = record.wait_for(|record| found(record).is_some()).await;
        found(&record.unwrap()).unwrap()
    }
}

/// Handles one request in a task of its own: what the operator has sent is executed, even if it is killed.
async fn pass(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    mut request: HttpRequest,
) -> Response {
    // The connection must have no other holder when it is cut.
    request.extensions_mut().clear();
    let answer = tokio::spawn(answer(shared, line, request)).await;
    match answer.unwrap() {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

/// Returns the response, unless there will be none.
async fn answer(shared: Arc<Shared>, line: Line, request: HttpRequest) -> Option<Response> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, REQUEST_MAX).await.unwrap();
    let (verb, object) = match Request::of(&parts.method, parts.uri.path(), &body) {
        Request::Write(verb, object) => (verb, object),
        Request::Look(listener) => {
            let look = |record: &mut Record| record.calls.push(Call::Look(listener));
            shared.record.send_modify(look);
            return Some(shared.send(parts, body).await);
        }
        Request::Other => return Some(shared.send(parts, body).await),
    };
    let (position, fault) = shared.note(verb, object);
    match fault {
        Some(Fault::Conflict) => return Some(refusal(StatusCode::CONFLICT, "Conflict")),
        Some(Fault::Internal) => {
            return Some(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"));
        }
        Some(Fault::TooManyRequests) => {
            let response = refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests");
            return Some(([(header::RETRY_AFTER, "1")], response).into_response());
        }
        Some(Fault::CrashBefore) => {
            shared.operator.crash().await;
            return None;
        }
        Some(Fault::Reset) => {
            line.cut();
            return None;
        }
        Some(Fault::CrashAfter | Fault::Lost | Fault::Silent) | None => {}
    }
    let response = shared.send(parts, body).await;
    shared.answered(position, response.status());
    match fault {
        Some(Fault::CrashAfter) => shared.operator.crash().await,
        Some(Fault::Lost) => line.cut(),
        Some(Fault::Silent) => {}
        _ => return Some(response),
    }
    None
}

impl Shared {
    /// Records a write, and returns the fault that it meets.
    fn note(&self, verb: &'static str, object: Object) -> (usize, Option<Fault>) {
        let (mut position, mut fault) = (0, None);
        self.record.send_modify(|record| {
            position = record.add(verb, object);
            if let Some((point, planned)) = &self.plan
                && !record.is_faulted
                && record.is_at(position, point)
            {
                record.is_faulted = true;
                fault = Some(*planned);
            }
        });
        (position, fault)
    }

    fn answered(&self, position: usize, status: StatusCode) {
        self.record.send_modify(|record| {
            if let Call::Write(_, code) = &mut record.calls[position] {
                *code = Some(status);
            }
        });
    }

    async fn send(&self, mut parts: Parts, body: Bytes) -> Response {
        parts.headers.remove(header::HOST);
        let request = HttpRequest::from_parts(parts, kube::client::Body::from(body.to_vec()));
        self.upstream.send(request).await.unwrap().map(Body::new)
    }
}

/// A connection of the operator.
#[derive(Clone, Debug)]
struct Line(Arc<Socket>);

impl Line {
    /// Makes the server drop the connection, which then sends a reset.
    fn cut(self) {
        self.0.set_linger(Some(Duration::ZERO)).unwrap();
        // The operator may have closed it.
        let _ = self.0.shutdown(Shutdown::Read);
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Listens for connections that can be cut.
struct Lines(TcpListener);

impl Listener for Lines {
    type Io = TcpStream;
    type Addr = Line;

    async fn accept(&mut self) -> (TcpStream, Line) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let line = SockRef::from(&stream).try_clone().unwrap();
        (stream, Line(Arc::new(line)))
    }

    fn local_addr(&self) -> std::io::Result<Line> {
        let socket = SockRef::from(&self.0).try_clone()?;
        Ok(Line(Arc::new(socket)))
    }
}
