//! A candidate's Lease, identity and times. It must not call the API server.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::kinds::{Kind, Target};

/// Maximum time between two tries to acquire the Lease.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A candidate for a Lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub lease: String,
    /// Unique to this process, even among restarts in the same pod.
    pub identity: String,
    /// Lease duration: how long to wait for an unresponsive leader.
    pub duration: Duration,
}

impl Candidate {
    /// Returns the Lease as the target of calls.
    pub(super) fn target(&self) -> Target {
        Target::one(Kind::Lease, &self.lease)
    }

    /// Returns how long after its last renewal the leader gives up.
    pub(super) fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Returns the time until the next try or renewal, with jitter, so that candidates do not act at once. It is
    /// bounded, so that a released Lease is acquired soon even if the Lease duration is long.
    pub(super) fn pause(&self) -> Duration {
        let pause = (self.duration * 2 / 15).min(PAUSE_MAX);
        pause.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    /// Returns the time limit of one call; two calls fit into the leader's deadline.
    pub(super) fn patience(&self) -> Duration {
        self.deadline() / 2
    }

    /// Returns the spec with which this candidate claims the Lease; `before` is the current one.
    pub(super) fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let held = before.filter(|before| before.holder_identity.as_ref() == Some(&self.identity));
        let transitions = before.and_then(|before| before.lease_transitions);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: held.map_or(Some(now.clone()), |held| held.acquire_time.clone()),
            renew_time: Some(now),
            // Only changes of the holder count.
            lease_transitions: match (before, held) {
                (None, _) => Some(0),
                (Some(_), Some(_)) => transitions,
                (Some(_), None) => Some(transitions.unwrap_or(0).saturating_add(1)),
            },
            ..LeaseSpec::default()
        }
    }
}
