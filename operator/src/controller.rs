//! Reconciles listeners: gather, plan, apply, status. It decides when; it must not decide what, which is `plan`'s.

mod pace;
pub mod references;
pub mod retry;
pub mod scope;
pub mod watches;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use kube::runtime::applier;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, ResourceExt};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::admin::Board;
use crate::api::call;
use crate::apply::apply;
use crate::error::chain;
use crate::gather::{Gathered, Unread, gather};
use crate::metrics::{Ended, Metrics};
use crate::plan::conditions::judged::Judged;
use crate::plan::conditions::{self, unread};
use crate::plan::environment::Environment;
use crate::plan::names::{MANAGER, Name};
use crate::plan::report::LOOK_AGAIN;
use crate::plan::{Plan, plan};
use crate::shutdown::Shutdown;
use crate::status;
use pace::paced;
use references::Guarded;
use retry::{Failures, spread};
use scope::Scope;
use watches::Watches;

/// Minimum time between two reconciliations of one listener that events cause. The first event causes one at once.
const INTERVAL: Duration = Duration::from_millis(100);

/// Shared state of all reconciliations.
pub struct Context {
    /// The API client.
    pub client: Client,
    /// Settings for all listeners.
    pub environment: Environment,
    /// The metrics.
    pub metrics: Metrics,
    /// The source of events.
    pub reporter: Reporter,
    /// Records repeated events as one series.
    pub recorder: Recorder,
    /// Consecutive failures of each listener.
    failures: Failures,
}

impl Context {
    /// Creates the context. `instance` names this process in events.
    pub fn new(
        client: Client,
        environment: Environment,
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
            environment,
            metrics,
            reporter,
            recorder,
            failures: Failures::default(),
        }
    }
}

/// Runs at most `concurrency` reconciliations at once, until the first signal; then waits for those in progress.
pub async fn run(
    context: Context,
    scope: Scope,
    concurrency: u16,
    board: Arc<Board>,
    shutdown: Shutdown,
) {
    let context = Arc::new(context);
    let is_listed = Arc::new(AtomicBool::new(false));
    let watches = Watches {
        client: context.client.clone(),
        scope,
        metrics: context.metrics.clone(),
        board,
        is_listed: Arc::clone(&is_listed),
    };
    let (store, triggers) = watches.open();
    let queue = paced(triggers, || tokio::time::sleep(INTERVAL))
        .map(Ok::<_, Infallible>)
        .take_until(shutdown.clone().begun());
    let config = Config::default().concurrency(concurrency);
    let work = |object, context| measured(object, context).boxed();
    let retry = |object: Arc<Guarded>, error: &_, context: Arc<_>| retry(&object, error, &context);
    let known = Arc::clone(&context);
    let work = applier(work, retry, context, store, queue, config).for_each(async |result| {
        if let Err(controller::Error::ObjectNotFound(object)) = result {
            debug!(%object, "listener was deleted before its reconciliation");
            let namespace = object.namespace.unwrap_or_default();
            known.failures.forget(&Name::new(&namespace, &object.name));
        }
    });
    tokio::select! {
        () = work => {}
        () = end_before_beginning(shutdown, &is_listed) => {}
    }
    info!("all reconciliations have finished");
}

/// Waits for a signal before the first list of listeners. Without that list the applier would never end, and no
/// reconciliation is in progress.
async fn end_before_beginning(shutdown: Shutdown, is_listed: &AtomicBool) {
    shutdown.begun().await;
    if is_listed.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Reconciles one listener, and measures it.
async fn measured(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, call::Error> {
    let measured = context.metrics.reconciling();
    let name = name_of(&*object);
    // Boxed: the future is large.
    let result = Box::pin(reconcile(&name, &context)).await;
    let ended = |error: &call::Error| Ended::Failed(error.reason());
    let took = measured.end(result.as_ref().map_or_else(ended, |_| Ended::Done));
    debug!(
        namespace = name.namespace,
        listener = name.name,
        ?took,
        ok = result.is_ok(),
        "reconciled"
    );
    if result.is_ok() {
        context.failures.forget(&name);
        context.metrics.failing(&name.namespace, &name.name, 0);
    }
    result
}

/// Gather, plan, apply, status.
async fn reconcile(name: &Name, context: &Context) -> Result<Action, call::Error> {
    let Context {
        client,
        environment,
        metrics,
        reporter,
        recorder,
        failures: _,
    } = context;
    let world = match Box::pin(gather(client, &name.namespace, &name.name)).await? {
        Gathered::World(world) => world,
        Gathered::Gone => return Ok(Action::await_change()),
        Gathered::Malformed(invalid) => {
            status::complain(recorder, &invalid, metrics).await;
            // Requeued like any other listener, so that the metrics show that the operator works.
            return Ok(Action::requeue(spread(LOOK_AGAIN)));
        }
        Gathered::Unread(unread) => return report(*unread, context).await,
    };
    let now = Timestamp::now();
    let Plan {
        objects,
        report,
        previous,
    } = plan(&world, environment, now);
    let applied = apply(client, &report.identity, objects, &world.children, metrics).await;
    let outcome = status::outcome(&applied);
    let judged = Judged::new(&world, &report, &previous, &outcome, now);
    let status = conditions::status(&judged);
    metrics.warned(&world.listener, judged.serving.reasons());
    status::write(client, reporter, &world.listener, &status, metrics).await?;
    applied.map_err(|failed| failed.error)?;
    Ok(Action::requeue(spread(report.look_again)))
}

/// Reports a failed read in the status, if the failure persists. Nothing else is changed.
async fn report(unread: Unread, context: &Context) -> Result<Action, call::Error> {
    let listener = &unread.listener;
    let name = name_of(listener);
    let failures = context.failures.of(&name);
    if let Some(problem) = unread::problem(&unread.failure(failures)) {
        let now = Timestamp::now();
        let status = unread::status(listener, problem, &context.environment, now);
        let Context {
            client,
            reporter,
            metrics,
            ..
        } = context;
        status::write(client, reporter, listener, &status, metrics).await?;
    }
    Err(unread.error)
}

/// Logs a failure and schedules the retry.
fn retry(object: &Guarded, error: &call::Error, context: &Context) -> Action {
    let name = name_of(object);
    let (failures, wait) = context.failures.more(&name, Instant::now());
    context
        .metrics
        .failing(&name.namespace, &name.name, failures);
    warn!(
        namespace = name.namespace,
        listener = name.name,
        error = chain(error),
        failures,
        ?wait,
        "reconciliation failed; retrying"
    );
    Action::requeue(wait)
}

fn name_of(listener: &impl ResourceExt) -> Name {
    let namespace = listener.namespace().unwrap_or_default();
    Name::new(&namespace, &listener.name_any())
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

    use super::{Context, Environment, Metrics, Name, reconcile};

    /// An operator that waits for a change of the listener would appear to be idle.
    #[tokio::test]
    async fn a_malformed_listener_is_requeued() {
        let malformed =
            r#"{"metadata": {"name": "edge", "namespace": "iot"}, "spec": {"port": "a"}}"#;
        let server = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::from(malformed.as_bytes().to_vec())))
        });
        let (image, domain) = ("a".to_owned(), "cluster.local".to_owned());
        let environment = Environment::cluster(image, domain, Duration::from_secs(30));
        let metrics = Metrics::new(&mut Registry::default());
        let context = Context::new(Client::new(server, "iot"), environment, metrics, None);
        let action = reconcile(&Name::new("iot", "edge"), &context)
            .await
            .unwrap();
        assert_ne!(action, Action::await_change());
    }
}
