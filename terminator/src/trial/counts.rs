//! What is counted of a trial: clients that were served and that aborted, of those that got the candidate and of those that got the
//! current certificate. Pure.
//!
//! It must not decide anything: the writer of the file compares the two. A device's retries count as one abort, so it is marked for
//! a time, and that memory has an end.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::abort::Abort;
use super::key::Keys;
use super::table::PER_ADDRESS_MAX;

/// Maximum number of shares whose counts are kept; the oldest goes first.
const SHARES_MAX: usize = 8;

/// Maximum number of devices that are marked because they have aborted.
pub(super) const MARKS_MAX: usize = 16_384;

/// Maximum number of devices that are counted because they cannot verify the candidate; of further ones, only the connections are.
const UNABLE_MAX: usize = 1024;

/// Which certificate a client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    Current,
    Candidate,
}

impl Arm {
    pub(crate) const ALL: [Self; 2] = [Self::Current, Self::Candidate];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Candidate => "candidate",
        }
    }
}

/// What became of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Served,
    Aborted,
    Confirmed,
    Unable,
}

impl Outcome {
    pub(crate) const ALL: [Self; 4] = [Self::Served, Self::Aborted, Self::Confirmed, Self::Unable];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Aborted => "aborted",
            Self::Confirmed => "confirmed",
            Self::Unable => "unable",
        }
    }

    /// Returns the description for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Served => "the client sent its first packet",
            Self::Aborted => {
                "the client sent an alert, closed the connection or stopped after it was shown the certificate, or sent no first packet; \
                 each device counts once while it is remembered"
            }
            Self::Confirmed => {
                "a device that had aborted in this arm was served with the current certificate later, by the same pod: it is a device, and \
                 works"
            }
            Self::Unable => {
                "a client was drawn that cannot verify signatures by the candidate's key, and was served with the current certificate"
            }
        }
    }
}

/// Numbers by arm and outcome.
pub(crate) type Sums = [[u64; Outcome::ALL.len()]; Arm::ALL.len()];

/// The counts of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfShare {
    /// The share of the clients that got the candidate, of 10,000.
    pub share: u16,
    /// Clients that got the current certificate.
    pub current: OfCurrent,
    /// Clients that got the candidate, or would have.
    pub candidate: OfCandidate,
}

/// Clients that got the current certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfCurrent {
    /// Connections with a first packet.
    pub served: u64,
    /// Devices that aborted.
    pub aborted: u64,
    /// Those of them that were served with the current certificate later.
    pub confirmed: u64,
}

/// Clients that got the candidate, or would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfCandidate {
    /// Connections with a first packet.
    pub served: u64,
    /// Devices that aborted.
    pub aborted: u64,
    /// Those of them that were served with the current certificate later.
    pub confirmed: u64,
    /// Connections of clients that cannot verify signatures by its key, and were served with the current certificate.
    pub unable: u64,
    /// Devices among them, each at the share at which it came first.
    pub unable_devices: u64,
}

/// A device that has aborted.
struct Mark {
    /// The key of its address, unless it is that itself.
    address: Option<u64>,
    arm: Arm,
    share: u16,
    until: u64,
    is_confirmed: bool,
}

/// All counts of a trial.
#[derive(Default)]
pub(super) struct Counts {
    /// In the order of their first use.
    shares: Vec<OfShare>,
    /// Of all shares, also of those that are not kept.
    sums: Sums,
    marks: HashMap<u64, Mark>,
    /// Devices that cannot verify the candidate.
    unable: HashSet<u64>,
    /// How many marks there are of an address.
    by_address: HashMap<u64, usize>,
    /// When the next mark ends, or earlier.
    next_end: u64,
    alerts: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts a client that was served.
    pub(super) fn served(&mut self, arm: Arm, share: u16) {
        self.add(arm, Outcome::Served, share);
    }

    /// Counts a client that cannot verify the candidate, and was served: its connection each time, as those of others are counted, and
    /// the device once.
    pub(super) fn unable(&mut self, share: u16, device: u64) {
        self.add(Arm::Candidate, Outcome::Unable, share);
        if self.unable.len() < UNABLE_MAX && self.unable.insert(device) {
            self.of(share).candidate.unable_devices += 1;
        }
    }

    /// Counts a device that aborted, and marks it until a time. One that is marked does not count. Behind an address with many such
    /// devices, all others are one: anyone can make further ClientHellos. The marks of the candidate need no limit, because a draw
    /// keeps a place for each.
    pub(super) fn aborted(&mut self, arm: Arm, share: u16, keys: Keys, abort: Abort, until: u64) {
        let has_room = arm == Arm::Candidate || !self.is_full();
        if self.is_marked(keys) || !has_room {
            return;
        }
        let of_address = self.by_address.entry(keys.address).or_default();
        let (device, address) = if *of_address < PER_ADDRESS_MAX {
            *of_address += 1;
            (keys.device, Some(keys.address))
        } else {
            (keys.address, None)
        };
        let mark = Mark {
            address,
            arm,
            share,
            until,
            is_confirmed: false,
        };
        self.marks.insert(device, mark);
        self.next_end = self.next_end.min(until);
        self.add(arm, Outcome::Aborted, share);
        if arm == Arm::Candidate {
            *self.alerts.entry(abort.name()).or_default() += 1;
        }
    }

