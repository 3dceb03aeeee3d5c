//! How often clients of a host were refused for their certificates, or would be (`DryRun`), by reason.
//!
//! It must not count a handshake twice, nor remember a client.

use std::sync::atomic::{AtomicU64, Ordering};

use mqtt_tls_judge::client::Reason;

/// The name and meaning of what clients without a certificate are counted as.
pub(crate) const MISSING: (&str, &str) = (
    "missing",
    "the client sent no certificate, which `Require` needs",
);

/// Returns each reason's name, and what it means.
pub(crate) fn meanings() -> impl Iterator<Item = (&'static str, &'static str)> {
    let reasons = Reason::ALL.into_iter();
    let named = reasons.map(|reason| (reason.name(), reason.meaning()));
    named.chain([MISSING])
}

/// Counters of a host, which outlive reloads, also those that change `DryRun` to another mode.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) refused: Counters,
    pub(crate) would_refuse: Counters,
}

/// Counters by reason. A handshake costs far more than a counter that threads share.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    by_reason: [AtomicU64; Reason::ALL.len()],
    missing: AtomicU64,
}

impl Counters {
    /// Counts a client; without a reason it has no certificate.
    pub(crate) fn count(&self, reason: Option<Reason>) {
        let counter = match reason {
            Some(reason) => self.by_reason.get(reason as usize),
            None => Some(&self.missing),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the counts by the reasons' names.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counters = Reason::ALL.into_iter().zip(&self.by_reason);
        let named = counters.map(|(reason, counter)| (reason.name(), counter));
        let all = named.chain([(MISSING.0, &self.missing)]);
        all.map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use mqtt_tls_judge::client::Reason;

    use super::Counters;

    #[test]
    fn each_reason_has_its_counter() {
        let counters = Counters::default();
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            for _ in 0..times {
                counters.count(Some(reason));
            }
        }
        counters.count(None);
        let counted: Vec<_> = counters.all().collect();
        for (times, reason) in (0..).zip(Reason::ALL) {
            assert!(counted.contains(&(reason.name(), times)));
        }
        assert!(counted.contains(&("missing", 1)));
    }
}
