//! Limits the connections whose clients have not yet completed the handshake and sent a first packet, and selects
//! which of them to evict at the limit. Pure: it knows neither sockets nor time.
//!
//! A client that keeps the terminator waiting has a place in the room of its stage. The rooms of a thread share
//! a fixed number of places. A new client always gets one: if all are taken, a client of the fullest room is
//! evicted, from an address that holds at least an average share of it. So silent sockets do not evict clients
//! in a handshake, while a storm of handshakes may use all places. Addresses affect only the choice of whom to
//! evict, since a fleet may share one address behind a NAT.
//!
//! It must not refuse new clients in favour of earlier ones.

mod permit;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(crate) use self::permit::Permit;

/// One in this many clients of a patient room, the oldest ones, is protected from eviction.
const FINISHING: usize = 4;

/// What the terminator waits for on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The first byte.
    Silent,
    /// The rest of the ClientHello.
    Hello,
    /// The connection's turn, while cryptography runs for others.
    Turn,
    /// The rest of the handshake.
    Handshake,
    /// The first packet.
    FirstPacket,
    /// The end of the connection, after the last data to the client.
    LastWords,
}

impl Stage {
    pub(crate) const ALL: [Self; 6] = [
        Self::Silent,
        Self::Hello,
        Self::Turn,
        Self::Handshake,
        Self::FirstPacket,
        Self::LastWords,
    ];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Hello => "hello",
            Self::Turn => "turn",
            Self::Handshake => "handshake",
            Self::FirstPacket => "first_packet",
            Self::LastWords => "last_words",
        }
    }

    /// Reports whether the oldest clients of a room are protected from eviction. A slow device takes seconds
    /// for its part of a handshake: if the oldest were always evicted, many slow devices would evict each other
    /// for ever. Earlier stages need no protection, since a device sends a ClientHello at once.
    fn is_patient(self) -> bool {
        matches!(self, Self::Handshake | Self::FirstPacket)
    }
}

/// Returns the part of an address that its owner cannot vary: the whole IPv4 address, the /64 network of IPv6.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// The rooms of one thread.
#[derive(Default)]
pub(crate) struct Rooms {
    rooms: [Room; Stage::ALL.len()],
    entered: u64,
}

#[derive(Default)]
struct Room {
    /// In order of entry.
    waiting: BTreeMap<u64, Waiting>,
    /// Each address once; its reference count is the number of places it holds.
    addresses: HashMap<IpAddr, Arc<IpAddr>>,
}

struct Waiting {
    address: Arc<IpAddr>,
    notice: Arc<Notify>,
}

impl Room {
    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let left = self.waiting.remove(&id)?;
        // The references of the map and of `left`.
        if Arc::strong_count(&left.address) == 2 {
            self.addresses.remove(&*left.address);
        }
        Some(left)
    }

    /// Selects the client to evict: the oldest from an address with at least an average share. Evicting only from
    /// the address with the most places would evict quick clients that happen to share it.
    fn victim(&self, stage: Stage) -> Option<u64> {
        let average = self.waiting.len().div_ceil(self.addresses.len().max(1));
        // One reference is the map's own.
        let holds_many =
            |(_, waiting): &(&u64, &Waiting)| Arc::strong_count(&waiting.address) > average;
        let finishing = if stage.is_patient() {
            self.waiting.len() / FINISHING
        } else {
            0
        };
        let mut others = self.waiting.iter().skip(finishing);
        let victim = others.find(holds_many);
        victim
            .or_else(|| self.waiting.iter().find(holds_many))
            .map(|(id, _)| *id)
    }
}

impl Rooms {
    fn waiting(&self) -> usize {
        self.rooms.iter().map(|room| room.waiting.len()).sum()
    }

    /// Evicts a client of the fullest room; returns the room's stage.
    fn evict(&mut self) -> Option<Stage> {
        let fullest = Stage::ALL
            .into_iter()
            .max_by_key(|stage| self.rooms[*stage as usize].waiting.len())?;
        let room = &mut self.rooms[fullest as usize];
        let victim = room.victim(fullest).and_then(|id| room.remove(id))?;
        victim.notice.notify_one();
        Some(fullest)
    }

    /// Takes a place, evicting clients if necessary; returns the place's number and the stages of evicted clients.
    fn enter(
        &mut self,
        stage: Stage,
        address: IpAddr,
        notice: &Arc<Notify>,
        places: usize,
    ) -> (u64, Vec<Stage>) {
        let mut left = Vec::new();
        while self.waiting() >= places.max(1) {
            let Some(stage) = self.evict() else {
                break;
            };
            left.push(stage);
        }
        self.entered += 1;
        let room = &mut self.rooms[stage as usize];
        let known = room.addresses.entry(address);
        let address = Arc::clone(known.or_insert_with(|| Arc::new(address)));
        let notice = Arc::clone(notice);
        room.waiting
            .insert(self.entered, Waiting { address, notice });
        (self.entered, left)
    }

