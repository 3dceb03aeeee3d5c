//! Trials of renewed certificates: which clients get the candidate of a certificate, and what comes of it.
//!
//! All threads share one [`Trials`]. Without a trial, a handshake costs one load of a flag; with one, a lock that is held for a look-up.
//! It must not decide how a trial goes on: the writer of the file does.

mod abort;
mod counts;
mod draw;
mod key;
mod ledger;
mod shown;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use mqtt_tls_config::{self as config, AVOIDED_MAX, SHARE_ALL};

pub(crate) use self::abort::Abort;
pub(crate) use self::counts::{Arm, Outcome, Sums};
pub(crate) use self::draw::{Draw, Term};
pub(crate) use self::ledger::Fit;
pub(crate) use self::shown::Shown;

use self::key::Keyer;
use self::ledger::Ledger;

/// Maximum number of devices of all trials together that `/status` has: an answer must stay readable.
const SHOWN_MAX: usize = 4 * AVOIDED_MAX;

/// The trials of this process, which outlive reloads.
#[derive(Default)]
pub(crate) struct Trials {
    /// Whether a trial has a share, or remembers devices.
    is_on: AtomicBool,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// In the order in which they came.
    trials: Vec<Arc<Trial>>,
    /// The IDs of the candidates in the configuration.
    configured: BTreeSet<String>,
    /// The IDs in the file.
    filed: BTreeSet<String>,
    /// What trials had counted that are gone.
    past: Sums,
}

/// A trial.
struct Trial {
    id: String,
    keyer: Keyer,
    ledger: Mutex<Ledger>,
}

impl Trial {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Counts are consistent enough even if a holder panicked.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trials {
    /// Takes over the trials of the file; those that it does not have any more get no share.
    pub(crate) fn follow(&self, file: &[config::Trial]) {
        let now = now();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.filed = file.iter().map(|trial| trial.id.clone()).collect();
        for trial in file {
            if !known.trials.iter().any(|one| one.id == trial.id) {
                known.trials.push(Arc::new(Trial {
                    id: trial.id.clone(),
                    keyer: Keyer::new(&trial.id),
                    ledger: Mutex::default(),
                }));
            }
        }
        for one in &known.trials {
            let trial = file.iter().find(|trial| trial.id == one.id);
            one.lock().follow(trial, now);
        }
        known.forget();
        let is_on = known.trials.iter().any(|one| one.lock().is_needed());
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    /// Takes note of the candidates in the configuration.
    pub(crate) fn expect(&self, configured: BTreeSet<String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.configured = configured;
        known.forget();
    }

    /// Draws for a client, if there is a trial.
    pub(crate) fn draw(
        self: &Arc<Self>,
        address: IpAddr,
        fingerprint: impl FnOnce() -> Vec<u8>,
    ) -> Option<Draw> {
        let is_on = self.is_on.load(Ordering::Relaxed);
        is_on.then(|| {
            let number = fastrand::u16(..SHARE_ALL);
            Draw::of_client(self, address, fingerprint(), number)
        })
    }

    /// Returns what `/status` has of each.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let now = now();
        let known = self.read();
        let all: usize = known.trials.iter().map(|one| one.lock().found()).sum();
        let trials = known.trials.iter();
        trials
            .map(|one| {
                let mut ledger = one.lock();
                let most = ledger.found() * SHOWN_MAX / all.max(SHOWN_MAX);
                ledger.shown(&one.id, most, now)
            })
            .collect()
    }

    /// Returns what all trials have counted, also those that are gone.
    pub(crate) fn sums(&self) -> Sums {
        let known = self.read();
        let mut sums = known.past;
        for one in &known.trials {
            add(&mut sums, one.lock().sums());
        }
        sums
    }

    /// Returns the number of trials with a share, and of those that are held.
    pub(crate) fn on_and_held(&self) -> (usize, usize) {
        let now = now();
        let known = self.read();
        let on = known.trials.iter().filter(|one| one.lock().share() > 0);
        let held = |one: &&Arc<Trial>| one.lock().is_held_at(now);
        (on.clone().count(), on.filter(held).count())
    }

