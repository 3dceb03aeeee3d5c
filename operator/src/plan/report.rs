//! The plan's report for a listener's status. It must not hold key material.

use std::time::Duration;

use jiff::Timestamp;

use super::certificates::serving::Serving;
use super::names::Identity;
use super::problem::Problem;
use super::reason::Reason;
use super::trials;
use crate::crd::HostStatus;

/// Longest interval of reconciliations without events, in case one was missed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(900);

/// The plan's report for a listener's status.
#[derive(Clone, Debug)]
pub struct Report {
    /// The listener.
    pub identity: Identity,
    /// The problems.
    pub problems: Vec<Problem>,
    /// The hosts with problems.
    pub hosts: Vec<HostStatus>,
    /// What the planned configuration serves; `None` if the current one is kept.
    pub planned: Option<Serving>,
    /// Whether a configuration was rendered.
    pub rendered: bool,
    /// Describes a change of the port that the Service follows later.
    pub opening: Option<String>,
    /// The trials of renewed certificates.
    pub trials: trials::tried::Report,
    /// Time until the next reconciliation without events.
    pub look_again: Duration,
    /// The next date on which the plan changes by itself.
    pub date: Option<Timestamp>,
}

impl Report {
    /// Reports whether it rests on something that has no version: whether a cluster serves a kind, and what pods say about a trial, is in
    /// no record.
    pub fn is_passing(&self) -> bool {
        let mut reasons = self.problems.iter().map(|problem| problem.reason);
        self.trials.watched.is_some()
            || reasons.any(|reason| {
                matches!(
                    reason,
                    Reason::CertManagerNotFound | Reason::RefNotPermitted
                )
            })
    }
}
