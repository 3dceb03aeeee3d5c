//! Watches, and reconciles: gather, plan, apply, status. Decides only when; what is decided in `plan`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, BoxStream, select_all};
use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, applier, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use crate::admin::Board;
use crate::apply::apply;
use crate::call;
use crate::error::chain;
use crate::gather::{Gathered, gather};
use crate::metrics::Metrics;
use crate::plan::conditions::{self, Outcome};
use crate::plan::names::{MANAGER, all_pods};
use crate::plan::{Plan, Settings, plan};
use crate::references::{Guarded, Watched, listeners_of};
use crate::shutdown::Shutdown;
use crate::status;

/// How long a watch lasts before it is begun anew, in seconds: a connection that died without a word is
/// noticed by then.
const WATCH_TIMEOUT: u32 = 45;

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
    /// Where events go.
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
        let recorder = Recorder::new(client.clone(), reporter);
        Self {
            client,
            settings,
            metrics,
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

impl Scope {
    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}

/// Runs until the first signal, and then until the reconciliations that run are over.
pub async fn run(context: Context, scope: Scope, board: Arc<Board>, shutdown: Shutdown) {
    let context = Arc::new(context);
    let (store, writer) = reflector::store::<Guarded>();
    let listeners = settled::<Guarded>(&context, &scope, "MqttTlsListener", watch_config());
    let known = (store.clone(), context.metrics.clone());
    let known_to = Arc::clone(&board);
    let triggers = reflector(writer, listeners.map(Ok))
        .filter_map(move |event: Result<_, watcher::Error>| {
            known.1.know(known.0.len());
            std::future::ready(event.ok().and_then(|event| trigger(event, &board)))
        })
        .boxed();
    let mut streams = related(&context, &scope, &store);
    streams.push(triggers);
    let queue = select_all(streams)
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
        () = end_before_beginning(shutdown, known_to) => {}
    }
    info!("no reconciliation runs any more");
}

/// The first signal, if it comes before the listeners are known. No reconciliation has run then, and the
/// applier would wait for their list for ever.
async fn end_before_beginning(shutdown: Shutdown, board: Arc<Board>) {
    shutdown.begun().await;
    if board.is_synced.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_TIMEOUT)
}

/// The listener that an event is about, if there is something to do for it.
///
/// Readiness is told from here, and not by waiting for the store: of those who wait for that, only the
/// last is woken, and that has to be the applier.
fn trigger(event: Event<Guarded>, board: &Board) -> Option<ObjectRef<Guarded>> {
    match event {
        Event::Apply(listener) | Event::InitApply(listener) => Some(ObjectRef::from_obj(&listener)),
        Event::InitDone => {
            if !board.is_synced.swap(true, Ordering::Relaxed) {
                info!("the listeners are known");
            }
            None
        }
        // Whatever belongs to a listener that is gone is collected.
        Event::Delete(_) | Event::Init => None,
    }
}

/// A watch that never fails: it is tried again and again, and each failure is told.
fn settled<K>(
    context: &Context,
    scope: &Scope,
    kind: &'static str,
    config: watcher::Config,
) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let metrics = context.metrics.clone();
    // The back-off sits on each watch by itself: on the merged stream, one watch that is forbidden
    // would hold up the others.
    watcher(scope.api::<K>(&context.client), config)
        .default_backoff()
        .filter_map(move |event| {
            let event = event.map_err(|error| {
                metrics.watch_failed(kind);
                warn!(
                    kind,
                    error = chain(&error),
                    "a watch failed; it is tried again"
                );
            });
            std::future::ready(event.ok())
        })
}

/// Triggers by everything that listeners name or own. Only metadata is watched: all Secrets of a cluster
/// do not fit into memory, and most of them are none of ours.
fn related(context: &Context, scope: &Scope, store: &Store<Guarded>) -> Vec<Triggers> {
    let all = watch_config;
    let pods = watch_config().labels(&all_pods());
    vec![
        triggers::<Secret>(context, scope, store, Watched::Secret, all()),
        triggers::<ConfigMap>(context, scope, store, Watched::ConfigMap, all()),
        triggers::<Service>(context, scope, store, Watched::Service, all()),
        triggers::<Deployment>(context, scope, store, Watched::Deployment, all()),
        triggers::<PodDisruptionBudget>(context, scope, store, Watched::PodDisruptionBudget, all()),
        triggers::<Pod>(context, scope, store, Watched::Pod, pods),
    ]
}

type Triggers = BoxStream<'static, ObjectRef<Guarded>>;

/// Triggers by one kind of objects.
fn triggers<K>(
    context: &Context,
    scope: &Scope,
    store: &Store<Guarded>,
    kind: Watched,
    config: watcher::Config,
) -> Triggers
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let store = store.clone();
    settled::<PartialObjectMeta<K>>(context, scope, kind.name(), config)
        .flat_map(move |event| {
            let listeners = store.state();
            let listeners = listeners.iter().map(|listener| &**listener);
            let found = match event {
                Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                    listeners_of(kind, &object.metadata, listeners)
                }
                // What was deleted while the watch was down shows only by its absence from the list.
                Event::InitDone => listeners.map(ObjectRef::from_obj).collect(),
                Event::Init => Vec::new(),
            };
            stream::iter(found)
        })
        .boxed()
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
    }
    result
}

/// Gather, plan, apply, status.
async fn run_once(namespace: &str, name: &str, context: &Context) -> Result<Action, call::Error> {
    let Context {
        client,
        settings,
        metrics,
        recorder,
        failures: _,
    } = context;
    let world = match Box::pin(gather(client, namespace, name)).await? {
        Gathered::World(world) => world,
        Gathered::Gone => return Ok(Action::await_change()),
        Gathered::Malformed(invalid) => {
            status::complain(recorder, &invalid).await;
            return Ok(Action::await_change());
        }
    };
    let now = Timestamp::now();
    let Plan { objects, report } = plan(&world, settings, now);
    let applied = apply(client, &report.identity, objects, &world.children, metrics).await;
    let outcome = match &applied {
        Ok(applied) => Outcome::Done(applied),
        Err(error) => Outcome::Failed {
            reason: error.reason(),
            message: chain(error),
        },
    };
    let status = conditions::status(&world, &report, &outcome, now);
    status::write(client, recorder, &world.listener, &status, metrics).await?;
    applied?;
    Ok(Action::requeue(report.look_again))
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
    use std::time::Duration;

    use super::back_off;

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
