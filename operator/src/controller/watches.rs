//! The watches: they turn events in the cluster into listeners to reconcile. It must not decide what a
//! reconciliation does.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll, select_all};
use futures::{Stream, StreamExt};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{Config, Error, Event};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{info, warn};

use super::known::{Known, Meta};
use super::lists::Lists;
use super::presence::Presence;
use super::relisting::{is_unknown, refusal, relisting};
use super::scope::Scope;
use super::sight::Sights;
use crate::admin::{Board, Stage};
use crate::crd::Guarded;
use crate::error::chain;
use crate::kinds::{KINDS, Kind, Row, Version, Watched};
use crate::metrics::Metrics;
use crate::plan::names::{Name, listener_of, of_listeners};
use crate::plan::pod::RUNNING;

/// Duration of one watch request in seconds. It bounds how long a healthy API server is silent.
const WATCH_TIMEOUT: u32 = 30;

/// Listeners in one page of a list. Each has its whole spec and status, so a page of the usual size takes megabytes.
const LISTENERS_PAGE: u32 = 250;

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
    /// Which first lists are not complete.
    pub lists: Arc<Lists>,
    /// What listeners reference.
    pub known: Arc<Known>,
}

/// Listeners to reconcile.
type Triggers = BoxStream<'static, ObjectRef<Meta>>;

impl Watches {
    /// Opens all watches. The store holds the listeners' names, as long as the stream is polled.
    pub fn open(&self) -> (Store<Meta>, SelectAll<Triggers>) {
        let (store, writer) = reflector::store::<Meta>();
        let (board, is_listed) = (Arc::clone(&self.board), Arc::clone(&self.is_listed));
        let (metrics, names) = (self.metrics.clone(), store.clone());
        let (sights, lists) = (Arc::clone(&self.sights), Arc::clone(&self.lists));
        let listeners = reflector(writer, self.listeners().map(Ok))
            .filter_map(move |event: Result<_, Error>| {
                let event = event.ok().inspect(|event| count(event, &names, &metrics));
                if matches!(event, Some(Event::InitDone)) {
                    lists.listed(Kind::MqttTlsListener);
                }
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

    fn listeners(&self) -> impl Stream<Item = Event<Meta>> + Send + use<> {
        let board = Arc::clone(&self.board);
        board.reach(Stage::Waiting(LIST.to_owned()));
        let api: Api<Guarded> = self.scope.api(&self.client, &());
        let (known, metrics) = (Arc::clone(&self.known), self.metrics.clone());
        let config = watch_config().page_size(LISTENERS_PAGE);
        self.settled(Kind::MqttTlsListener, vec![api], config, move |error| {
            hold_up(&board, error)
        })
        .map(move |event| learn(event, &known, &metrics))
    }

    /// Triggers by all kinds of objects that listeners reference or own. Only metadata is watched: a cluster's
    /// Secrets may not fit into memory, and most of them are unrelated.
    fn related(&self, store: &Store<Meta>) -> Vec<Triggers> {
        let rows = KINDS.iter();
        rows.filter_map(|row| {
            let config = match row.watched {
                Watched::No => return None,
                Watched::All | Watched::IfServed => watch_config(),
                Watched::Terminators => watch_config().labels(&of_listeners()).fields(RUNNING),
                Watched::OfListenersIfServed => watch_config().labels(&of_listeners()),
            };
            Some(self.triggers(store, row, config))
        })
        .collect()
    }

    /// Triggers by one kind of objects. Its watch begins when the listeners are known: the versions in its first list are
    /// compared with those of an earlier process.
    fn triggers(&self, store: &Store<Meta>, row: &Row, config: Config) -> Triggers {
        let (store, kind, metrics) = (store.clone(), row.kind, self.metrics.clone());
        let (sights, lists) = (Arc::clone(&self.sights), Arc::clone(&self.lists));
        let (known, begun) = (Arc::clone(&self.known), Arc::clone(&self.lists));
        let apis = row.resources();
        let apis = apis
            .iter()
            .map(|one| self.scope.api::<PartialObjectMeta>(&self.client, one));
        let events = self.settled(kind, apis.collect(), config, plain);
        let events = async move {
            begun.wait_for(Kind::MqttTlsListener).await;
            events
        };
        stream::once(events)
            .flatten()
            .flat_map(move |event| {
                let is_change = matches!(event, Event::Apply(_));
                let version = match &event {
                    Event::Apply(object) | Event::InitApply(object) => {
                        Version::of(kind, &object.metadata)
                    }
                    Event::Delete(_) | Event::Init | Event::InitDone => None,
                };
                let found = match event {
                    Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                        let found = known.listeners_of(kind, &object.metadata);
                        if kind.is_rarely_owned() && version.is_some() {
                            known.note_owner(kind, &object.metadata);
                        }
                        // A child's event follows from our own write.
                        let is_child = listener_of(&object.metadata).is_some();
                        if kind == Kind::Secret && is_change && !is_child {
                            note_change(&found, &metrics, &sights);
                        }
                        found
                    }
                    // Nothing can be missing from the first list.
                    Event::InitDone if lists.listed(kind) => Vec::new(),
                    // An object that was deleted while the watch was down is only missing from the list.
                    Event::InitDone => {
                        let all = store.state().into_iter();
                        all.map(|one| ObjectRef::from_obj(&*one)).collect()
                    }
                    Event::Init => Vec::new(),
                };
                note(&sights, &found, version);
                stream::iter(found)
            })
            .boxed()
    }

    /// A watch that never ends: it retries after each failure, and logs what `why` returns for it. Of several versions of an API, the
    /// cluster may serve any.
    fn settled<K, F>(
        &self,
        kind: Kind,
        apis: Vec<Api<K>>,
        config: Config,
        why: F,
    ) -> impl Stream<Item = Event<K>> + Send + use<K, F>
    where
        F: Fn(&Error) -> String + Send,
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let (metrics, lists) = (self.metrics.clone(), Arc::clone(&self.lists));
        let sights = Arc::clone(&self.sights);
        let known = Arc::clone(&self.known);
        let mut presence = Presence::new(kind, known, Arc::clone(&lists));
        metrics.watching(kind);
        // Each watch has its own backoff: on the merged stream, one forbidden watch would delay the others.
        relisting(apis, config)
            .default_backoff()
            .filter_map(move |event| {
                let event = event.map_err(|error| {
                    if presence.is_optional() && is_unknown(&error) {
                        return presence.missed();
                    }
                    metrics.watch_failed(kind);
                    lists.failed();
                    warn!(
                        kind = kind.name(),
                        error = why(&error),
                        "watch failed; retrying"
                    );
                });
                if matches!(event, Ok(Event::Init)) && presence.is_there() {
                    sights.drop_unechoed();
                }
                if matches!(event, Ok(Event::InitDone | Event::Apply(_))) {
                    presence.found();
                }
                let pause = presence.pause();
                async move {
                    if event.is_err() && !pause.is_zero() {
                        sleep(pause).await;
                    }
                    event.ok()
                }
            })
    }
}

fn watch_config() -> Config {
    Config::default().timeout(WATCH_TIMEOUT)
}

/// Takes from a listener what is needed of it, and reduces it to its name and version: there may be thousands.
fn learn(event: Event<Guarded>, known: &Known, metrics: &Metrics) -> Event<Meta> {
    match event {
        Event::Init => {
            known.begin_list();
            Event::Init
        }
        Event::InitDone => {
            known.end_list();
            Event::InitDone
        }
        Event::InitApply(listener) => {
            if let Ok(listener) = &listener.0 {
                metrics.found(listener);
            }
            Event::InitApply(learned(&listener, known))
        }
        Event::Apply(listener) => Event::Apply(learned(&listener, known)),
        Event::Delete(listener) => {
            let listener = reduced(&listener);
            known.forget(&name_of(&listener));
            Event::Delete(listener)
        }
    }
}

fn learned(listener: &Guarded, known: &Known) -> Meta {
    let reduced = reduced(listener);
    known.learn(&name_of(&reduced), listener.0.as_ref().ok());
    reduced
}

fn reduced(listener: &Guarded) -> Meta {
    let metadata = listener.meta();
    Meta {
        types: None,
        metadata: ObjectMeta {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectMeta::default()
        },
        _phantom: std::marker::PhantomData,
    }
}

fn name_of(listener: &Meta) -> Name {
    let namespace = listener.namespace().unwrap_or_default();
    Name::new(&namespace, &listener.name_any())
}

/// Records the cause of a reconciliation.
fn note<'l>(
    sights: &Sights,
    listeners: impl IntoIterator<Item = &'l ObjectRef<Meta>>,
    version: Option<Version>,
) {
    for listener in listeners {
        let namespace = listener.namespace.as_deref().unwrap_or_default();
        sights.note(&Name::new(namespace, &listener.name), version);
    }
}

