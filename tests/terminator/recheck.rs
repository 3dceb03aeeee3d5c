//! Clients that are connected are judged again: when a list, CA certificates, rules or the mode change, and when a date passes.
//! Those that are refused are closed in order and at a bounded rate; all others notice nothing.

mod causes;
mod clients;
mod pace;

use std::path::PathBuf;
use std::time::Duration;

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{Config, Revocation, WhenUnknown};
use mqtt_tls_terminator::Files;
use tests::clients::tls::{Connector, End, TlsClient};
use tests::pki::{Ca, Leaf};
use tests::workdir;

use crate::fixture::{self, Fixture, Peer, Scripted, trust};

/// A terminator that requires certificates of one CA, and reads lists from a file.
struct Judging {
    fixture: Fixture,
    lists: PathBuf,
    devices: Ca,
    backend: Scripted,
}

/// A device and the broker's side of its connection.
struct Connected {
    client: TlsClient,
    peer: Peer,
}

impl Judging {
    async fn start(list: impl FnOnce(&Ca) -> String, change: impl FnOnce(&mut Config)) -> Self {
        let (devices, backend) = (Ca::new("devices"), Scripted::start().await);
        let lists = workdir::scratch("lists").join("crls");
        workdir::replace(&lists, &list(&devices));
        let ca = Ca::new("server CA");
        let leaf = ca.leaf().dns("localhost").dns("a.example");
        let leaf = leaf.dns("x.b.example").issue();
        let mut config = fixture::config(&leaf, backend.addr());
        config.client_auth = trust(Require, &devices);
        config.client_auth.revocation = Some(Revocation::default());
        change(&mut config);
        let file = fixture::write(&config);
        let files = Files {
            crls: Some(&lists),
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
            lists,
            devices,
            backend,
        }
    }

    fn device(&self, name: &str) -> Leaf {
        self.devices.leaf().common_name(name).client_auth().issue()
    }

    async fn connect(&self, device: &Leaf) -> Connected {
        self.connect_by(&Connector::with_identity(&self.fixture.ca, device))
            .await
    }

    async fn connect_by(&self, connector: &Connector) -> Connected {
        let client = connector.open(self.fixture.addr()).await.unwrap();
        let peer = self.backend.accept().await;
        Connected { client, peer }
    }

    /// Replaces the list, and has it read now.
    fn list(&self, list: &str) {
        workdir::replace(&self.lists, list);
        self.fixture.terminator.reload();
    }

    /// Changes the configuration, and waits until it is served.
    fn change(&self, change: impl FnOnce(&mut Config)) {
        let before = self.fixture.terminator.status().configuration.generation;
        let mut config = self.fixture.config.clone();
        change(&mut config);
        self.fixture.rewrite(&config);
        self.fixture.wait_for_generation(before + 1);
    }

    /// Waits until so many certificates were judged again with an outcome.
    fn wait_for(&self, outcome: &str, count: f64) {
        let line = format!("mqtt_tls_certificates_rechecked_total{{outcome=\"{outcome}\"}}");
        self.fixture.wait_for_metric(&line, count);
    }

    /// Returns the number of connections that were closed because their certificates are refused.
    fn closed(&self) -> f64 {
        let line = "mqtt_tls_connections_ended_total{end=\"certificate_refused\"}";
        self.fixture.metric(line)
    }
}

impl Connected {
    /// Data passes in both directions.
    async fn lives(&mut self) {
        self.client.send(b"up").await.unwrap();
        assert_eq!(self.peer.read_exact(2).await, b"up");
        self.peer.send(b"down").await;
        assert_eq!(self.client.read_exact(4).await.unwrap(), b"down");
    }

    /// The terminator ends the connection in order.
    async fn ends(mut self) {
        assert_eq!(
            self.client.read_to_end().await,
            (Vec::new(), End::CloseNotify)
        );
        assert_eq!(self.peer.read_to_end().await, (Vec::new(), Ok(())));
    }
}

/// Revocation that refuses whom no current list covers.
fn strict() -> Revocation {
    Revocation {
        when_outdated: WhenUnknown::Refuse,
        ..Revocation::default()
    }
}

/// What no change here takes.
const LONG: Duration = Duration::from_secs(3600);
