//! What `/status` shows of a trial, which is added up over all pods.
//!
//! It must not show an address.

use std::collections::BTreeMap;

use mqtt_tls_config::{Avoided, show_key};
use serde::Serialize;

use super::counts::OfShare;

/// A trial.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The ID of its candidates.
    pub id: String,
    /// The share of the clients that get the candidate, of 10,000; 0 while it is not in the file.
    pub share: u16,
    /// Whether all get the current certificate, because no further device could be remembered or counted.
    pub held: bool,
    /// Whether no further device can be counted as aborted.
    pub full: bool,
    /// The counts by share, in the order in which the shares were first used.
    pub counts: Vec<OfShare>,
    /// How devices aborted on the candidate: by alert, or `cut`, `timeout`, `no_first_packet` or `other`.
    pub alerts: BTreeMap<&'static str, u64>,
    /// The devices that this process has found, the newest first.
    pub avoided: Vec<ShownDevice>,
}

/// A device that gets the current certificate.
#[derive(Clone, Debug, Serialize)]
pub struct ShownDevice {
    /// Its key, or that of all devices at its address, as the file has it.
    pub key: String,
    /// The Unix time in seconds until which that holds.
    pub until: u64,
}

impl ShownDevice {
    pub(super) fn of(avoided: Avoided) -> Self {
        Self {
            key: show_key(avoided.key),
            until: avoided.until,
        }
    }
}
