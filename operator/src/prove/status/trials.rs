//! What a pod's `/status` has about trials and about its clients. It must not trust it: sizes are limited.

use std::collections::BTreeMap;

use mqtt_tls_config::{AVOIDED_MAX, Avoided};
use serde::Deserialize;

use crate::plan::trials::evidence::{self, OfShare};
use crate::plan::trials::seen::{Day, Report};
use crate::plan::trials::state::Counted;

/// Maximum number of shares of a trial, and of kinds of aborts.
const COUNTS_MAX: usize = 16;

/// Maximum length of a kind of abort, in bytes.
const ALERT_LENGTH_MAX: usize = 32;

/// A trial.
#[derive(Debug, Deserialize)]
pub(super) struct Trial {
    id: String,
    held: bool,
    counts: Vec<Counts>,
    alerts: BTreeMap<String, u64>,
    avoided: Vec<Device>,
}

/// The counts of a share.
#[derive(Debug, Deserialize)]
struct Counts {
    share: u16,
    current: Arm,
    candidate: Arm,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arm {
    served: u64,
    aborted: u64,
    confirmed: u64,
    #[serde(default)]
    unable: u64,
    #[serde(default)]
    unable_devices: u64,
}

#[derive(Debug, Deserialize)]
struct Device {
    key: String,
    until: u64,
}

impl Trial {
    pub(super) fn report(self) -> Report {
        let Self {
            id,
            held,
            counts,
            alerts,
            avoided,
        } = self;
        let alerts = alerts.into_iter().filter(|(name, _)| is_name(name));
        let avoided = avoided.into_iter().take(AVOIDED_MAX);
        Report {
            id,
            is_held: held,
            counted: Counted {
                shares: counts
                    .into_iter()
                    .take(COUNTS_MAX)
                    .map(Counts::of_share)
                    .collect(),
                alerts: alerts.take(COUNTS_MAX).collect(),
            },
            avoided: avoided.filter_map(Device::avoided).collect(),
        }
    }
}

fn is_name(alert: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    alert.len() <= ALERT_LENGTH_MAX && alert.bytes().all(is_plain)
}

impl Counts {
    fn of_share(self) -> OfShare {
        let arm = |arm: &Arm| evidence::Arm {
            served: arm.served,
            aborted: arm.aborted,
            confirmed: arm.confirmed,
        };
        OfShare {
            share: self.share,
            current: arm(&self.current),
            candidate: arm(&self.candidate),
            unable: self.candidate.unable,
            unable_devices: self.candidate.unable_devices,
        }
    }
}

impl Device {
    fn avoided(self) -> Option<Avoided> {
        let key = u64::from_str_radix(&self.key, 16).ok()?;
        Some(Avoided {
            key,
            until: self.until,
        })
    }
}

/// Which clients could not connect after a change of TLS.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Preview {
    pub(super) day: Clients,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Clients {
    served: u64,
    changes: Vec<Failing>,
}

#[derive(Debug, Deserialize)]
struct Failing {
    change: String,
    value: String,
    clients: u64,
}

impl Clients {
    pub(super) fn day(&self) -> Day {
        let without = |kind: &str| {
            let mut changes = self.changes.iter();
            let change = changes.find(|one| one.change == "certificate" && one.value == kind);
            change.map_or(0, |one| one.clients)
        };
        Day {
            served: self.served,
            without_p256: without("ECDSA"),
            without_rsa: without("RSA"),
        }
    }
}