/// Records the change of a Secret: its certificate comes first, and the time until it is served is measured.
fn note_change(listeners: &[ObjectRef<Meta>], metrics: &Metrics, sights: &Sights) {
    for listener in listeners {
        let namespace = listener.namespace.as_deref().unwrap_or_default();
        metrics.secret_changed(namespace, &listener.name);
        sights.note_renewal(&Name::new(namespace, &listener.name));
    }
}

/// Limits the metrics to existing listeners.
fn count(event: &Event<Meta>, store: &Store<Meta>, metrics: &Metrics) {
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
    event: Event<Meta>,
    board: &Board,
    is_listed: &AtomicBool,
) -> Option<(ObjectRef<Meta>, Option<Version>)> {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use kube::core::{DeserializeGuard, Status};
    use kube::runtime::watcher::Event;
    use mqtt_tls_config::yaml;
    use prometheus_client::registry::Registry;

    use super::{Error, Guarded, Meta, plain, reduced, trigger};
    use crate::admin::{Board, Stage};

    #[test]
    fn a_refused_watch_is_logged_in_words() {
        let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        let error = Error::WatchStartFailed(kube::Error::Api(Box::new(status)));
        assert_eq!(plain(&error), "refused (Forbidden): pods is forbidden");
    }

    fn edge() -> Meta {
        let text = "metadata: {name: edge, namespace: iot}\n\
                    spec: {certificates: [], backend: {address: {host: a.b}}}\n";
        let edge: Guarded =
            DeserializeGuard(Ok(yaml::from_value(yaml::value(text).unwrap()).unwrap()));
        reduced(&edge)
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