    fn find(&self, id: &str) -> Option<Arc<Trial>> {
        let known = self.read();
        let trial = known.trials.iter().find(|one| one.id == id);
        trial.map(Arc::clone)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Drops the trials that neither the configuration nor the file has.
    fn forget(&mut self) {
        let Self {
            trials,
            configured,
            filed,
            past,
        } = self;
        trials.retain(|one| {
            let is_wanted = configured.contains(&one.id) || filed.contains(&one.id);
            if !is_wanted {
                add(past, one.lock().sums());
            }
            is_wanted
        });
    }
}

impl fmt::Debug for Trials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trials").finish_non_exhaustive()
    }
}

fn add(sums: &mut Sums, others: &Sums) {
    for (sums, others) in sums.iter_mut().zip(others) {
        sums.iter_mut()
            .zip(others)
            .for_each(|(sum, other)| *sum += other);
    }
}

/// Returns the Unix time in seconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use mqtt_tls_config as config;

    use super::{Abort, Arm, Draw, Fit, Outcome, SHOWN_MAX, Term, Trials};

    const CUT: Abort = Abort::Cut;
    const ALWAYS: Term = 0..=u64::MAX;

    fn file(trials: &[(&str, u16)]) -> Vec<config::Trial> {
        let trial = |(id, share): &(&str, u16)| config::Trial {
            id: (*id).to_owned(),
            share: *share,
            remember: 3600,
            avoided: Vec::new(),
        };
        trials.iter().map(trial).collect()
    }

    fn on(trials: &[(&str, u16)]) -> Arc<Trials> {
        let all = Arc::<Trials>::default();
        all.follow(&file(trials));
        all
    }

    fn draw(trials: &Arc<Trials>, device: u8) -> Draw {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, device));
        let draw = trials.draw(address, || b"hello".to_vec());
        draw.expect("a trial is on")
    }

    fn count(trials: &Trials, arm: Arm, outcome: Outcome) -> u64 {
        trials.sums()[arm as usize][outcome as usize]
    }

    #[test]
    fn without_a_share_nothing_is_computed() {
        for trials in [on(&[]), on(&[("a", 0)])] {
            let fingerprint = || panic!("it is not needed");
            assert!(
                trials
                    .draw(Ipv4Addr::LOCALHOST.into(), fingerprint)
                    .is_none()
            );
        }
    }

    #[test]
    fn a_draw_is_fixed_when_it_is_taken() {
        let trials = on(&[("a", 10_000), ("b", 0)]);
        let mut first = draw(&trials, 1);
        assert!(first.choose("a", Fit::Fits, &ALWAYS) && first.choose("a", Fit::Fits, &ALWAYS));
        assert!(
            !first.choose("other", Fit::Fits, &ALWAYS),
            "it is not for another trial"
        );
        trials.follow(&file(&[("a", 0)]));
        assert!(
            first.choose("a", Fit::Fits, &ALWAYS),
            "after a HelloRetryRequest"
        );
        assert_eq!(first.aborted(CUT).as_deref(), Some("a"));
        trials.follow(&file(&[("a", 10_000), ("b", 0)]));
        let mut second = draw(&trials, 1);
        assert!(!second.choose("a", Fit::Fits, &ALWAYS), "it is remembered");
        second.served();
        for id in ["b", "unknown"] {
            let mut other = draw(&trials, 2);
            assert!(!other.choose(id, Fit::Fits, &ALWAYS));
            assert_eq!(other.aborted(CUT), None);
        }
        let counted = [Outcome::Served, Outcome::Aborted, Outcome::Confirmed];
        let counted = counted.map(|outcome| count(&trials, Arm::Candidate, outcome));
        assert_eq!(counted, [0, 1, 1]);
        assert_eq!(count(&trials, Arm::Current, Outcome::Served), 0);
    }

    #[test]
    fn a_candidate_is_drawn_within_its_dates_only() {
        let trials = on(&[("a", 10_000)]);
        let now = super::now();
        for (term, expected) in [
            (now - 10..=now + 10, true),
            (now + 10..=now + 20, false),
            (now - 20..=now - 10, false),
        ] {
            let mut one = draw(&trials, 1);
            assert_eq!(one.choose("a", Fit::Fits, &term), expected, "{term:?}");
        }
    }

    /// It would see the candidate again in a session that began with it.
    #[test]
    fn a_device_that_is_remembered_is_known_without_a_share_too() {
        let trials = on(&[("a", 10_000)]);
        let mut first = draw(&trials, 1);
        assert!(first.choose("a", Fit::Fits, &ALWAYS) && !first.is_avoided());
        first.aborted(CUT);
        trials.follow(&file(&[("a", 0)]));
        let mut again = draw(&trials, 1);
        assert!(!again.choose("a", Fit::Fits, &ALWAYS) && again.is_avoided());
        let mut other = draw(&trials, 2);
        assert!(!other.choose("a", Fit::Fits, &ALWAYS) && !other.is_avoided());
    }

    #[test]
    fn a_draw_that_is_dropped_counts_nothing_and_frees_its_place() {
        let trials = on(&[("a", 10_000)]);
        for _ in 0..5000 {
            let mut one = draw(&trials, 1);
            assert!(one.choose("a", Fit::Fits, &ALWAYS));
        }
        assert_eq!(trials.sums(), [[0; 4]; 2]);
    }

    #[test]
    fn a_probe_gets_the_candidate_that_it_can_verify() {
        let mut probe = Draw::of_probe();
        assert!(probe.choose("a", Fit::Fits, &ALWAYS) && !probe.choose("b", Fit::Unable, &ALWAYS));
        probe.served();
    }

    #[test]
    fn counts_live_until_neither_file_has_the_trial() {
        let trials = on(&[("a", 10_000)]);
        trials.expect(BTreeSet::from(["a".to_owned()]));
        let mut one = draw(&trials, 1);
        one.choose("a", Fit::Fits, &ALWAYS);
        one.served();
        trials.follow(&file(&[("b", 10_000)]));
        let shown = trials.shown();
        assert_eq!(
            (shown[0].share, shown[0].counts[0].candidate.served),
            (0, 1)
        );
        assert_eq!(trials.on_and_held(), (1, 0));
        // A connection may outlive its trial.
        let mut late = draw(&trials, 2);
        late.choose("b", Fit::Fits, &ALWAYS);
        trials.expect(BTreeSet::new());
        trials.follow(&[]);
        assert!(trials.shown().is_empty());
        late.served();
        assert_eq!(
            count(&trials, Arm::Candidate, Outcome::Served),
            1,
            "a metric never decreases"
        );
        trials.follow(&file(&[("a", 1)]));
        assert!(trials.shown()[0].counts.is_empty(), "it is a new trial");
    }

    #[test]
    fn what_is_shown_is_bounded_over_all_trials() {
        let ids: Vec<String> = (0..64).map(|id| format!("t{id}")).collect();
        let all: Vec<(&str, u16)> = ids.iter().map(|id| (&**id, 10_000)).collect();
        let trials = on(&all);
        for id in &ids {
            for device in 0..300_u32 {
                let address = Ipv4Addr::from_bits(device).into();
                let mut one = trials.draw(address, Vec::new).unwrap();
                assert!(one.choose(id, Fit::Fits, &ALWAYS));
                one.aborted(CUT);
            }
        }
        let shown = trials.shown();
        let devices: usize = shown.iter().map(|one| one.avoided.len()).sum();
        assert_eq!((shown[0].avoided.len(), devices), (256, SHOWN_MAX));
    }

    #[test]
    fn about_the_share_gets_the_candidate() {
        let trials = on(&[("a", 5_000)]);
        let drawn = (0..2000).filter(|_| draw(&trials, 1).choose("a", Fit::Fits, &ALWAYS));
        let drawn = drawn.count();
        // Further from half than ten standard deviations.
        assert!((776..1224).contains(&drawn), "{drawn}");
    }
}
