//! The watches: they turn events in the cluster into listeners to reconcile. It must not decide what a
//! reconciliation does.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll, select_all};
use futures::{Stream, StreamExt};
use kube::core::{PartialObjectMeta, Status};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{Config, Error, Event};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::references::{Guarded, listeners_of};
use super::scope::Scope;
use super::sight::Sights;
use crate::admin::{Board, Stage};
use crate::error::chain;
use crate::kinds::{KINDS, Kind, Row, Version, Watched};
use crate::metrics::Metrics;
use crate::plan::names::{Name, all_pods, listener_of};

/// Duration of one watch request in seconds. It bounds how long a healthy API server is silent.
const WATCH_TIMEOUT: u32 = 30;

/// How long a connection to the API server may be silent before it counts as dead. Without this limit, a list or
/// a new watch would wait forever on a dead connection.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);

const _: () = assert!(SILENCE_MAX.as_secs() > WATCH_TIMEOUT as u64);

/// What readiness waits for at the start.
const LIST: &str = "the list of listeners";

/// Why the list fails without the definition.
const NO_DEFINITION: &str = "CustomResourceDefinition mqtttlslisteners.mqtt.smartboot.tech is not installed; \
                             install it with `mqtt-tls-operator crd --apply`";

/// The watches, and where they report their state.
pub struct Watches {
    /// The API client.
    pub client: Client,
    /// The namespaces to watch.
    pub scope: Scope,
    /// The metrics.
    pub metrics: Metrics,
    /// State shown on the admin port.
    pub board: Arc<Board>,
    /// Whether the first list of listeners is complete.
    pub is_listed: Arc<AtomicBool>,
    /// What reconciliations have taken into account.
    pub sights: Arc<Sights>,
}

/// Listeners to reconcile.
type Triggers = BoxStream<'static, ObjectRef<Guarded>>;

impl Watches {
    /// Opens all watches. The store holds the listeners, as long as the stream is polled.
    pub fn open(&self) -> (Store<Guarded>, SelectAll<Triggers>) {
        let (store, writer) = reflector::store::<Guarded>();
        let (board, is_listed) = (Arc::clone(&self.board), Arc::clone(&self.is_listed));
        let (metrics, known) = (self.metrics.clone(), store.clone());
        let sights = Arc::clone(&self.sights);
        let listeners = reflector(writer, self.listeners().map(Ok))
            .filter_map(move |event: Result<_, Error>| {
                let event = event.ok().inspect(|event| count(event, &known, &metrics));
                let found = event.and_then(|event| trigger(event, &board, &is_listed));
                std::future::ready(found.map(|(listener, version)| {
                    note(&sights, [&listener], version);
                    listener
                }))
            })
            .boxed();
        let mut streams = self.related(&store);
        streams.push(listeners);
        (store, select_all(streams))
    }

    fn listeners(&self) -> impl Stream<Item = Event<Guarded>> + Send + use<> {
        let board = Arc::clone(&self.board);
        board.reach(Stage::Waiting(LIST.to_owned()));
        let api: Api<Guarded> = self.scope.api(&self.client, &());
        self.settled(Kind::MqttTlsListener, api, watch_config(), move |error| {
            hold_up(&board, error)
        })
        .map(|event| event.modify(strip))
    }

    /// Triggers by all kinds of objects that listeners reference or own. Only metadata is watched: a cluster's
    /// Secrets may not fit into memory, and most of them are unrelated.
    fn related(&self, store: &Store<Guarded>) -> Vec<Triggers> {
        let rows = KINDS.iter();
        rows.filter_map(|row| {
            let config = match row.watched {
                Watched::No => return None,
                Watched::All => watch_config(),
                Watched::Terminators => watch_config().labels(&all_pods()),
            };
            Some(self.triggers(store, row, config))
        })
        .collect()
    }

