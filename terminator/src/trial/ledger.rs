//! One trial: who gets the candidate, and what came of it. Pure: callers pass the time in, as Unix seconds, and a random number.
//!
//! It must not show the candidate to a device that has refused it, for as long as that is remembered.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use mqtt_tls_config::{AVOIDED_MAX, Trial};

use super::abort::Abort;
use super::counts::{Arm, Counts, Sums};
use super::key::Keys;
use super::shown::{Shown, ShownDevice};
use super::table::Table;

/// Whether a client can verify signatures by the candidate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Fits,
    Unable,
}

/// What a client gets, and how that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// The current certificate, by the draw.
    Current,
    /// The candidate, by the draw. A place in the table is kept for it.
    Candidate,
    /// The current certificate, although the candidate was drawn.
    Unable,
    /// The current certificate without a draw: the device has aborted, or the trial is held.
    Apart,
}

/// A seat, with all that is needed to count what comes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) keys: Keys,
    pub(super) seat: Seat,
    /// The share at the draw.
    share: u16,
    /// Whether a place in the table is kept for it.
    pub(super) keeps: bool,
    /// Whether the device is remembered, and must not see the candidate in a resumed session either.
    pub(super) is_avoided: bool,
}

/// A trial.
#[derive(Default)]
pub(super) struct Ledger {
    /// The share of the clients that get the candidate; 0 while the trial is not in the file.
    share: u16,
    remember: u64,
    table: Table,
    counts: Counts,
    /// Places that are kept for clients that got the candidate.
    kept: usize,
}

impl Ledger {
    /// Takes over what the file has, or that it does not have the trial.
    pub(super) fn follow(&mut self, trial: Option<&Trial>, now: u64) {
        self.share = trial.map_or(0, |trial| trial.share);
        self.remember = trial.map_or(self.remember, |trial| trial.remember.into());
        self.counts.prefer(self.share);
        let avoided = trial.map(|trial| &*trial.avoided);
        self.table.share(avoided.unwrap_or_default(), now);
    }

    /// Decides what a client gets; `number` is a random one below [`SHARE_ALL`](mqtt_tls_config::SHARE_ALL). Without a share, only
    /// devices that are remembered get a ticket.
    pub(super) fn draw(&mut self, number: u16, keys: Keys, fit: Fit, now: u64) -> Option<Ticket> {
        self.expire(now);
        let is_avoided = self.table.has(keys);
        if self.share == 0 && !is_avoided {
            return None;
        }
        // Who has aborted on either certificate is set apart, so that both arms lose it alike.
        let has_aborted = is_avoided || self.counts.is_marked(keys);
        // What could not be counted would make the candidate look good.
        let seat = if has_aborted || self.is_held() {
            Seat::Apart
        } else if number >= self.share {
            Seat::Current
        } else if fit == Fit::Unable {
            Seat::Unable
        } else {
            self.kept += 1;
            Seat::Candidate
        };
        Some(Ticket {
            keys,
            seat,
            share: self.share,
            keeps: seat == Seat::Candidate,
            is_avoided,
        })
    }

    fn expire(&mut self, now: u64) {
        self.table.expire(now);
        self.counts.expire(now);
    }

    /// Takes note that a client was served.
    pub(super) fn served(&mut self, mut ticket: Ticket, now: u64) {
        self.leave(&mut ticket);
        self.expire(now);
        let (device, share) = (ticket.keys.device, ticket.share);
        match ticket.seat {
            Seat::Candidate => return self.counts.served(Arm::Candidate, share),
            Seat::Current => self.counts.served(Arm::Current, share),
            Seat::Unable => self.counts.unable(share, device),
            Seat::Apart => {}
        }
        self.counts.confirm(device);
    }

    /// Takes note that a client aborted. It gets the current certificate from then on for a time.
    pub(super) fn aborted(&mut self, mut ticket: Ticket, abort: Abort, now: u64) {
        self.leave(&mut ticket);
        self.expire(now);
        let until = now.saturating_add(self.remember);
        let arm = match ticket.seat {
            Seat::Candidate => Arm::Candidate,
            Seat::Current => Arm::Current,
            Seat::Unable | Seat::Apart => return,
        };
        if arm == Arm::Candidate {
            self.table.add(ticket.keys, until);
        }
        self.counts
            .aborted(arm, ticket.share, ticket.keys, abort, until);
    }

