//! Sockets that keep us waiting before they have said who they are: how many there may be, and which of them
//! goes when there are too many. Pure: it knows neither sockets nor time.
//!
//! A client that waits has a place in the room of its stage; a connection that never lets us wait takes none. The rooms
//! of a thread share its places, and a newcomer always finds one: where all are taken, one of the fullest room has to
//! leave, of an address that holds at least an average share there. So silent sockets take no place from those who
//! shake hands, and a storm may take all. An address says only who leaves, for a fleet may share one behind a NAT.
//!
//! It must not refuse a newcomer for those that were there before.

mod permit;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(crate) use self::permit::Permit;

/// The part of a room, one in so many, that may finish: its oldest, where the room is patient.
const FINISHING: usize = 4;

/// What a connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its first byte.
    Silent,
    /// The rest of its ClientHello.
    Hello,
    /// Its turn: it waits for us, while cryptography is done for others.
    Turn,
    /// The rest of its handshake.
    Handshake,
    /// Its first packet.
    FirstPacket,
    /// Its end, after our last words to it.
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

    /// As a metric's label.
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

    /// Whether the oldest of a room may finish. A slow device takes seconds for its part of a handshake: were
    /// the oldest always to leave, a crowd of slow ones would drive out each other for ever. What comes before,
    /// a device sends in one go.
    fn is_patient(self) -> bool {
        matches!(self, Self::Handshake | Self::FirstPacket)
    }
}

/// The part of an address that its holder cannot vary: IPv4 as a whole, of IPv6 the network.
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
    /// In the order in which they entered.
    waiting: BTreeMap<u64, Waiting>,
    /// Each address once; how many share it is how many places it holds.
    addresses: HashMap<IpAddr, Arc<IpAddr>>,
}

struct Waiting {
    address: Arc<IpAddr>,
    notice: Arc<Notify>,
}

impl Room {
    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let left = self.waiting.remove(&id)?;
        // The map's own, and the one in hand.
        if Arc::strong_count(&left.address) == 2 {
            self.addresses.remove(&*left.address);
        }
        Some(left)
    }

    /// Who has to leave, if there is anyone: by age, of the addresses that hold at least an average share. If
    /// only the address with the most places lost one, chance would evict quick clients that share it.
    fn victim(&self, stage: Stage) -> Option<u64> {
        let average = self.waiting.len().div_ceil(self.addresses.len().max(1));
        // One count is the map's own.
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

    /// Notifies one of the fullest room that it has to leave; which room that is.
    fn evict(&mut self) -> Option<Stage> {
        let fullest = Stage::ALL
            .into_iter()
            .max_by_key(|stage| self.rooms[*stage as usize].waiting.len())?;
        let room = &mut self.rooms[fullest as usize];
        let victim = room.victim(fullest).and_then(|id| room.remove(id))?;
        victim.notice.notify_one();
        Some(fullest)
    }

    /// Takes a place, and notifies those that have to leave for it; returns the place's number and the rooms that were
    /// left.
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

    /// Gives a place back; whether it was still held.
    fn leave(&mut self, stage: Stage, id: u64) -> bool {
        self.rooms[stage as usize].remove(id).is_some()
    }

    /// Sends everyone away who waits in a room; how many these were.
    fn empty(&mut self, stage: Stage) -> usize {
        let room = std::mem::take(&mut self.rooms[stage as usize]);
        for waiting in room.waiting.values() {
            waiting.notice.notify_one();
        }
        room.waiting.len()
    }
}

/// The rooms of one thread, and how many wait in them all.
pub(crate) struct Admission {
    rooms: Mutex<Rooms>,
    population: Arc<Population>,
}

/// How many wait, of all threads.
#[derive(Debug, Default)]
pub(crate) struct Population([std::sync::atomic::AtomicU32; Stage::ALL.len()]);

