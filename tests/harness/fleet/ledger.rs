//! The messages of one direction: the numbers that the broker acknowledged, and those that the receiver got. It only
//! counts, and must know neither clients nor brokers.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::report::{Lost, Traffic};

/// The number of messages that only create a topic. They do not count as traffic.
pub(super) const WARM_UP: u64 = 0;

/// The counters of all clients.
pub(super) struct Ledger {
    clients: Vec<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    /// The highest acknowledged number. Each number is sent after the previous one was acknowledged.
    acknowledged: u64,
    received: BTreeSet<u64>,
    duplicates: u64,
    warm: bool,
    in_flight: bool,
}

impl Ledger {
    pub(super) fn new(clients: usize) -> Self {
        Self {
            clients: (0..clients).map(|_| Mutex::default()).collect(),
        }
    }

    /// Returns the next number of this client, and marks it as in flight.
    pub(super) fn send_next(&self, client: usize) -> u64 {
        self.with(client, |line| {
            line.in_flight = true;
            line.acknowledged + 1
        })
    }

    /// Records that the broker has acknowledged the number in flight.
    pub(super) fn acknowledge(&self, client: usize) {
        self.with(client, |line| {
            line.in_flight = false;
            line.acknowledged += 1;
        });
    }

    /// Records that the receiver got a message.
    pub(super) fn receive(&self, client: usize, number: u64) {
        self.with(client, |line| {
            line.warm = true;
            if number != WARM_UP && !line.received.insert(number) {
                line.duplicates += 1;
            }
        });
    }

    /// The clients from whose topic nothing was received yet.
    pub(super) fn cold(&self) -> Vec<usize> {
        let clients = 0..self.clients.len();
        clients
            .filter(|&client| self.with(client, |line| !line.warm))
            .collect()
    }

    /// Reports whether all acknowledged messages were received.
    pub(super) fn has_all(&self) -> bool {
        let mut clients = 0..self.clients.len();
        clients.all(|client| {
            self.with(client, |line| {
                line.received.len() as u64 >= line.acknowledged
            })
        })
    }

    /// The totals. Messages between the broker and the receiver count as lost.
    pub(super) fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        for client in 0..self.clients.len() {
            self.with(client, |line| {
                traffic.acknowledged += line.acknowledged;
                traffic.received += line.received.len() as u64;
                traffic.duplicates += line.duplicates;
                traffic.in_flight += usize::from(line.in_flight);
                let numbers = 1..=line.acknowledged;
                let missing = numbers.filter(|number| !line.received.contains(number));
                traffic
                    .lost
                    .extend(missing.map(|number| Lost { client, number }));
            });
        }
        traffic
    }

    fn with<T>(&self, client: usize, look: impl FnOnce(&mut Line) -> T) -> T {
        let line = self.clients[client].lock();
        look(&mut line.expect("no holder of the lock panics"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_and_not_received_is_lost() {
        let ledger = Ledger::new(2);
        for _ in 0..3 {
            ledger.send_next(1);
            ledger.acknowledge(1);
        }
        ledger.receive(1, 1);
        ledger.receive(1, 3);
        let traffic = ledger.traffic();
        assert_eq!((traffic.acknowledged, traffic.received), (3, 2));
        let number = 2;
        assert_eq!(traffic.lost, [Lost { client: 1, number }]);
    }

    #[test]
    fn in_flight_is_not_lost_and_a_duplicate_counts_once() {
        let ledger = Ledger::new(1);
        let number = ledger.send_next(0);
        assert_eq!((number, ledger.traffic().in_flight), (1, 1));
        assert_eq!(ledger.traffic().lost, []);
        ledger.receive(0, number);
        ledger.receive(0, number);
        ledger.acknowledge(0);
        let traffic = ledger.traffic();
        assert_eq!((traffic.received, traffic.duplicates), (1, 1));
        assert_eq!(traffic.in_flight, 0);
    }

    #[test]
    fn a_warm_up_is_no_traffic() {
        let ledger = Ledger::new(2);
        ledger.receive(1, WARM_UP);
        assert_eq!(ledger.cold(), [0]);
        assert_eq!(ledger.traffic(), Traffic::default());
    }
}