    /// Gives a place back; reports whether it was still held.
    fn leave(&mut self, stage: Stage, id: u64) -> bool {
        self.rooms[stage as usize].remove(id).is_some()
    }

    /// Evicts all clients of a room; returns their number.
    fn empty(&mut self, stage: Stage) -> usize {
        let room = std::mem::take(&mut self.rooms[stage as usize]);
        for waiting in room.waiting.values() {
            waiting.notice.notify_one();
        }
        room.waiting.len()
    }
}

/// The rooms of one thread, and the number of waiting clients of all threads.
pub(crate) struct Admission {
    rooms: Mutex<Rooms>,
    population: Arc<Population>,
}

/// Number of waiting clients of all threads, by stage.
#[derive(Debug, Default)]
pub(crate) struct Population([std::sync::atomic::AtomicU32; Stage::ALL.len()]);

impl Population {
    pub(crate) fn of(&self, stage: Stage) -> u32 {
        self.0[stage as usize].load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Returns the number of clients whose handshake has begun and not ended.
    pub(crate) fn handshaking(&self) -> u32 {
        self.of(Stage::Hello) + self.of(Stage::Turn) + self.of(Stage::Handshake)
    }

    fn change(&self, stage: Stage, entered: usize, left: usize) {
        use std::sync::atomic::Ordering::Relaxed;
        // A room has at most `u32::MAX` places.
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        self.0[stage as usize].fetch_add(count(entered), Relaxed);
        self.0[stage as usize].fetch_sub(count(left), Relaxed);
    }
}

impl Admission {
    pub(crate) fn new(population: Arc<Population>) -> Self {
        Self {
            rooms: Mutex::default(),
            population,
        }
    }

    /// Evicts all clients of a room.
    pub(crate) fn empty(&self, stage: Stage) {
        let left = self.lock().empty(stage);
        self.population.change(stage, 0, left);
    }

    // Never contended: only a thread's own connections use its rooms.
    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, if it waits. Dropping it frees the place.
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    /// Number of places of this thread.
    places: usize,
    held: Option<(Stage, u64)>,
    notice: Arc<Notify>,
}

impl Place {
    pub(crate) fn new(admission: Arc<Admission>, address: IpAddr, places: usize) -> Self {
        Self {
            admission,
            address: holder(address),
            places,
            held: None,
            notice: Arc::default(),
        }
    }

    /// Returns a further place for the same client in other rooms; its eviction from these gives the same notice.
    pub(crate) fn beside(&self, admission: &Arc<Admission>, places: usize) -> Self {
        Self {
            admission: Arc::clone(admission),
            address: self.address,
            places,
            held: None,
            notice: Arc::clone(&self.notice),
        }
    }

    /// Returns the notice that resolves when the client is evicted.
    pub(crate) fn notice(&self) -> Arc<Notify> {
        Arc::clone(&self.notice)
    }

    /// Moves the connection to a stage.
    pub(crate) fn wait(&mut self, stage: Stage) {
        if self.held.is_some_and(|(held, _)| held == stage) {
            return;
        }
        self.leave();
        let mut rooms = self.admission.lock();
        let (id, left) = rooms.enter(stage, self.address, &self.notice, self.places);
        drop(rooms);
        let population = &self.admission.population;
        population.change(stage, 1, 0);
        for stage in left {
            population.change(stage, 0, 1);
        }
        self.held = Some((stage, id));
    }

