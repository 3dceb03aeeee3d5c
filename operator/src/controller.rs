//! Reconciles listeners: gather, plan, apply, prove, status. It decides when; it must not decide what, which is `plan`'s.

mod context;
mod fights;
pub mod keeper;
mod known;
mod lists;
mod pace;
mod places;
mod presence;
pub mod records;
mod relisting;
mod renew;
pub mod retry;
pub mod scope;
mod sight;
mod undone;
mod versions;
pub mod watches;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, stream};
use kube::ResourceExt;
use kube::runtime::applier;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::admin::Board;
use crate::api::call;
use crate::apply::{apply, apply_one};
use crate::error::chain;
use crate::gather::{Gathered, Unread, gather};
use crate::kinds::Child;
use crate::metrics::Ended;
use crate::plan::accepted;
use crate::plan::conditions::judged::Judged;
use crate::plan::conditions::{self, unread};
use crate::plan::names::{Identity, Name};
use crate::plan::objects::{Applied, Step};
use crate::plan::proof::{Proofs, ready};
use crate::plan::report::LOOK_AGAIN;
use crate::plan::{Plan, plan};
use crate::prove::prove;
use crate::shutdown::Shutdown;
use crate::status;
pub use context::Context;
use known::{Meta, reference};
use lists::Lists;
use pace::paced;
use places::Place;
use records::Record;
use renew::renew;
use scope::Scope;
use watches::Watches;

/// Minimum time between two reconciliations of one listener that events cause. The first event causes one at once.
const INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of reconciliations in progress, most of which have read nothing and wait. With fewer, a renewed
/// certificate of many listeners would wait for the rest of the first ones.
const IN_PROGRESS_MAX: u16 = 1024;

/// Runs reconciliations until the first signal; then waits for those in progress.
pub async fn run(context: Context, scope: Scope, board: Arc<Board>, shutdown: Shutdown) {
    let is_namespaced = matches!(scope, Scope::Namespace(_));
    context
        .is_namespaced
        .store(is_namespaced, Ordering::Relaxed);
    let context = Arc::new(context);
    let (is_listed, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(Lists::default()));
    let watches = Watches {
        client: context.client.clone(),
        scope,
        metrics: context.metrics.clone(),
        board,
        is_listed: Arc::clone(&is_listed),
        sights: Arc::clone(&context.sights),
        lists: Arc::clone(&lists),
        known: Arc::clone(&context.known),
    };
    let (store, triggers) = watches.open();
    let (changed, to_trigger) = mpsc::unbounded_channel();
    let triggers = stream::select(triggers, references_to(to_trigger, &context));
    let queue = paced(triggers, || tokio::time::sleep(INTERVAL))
        .map(Ok::<_, Infallible>)
        .take_until(shutdown.clone().begun());
    // More than may use the API server: each waits for its place, and leaves it to others while it asks pods.
    let config = Config::default().concurrency(IN_PROGRESS_MAX);
    let work = |object, context| measured(object, context).boxed();
    let retry = |object: Arc<Meta>, error: &_, context: Arc<_>| retry(&object, error, &context);
    let (known, asking, kept) = (context.clone(), context.clone(), context.clone());
    let (keeping, opening) = (context.clone(), shutdown.clone());
    let (ending, signalled) = (context.clone(), shutdown.clone());
    let work = applier(work, retry, context, store, queue, config).for_each(async |result| {
        if let Err(controller::Error::ObjectNotFound(object)) = result {
            debug!(%object, "listener was deleted before its reconciliation");
            let namespace = object.namespace.unwrap_or_default();
            let name = Name::new(&namespace, &object.name);
            known.failures.forget(&name);
            known.unkept.forget(&name);
            known.sights.forget(&name);
            known.undone.forget(&name);
            known.latest.forget(&name);
        }
    });
    tokio::select! {
        () = work => {}
        () = asking.latest.ask_again(&asking.clock, changed) => {}
        () = keep(&keeping, &lists, opening) => {}
        () = end_soon(&ending, signalled) => {}
        () = end_before_beginning(shutdown, &is_listed) => {}
    }
    info!("all reconciliations have finished");
    let is_restored = kept.is_restored.load(Ordering::Relaxed);
    if let Some(keeper) = kept.keeper.as_ref().filter(|_| is_restored) {
        keeper.finish(&kept.sights).await;
    }
}

