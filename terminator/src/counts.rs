//! Counters of one thread. Each thread has its own on separate cache lines, and a scrape adds them up, so that
//! counting takes no lock.
//!
//! It must not have labels whose values come from clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mqtt_tls_judge::client;
use mqtt_tls_mqtt::Reason;

use crate::end::{End, Limit};
use crate::first_packet::TOLERATED;
use crate::preview::Preview;
use crate::tls::failure::Failure;
use crate::tls::session::Version;

/// Upper bounds of the duration buckets, in seconds: 0.25 ms to 16 s.
pub(super) const BOUNDS: [f64; 17] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0,
    2.0, 4.0, 8.0, 16.0,
];

/// A monotonic counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// One bucket for each of [`BOUNDS`], and one above them.
    buckets: [Count; BOUNDS.len() + 1],
    nanoseconds: Count,
}

impl Durations {
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].add(1);
        self.nanoseconds
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn bucket(&self, index: usize) -> u64 {
        self.buckets[index].get()
    }

    pub(super) fn nanoseconds(&self) -> u64 {
        self.nanoseconds.get()
    }
}

/// Kind of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    Resumed,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Full, Self::Resumed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
        }
    }
}

/// Counters of one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counts {
    pub(crate) accepted: Count,
    pub(crate) accept_errors: Count,
    /// Connections whose clients have sent a first packet.
    pub(crate) opened: Count,
    /// Plaintext, in bytes.
    pub(crate) to_backend: Count,
    pub(crate) to_client: Count,
    pub(crate) dial_duration: Durations,
    /// Clients that could not connect after a change of what TLS offers.
    pub(crate) preview: Preview,
    pub(super) handshake_duration: Durations,
    ended: [Count; End::ALL.len()],
    refused: [Count; Limit::ALL.len()],
    tolerated: [Count; TOLERATED.len()],
    recheck_good: Count,
    recheck_refused: [Count; client::Reason::ALL.len()],
    succeeded: [[Count; Kind::ALL.len()]; Version::ALL.len()],
    failed: [[Count; Version::ALL.len()]; Failure::ALL.len()],
}

impl Counts {
    /// Counts the end of a connection.
    pub(crate) fn end(&self, end: End) {
        self.ended[end as usize].add(1);
    }

    /// Counts a connection that was closed because of a limit.
    pub(crate) fn refuse(&self, limit: Limit) {
        self.refused[limit as usize].add(1);
    }

    /// Counts a first packet that a later release refuses for a reason.
    pub(crate) fn tolerate(&self, reason: Reason) {
        if let Some(index) = TOLERATED.iter().position(|known| *known == reason) {
            self.tolerated[index].add(1);
        }
    }

    /// Counts a client that was judged again, and why it was refused.
    pub(crate) fn recheck(&self, refused: Option<client::Reason>) {
        match refused {
            None => self.recheck_good.add(1),
            Some(reason) => self.recheck_refused[reason as usize].add(1),
        }
    }

    /// Counts a handshake that succeeded.
    pub(crate) fn handshake(&self, version: Version, is_resumed: bool, took: Duration) {
        let kind = if is_resumed {
            Kind::Resumed
        } else {
            Kind::Full
        };
        self.succeeded[version as usize][kind as usize].add(1);
        self.handshake_duration.observe(took);
    }

    /// Counts a handshake that failed.
    pub(crate) fn handshake_failed(&self, failure: Failure, version: Version) {
        self.failed[failure as usize][version as usize].add(1);
    }

    pub(super) fn ended(&self, end: End) -> u64 {
        self.ended[end as usize].get()
    }

    pub(super) fn refused(&self, limit: Limit) -> u64 {
        self.refused[limit as usize].get()
    }

    /// Returns the number of first packets for a reason of [`TOLERATED`], by its index.
    pub(super) fn tolerated(&self, index: usize) -> u64 {
        self.tolerated[index].get()
    }

    /// Returns the number of clients that were judged again, by the reason of a refusal.
    pub(super) fn rechecked(&self, refused: Option<client::Reason>) -> u64 {
        match refused {
            None => self.recheck_good.get(),
            Some(reason) => self.recheck_refused[reason as usize].get(),
        }
    }

    pub(super) fn succeeded(&self, version: Version, kind: Kind) -> u64 {
        self.succeeded[version as usize][kind as usize].get()
    }

    pub(super) fn failed(&self, failure: Failure, version: Version) -> u64 {
        self.failed[failure as usize][version as usize].get()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BOUNDS, Durations};

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let durations = Durations::default();
        for took in [0.0, 0.000_25, 0.000_26, 16.0, 17.0] {
            durations.observe(Duration::from_secs_f64(took));
        }
        let counted: Vec<u64> = (0..=BOUNDS.len())
            .map(|index| durations.bucket(index))
            .collect();
        assert_eq!(
            (counted[0], counted[1], counted[16], counted[17]),
            (2, 1, 1, 1)
        );
        assert_eq!(durations.nanoseconds(), 33_000_510_000);
    }
}
