//! What all reconciliations share. It must not decide anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::watch;

use super::keeper::Keeper;
use super::known::Known;
use super::places::Places;
use super::retry::{Failures, Spread};
use super::sight::Sights;
use super::undone::Undone;
use crate::api::clock::Clock;
use crate::gather::Seen;
use crate::metrics::Metrics;
use crate::plan::environment::Environment;
use crate::plan::names::{MANAGER, Name};
use crate::prove::latest::Latest;

/// Shared state of all reconciliations.
pub struct Context {
    /// The API client.
    pub client: Client,
    /// The API server's clock, by which everything is decided.
    pub clock: Clock,
    /// Settings for all listeners.
    pub environment: Environment,
    /// The metrics.
    pub metrics: Metrics,
    /// The source of events.
    pub reporter: Reporter,
    /// Records repeated events as one series.
    pub recorder: Recorder,
    /// Consecutive failures of each listener.
    pub(super) failures: Failures,
    /// Consecutive failures to keep each listener's accepted configuration.
    pub(super) unkept: Failures,
    /// What the watches know of each listener.
    pub(super) known: Arc<Known>,
    /// What the last reconciliation of each listener has taken into account.
    pub(super) sights: Arc<Sights>,
    /// Listeners whose children others change back.
    pub(super) undone: Undone,
    /// The last answers of each listener's pods.
    pub(super) latest: Latest,
    /// Places for reconciliations.
    pub(super) places: Places,
    /// When listeners are reconciled without an event.
    pub(super) spread: Spread,
    /// Keeps the records of the last results, if there is a place for them.
    pub(super) keeper: Option<Keeper>,
    /// Whether reconciliations may begin, because records of an earlier process have been taken over or cannot be.
    pub(super) is_open: watch::Sender<bool>,
    /// Whether the records of an earlier process are no longer needed.
    pub(super) is_restored: AtomicBool,
    /// Whether the operator works on one namespace.
    pub(super) is_namespaced: AtomicBool,
    /// Whether a signal has come, so that no reconciliation begins.
    pub(super) is_ending: AtomicBool,
}

impl Context {
    /// Returns what is known for the reads of a listener.
    pub(super) fn seen(&self, listener: &Name) -> Seen {
        Seen {
            is_namespaced: self.is_namespaced.load(Ordering::Relaxed),
            ..self.known.seen(listener)
        }
    }

    /// Creates the context. `clock` reads the client's responses. `instance` names this process in events. At most
    /// `concurrency` reconciliations use the API server at the same time. Without a keeper, each start reads everything.
    pub fn new(
        client: Client,
        clock: Clock,
        environment: Environment,
        metrics: Metrics,
        instance: Option<String>,
        concurrency: u16,
        keeper: Option<Keeper>,
    ) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance,
        };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self {
            client,
            clock,
            environment,
            metrics,
            reporter,
            recorder,
            failures: Failures::default(),
            unkept: Failures::default(),
            known: Arc::default(),
            sights: Arc::default(),
            undone: Undone::default(),
            latest: Latest::default(),
            places: Places::new(concurrency),
            spread: Spread::default(),
            keeper,
            is_open: watch::Sender::new(false),
            is_restored: AtomicBool::new(false),
            is_namespaced: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
        }
    }
}
