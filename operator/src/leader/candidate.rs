//! Which Lease one operator reaches for, as whom, and how patiently. It must not call anyone.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::kinds::{Kind, Target};

/// The longest time between two looks at the Lease.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Which Lease, and who reaches for it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub lease: String,
    /// Who this is: unlike any other process, also one that had this pod before.
    pub identity: String,
    /// How long others wait for a leader that says nothing more.
    pub duration: Duration,
}

impl Candidate {
    /// What calls are about.
    pub(super) fn target(&self) -> Target {
        Target::one(Kind::Lease, &self.lease)
    }

    /// How long after the last renewal the leader gives up.
    pub(super) fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// The time between two looks at the Lease, or two renewals; a little more or less each time, so that not
    /// all come at once. However long a leader that is silent is waited for, one that gives the Lease back is
    /// followed soon.
    pub(super) fn pause(&self) -> Duration {
        let pause = (self.duration * 2 / 15).min(PAUSE_MAX);
        pause.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    /// The time for one call: two of them fit into the leader's deadline.
    pub(super) fn patience(&self) -> Duration {
        self.deadline() / 2
    }

    /// What this one writes into the Lease; `before` is what is in it.
    pub(super) fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let held = before.filter(|before| before.holder_identity.as_ref() == Some(&self.identity));
        let transitions = before.and_then(|before| before.lease_transitions);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: held.map_or(Some(now.clone()), |held| held.acquire_time.clone()),
            renew_time: Some(now),
            // Counted are the times that it went from one to another.
            lease_transitions: match (before, held) {
                (None, _) => Some(0),
                (Some(_), Some(_)) => transitions,
                (Some(_), None) => Some(transitions.unwrap_or(0).saturating_add(1)),
            },
            ..LeaseSpec::default()
        }
    }
}