impl Population {
    pub(crate) fn of(&self, stage: Stage) -> u32 {
        self.0[stage as usize].load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Those whose handshake has begun and not ended.
    pub(crate) fn handshaking(&self) -> u32 {
        self.of(Stage::Hello) + self.of(Stage::Turn) + self.of(Stage::Handshake)
    }

    fn change(&self, stage: Stage, entered: usize, left: usize) {
        use std::sync::atomic::Ordering::Relaxed;
        // A room has no more than `u32::MAX` places.
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

    /// Sends everyone away who waits in a room.
    pub(crate) fn empty(&self, stage: Stage) {
        let left = self.lock().empty(stage);
        self.population.change(stage, 0, left);
    }

    // Never contended: a thread's rooms are used by its own connections only.
    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, if it waits. Dropping it makes room.
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    /// How many places this thread has.
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

    /// Resolves when the place is needed for another.
    pub(crate) fn notice(&self) -> Arc<Notify> {
        Arc::clone(&self.notice)
    }

    /// Notes what the connection is waited for from now on.
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

    /// Gives the place back: nobody waits any more. False if it had been taken away already.
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

    fn has_to_leave(place: &Place) -> bool {
        place.notice.notified().now_or_never().is_some()
    }

    #[test]
    fn the_address_with_the_most_places_gives_up_its_oldest() {
        let admission = admission();
        let lone = waiting(&admission, [10, 0, 0, 1], Stage::Silent, 4);
        let crowd: Vec<Place> = (0..3)
            .map(|_| waiting(&admission, [10, 0, 0, 2], Stage::Silent, 4))
            .collect();
        let newcomer = waiting(&admission, [10, 0, 0, 2], Stage::Silent, 4);
        let left: Vec<bool> = crowd.iter().map(has_to_leave).collect();
        assert_eq!(left, [true, false, false]);
        assert!(!has_to_leave(&lone) && !has_to_leave(&newcomer));
        assert_eq!(admission.population.of(Stage::Silent), 4);
    }

    #[test]
    fn a_full_room_takes_from_no_other() {
        let admission = admission();
        let shaking = waiting(&admission, [10, 0, 0, 2], Stage::Handshake, 8);
        let silent: Vec<Place> = (0..20)
            .map(|_| waiting(&admission, [10, 0, 0, 2], Stage::Silent, 8))
            .collect();
        let heard = waiting(&admission, [10, 0, 0, 2], Stage::Hello, 8);
        assert!(!has_to_leave(&shaking) && !has_to_leave(&heard));
        let stayed: Vec<usize> = (0..20).filter(|at| !has_to_leave(&silent[*at])).collect();
        assert_eq!(stayed, [14, 15, 16, 17, 18, 19]);
        drop((silent, shaking, heard));
        assert_eq!(admission.population.of(Stage::Silent), 0);
    }

    #[test]
    fn a_crowd_of_slow_ones_lets_its_oldest_finish() {
        let admission = admission();
        let address = |index: usize| [10, 0, 0, u8::try_from(index).unwrap()];
        let crowd: Vec<Place> = (0..100)
            .map(|index| waiting(&admission, address(index), Stage::Handshake, 8))
            .collect();
        let stayed: Vec<usize> = (0..100).filter(|at| !has_to_leave(&crowd[*at])).collect();
        assert_eq!(stayed, [0, 1, 94, 95, 96, 97, 98, 99]);
    }

    #[test]
    fn who_is_quick_finishes_from_any_address_of_a_crowd() {
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
            // Four in ten of a room's places come within the time that a quick one takes.
            if crowd.len() > 500 {
                assert!(!has_to_leave(&crowd[crowd.len() - 500]));
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
    fn everyone_in_a_room_can_be_sent_away() {
        let admission = admission();
        let silent = waiting(&admission, [10, 0, 0, 1], Stage::Silent, 9);
        let shaking = waiting(&admission, [10, 0, 0, 1], Stage::Handshake, 9);
        admission.empty(Stage::Silent);
        assert!(has_to_leave(&silent) && !has_to_leave(&shaking));
        drop(silent);
        assert_eq!(admission.population.of(Stage::Silent), 0);
    }

    #[test]
    fn of_ipv6_a_network_counts_as_one_and_mapped_ipv4_as_itself() {
        let at = |text: &str| holder(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::2"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn the_newest_of_a_room_is_never_the_one_to_leave(
            crowd in proptest::collection::vec((0_u8..5, 0..Stage::ALL.len()), 1..80),
            places in 1_usize..9,
        ) {
            let admission = admission();
            let mut all = Vec::new();
            for (host, stage) in crowd {
                all.push(waiting(&admission, [10, 0, 0, host], Stage::ALL[stage], places));
                if places > 1 {
                    prop_assert!(!has_to_leave(all.last().unwrap()));
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