/// Takes over the records of the process before, lets reconciliations begin, and keeps the records, for ever.
async fn keep(context: &Context, lists: &Lists, shutdown: Shutdown) {
    let Some(keeper) = &context.keeper else {
        context.is_open.send_replace(true);
        return std::future::pending().await;
    };
    tokio::select! {
        () = keeper.restore(lists, context) => {}
        // The records of the process before are the better ones.
        () = shutdown.begun() => return std::future::pending().await,
    }
    context.is_restored.store(true, Ordering::Relaxed);
    context.is_open.send_replace(true);
    keeper.keep(&context.sights).await;
}

/// Triggers of listeners whose pods answer differently.
fn references_to(
    changes: mpsc::UnboundedReceiver<Name>,
    context: &Context,
) -> impl Stream<Item = ObjectRef<Meta>> + Send + use<> {
    let sights = Arc::clone(&context.sights);
    stream::unfold((changes, sights), async |(mut changes, sights)| {
        let listener = changes.recv().await?;
        sights.note(&listener, None);
        Some((reference(&listener), (changes, sights)))
    })
}

/// After a signal, ends the reconciliations that wait for the records or for a place.
async fn end_soon(context: &Context, shutdown: Shutdown) {
    shutdown.begun().await;
    context.is_ending.store(true, Ordering::Relaxed);
    context.is_open.send_replace(true);
    std::future::pending::<()>().await;
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
async fn measured(object: Arc<Meta>, context: Arc<Context>) -> Result<Action, call::Error> {
    let name = name_of(&*object);
    // The sender lives as long as the context.
    let _ = context.is_open.subscribe().wait_for(|open| *open).await;
    let is_renewed = context.sights.take_renewal(&name);
    let rest = context.undone.rest(&name, Instant::now());
    if let Some(left) = rest.filter(|_| !is_renewed) {
        return Ok(Action::requeue(left));
    }
    if let Some(left) = context.sights.begin(&name, Instant::now()) {
        return Ok(Action::requeue(left));
    }
    if is_renewed {
        let _place = context.places.work().await;
        if context.places.are_wanted() {
            Box::pin(renew(&name, &context)).await;
        }
    }
    // In this order, because a place at the API server must not wait for what others hold.
    let _held = context.places.hold().await;
    let place = context.places.work().await;
    if context.is_ending.load(Ordering::Relaxed) {
        // The next process does it.
        return Ok(Action::await_change());
    }
    let measured = context.metrics.reconciling();
    // Boxed: the future is large.
    let result = Box::pin(reconcile(&name, place, &context)).await;
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

/// Gather, plan, apply, prove, status; and what is proven is kept to start from.
async fn reconcile(name: &Name, place: Place, context: &Context) -> Result<Action, call::Error> {
    let Context {
        client,
        environment,
        metrics,
        reporter,
        recorder,
        ..
    } = context;
    let seen = context.seen(name);
    let gathered = gather(client, &name.namespace, &name.name, &seen);
    let mut world = match Box::pin(gathered).await? {
        Gathered::World(world) => world,
        Gathered::Gone => return Ok(Action::await_change()),
        Gathered::Malformed(invalid) => {
            status::complain(recorder, &invalid, metrics).await;
            // Requeued like any other listener, so that the metrics show that the operator works.
            return Ok(Action::requeue(
                context.spread.wait(LOOK_AGAIN, Instant::now()),
            ));
        }
        Gathered::Unread(unread) => return Box::pin(report(*unread, context)).await,
    };
    world.seen = context.latest.seen(name);
    let now = context.clock.now();
    let Plan {
        objects,
        report,
        previous,
    } = plan(&world, environment, now);
    let (read, named) = (world.versions(), world.named_versions());
    // The plan owns what it needs, and asking pods takes time.
    world.secrets.clear();
    let applied = apply(client, &report.identity, objects, &world.children, metrics).await;
    let outcome = status::outcome(&applied);
    let mut judged = Judged::new(&world, &report, &previous, &outcome, now);
    let is_of_trial = report.trials.is_new && fights::has_kept_trials(context, name, &previous);
    judged.proofs = prove_with(place, name, &judged, context).await;
    let _place = context.places.work().await;
    let (proved, is_settled) = (judged.proofs.look_again(), judged.proofs.are_settled());
    let (is_asked, warnings) = (!judged.proofs.pods.is_empty(), judged.serving.reasons());
    let status = conditions::status(&judged);
    metrics.warned(&name.namespace, &name.name, warnings.clone());
    let written = status::write(client, reporter, &world.listener, &status, metrics).await?;
    let accepted = accepted::proven(&judged).step(Child::Accepted);
    let mut applied = applied.map_err(|failed| failed.error)?;
    let again = keep_accepted(context, name, accepted, &report.identity, &mut applied).await;
    if !is_of_trial {
        fights::slow_down(context, name, &read, &applied);
    }
    let wait = context.spread.wait(report.look_again, Instant::now());
    let wait = wait.min(proved).min(again.unwrap_or(wait));
    let is_as_read = written.as_ref().is_none_or(|written| written.is_as_read);
    let now = versions::now(&world, named, &applied, written.as_ref());
    let keeper = context
        .keeper
        .as_ref()
        .filter(|_| is_settled && is_as_read && again.is_none() && !report.is_passing());
    let record = keeper.map(|keeper| Record {
        digest: keeper.salt().digest(&now),
        // Rounded up: it must have passed.
        until: report.date.map(|date| date.as_second() + 1),
        is_asked,
        warnings,
    });
    let due = Instant::now() + wait;
    context
        .sights
        .end(name, versions::ended(read, now, due, record));
    Ok(Action::requeue(wait))
}

/// Keeps what pods have accepted. Nothing else may wait for it: the listener is served without it. Returns the time until
/// the next try if that failed.
async fn keep_accepted(
    context: &Context,
    name: &Name,
    step: Step,
    listener: &Identity,
    applied: &mut Applied,
) -> Option<Duration> {
    let Context {
        client, metrics, ..
    } = context;
    let kept = apply_one(client, listener, step, &mut applied.children, metrics).await;
    let Err(error) = kept else {
        context.unkept.forget(name);
        return None;
    };
    let (failures, wait) = context.unkept.more(name, Instant::now());
    warn!(
        namespace = name.namespace,
        listener = name.name,
        error = chain(&error),
        failures,
        ?wait,
        "failed to keep the accepted configuration; retrying"
    );
    Some(wait)
}

/// Asks the ready pods, and leaves the place at the API server to others meanwhile.
async fn prove_with(
    place: Place,
    listener: &Name,
    judged: &Judged<'_>,
    context: &Context,
) -> Proofs {
    let pods = ready(judged.pods);
    let Some(question) = judged.serving.question.clone() else {
        context.latest.forget(listener);
        return Proofs::default();
    };
    drop(place);
    let proofs = prove(&question, &pods).await;
    let trials = if judged.is_written() {
        judged.report.trials.watched.clone()
    } else {
        context.latest.watched(listener)
    };
    let kept = proofs.clone();
    context
        .latest
        .keep(listener, (question, pods), kept, trials);
    proofs
}

/// Reports a failed read in the status, if the failure persists. Nothing else is changed.
async fn report(unread: Unread, context: &Context) -> Result<Action, call::Error> {
    let listener = &unread.listener;
    let name = name_of(listener);
    let failures = context.failures.of(&name);
    if let Some(problem) = unread::problem(&unread.failure(failures)) {
        let now = context.clock.now();
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
fn retry(object: &Meta, error: &call::Error, context: &Context) -> Action {
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

    use super::{Context, Name, reconcile};
    use crate::api::clock::Clock;
    use crate::metrics::Metrics;
    use crate::plan::environment::Environment;

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
        let (client, clock) = (Client::new(server, "iot"), Clock::default());
        let context = Context::new(client, clock, environment, metrics, None, 1, None);
        let action = Box::pin(reconcile(&Name::new("iot", "edge"), None, &context))
            .await
            .unwrap();
        assert_ne!(action, Action::await_change());
    }
}
