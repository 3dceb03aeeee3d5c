//! Reconciles what the watches report: gather, plan, apply, status. Decides only when; what is decided in `plan`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use kube::runtime::applier;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, ResourceExt};
use tracing::{debug, info, warn};

use crate::admin::Board;
use crate::apply::{Failed, apply};
use crate::call;
use crate::error::chain;
use crate::gather::{Gathered, Unread, gather};
use crate::metrics::Metrics;
use crate::plan::conditions::{self, Outcome};
use crate::plan::names::MANAGER;
use crate::plan::{LOOK_AGAIN, Plan, Settings, plan, unread};
use crate::references::Guarded;
use crate::shutdown::Shutdown;
use crate::status;
use crate::watches::Watches;

/// How long events of one listener are collected before it is reconciled.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// How long after its first failure a listener is tried again; twice as long after each more.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// The longest time between two tries.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// What the controller works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What holds for all listeners.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
    /// Who says what events say.
    pub reporter: Reporter,
    /// For events that say the same again and again.
    pub recorder: Recorder,
    /// How often each listener failed in a row, by namespace and name.
    failures: Mutex<HashMap<(String, String), u32>>,
}

impl Context {
    /// Puts it together. `instance` names this process in events.
    pub fn new(
        client: Client,
        settings: Settings,
        metrics: Metrics,
        instance: Option<String>,
    ) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance,
        };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self {
            client,
            settings,
            metrics,
            reporter,
            recorder,
            failures: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), u32>> {
        // Counters are right whoever panicked while holding them.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the controller runs.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The namespace that is watched; none for all.
    pub namespace: Option<String>,
    /// How many listeners are reconciled at once.
    pub concurrency: u16,
}

/// Runs until the first signal, and then until the reconciliations that run are over.
pub async fn run(context: Context, scope: Scope, board: Arc<Board>, shutdown: Shutdown) {
    let context = Arc::new(context);
    let is_listed = Arc::new(AtomicBool::new(false));
    let watches = Watches {
        client: context.client.clone(),
        namespace: scope.namespace,
        metrics: context.metrics.clone(),
        board,
        is_listed: Arc::clone(&is_listed),
    };
    let (store, triggers) = watches.open();
    let queue = triggers
        .map(Ok::<_, Infallible>)
        .take_until(shutdown.clone().begun());
    let config = Config::default()
        .debounce(DEBOUNCE)
        .concurrency(scope.concurrency);
    let reconcile = |object, context| reconcile(object, context).boxed();
    let retry = |object: Arc<Guarded>, error: &_, context: Arc<_>| retry(&object, error, &context);
    let failures = Arc::clone(&context);
    let work = applier(reconcile, retry, context, store, queue, config).for_each(async |result| {
        if let Err(controller::Error::ObjectNotFound(object)) = result {
            debug!(%object, "deleted before it was reconciled");
            let namespace = object.namespace.unwrap_or_default();
            failures.lock().remove(&(namespace, object.name));
        }
    });
    tokio::select! {
        () = work => {}
        () = end_before_beginning(shutdown, &is_listed) => {}
    }
    info!("no reconciliation runs any more");
}