    /// Takes note of a device that was served with the current certificate.
    pub(super) fn confirm(&mut self, device: u64) {
        let mark = self.marks.get_mut(&device);
        if let Some(mark) = mark.filter(|mark| !mark.is_confirmed) {
            mark.is_confirmed = true;
            let (arm, share) = (mark.arm, mark.share);
            self.add(arm, Outcome::Confirmed, share);
        }
    }

    /// Reports whether a device has aborted, in either arm, or too many at its address.
    pub(super) fn is_marked(&self, keys: Keys) -> bool {
        self.marks.contains_key(&keys.device) || self.marks.contains_key(&keys.address)
    }

    /// Keeps the counts of a share that is in effect, whatever others come.
    pub(super) fn prefer(&mut self, share: u16) {
        let index = self.shares.iter().position(|known| known.share == share);
        if let Some(index) = index {
            let known = self.shares.remove(index);
            self.shares.push(known);
        }
    }

    /// Removes the marks that have ended.
    pub(super) fn expire(&mut self, now: u64) {
        if now >= self.next_end {
            self.marks.retain(|_, mark| mark.until > now);
            self.by_address.clear();
            for address in self.marks.values().filter_map(|mark| mark.address) {
                *self.by_address.entry(address).or_default() += 1;
            }
            let ends = self.marks.values().map(|mark| mark.until);
            self.next_end = ends.min().unwrap_or(u64::MAX);
        }
    }

    fn add(&mut self, arm: Arm, outcome: Outcome, share: u16) {
        self.sums[arm as usize][outcome as usize] += 1;
        let OfShare {
            current, candidate, ..
        } = self.of(share);
        let count = match (arm, outcome) {
            (Arm::Current, Outcome::Served) => &mut current.served,
            (Arm::Current, Outcome::Aborted) => &mut current.aborted,
            (Arm::Current, Outcome::Confirmed) => &mut current.confirmed,
            (Arm::Candidate, Outcome::Served) => &mut candidate.served,
            (Arm::Candidate, Outcome::Aborted) => &mut candidate.aborted,
            (Arm::Candidate, Outcome::Confirmed) => &mut candidate.confirmed,
            (_, Outcome::Unable) => &mut candidate.unable,
        };
        *count += 1;
    }

    /// Returns the counts of a share.
    fn of(&mut self, share: u16) -> &mut OfShare {
        let index = self.shares.iter().position(|known| known.share == share);
        let index = index.unwrap_or_else(|| {
            if self.shares.len() == SHARES_MAX {
                self.shares.remove(0);
            }
            self.shares.push(OfShare {
                share,
                current: OfCurrent::default(),
                candidate: OfCandidate::default(),
            });
            self.shares.len() - 1
        });
        &mut self.shares[index]
    }