    /// Triggers by one kind of objects.
    fn triggers(&self, store: &Store<Guarded>, row: &Row, config: Config) -> Triggers {
        let (store, kind, metrics) = (store.clone(), row.kind, self.metrics.clone());
        let sights = Arc::clone(&self.sights);
        let api: Api<PartialObjectMeta> = self.scope.api(&self.client, &(row.resource)());
        self.settled(kind, api, config, plain)
            .flat_map(move |event| {
                let listeners = store.state();
                let listeners = listeners.iter().map(|listener| &**listener);
                let is_change = matches!(event, Event::Apply(_));
                let version = match &event {
                    Event::Apply(object) | Event::InitApply(object) => {
                        Version::of(kind, &object.metadata)
                    }
                    Event::Delete(_) | Event::Init | Event::InitDone => None,
                };
                let found = match event {
                    Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                        let found = listeners_of(kind, &object.metadata, listeners);
                        // A child's event follows from our own write.
                        let is_child = listener_of(&object.metadata).is_some();
                        if kind == Kind::Secret && is_change && !is_child {
                            note_change(&found, &metrics);
                        }
                        found
                    }
                    // An object that was deleted while the watch was down is only missing from the list.
                    Event::InitDone => listeners.map(ObjectRef::from_obj).collect(),
                    Event::Init => Vec::new(),
                };
                note(&sights, &found, version);
                stream::iter(found)
            })
            .boxed()
    }

    /// A watch that never ends: it retries after each failure, and logs what `why` returns for it.
    fn settled<K, F>(
        &self,
        kind: Kind,
        api: Api<K>,
        config: Config,
        why: F,
    ) -> impl Stream<Item = Event<K>> + Send + use<K, F>
    where
        F: Fn(&Error) -> String + Send,
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let metrics = self.metrics.clone();
        metrics.watching(kind);
        // Each watch has its own backoff: on the merged stream, one forbidden watch would delay the others.
        relisting(api, config)
            .default_backoff()
            .filter_map(move |event| {
                let event = event.map_err(|error| {
                    metrics.watch_failed(kind);
                    warn!(
                        kind = kind.name(),
                        error = why(&error),
                        "watch failed; retrying"
                    );
                });
                std::future::ready(event.ok())
            })
    }
}

/// A watch that lists again after a "not found". kube's watcher would resume silently from the old version, but an
/// API server that has just started does not serve custom resources for a moment.
fn relisting<K>(
    api: Api<K>,
    config: Config,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let begin = move || watcher(api.clone(), config.clone()).boxed();
    stream::unfold((begin(), begin), async |(mut watch, begin)| {
        let event = watch.next().await?;
        if event.as_ref().is_err_and(is_unknown) {
            watch = begin();
        }
        Some((event, (watch, begin)))
    })
}

fn watch_config() -> Config {
    Config::default().timeout(WATCH_TIMEOUT)
}

/// Removes what no mapping from objects to listeners needs: the store holds thousands of listeners.
fn strip(listener: &mut Guarded) {
    if let Ok(listener) = &mut listener.0 {
        listener.metadata.managed_fields = None;
        listener.metadata.annotations = None;
        listener.status = None;
    }
}

/// Records the cause of a reconciliation.
fn note<'l>(
    sights: &Sights,
    listeners: impl IntoIterator<Item = &'l ObjectRef<Guarded>>,
    version: Option<Version>,
) {
    for listener in listeners {
        let namespace = listener.namespace.as_deref().unwrap_or_default();
        sights.note(&Name::new(namespace, &listener.name), version);
    }
}

/// Records the change of a Secret, for the time until its certificate is served.
fn note_change(listeners: &[ObjectRef<Guarded>], metrics: &Metrics) {
    for listener in listeners {
        let namespace = listener.namespace.as_deref().unwrap_or_default();
        metrics.secret_changed(namespace, &listener.name);
    }
}

/// Limits the metrics to existing listeners.
fn count(event: &Event<Guarded>, store: &Store<Guarded>, metrics: &Metrics) {
    match event {
        Event::Apply(listener) => metrics.know(listener),
        Event::Delete(listener) => metrics.forget(listener),
        Event::InitDone => metrics.know_only(store.state().iter().map(Arc::as_ref)),
        Event::Init | Event::InitApply(_) => {}
    }
}