/// The first signal, if it comes before the listeners are known. No reconciliation has run then, and the
/// applier would wait for their list for ever.
async fn end_before_beginning(shutdown: Shutdown, is_listed: &AtomicBool) {
    shutdown.begun().await;
    if is_listed.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Makes the cluster as one listener wants it.
async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, call::Error> {
    let measured = context.metrics.reconciling();
    let name = (object.namespace().unwrap_or_default(), object.name_any());
    // On the heap: it is as large as everything that it reads.
    let result = Box::pin(run_once(&name.0, &name.1, &context)).await;
    let took = measured.end(result.as_ref().map_or_else(call::Error::reason, |_| "done"));
    debug!(
        namespace = name.0,
        listener = name.1,
        ?took,
        ok = result.is_ok(),
        "reconciled"
    );
    if result.is_ok() {
        context.lock().remove(&name);
        context.metrics.failing(&name.0, &name.1, 0);
    }
    result
}

/// Gather, plan, apply, status.
async fn run_once(namespace: &str, name: &str, context: &Context) -> Result<Action, call::Error> {
    let Context {
        client,
        settings,
        metrics,
        reporter,
        recorder,
        failures: _,
    } = context;
    let world = match Box::pin(gather(client, namespace, name)).await? {
        Gathered::World(world) => world,
        Gathered::Gone => return Ok(Action::await_change()),
        Gathered::Malformed(invalid) => {
            status::complain(recorder, &invalid, metrics).await;
            // As often as any other: that it is looked at shows that the operator works.
            return Ok(Action::requeue(LOOK_AGAIN));
        }
        Gathered::Unread(unread) => return tell(*unread, context).await,
    };
    let now = Timestamp::now();
    let Plan { objects, report } = plan(&world, settings, now);
    let applied = apply(client, &report.identity, objects, &world.children, metrics).await;
    let outcome = match &applied {
        Ok(applied) => Outcome::Done(applied),
        Err(Failed {
            error,
            is_configured,
        }) => Outcome::Failed {
            reason: error.reason(),
            message: chain(error),
            is_configured: *is_configured,
        },
    };
    let status = conditions::status(&world, &report, &outcome, now);
    metrics.warned(&world.listener, outcome.serving(&report).reasons());
    status::write(client, reporter, &world.listener, &status, metrics).await?;
    applied.map_err(|failed| failed.error)?;
    Ok(Action::requeue(report.look_again))
}

/// Says what cannot be read, once it is time to say it. Nothing else is done.
async fn tell(unread: Unread, context: &Context) -> Result<Action, call::Error> {
    let Unread {
        listener,
        about,
        error,
    } = unread;
    let name = (
        listener.namespace().unwrap_or_default(),
        listener.name_any(),
    );
    let failures = context.lock().get(&name).copied().unwrap_or(0);
    if let Some(problem) = unread::problem(&error.failure(about, failures)) {
        let status = unread::status(&listener, problem, &context.settings, Timestamp::now());
        let Context {
            client,
            reporter,
            metrics,
            ..
        } = context;
        status::write(client, reporter, &listener, &status, metrics).await?;
    }
    Err(error)
}

/// When to try again what failed: later each time, and not with the others.
fn retry(object: &Guarded, error: &call::Error, context: &Context) -> Action {
    let name = (object.namespace().unwrap_or_default(), object.name_any());
    let failures = {
        let mut failures = context.lock();
        let failures = failures.entry(name.clone()).or_default();
        *failures = failures.saturating_add(1);
        *failures
    };
    context.metrics.failing(&name.0, &name.1, failures);
    let wait = back_off(failures);
    warn!(
        namespace = name.0,
        listener = name.1,
        error = chain(error),
        failures,
        ?wait,
        "a reconciliation failed; it is tried again"
    );
    Action::requeue(wait)
}

/// How long to wait after so many failures in a row.
fn back_off(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    RETRY_FIRST.saturating_mul(factor).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use kube::runtime::controller::Action;
    use prometheus_client::registry::Registry;
    use tower::service_fn;

    use super::{Context, back_off, run_once};
    use crate::metrics::Metrics;
    use crate::plan::{LOOK_AGAIN, Place, Settings};

    /// Whoever waits for a change of it would look as if it did nothing at all.
    #[tokio::test]
    async fn a_listener_that_does_not_read_is_looked_at_again() {
        let malformed =
            r#"{"metadata": {"name": "edge", "namespace": "iot"}, "spec": {"port": "a"}}"#;
        let server = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::from(malformed.as_bytes().to_vec())))
        });
        let settings = Settings {
            terminator_image: "a".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            drain_deadline: Duration::from_secs(30),
            place: Place::Cluster,
        };
        let metrics = Metrics::new(&mut Registry::default());
        let context = Context::new(Client::new(server, "iot"), settings, metrics, None);
        let action = run_once("iot", "edge", &context).await.unwrap();
        assert_eq!(action, Action::requeue(LOOK_AGAIN));
    }

    #[test]
    fn the_wait_doubles_and_has_an_end() {
        let waits: Vec<u128> = [1, 2, 3, 10, 11, u32::MAX]
            .into_iter()
            .map(|failures| back_off(failures).as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 256_000, 300_000, 300_000]);
        assert_eq!(back_off(0), Duration::from_millis(500));
    }
}
