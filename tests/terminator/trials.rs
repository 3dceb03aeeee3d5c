//! Trials of a renewed certificate with another root: who gets the candidate, who is remembered because it cannot take it, and what
//! is counted. What a device that trusts the old root only notices is one failed try.

mod aborts;
mod draws;
mod files;
mod memory;
mod storm;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use mqtt_tls_config::{Avoided, Candidate, Config, Pem, Trial};
use mqtt_tls_terminator::Files;
use serde_json::Value;
pub(crate) use tests::clients::again::answering as broker;
use tests::clients::tls::{Connector, TlsClient};
use tests::pki::{Ca, KeyKind, Leaf};
use tests::wait::eventually;
use tests::workdir;

use crate::fixture::{self, Fixture, SOON};

/// The trial's ID.
pub(crate) const ID: &str = "edge-tls-7";

/// A trial whose share changes with each file, so that a file in effect is seen in `/status`.
const MARK: &str = "mark";

/// For how many seconds a device is remembered.
const REMEMBER: u32 = 3600;

/// Which certificate a client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Current,
    Candidate,
}

/// A terminator whose certificate has a candidate of another root.
pub(crate) struct Trying {
    pub(crate) fixture: Fixture,
    pub(crate) new_ca: Ca,
    pub(crate) renewed: Leaf,
    trials: PathBuf,
    mark: AtomicU16,
}

/// Returns the Unix time in seconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is right").as_secs()
}

/// Returns a trial with a share.
pub(crate) fn trial(share: u16, avoided: Vec<Avoided>) -> Trial {
    Trial {
        id: ID.to_owned(),
        share,
        remember: REMEMBER,
        avoided,
    }
}

/// Returns an address of loopback.
fn loopback(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number).into()
}

impl Trying {
    /// Starts with a share for the candidate.
    pub(crate) async fn start(share: u16) -> Self {
        Self::start_with(broker().await, share, |_| {})
    }

    pub(crate) fn start_with(
        backend: SocketAddr,
        share: u16,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::start_of(KeyKind::P256, backend, share, change)
    }

    /// Starts with a candidate that has a key of this kind.
    pub(crate) fn start_of(
        kind: KeyKind,
        backend: SocketAddr,
        share: u16,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let (ca, new_ca) = (Ca::new("old CA"), Ca::with_key("new CA", kind));
        let leaf = ca.leaf().dns("localhost").dns("own.example").issue();
        let renewed = new_ca.leaf().dns("localhost").dns("own.example");
        let renewed = renewed.key(kind).issue();
        let mut config = fixture::config(&leaf, backend);
        config.candidate = Some(Candidate {
            id: ID.to_owned(),
            pem: Pem::new(renewed.bundle()),
        });
        change(&mut config);
        let file = fixture::write(&config);
        let trials = file.with_file_name("trials");
        workdir::replace(&trials, &Trial::file(&[trial(share, Vec::new())]));
        let files = Files {
            trials: Some(&trials),
            ..Files::from(file.as_path())
        };
        let terminator = fixture::start(files);
        let fixture = Fixture {
            ca,
            leaf,
            config,
            file,
            terminator,
        };
        Self {
            fixture,
            new_ca,
            renewed,
            trials,
            mark: AtomicU16::new(0),
        }
    }

    /// Replaces the trial, and waits until that is in effect.
    pub(crate) fn follow(&self, share: u16, avoided: Vec<Avoided>) {
        let mark = self.mark.fetch_add(1, Ordering::Relaxed) + 1;
        let other = Trial {
            id: MARK.to_owned(),
            ..trial(mark, Vec::new())
        };
        let text = Trial::file(&[trial(share, avoided), other]);
        workdir::replace(&self.trials, &text);
        self.fixture.terminator.reload();
        eventually(SOON, "the trial is followed", || {
            let status = self.fixture.terminator.status();
            let mut trials = status.trials.iter();
            trials.find(|one| one.id == MARK && one.share == mark)?;
            Some(())
        });
    }

    /// Returns what `/status` has of the trial.
    pub(crate) fn shown(&self) -> Value {
        let status: Value = serde_json::from_str(&self.fixture.get("/status").1).expect("JSON");
        let trials = status["trials"].as_array().cloned().unwrap_or_default();
        let mut trials = trials.into_iter();
        trials.find(|one| one["id"] == ID).unwrap_or_default()
    }

    /// Returns the counts of the first share.
    pub(crate) fn counts(&self) -> Value {
        self.shown()["counts"][0].clone()
    }

    /// Waits until a count of the first share has a value, by its pointer such as `/candidate/aborted`.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: &str, expected: u64) {
        eventually(SOON, &format!("{count} is {expected}"), || {
            let counts = self.counts();
            let found = counts.pointer(count).and_then(Value::as_u64);
            assert!(found <= Some(expected), "{count}: {counts}");
            (found == Some(expected)).then_some(())
        });
    }

    /// Returns the devices that the terminator has found, as the file takes them.
    pub(crate) fn avoided(&self) -> Vec<Avoided> {
        let shown = self.shown()["avoided"].as_array().cloned();
        let avoided = shown.unwrap_or_default().into_iter().map(|one| Avoided {
            key: u64::from_str_radix(one["key"].as_str().expect("a text"), 16)
                .expect("hexadecimal"),
            until: one["until"].as_u64().expect("a time"),
        });
        avoided.collect()
    }

    /// A device that trusts the old root only.
    pub(crate) fn old(&self) -> Connector {
        Connector::new(&self.fixture.ca)
    }

    /// A device that trusts both roots.
    pub(crate) fn both(&self) -> Connector {
        Connector::trusting(&[&self.fixture.ca, &self.new_ca])
    }

    pub(crate) fn got(&self, client: &TlsClient) -> Got {
        if client.server_cert() == self.renewed.cert_der {
            Got::Candidate
        } else {
            assert_eq!(client.server_cert(), self.fixture.leaf.cert_der);
            Got::Current
        }
    }

    /// Connects a device that refuses the candidate, and waits until that counts: its alert may still be on the way.
    pub(crate) async fn is_refused_by(&self, device: &Connector, count: u64) {
        let connected = self.connect(device).await;
        assert!(connected.is_err(), "{count}: it refuses the candidate");
        self.wait_for("/candidate/aborted", count);
    }

    /// Connects a device until it gets its CONNACK.
    pub(crate) async fn connect(&self, device: &Connector) -> std::io::Result<Got> {
        let connected = device.connect_mqtt(self.fixture.addr(), "device").await;
        connected.map(|client| self.got(&client))
    }
}
