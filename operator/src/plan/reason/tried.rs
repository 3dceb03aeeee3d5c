//! The reasons of `Trial` with meaning and remedy, in the order of [`Reason`]. It must not decide which one applies.

use super::vocabulary::{ConditionType, Reason, Row};

const TRIAL: &[ConditionType] = &[ConditionType::Trial];

pub(super) const ROWS: [Row; 4] = [
    Row::new(
        Reason::RolledBack,
        "RolledBack",
        TRIAL,
        "devices refuse the renewed certificate that take the previous one, or someone has ended its trial; all get the previous one \
         until that expires",
        "see the message: correct the issuer, or the devices; then resume the trial, or skip it",
    ),
    Row::new(
        Reason::TrialHeld,
        "TrialHeld",
        TRIAL,
        "true, but the trial does not go on: a pod can remember no further device, or there are signs that devices refuse the renewed \
         certificate, and too few for being sure",
        "see the message; wait, or end or skip the trial",
    ),
    Row::new(
        Reason::TrialRunning,
        "TrialRunning",
        TRIAL,
        "a share of the devices gets the renewed certificate",
        "none; it goes on by itself",
    ),
    Row::new(
        Reason::TrialWaiting,
        "TrialWaiting",
        TRIAL,
        "the trial of a renewed certificate cannot begin, or go on, yet; all devices get the previous one",
        "see the message",
    ),
];
