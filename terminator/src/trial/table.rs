//! The devices that must not get a candidate, each until a time. Pure: callers pass the time in, as Unix seconds.
//!
//! It must not forget a device before its time, whatever others do: so it has an end, [`AVOIDED_MAX`], at which a trial is held.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashMap;

use mqtt_tls_config::{AVOIDED_MAX, Avoided};

use super::key::Keys;

/// Maximum number of devices that are distinguished behind one address; with more, all of them are avoided. An attacker would
/// otherwise fill the table from one address, by other ClientHellos.
pub(super) const PER_ADDRESS_MAX: usize = 16;

/// Maximum number of own entries. A draw reserves a place, so only what aborts long after its handshake can come so far.
const OWN_MAX: usize = 2 * AVOIDED_MAX;

/// An entry that was made here.
struct Own {
    until: u64,
    /// The key of its address, unless it is that itself.
    address: Option<u64>,
    /// The number of entries before it.
    number: u64,
}

/// The table.
#[derive(Default)]
pub(super) struct Table {
    own: HashMap<u64, Own>,
    /// Entries of the file, by key, with their ends.
    shared: HashMap<u64, u64>,
    /// How many own entries there are of an address.
    by_address: HashMap<u64, usize>,
    /// Number of keys in `own` and `shared` together.
    count: usize,
    /// When the next entry ends; 0 if that is unknown.
    next_end: u64,
    entered: u64,
}

impl Table {
    /// Replaces the entries of the file.
    pub(super) fn share(&mut self, avoided: &[Avoided], now: u64) {
        self.shared = avoided.iter().map(|one| (one.key, one.until)).collect();
        self.next_end = 0;
        self.expire(now);
    }

    /// Removes what has ended.
    pub(super) fn expire(&mut self, now: u64) {
        if now < self.next_end {
            return;
        }
        self.own.retain(|_, entry| entry.until > now);
        self.shared.retain(|_, until| *until > now);
        self.recount();
    }

    fn recount(&mut self) {
        self.by_address.clear();
        for address in self.own.values().filter_map(|entry| entry.address) {
            *self.by_address.entry(address).or_default() += 1;
        }
        let only_shared = self.shared.keys().filter(|key| !self.own.contains_key(key));
        self.count = self.own.len() + only_shared.count();
        let ends = self.own.values().map(|entry| entry.until);
        let ends = ends.chain(self.shared.values().copied());
        self.next_end = ends.min().unwrap_or(u64::MAX);
    }