/// Returns the listener of an event, if it needs a reconciliation.
///
/// Readiness is reported here instead of by waiting for the store: the store wakes only its last waiter, which
/// must be the applier.
fn trigger(
    event: Event<Guarded>,
    board: &Board,
    is_listed: &AtomicBool,
) -> Option<(ObjectRef<Guarded>, Option<Version>)> {
    if matches!(event, Event::InitDone) {
        is_listed.store(true, Ordering::Relaxed);
    }
    // An event outside a list shows that the watch works again.
    let is_sign = matches!(event, Event::InitDone | Event::Apply(_) | Event::Delete(_));
    if is_sign && is_listed.load(Ordering::Relaxed) && board.reach(Stage::Working) != Stage::Working
    {
        info!("listed all listeners");
    }
    match event {
        Event::Apply(listener) | Event::InitApply(listener) => {
            let version = Version::of(Kind::MqttTlsListener, listener.meta());
            Some((ObjectRef::from_obj(&listener), version))
        }
        // The garbage collector deletes the children of a deleted listener.
        Event::Delete(_) | Event::Init | Event::InitDone => None,
    }
}

/// Returns why the listeners cannot be watched, and updates readiness. After the first list, an unreachable API
/// server does not affect readiness, but a missing CustomResourceDefinition does.
fn hold_up(board: &Board, error: &Error) -> String {
    let is_unknown = is_unknown(error);
    let why = if is_unknown {
        NO_DEFINITION.to_owned()
    } else {
        plain(error)
    };
    if is_unknown || board.stage() != Stage::Working {
        board.reach(Stage::Waiting(format!("{LIST}: {why}")));
    }
    why
}

/// Formats an error. kube's own text of a refusal ends with the whole response as a Rust structure.
fn plain(error: &Error) -> String {
    match refusal(error) {
        Some(status) => format!("refused ({}): {}", status.reason, status.message),
        None => chain(error),
    }
}

/// Reports whether the API server does not serve the watched resource.
fn is_unknown(error: &Error) -> bool {
    refusal(error).is_some_and(|status| status.code == 404)
}

/// Returns the API server's response, if it refused.
fn refusal(error: &Error) -> Option<&Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use kube::core::DeserializeGuard;
    use kube::runtime::watcher::Event;
    use mqtt_tls_config::yaml;
    use prometheus_client::registry::Registry;

    use super::{Error, Guarded, Status, plain, trigger};
    use crate::admin::{Board, Stage};

    #[test]
    fn a_refused_watch_is_logged_in_words() {
        let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        let error = Error::WatchStartFailed(kube::Error::Api(Box::new(status)));
        assert_eq!(plain(&error), "refused (Forbidden): pods is forbidden");
    }

    fn edge() -> Guarded {
        let text = "metadata: {name: edge, namespace: iot}\n\
                    spec: {certificates: [], backend: {address: {host: a.b}}}\n";
        DeserializeGuard(Ok(yaml::from_value(yaml::value(text).unwrap()).unwrap()))
    }

    #[test]
    fn an_event_after_the_first_list_restores_readiness() {
        let board = Board::new(Registry::default());
        let is_listed = AtomicBool::new(false);
        let lost = || Stage::Waiting("it".to_owned());
        board.reach(lost());
        // The first list is not complete yet.
        for event in [Event::Init, Event::InitApply(edge()), Event::Apply(edge())] {
            trigger(event, &board, &is_listed);
            assert_eq!(board.stage(), lost());
        }
        for sign in [Event::InitDone, Event::Apply(edge()), Event::Delete(edge())] {
            board.reach(lost());
            trigger(sign, &board, &is_listed);
            assert_eq!(board.stage(), Stage::Working);
        }
        board.reach(lost());
        for event in [Event::Init, Event::InitApply(edge())] {
            trigger(event, &board, &is_listed);
            assert_eq!(board.stage(), lost());
        }
    }
}