    /// Gives back the place that is kept for a client.
    pub(super) fn leave(&mut self, ticket: &mut Ticket) {
        if std::mem::take(&mut ticket.keeps) {
            self.kept = self.kept.saturating_sub(1);
        }
    }

    pub(super) fn share(&self) -> u16 {
        self.share
    }

    /// Reports whether its draws are needed: it has a share, or remembers devices.
    pub(super) fn is_needed(&self) -> bool {
        self.share > 0 || self.table.len() > 0
    }

    /// Returns the number of devices that it has found.
    pub(super) fn found(&self) -> usize {
        self.table.found()
    }

    /// Reports whether all get the current certificate, because no further device could be remembered or counted.
    pub(super) fn is_held_at(&mut self, now: u64) -> bool {
        self.expire(now);
        self.is_held()
    }

    fn is_held(&self) -> bool {
        self.table.len() + self.kept >= AVOIDED_MAX || self.counts.is_full()
    }

    pub(super) fn sums(&self) -> &Sums {
        self.counts.sums()
    }

    /// Returns what `/status` has of it, with at most so many devices.
    pub(super) fn shown(&mut self, id: &str, most: usize, now: u64) -> Shown {
        self.expire(now);
        let avoided = self.table.own(most).into_iter();
        Shown {
            id: id.to_owned(),
            share: self.share,
            held: self.is_held(),
            full: self.counts.is_full(),
            counts: self.counts.shares().to_vec(),
            alerts: self.counts.alerts().clone(),
            avoided: avoided.map(ShownDevice::of).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::{AVOIDED_MAX, Avoided, Trial};
    use proptest::prelude::*;

    use super::{Abort, Fit, Keys, Ledger, Seat, Ticket};

    const UNKNOWN_CA: Abort = Abort::Alert(48);

    fn trial(share: u16, avoided: Vec<Avoided>) -> Trial {
        Trial {
            id: "a".to_owned(),
            share,
            remember: 100,
            avoided,
        }
    }

    fn on(share: u16) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.follow(Some(&trial(share, Vec::new())), 0);
        ledger
    }

    /// Of an address of its own.
    fn keys(device: u64) -> Keys {
        Keys {
            device,
            address: u64::MAX - device,
        }
    }

    fn draw(ledger: &mut Ledger, number: u16, device: u64, now: u64) -> Ticket {
        let ticket = ledger.draw(number, keys(device), Fit::Fits, now);
        ticket.expect("the trial is on")
    }

    #[test]
    fn the_share_decides_and_none_is_no_draw() {
        let mut ledger = on(500);
        for (number, seat) in [
            (0, Seat::Candidate),
            (499, Seat::Candidate),
            (500, Seat::Current),
            (9999, Seat::Current),
        ] {
            assert_eq!(draw(&mut ledger, number, 1, 0).seat, seat, "{number}");
        }
        assert_eq!(draw(&mut on(10_000), 9999, 1, 0).seat, Seat::Candidate);
        for mut ledger in [on(0), Ledger::default()] {
            assert!(ledger.draw(0, keys(1), Fit::Fits, 0).is_none());
        }
    }

    #[test]
    fn who_aborts_on_the_candidate_gets_the_current_one_for_a_time() {
        let mut ledger = on(10_000);
        let ticket = draw(&mut ledger, 0, 1, 10);
        ledger.aborted(ticket, UNKNOWN_CA, 10);
        let next = draw(&mut ledger, 0, 1, 109);
        assert_eq!(next.seat, Seat::Apart);
        ledger.served(next, 109);
        assert_eq!(draw(&mut ledger, 0, 1, 110).seat, Seat::Candidate);
        let shown = ledger.shown("a", 5000, 109);
        let candidate = shown.counts[0].candidate;
        assert_eq!((candidate.aborted, candidate.confirmed), (1, 1));
        assert_eq!(
            shown.alerts.into_iter().collect::<Vec<_>>(),
            [("unknown_ca", 1)]
        );
    }

    #[test]
    fn who_aborts_on_the_current_one_is_set_apart_here_and_not_shown() {
        let mut ledger = on(500);
        let ticket = draw(&mut ledger, 9999, 1, 0);
        ledger.aborted(ticket, Abort::Cut, 0);
        assert_eq!(draw(&mut ledger, 0, 1, 99).seat, Seat::Apart);
        assert_eq!(draw(&mut ledger, 0, 1, 100).seat, Seat::Candidate);
        let shown = ledger.shown("a", 5000, 0);
        assert_eq!(
            (shown.counts[0].current.aborted, shown.avoided.len()),
            (1, 0)
        );
    }

    #[test]
    fn who_is_unable_counts_when_it_is_served() {
        let mut ledger = on(10_000);
        let ticket = ledger.draw(0, keys(1), Fit::Unable, 0).unwrap();
        assert_eq!(ticket.seat, Seat::Unable);
        ledger.aborted(ticket, Abort::Cut, 0);
        assert!(
            ledger.shown("a", 5000, 0).counts.is_empty(),
            "it proves nothing"
        );
        ledger.served(ticket, 0);
        // Its retries count as connections, like those of others.
        for (device, expected) in [(1, (2, 1)), (2, (3, 2))] {
            let again = ledger.draw(0, keys(device), Fit::Unable, 0).unwrap();
            assert_eq!(again.seat, Seat::Unable);
            ledger.served(again, 0);
            let found = ledger.shown("a", 5000, 0).counts[0].candidate;
            assert_eq!((found.unable, found.unable_devices), expected);
        }
        let mut few = on(1);
        let ticket = few.draw(1, keys(1), Fit::Unable, 0).unwrap();
        assert_eq!(ticket.seat, Seat::Current, "it was not drawn");
    }

    #[test]
    fn a_trial_that_leaves_the_file_keeps_its_counts_and_devices() {
        let mut ledger = on(10_000);
        let ticket = draw(&mut ledger, 0, 1, 0);
        ledger.aborted(ticket, UNKNOWN_CA, 0);
        ledger.follow(None, 1);
        assert!(ledger.draw(0, keys(2), Fit::Fits, 1).is_none());
        ledger.follow(Some(&trial(100, Vec::new())), 2);
        assert_eq!(draw(&mut ledger, 0, 1, 2).seat, Seat::Apart);
        assert_eq!(ledger.shown("a", 5000, 2).counts[0].share, 10_000);
    }

    #[test]
    fn a_full_table_holds_the_trial_until_entries_end() {
        let mut ledger = on(10_000);
        let most = u64::try_from(AVOIDED_MAX).unwrap();
        let one = draw(&mut ledger, 0, 1, 0);
        ledger.aborted(one, UNKNOWN_CA, 0);
        for device in 2..=most {
            assert!(!ledger.is_held_at(50), "{device}");
            let ticket = draw(&mut ledger, 0, device, 50);
            assert_eq!(ticket.seat, Seat::Candidate);
            ledger.aborted(ticket, Abort::Cut, 50);
        }
        assert!(ledger.shown("a", 5000, 99).held);
        assert_eq!(draw(&mut ledger, 0, most + 1, 99).seat, Seat::Apart);
        for device in 1..=most {
            assert!(ledger.table.has(keys(device)), "{device}");
        }
        assert!(!ledger.shown("a", 5000, 100).held, "the first has ended");
        assert_eq!(draw(&mut ledger, 0, most + 1, 100).seat, Seat::Candidate);
    }

    #[test]
    fn a_place_is_kept_for_each_client_that_got_the_candidate() {
        let mut ledger = on(10_000);
        let mut tickets: Vec<Ticket> = (0..4096)
            .map(|device| draw(&mut ledger, 0, device, 0))
            .collect();
        assert!(tickets.iter().all(|one| one.seat == Seat::Candidate));
        assert_eq!(draw(&mut ledger, 0, 9999, 0).seat, Seat::Apart);
        ledger.served(tickets[0], 0);
        ledger.leave(&mut tickets[1]);
        ledger.leave(&mut tickets[1]);
        for device in [9998, 9999] {
            assert_eq!(draw(&mut ledger, 0, device, 0).seat, Seat::Candidate);
        }
        assert_eq!(draw(&mut ledger, 0, 10_000, 0).seat, Seat::Apart);
        for ticket in &tickets[2..] {
            ledger.aborted(*ticket, Abort::Cut, 0);
        }
        let own = ledger.shown("a", 5000, 0).avoided.len();
        assert_eq!(own, AVOIDED_MAX - 2, "each of them is remembered");
    }

    #[test]
    fn devices_of_the_file_fill_the_table_too() {
        let avoided = (0..4096).map(|key| Avoided { key, until: 50 });
        let mut ledger = Ledger::default();
        ledger.follow(Some(&trial(10_000, avoided.collect())), 0);
        assert_eq!(draw(&mut ledger, 0, 9999, 0).seat, Seat::Apart);
        let shown = ledger.shown("a", 5000, 0);
        assert!(
            shown.held && shown.avoided.is_empty(),
            "it shows its own only"
        );
        assert_eq!(draw(&mut ledger, 0, 9999, 50).seat, Seat::Candidate);
    }

    /// If the candidate is no worse, its arm must not seem worse. Counting each device once for ever would do that: who aborts
    /// everything is drawn for the current certificate at once, and for the candidate sooner or later.
    #[test]
    fn both_arms_have_the_same_rate_of_aborts_if_the_certificates_are_alike() {
        let mut ledger = on(1000);
        let mut random = fastrand::Rng::with_seed(7);
        for now in (0..3000).step_by(10) {
            for device in 0..250 {
                let ticket = draw(&mut ledger, random.u16(..10_000), device, now);
                // 50 abort everything, and the others one in a hundred times.
                if device < 50 || random.u8(..100) == 0 {
                    ledger.aborted(ticket, Abort::Cut, now);
                } else {
                    ledger.served(ticket, now);
                }
            }
        }
        let counts = &ledger.shown("a", 5000, 3000).counts[0];
        let (current, candidate) = (counts.current, counts.candidate);
        assert!(candidate.aborted > 150, "{counts:?}");
        // Rates differ by less than a third, four standard deviations.
        let products = [
            candidate.aborted * current.served,
            current.aborted * candidate.served,
        ];
        let (least, most) = (products[0].min(products[1]), products[0].max(products[1]));
        assert!(most * 3 < least * 4, "{counts:?}");
        let products = [
            candidate.confirmed * current.aborted,
            current.confirmed * candidate.aborted,
        ];
        let (least, most) = (products[0].min(products[1]), products[0].max(products[1]));
        assert!(most * 2 < least * 3, "{counts:?}");
    }

    proptest! {
        /// Whatever clients do in whatever order, none is drawn again within its time, and no place is lost.
        #[test]
        fn no_device_meets_the_candidate_twice_within_its_time(
            steps in proptest::collection::vec((0..12_u64, 0..3_u8, 0..10_u64, 0..10_000_u16), 0..300),
            share in 1..=10_000_u16,
        ) {
            let (mut ledger, mut now) = (on(share), 0);
            let mut refused = [None; 12];
            let mut open: Vec<Ticket> = Vec::new();
            for (device, what, time, number) in steps {
                now += time;
                let ticket = draw(&mut ledger, number, device, now);
                let index = usize::try_from(device).unwrap();
                let is_remembered = refused[index].is_some_and(|at| now < at + 100);
                prop_assert_eq!(ticket.seat == Seat::Apart, is_remembered);
                match what {
                    0 => ledger.served(ticket, now),
                    1 => {
                        ledger.aborted(ticket, UNKNOWN_CA, now);
                        if ticket.seat != Seat::Apart {
                            refused[index] = Some(now);
                        }
                    }
                    _ => open.push(ticket),
                }
            }
            let expected = open.iter().filter(|one| one.seat == Seat::Candidate).count();
            prop_assert_eq!(ledger.kept, expected);
            for ticket in &mut open {
                ledger.leave(ticket);
            }
            prop_assert_eq!(ledger.kept, 0);
        }
    }
}