    /// Reports whether a device, or each device at its address, is avoided.
    pub(super) fn has(&self, keys: Keys) -> bool {
        let has = |key| self.own.contains_key(&key) || self.shared.contains_key(&key);
        has(keys.device) || has(keys.address)
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Returns the number of entries that were made here.
    pub(super) fn found(&self) -> usize {
        self.own.len()
    }

    /// Adds a device until a time. One that is there keeps its time.
    pub(super) fn add(&mut self, keys: Keys, mut until: u64) {
        let has = |key| self.own.contains_key(&key);
        if has(keys.device) || has(keys.address) || self.own.len() >= OWN_MAX {
            return;
        }
        let of_address = self.by_address.entry(keys.address).or_default();
        self.entered += 1;
        let number = self.entered;
        if *of_address < PER_ADDRESS_MAX {
            *of_address += 1;
            self.count += usize::from(!self.shared.contains_key(&keys.device));
            let address = Some(keys.address);
            let entry = Own {
                until,
                address,
                number,
            };
            self.own.insert(keys.device, entry);
        } else {
            // One for all, and for none of them shorter than it was.
            self.own.retain(|_, entry| {
                let is_of_address = entry.address == Some(keys.address);
                if is_of_address {
                    until = until.max(entry.until);
                }
                !is_of_address
            });
            let entry = Own {
                until,
                address: None,
                number,
            };
            self.own.insert(keys.address, entry);
            self.recount();
        }
        self.next_end = self.next_end.min(until);
    }

    /// Returns the entries that were made here, the newest first, at most so many, and no more than the file takes.
    pub(super) fn own(&self, most: usize) -> Vec<Avoided> {
        let mut own: Vec<_> = self.own.iter().collect();
        own.sort_unstable_by_key(|(_, entry)| std::cmp::Reverse(entry.number));
        let own = own.into_iter().take(most.min(AVOIDED_MAX));
        own.map(|(key, entry)| Avoided {
            key: *key,
            until: entry.until,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use mqtt_tls_config::{AVOIDED_MAX, Avoided};
    use proptest::prelude::*;

    use super::{Keys, OWN_MAX, PER_ADDRESS_MAX, Table};

    /// A device of an address, both small numbers.
    fn keys(address: u64, device: u64) -> Keys {
        Keys {
            device: address << 32 | device,
            address: u64::MAX - address,
        }
    }

    #[test]
    fn a_device_is_avoided_until_its_time_and_no_longer() {
        let mut table = Table::default();
        table.add(keys(1, 1), 100);
        // A later abort does not prolong it.
        table.add(keys(1, 1), 200);
        table.expire(99);
        assert!(table.has(keys(1, 1)) && !table.has(keys(1, 2)) && !table.has(keys(2, 1)));
        table.expire(100);
        assert!(!table.has(keys(1, 1)));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn many_devices_of_an_address_become_one_entry_for_it() {
        let mut table = Table::default();
        let most = u64::try_from(PER_ADDRESS_MAX).unwrap();
        for device in 0..most {
            table.add(keys(1, device), 100 + device);
        }
        assert!(!table.has(keys(1, most)), "the others get the candidate");
        assert_eq!(table.len(), PER_ADDRESS_MAX);
        table.add(keys(1, most), 50);
        assert_eq!(table.len(), 1);
        let last = 100 + most - 1;
        table.expire(last - 1);
        assert!(table.has(keys(1, 0)) && table.has(keys(1, 999)) && !table.has(keys(2, 0)));
        table.expire(last);
        assert_eq!(table.len(), 0);
        // It can come so far again.
        table.add(keys(1, 0), 200);
        assert!(table.has(keys(1, 0)) && !table.has(keys(1, 1)));
    }

    #[test]
    fn entries_of_the_file_count_once_and_are_replaced() {
        let mut table = Table::default();
        let shared = |device, until| Avoided {
            key: keys(1, device).device,
            until,
        };
        table.add(keys(1, 1), 100);
        table.share(&[shared(1, 100), shared(2, 60), shared(3, 10)], 10);
        assert_eq!(table.len(), 2, "one has ended, and one is here too");
        assert!(table.has(keys(1, 2)) && !table.has(keys(1, 3)));
        table.add(keys(1, 2), 90);
        assert_eq!(table.len(), 2);
        table.share(&[], 20);
        assert_eq!(table.len(), 2, "own entries stay without the file's");
        let own: Vec<u64> = table.own(9).iter().map(|one| one.until).collect();
        assert_eq!(own, [90, 100], "the newest first");
        let all = Avoided {
            key: keys(7, 0).address,
            until: 100,
        };
        table.share(&[all], 20);
        assert!(table.has(keys(7, 1)) && table.has(keys(7, 2)));
    }

    #[test]
    fn its_memory_is_bounded_and_so_is_what_it_shows() {
        let mut table = Table::default();
        for address in 0..20_000 {
            table.add(keys(address, 1), 100);
        }
        assert_eq!(table.len(), OWN_MAX);
        assert_eq!(table.own(usize::MAX).len(), AVOIDED_MAX);
        let newest = table.own(1)[0].key;
        assert_eq!(newest, keys(u64::try_from(OWN_MAX).unwrap() - 1, 1).device);
    }

    /// What happens to a table.
    #[derive(Clone, Debug)]
    enum Step {
        Add(u64, u64, u64),
        Share(Vec<(u64, u64, u64)>),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let device = (0..3_u64, 0..24_u64, 1..50_u64);
        let step = prop_oneof![
            8 => device.clone().prop_map(|(address, device, time)| Step::Add(address, device, time)),
            1 => proptest::collection::vec(device, 0..20).prop_map(Step::Share),
            3 => (1..20_u64).prop_map(Step::Pass),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_device_is_forgotten_before_its_time(steps in steps()) {
            let (mut table, mut now) = (Table::default(), 1000);
            let mut added: HashMap<(u64, u64), u64> = HashMap::new();
            let mut shared: HashMap<(u64, u64), u64> = HashMap::new();
            for step in steps {
                match step {
                    Step::Add(address, device, time) => {
                        let is_own = added.get(&(address, device)).is_some_and(|until| *until > now);
                        // As a trial does: who is avoided gets no candidate to abort on.
                        if !table.has(keys(address, device)) {
                            prop_assert!(!is_own);
                            table.add(keys(address, device), now + time);
                            added.insert((address, device), now + time);
                        }
                    }
                    Step::Share(devices) => {
                        shared = devices
                            .iter()
                            .map(|(address, device, time)| ((*address, *device), now + time))
                            .collect();
                        let file: Vec<Avoided> = shared
                            .iter()
                            .map(|((address, device), until)| Avoided { key: keys(*address, *device).device, until: *until })
                            .collect();
                        table.share(&file, now);
                    }
                    Step::Pass(time) => now += time,
                }
                table.expire(now);
                for ((address, device), until) in added.iter().chain(&shared) {
                    prop_assert!(*until <= now || table.has(keys(*address, *device)));
                }
                for address in 0..3 {
                    let own = table.own.values().filter(|own| own.address == Some(keys(address, 0).address));
                    prop_assert!(own.count() <= PER_ADDRESS_MAX);
                }
                let all: std::collections::HashSet<_> = table.own.keys().chain(table.shared.keys()).collect();
                prop_assert_eq!(table.len(), all.len());
            }
            table.expire(now + 50);
            prop_assert_eq!(table.len(), 0);
            prop_assert!(table.by_address.is_empty());
        }
    }
}