    /// Gives the place back. Returns false if the client had been evicted.
    pub(crate) fn leave(&mut self) -> bool {
        let Some((stage, id)) = self.held.take() else {
            return true;
        };
        let was_held = self.admission.lock().leave(stage, id);
        if was_held {
            self.admission.population.change(stage, 0, 1);
        }
        was_held
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::IpAddr;
    use std::sync::Arc;

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::{Admission, Place, Population, Stage, holder};

    fn admission() -> Arc<Admission> {
        Arc::new(Admission::new(Arc::new(Population::default())))
    }

    fn waiting(admission: &Arc<Admission>, address: [u8; 4], stage: Stage, places: usize) -> Place {
        let mut place = Place::new(Arc::clone(admission), IpAddr::from(address), places);
        place.wait(stage);
        place
    }

    fn is_evicted(place: &Place) -> bool {
        place.notice.notified().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_the_address_with_the_most_places_is_evicted() {
        let admission = admission();
        let lone = waiting(&admission, [10, 0, 0, 1], Stage::Silent, 4);
        let crowd: Vec<Place> = (0..3)
            .map(|_| waiting(&admission, [10, 0, 0, 2], Stage::Silent, 4))
            .collect();
        let newcomer = waiting(&admission, [10, 0, 0, 2], Stage::Silent, 4);
        let left: Vec<bool> = crowd.iter().map(is_evicted).collect();
        assert_eq!(left, [true, false, false]);
        assert!(!is_evicted(&lone) && !is_evicted(&newcomer));
        assert_eq!(admission.population.of(Stage::Silent), 4);
    }

    #[test]
    fn a_full_room_evicts_from_no_other() {
        let admission = admission();
        let shaking = waiting(&admission, [10, 0, 0, 2], Stage::Handshake, 8);
        let silent: Vec<Place> = (0..20)
            .map(|_| waiting(&admission, [10, 0, 0, 2], Stage::Silent, 8))
            .collect();
        let heard = waiting(&admission, [10, 0, 0, 2], Stage::Hello, 8);
        assert!(!is_evicted(&shaking) && !is_evicted(&heard));
        let stayed: Vec<usize> = (0..20).filter(|at| !is_evicted(&silent[*at])).collect();
        assert_eq!(stayed, [14, 15, 16, 17, 18, 19]);
        drop((silent, shaking, heard));
        assert_eq!(admission.population.of(Stage::Silent), 0);
    }

    #[test]
    fn slow_clients_do_not_evict_the_oldest() {
        let admission = admission();
        let address = |index: usize| [10, 0, 0, u8::try_from(index).unwrap()];
        let crowd: Vec<Place> = (0..100)
            .map(|index| waiting(&admission, address(index), Stage::Handshake, 8))
            .collect();
        let stayed: Vec<usize> = (0..100).filter(|at| !is_evicted(&crowd[*at])).collect();
        assert_eq!(stayed, [0, 1, 94, 95, 96, 97, 98, 99]);
    }

    #[test]
    fn quick_clients_finish_from_any_address() {
        let admission = admission();
        let mut random = 1_u64;
        let mut crowd = VecDeque::new();
        for _ in 0..12_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let [host, ..] = random.to_be_bytes();
            crowd.push_back(waiting(
                &admission,
                [10, 0, 0, host],
                Stage::Handshake,
                1240,
            ));
            // A quick client finishes while four in ten of the places are taken by new clients.
            if crowd.len() > 500 {
                assert!(!is_evicted(&crowd[crowd.len() - 500]));
            }
            if crowd.len() > 6000 {
                crowd.pop_front();
            }
        }
    }

    #[test]
    fn a_place_moves_with_its_connection() {
        let admission = admission();
        let mut place = waiting(&admission, [10, 0, 0, 1], Stage::Silent, 1);
        for stage in Stage::ALL {
            place.wait(stage);
            let count = Stage::ALL.map(|stage| admission.population.of(stage));
            assert_eq!((count[stage as usize], count.iter().sum::<u32>()), (1, 1));
        }
    }

    #[test]
    fn all_clients_of_a_room_can_be_evicted() {
        let admission = admission();
        let silent = waiting(&admission, [10, 0, 0, 1], Stage::Silent, 9);
        let shaking = waiting(&admission, [10, 0, 0, 1], Stage::Handshake, 9);
        admission.empty(Stage::Silent);
        assert!(is_evicted(&silent) && !is_evicted(&shaking));
        drop(silent);
        assert_eq!(admission.population.of(Stage::Silent), 0);
    }

    #[test]
    fn ipv6_networks_and_mapped_ipv4_addresses_have_one_owner() {
        let at = |text: &str| holder(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::2"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn the_newest_client_is_never_evicted(
            crowd in proptest::collection::vec((0_u8..5, 0..Stage::ALL.len()), 1..80),
            places in 1_usize..9,
        ) {
            let admission = admission();
            let mut all = Vec::new();
            for (host, stage) in crowd {
                all.push(waiting(&admission, [10, 0, 0, host], Stage::ALL[stage], places));
                if places > 1 {
                    prop_assert!(!is_evicted(all.last().unwrap()));
                }
                let waiting = Stage::ALL.map(|stage| admission.population.of(stage));
                prop_assert!(waiting.iter().sum::<u32>() as usize <= places);
            }
            drop(all);
            prop_assert_eq!(Stage::ALL.map(|stage| admission.population.of(stage)), [0; Stage::ALL.len()]);
            prop_assert!(admission.lock().rooms.iter().all(|room| room.addresses.is_empty()));
        }
    }
}
