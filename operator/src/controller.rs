//! Reconciles what the watches report: gather, plan, apply, status. Decides only when; what is decided in `plan`.

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
use references::Guarded;
use retry::Failures;
use scope::Scope;
use watches::Watches;

/// How long events of one listener are collected before it is reconciled.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What the controller works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What holds for all listeners.
    pub environment: Environment,
    /// What is counted.
    pub metrics: Metrics,
    /// Who says what events say.
    pub reporter: Reporter,
    /// For events that say the same again and again.
    pub recorder: Recorder,
    /// How often each listener failed in a row.
    failures: Failures,
}

impl Context {
    /// Puts it together. `instance` names this process in events.
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

/// Runs until the first signal, and then until the reconciliations that run are over; as many as `concurrency`
/// run at once.
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
    let queue = triggers
        .map(Ok::<_, Infallible>)
        .take_until(shutdown.clone().begun());
    let config = Config::default()
        .debounce(DEBOUNCE)
        .concurrency(concurrency);
    let work = |object, context| measured(object, context).boxed();
    let retry = |object: Arc<Guarded>, error: &_, context: Arc<_>| retry(&object, error, &context);
    let known = Arc::clone(&context);
    let work = applier(work, retry, context, store, queue, config).for_each(async |result| {
        if let Err(controller::Error::ObjectNotFound(object)) = result {
            debug!(%object, "deleted before it was reconciled");
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

/// The first signal, if it comes before the listeners are known. No reconciliation has run then, and the
/// applier would wait for their list for ever.
async fn end_before_beginning(shutdown: Shutdown, is_listed: &AtomicBool) {
    shutdown.begun().await;
    if is_listed.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Makes the cluster as one listener wants it, and counts that.
async fn measured(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, call::Error> {
    let measured = context.metrics.reconciling();
    let name = name_of(&*object);
    // On the heap: it is as large as everything that it reads.
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
            // As often as any other: that it is looked at shows that the operator works.
            return Ok(Action::requeue(LOOK_AGAIN));
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
    Ok(Action::requeue(report.look_again))
}

/// Says what cannot be read, once it is time to say it. Nothing else is done.
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

/// When to try again what failed.
fn retry(object: &Guarded, error: &call::Error, context: &Context) -> Action {
    let name = name_of(object);
    let (failures, wait) = context.failures.more(&name);
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

    use super::{Context, Environment, LOOK_AGAIN, Metrics, Name, reconcile};

    /// An operator that waits for a change of it would look as if it did nothing at all.
    #[tokio::test]
    async fn a_listener_that_does_not_read_is_looked_at_again() {
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
        assert_eq!(action, Action::requeue(LOOK_AGAIN));
    }
}
