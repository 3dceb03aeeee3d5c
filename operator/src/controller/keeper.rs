//! Keeps the records of the last results in one ConfigMap, and takes them over after a restart. It must not write while
//! nothing changes, and must not fail: without records, everything is read.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch};
use kube::{Api, Client};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::Context;
use super::lists::Lists;
use super::records::{Record, Salt, parse, text};
use super::sight::Sights;
use crate::api::call::call;
use crate::api::patch::apply;
use crate::error::chain;
use crate::kinds::{Kind, Target, Verb};
use crate::plan::names::own_labels;
use crate::plan::report::LOOK_AGAIN;
use crate::plan::until_passed;

/// The key in the ConfigMap.
const KEY: &str = "records";

/// Time between two writes, if something has changed.
const PERIOD: Duration = Duration::from_secs(60);

/// Maximum time for the last write, at the shutdown.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Maximum time for the first lists; then everything is read. That takes longer than lists, also where they are slow.
const LISTS_WAIT: Duration = Duration::from_secs(120);

/// Time until the first listener is reconciled whose pods answered before the restart: as long as they may be silent otherwise.
const ASKED_AFTER: Duration = Duration::from_secs(60);

/// Time from one such listener to the next. With eight reads each, they are 80 reads a second.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// This build: its own file, so that another build of the same version counts as another one.
const PROGRAM: &str = "/proc/self/exe";

/// How much of it is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// Where the records are kept.
#[derive(Clone, Debug)]
pub struct Place {
    /// The operator's namespace.
    pub namespace: String,
    /// The ConfigMap's name.
    pub name: String,
}

/// Keeps the records.
pub struct Keeper {
    api: Api<ConfigMap>,
    target: Target,
    place: Place,
    salt: Salt,
    /// The text as it was last read or written.
    written: tokio::sync::Mutex<String>,
}

impl Keeper {
    /// Creates a keeper for this build with these settings; `None` if the build cannot be identified.
    pub fn new(client: &Client, place: Place, settings: &impl Debug) -> Option<Self> {
        let program = program()
            .inspect_err(|error| warn!(error = chain(error), "failed to read {PROGRAM}"))
            .ok()?;
        Some(Self {
            api: Api::namespaced(client.clone(), &place.namespace),
            target: Target::one(Kind::ConfigMap, &place.name),
            salt: Salt::of(program, &format!("{settings:?}")),
            place,
            written: tokio::sync::Mutex::default(),
        })
    }

    /// Returns what distinguishes this build and its settings.
    pub fn salt(&self) -> Salt {
        self.salt
    }

    /// Reads the records of the process before; none if that fails.
    async fn read(&self) -> HashMap<u64, Record> {
        let found = call(Verb::Get, &self.target, self.api.get_opt(&self.place.name)).await;
        let found = found.unwrap_or_else(|error| {
            warn!(
                error = chain(&error),
                "failed to read the records of the last results; reading everything instead"
            );
            None
        });
        let data = found.and_then(|map| map.data).unwrap_or_default();
        let text = data.get(KEY).cloned().unwrap_or_default();
        let records = parse(&text);
        *self.written.lock().await = text;
        records
    }

    /// Takes over the records of the process before when all watches have listed, so that listeners of which nothing has
    /// changed are not read.
    pub async fn restore(&self, lists: &Lists, context: &Context) {
        let records = self.read().await;
        if records.is_empty() {
            return;
        }
        info!("waiting for the first lists, to read only what has changed since the last process");
        if !timeout(LISTS_WAIT, lists.complete()).await.unwrap_or(false) {
            warn!("not all first lists came; reading everything instead");
            return;
        }
        let (now, clock) = (context.clock.now(), Instant::now());
        let (mut unchanged, mut asked) = (0_u32, 0_u32);
        context
            .sights
            .restore(self.salt, &records, |listener, record| {
                let mut wait = context.spread.wait(LOOK_AGAIN, clock);
                if let Some(until) = record.until {
                    let until = Timestamp::from_second(until).ok()?;
                    wait = wait.min(until_passed(until, now));
                    if until <= now {
                        return None;
                    }
                }
                if record.is_asked {
                    wait = wait.min(ASKED_AFTER + ASKED_EVERY.saturating_mul(asked));
                    asked += 1;
                }
                let (metrics, warnings) = (&context.metrics, record.warnings.clone());
                metrics.warned(&listener.namespace, &listener.name, warnings);
                unchanged += 1;
                Some(clock + wait)
            });
        info!(
            records = records.len(),
            unchanged, "took over the records of the last results"
        );
    }

    /// Writes the records at intervals while something changes, for ever.
    pub async fn keep(&self, sights: &Sights) {
        let mut minutes = interval(PERIOD);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        minutes.tick().await;
        loop {
            minutes.tick().await;
            self.write(sights).await;
        }
    }

    /// Writes the records for the last time.
    pub async fn finish(&self, sights: &Sights) {
        if timeout(LAST_WAIT, self.write(sights)).await.is_err() {
            warn!("writing the records of the last results timed out; the next start reads more");
        }
    }

    async fn write(&self, sights: &Sights) {
        let mut written = self.written.lock().await;
        let text = text(&sights.records());
        if *written == text {
            return;
        }
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.place.name.clone()),
                labels: Some(own_labels()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), text.clone())])),
            ..ConfigMap::default()
        };
        let (params, patch) = (apply().force(), Patch::Apply(&map));
        let patched = self.api.patch(&self.place.name, &params, &patch);
        match call(Verb::Apply, &self.target, patched).await {
            Ok(_) => {
                debug!(bytes = text.len(), "wrote the records of the last results");
                *written = text;
            }
            Err(error) => warn!(
                error = chain(&error),
                "failed to write the records of the last results; retrying in a minute"
            ),
        }
    }
}

/// Returns a digest of this program.
fn program() -> io::Result<u64> {
    let mut file = File::open(PROGRAM)?;
    let (mut hasher, mut chunk) = (DefaultHasher::new(), vec![0; CHUNK]);
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            return Ok(hasher.finish());
        }
        hasher.write(&chunk[..length]);
    }
}
