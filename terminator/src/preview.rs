//! Which clients could not connect after a change of what TLS offers: counts of the last day, in a ring of buckets.
//!
//! Each thread has its own ring, and is the only one that writes to it, so counting takes no lock; a scrape adds them up. It
//! must not decide which clients these are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::tls::policy::{Change, Verdict};

/// Time of a bucket.
const BUCKET: Duration = Duration::from_secs(300);

/// Number of buckets: those of a day, and the one that is being filled.
const BUCKETS: usize = 24 * 12 + 1;

/// A time until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Hour,
    Day,
}

impl Window {
    pub(crate) const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Returns the number of full buckets.
    fn buckets(self) -> u32 {
        match self {
            Self::Hour => 12,
            Self::Day => 24 * 12,
        }
    }
}

/// The counts of a time.
#[derive(Debug, Default)]
struct Bucket {
    /// Number of the time, from 1; 0 while the bucket is changed.
    number: AtomicU32,
    incompatible: AtomicU32,
    served: AtomicU32,
    fails: [AtomicU32; Change::COUNT],
}

impl Bucket {
    fn counts(&self) -> impl Iterator<Item = &AtomicU32> {
        [&self.incompatible, &self.served]
            .into_iter()
            .chain(&self.fails)
    }
}

/// The ring of a thread.
#[derive(Debug)]
pub(crate) struct Preview {
    began: Instant,
    buckets: Box<[Bucket]>,
}

/// Sums of counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Clients that were served.
    pub(crate) served: u64,
    /// Clients without anything in common with what is offered.
    pub(crate) incompatible: u64,
    /// Clients that were served, and could not connect after a change, by change.
    pub(crate) fails: [u64; Change::COUNT],
}

impl Default for Preview {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
        }
    }
}

impl Preview {
    /// Counts a client. Only the thread that owns the ring may call it.
    pub(crate) fn record(&self, verdict: Verdict, now: Instant) {
        let Some((number, bucket)) = self.bucket(now) else {
            return;
        };
        if bucket.number.load(Ordering::Relaxed) != number {
            bucket.number.store(0, Ordering::SeqCst);
            bucket
                .counts()
                .for_each(|count| count.store(0, Ordering::SeqCst));
            bucket.number.store(number, Ordering::SeqCst);
        }
        match verdict {
            Verdict::Incompatible => add(&bucket.incompatible),
            Verdict::Served(fails) => {
                add(&bucket.served);
                let counts = bucket.fails.iter().enumerate();
                let counts = counts.filter(|(index, _)| fails & 1 << index != 0);
                counts.for_each(|(_, count)| add(count));
            }
        }
    }

    /// Adds the counts of a window.
    pub(crate) fn add_to(&self, totals: &mut Totals, window: Window, now: Instant) {
        let Some((last, _)) = self.bucket(now) else {
            return;
        };
        let first = last.saturating_sub(window.buckets()).max(1);
        for bucket in &self.buckets {
            let number = bucket.number.load(Ordering::SeqCst);
            if !(first..=last).contains(&number) {
                continue;
            }
            let get = |count: &AtomicU32| u64::from(count.load(Ordering::SeqCst));
            let (served, incompatible) = (get(&bucket.served), get(&bucket.incompatible));
            let fails: Vec<u64> = bucket.fails.iter().map(get).collect();
            // Otherwise its thread has begun to fill it for a later time.
            if bucket.number.load(Ordering::SeqCst) == number {
                totals.served += served;
                totals.incompatible += incompatible;
                let sums = totals.fails.iter_mut().zip(fails);
                sums.for_each(|(sum, count)| *sum += count);
            }
        }
    }

    /// Returns the bucket of a time, and its number.
    fn bucket(&self, now: Instant) -> Option<(u32, &Bucket)> {
        let past = now.saturating_duration_since(self.began).as_secs() / BUCKET.as_secs();
        let number = u32::try_from(past).ok()?.checked_add(1)?;
        let index = usize::try_from(number).ok()? % self.buckets.len();
        Some((number, self.buckets.get(index)?))
    }
}

fn add(count: &AtomicU32) {
    count.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{BUCKET, BUCKETS, Duration, Preview, Totals, Verdict, Window};

    fn totals(preview: &Preview, window: Window, after: Duration) -> Totals {
        let mut totals = Totals::default();
        preview.add_to(&mut totals, window, preview.began + after);
        totals
    }

    #[test]
    fn clients_are_counted_for_an_hour_and_a_day() {
        let preview = Preview::default();
        let record = |verdict, after| preview.record(verdict, preview.began + after);
        record(Verdict::Served(1 << 15 | 1), Duration::ZERO);
        record(Verdict::Served(0), Duration::ZERO);
        record(Verdict::Incompatible, BUCKET * 12);
        let hour = totals(&preview, Window::Hour, BUCKET * 12);
        assert_eq!((hour.served, hour.incompatible), (2, 1));
        assert_eq!((hour.fails[0], hour.fails[1], hour.fails[15]), (1, 0, 1));
        let hour = totals(&preview, Window::Hour, BUCKET * 13);
        assert_eq!((hour.served, hour.incompatible), (0, 1));
        let day = totals(&preview, Window::Day, BUCKET * 24 * 12);
        assert_eq!((day.served, day.incompatible, day.fails[15]), (2, 1, 1));
        let day = totals(&preview, Window::Day, BUCKET * (24 * 12 + 1));
        assert_eq!((day.served, day.fails[15]), (0, 0));
    }

    #[test]
    fn a_bucket_is_emptied_before_it_is_filled_again() {
        let preview = Preview::default();
        let round = BUCKET * u32::try_from(BUCKETS).unwrap();
        for rounds in 0..3 {
            preview.record(Verdict::Served(2), preview.began + round * rounds);
            let day = totals(&preview, Window::Day, round * rounds);
            assert_eq!((day.served, day.fails[1]), (1, 1));
        }
    }
}
