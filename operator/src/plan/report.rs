//! What the plan has to say about a listener. It must not hold key material.

use std::time::Duration;

use super::certificates::serving::Serving;
use super::names::Identity;
use super::problem::Problem;

/// When a listener is looked at again if nothing happens before: for events that were missed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// What is to be said about a listener.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose plan this is.
    pub identity: Identity,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is served by the planned configuration; none if none is planned, so that what is there goes on.
    pub planned: Option<Serving>,
    /// Whether there is a configuration for the terminators.
    pub rendered: bool,
    /// When to look again if nothing happens before.
    pub look_again: Duration,
}