    /// Reports whether no further device can be counted as aborted.
    pub(super) fn is_full(&self) -> bool {
        self.marks.len() >= MARKS_MAX
    }

    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }

    pub(super) fn shares(&self) -> &[OfShare] {
        &self.shares
    }

    /// Returns how devices aborted on the candidate.
    pub(super) fn alerts(&self) -> &BTreeMap<&'static str, u64> {
        &self.alerts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        Abort, Arm, Counts, Keys, MARKS_MAX, OfCandidate, OfCurrent, Outcome, PER_ADDRESS_MAX,
        SHARES_MAX,
    };

    const UNKNOWN_CA: Abort = Abort::Alert(48);

    /// A device at an address of its own.
    fn keys(device: u64) -> Keys {
        Keys {
            device,
            address: u64::MAX - device,
        }
    }

    #[test]
    fn a_devices_retries_count_once_until_its_mark_ends() {
        let mut counts = Counts::default();
        for share in [100, 500] {
            for abort in [UNKNOWN_CA, Abort::Cut] {
                counts.aborted(Arm::Candidate, share, keys(7), abort, 99);
                counts.aborted(Arm::Current, share, keys(7), abort, 199);
            }
        }
        counts.expire(98);
        assert!(counts.is_marked(keys(7)) && !counts.is_marked(keys(8)));
        let shares = counts.shares();
        assert_eq!((shares.len(), shares[0].share), (1, 100));
        let aborted = (shares[0].current.aborted, shares[0].candidate.aborted);
        assert_eq!(aborted, (0, 1));
        let alerts: Vec<_> = counts.alerts().iter().collect();
        assert_eq!(alerts, [(&"unknown_ca", &1)]);
        counts.expire(99);
        counts.aborted(Arm::Current, 500, keys(7), Abort::Cut, 199);
        assert_eq!(counts.shares()[1].current.aborted, 1);
    }

    #[test]
    fn an_abort_is_confirmed_once_and_in_time_under_the_share_at_which_it_was() {
        let mut counts = Counts::default();
        counts.aborted(Arm::Candidate, 100, keys(1), UNKNOWN_CA, 50);
        counts.aborted(Arm::Current, 100, keys(2), Abort::Cut, 50);
        counts.aborted(Arm::Candidate, 100, keys(3), Abort::Cut, 40);
        counts.served(Arm::Current, 500);
        counts.expire(40);
        for device in [1, 1, 2, 3, 4] {
            counts.confirm(device);
        }
        let [first, second] = counts.shares() else {
            panic!("{:?}", counts.shares());
        };
        let current = OfCurrent {
            served: 0,
            aborted: 1,
            confirmed: 1,
        };
        let candidate = OfCandidate {
            served: 0,
            aborted: 2,
            confirmed: 1,
            unable: 0,
            unable_devices: 0,
        };
        assert_eq!((first.current, first.candidate), (current, candidate));
        assert_eq!((second.share, second.current.served), (500, 1));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut counts = Counts::default();
        let most = u64::try_from(MARKS_MAX).unwrap();
        for device in 0..most + 10 {
            assert_eq!(counts.is_full(), device >= most);
            counts.aborted(Arm::Current, 1, keys(device), Abort::Cut, 9 + device % 2);
        }
        assert_eq!(counts.shares()[0].current.aborted, most);
        counts.expire(9);
        assert!(!counts.is_full(), "half of them have ended");
        counts.aborted(Arm::Candidate, 1, keys(most + 5), Abort::Cut, 90);
        assert_eq!(counts.shares()[0].candidate.aborted, 1);
        for share in 0..20 {
            counts.served(Arm::Candidate, share);
        }
        let kept: Vec<u16> = counts.shares().iter().map(|one| one.share).collect();
        assert_eq!(kept.len(), SHARES_MAX);
        assert_eq!(kept, (12..20).collect::<Vec<u16>>(), "the newest");
        let served = counts.sums()[Arm::Candidate as usize][Outcome::Served as usize];
        assert_eq!(served, 20);
    }

    /// Anyone can make further ClientHellos.
    #[test]
    fn devices_behind_one_address_are_one_from_some_number_on() {
        let mut counts = Counts::default();
        let at = |device| Keys {
            device,
            address: 1 << 40,
        };
        for device in 0..1000 {
            counts.aborted(Arm::Current, 1, at(device), Abort::Cut, 9);
        }
        let most = u64::try_from(PER_ADDRESS_MAX).unwrap();
        assert_eq!(counts.shares()[0].current.aborted, most + 1);
        assert!(counts.is_marked(at(5000)), "each other one is marked");
        counts.expire(9);
        assert!(!counts.is_marked(at(5000)));
        counts.aborted(Arm::Current, 1, at(5000), Abort::Cut, 19);
        assert_eq!(counts.shares()[0].current.aborted, most + 2);
    }

    #[test]
    fn the_counts_of_the_share_in_effect_are_not_dropped() {
        let mut counts = Counts::default();
        for share in 0..20 {
            counts.served(Arm::Candidate, share);
            counts.served(Arm::Candidate, 100);
            counts.prefer(100);
        }
        let last = counts.shares().last().unwrap();
        assert_eq!((last.share, last.candidate.served), (100, 20));
    }

    proptest! {
        #[test]
        fn shares_add_up_and_no_more_is_confirmed_than_aborted(
            steps in proptest::collection::vec((0..6_u8, 0..4_u16, 0..20_u64), 0..300),
        ) {
            let (mut counts, mut now) = (Counts::default(), 0);
            for (kind, share, device) in steps {
                match kind {
                    0 => counts.aborted(Arm::Current, share, keys(device), Abort::Timeout, now + 5),
                    1 => counts.aborted(Arm::Candidate, share, keys(device), UNKNOWN_CA, now + 5),
                    2 => counts.unable(share, device),
                    3 => counts.served(Arm::Current, share),
                    4 => counts.confirm(device),
                    _ => {
                        now += 1;
                        counts.expire(now);
                    }
                }
            }
            let mut sums = [[0; 4]; 2];
            for one in counts.shares() {
                prop_assert!(one.current.confirmed <= one.current.aborted);
                prop_assert!(one.candidate.confirmed <= one.candidate.aborted);
                prop_assert!(one.candidate.unable_devices <= one.candidate.unable);
                let (current, candidate) = (one.current, one.candidate);
                let of_share = [
                    [current.served, current.aborted, current.confirmed, 0],
                    [candidate.served, candidate.aborted, candidate.confirmed, candidate.unable],
                ];
                for (sums, of_share) in sums.iter_mut().zip(of_share) {
                    sums.iter_mut().zip(of_share).for_each(|(sum, count)| *sum += count);
                }
            }
            prop_assert_eq!(&sums, counts.sums());
            prop_assert!(sums[0][1] + sums[1][1] <= 20 * (now / 5 + 1));
            let alerts: u64 = counts.alerts().values().sum();
            prop_assert_eq!(alerts, sums[1][1]);
            counts.expire(now + 5);
            prop_assert!(counts.marks.is_empty());
        }
    }
}
