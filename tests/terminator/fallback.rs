//! A terminator that starts while its file is refused: it serves the fallback, says what is wrong, and takes the file as
//! soon as it is good.

use std::path::PathBuf;

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{Config, Identity, Mismatch, Naming, NamingAction, Pem};
use mqtt_tls_terminator::{Files, Terminator};
use tests::clients::tls::Connector;
use tests::pki::{Ca, Leaf};
use tests::wait::eventually;

use crate::fixture::{SOON, Scripted, config, get, trust, write};

/// A file and a fallback with certificates of their own, on the same ports.
struct Both {
    ca: Ca,
    file: PathBuf,
    fallback: PathBuf,
    /// The configuration that the file should have.
    good: Config,
    accepted: Leaf,
    renewed: Leaf,
}

impl Both {
    /// With this text in the file instead of a good configuration.
    fn new(backend: &Scripted, text: impl FnOnce(&Config) -> String) -> Self {
        let ca = Ca::new("server CA");
        let leaf = || ca.leaf().dns("localhost").ip("127.0.0.1").issue();
        let (accepted, renewed) = (leaf(), leaf());
        let mut good = config(&accepted, backend.addr());
        let fallback = write(&good);
        good.pem = Pem::new(renewed.bundle());
        let file = write(&good);
        std::fs::write(&file, text(&good)).unwrap();
        Self {
            ca,
            file,
            fallback,
            good,
            accepted,
            renewed,
        }
    }

    fn files(&self) -> Files<'_> {
        Files {
            fallback: Some(&self.fallback),
            ..self.file.as_path().into()
        }
    }

    fn start(&self) -> Terminator {
        Terminator::start(self.files(), None)
            .unwrap_or_else(|error| panic!("the terminator does not start: {}", error.chain()))
    }

    /// Returns the certificate that a client gets through to the broker.
    async fn served(&self, backend: &Scripted) -> Vec<u8> {
        let addr = (self.good.host.unwrap(), self.good.port).into();
        let client = Connector::new(&self.ca).open(addr).await.unwrap();
        backend.accept().await;
        client.server_cert()
    }

    fn get(&self, path: &str) -> (u16, String) {
        get((self.good.admin.host, self.good.admin.port).into(), path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_is_replaced_by_the_fallback_until_it_is_good() {
    let backend = Scripted::start().await;
    // A key of a later release.
    let later = |config: &Config| format!("{}laterKey: 1\n", config.to_yaml().expose());
    let both = Both::new(&backend, later);
    let terminator = both.start();
    assert_eq!(both.served(&backend).await, both.accepted.cert_der);
    assert_eq!(both.get("/readyz").0, 200);
    let error = eventually(SOON, "the refusal is shown", || {
        terminator.status().configuration.last_error
    });
    assert_eq!(error.reason, "malformed");
    assert!(error.message.contains("laterKey"), "{}", error.message);
    std::fs::write(&both.file, both.good.to_yaml().expose()).unwrap();
    eventually(SOON, "the file is served", || {
        let configuration = terminator.status().configuration;
        (configuration.generation == 2 && configuration.last_error.is_none()).then_some(())
    });
    assert_eq!(both.served(&backend).await, both.renewed.cert_der);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_bound_is_no_reason_to_end() {
    let backend = Scripted::start().await;
    let elsewhere = |config: &Config| {
        let mut config = config.clone();
        config.host = Some([192, 0, 2, 1].into());
        config.to_yaml().expose().to_owned()
    };
    let both = Both::new(&backend, elsewhere);
    let terminator = both.start();
    assert_eq!(both.served(&backend).await, both.accepted.cert_der);
    let error = eventually(SOON, "the refusal is shown", || {
        terminator.status().configuration.last_error
    });
    assert_eq!(error.reason, "unbindable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_needs_no_fallback() {
    let backend = Scripted::start().await;
    let both = Both::new(&backend, |config| config.to_yaml().expose().to_owned());
    std::fs::remove_file(&both.fallback).unwrap();
    let _terminator = both.start();
    assert_eq!(both.served(&backend).await, both.renewed.cert_der);
}

#[tokio::test]
async fn a_fallback_that_authenticates_clients_differently_is_refused() {
    let backend = Scripted::start().await;
    let devices = Ca::new("devices");
    let stricter = |config: &Config| {
        let mut config = config.clone();
        config.host = Some([192, 0, 2, 1].into());
        config.client_auth = trust(Require, &devices);
        config.to_yaml().expose().to_owned()
    };
    let both = Both::new(&backend, stricter);
    let started = Terminator::start(both.files(), None);
    let error = started.map(drop).unwrap_err().chain();
    assert!(error.contains("192.0.2.1"), "{error}");
}

/// A later release authenticates clients in a way that this one does not know.
#[tokio::test]
async fn a_fallback_that_lacks_an_unknown_key_of_client_authentication_is_refused() {
    let backend = Scripted::start().await;
    let devices = Ca::new("devices");
    let later = |config: &Config| {
        let mut config = config.clone();
        config.client_auth = trust(Require, &devices);
        let text = config.to_yaml().expose().to_owned();
        text.replace("clientAuth:\n", "clientAuth:\n  laterKey: 1\n")
    };
    let both = Both::new(&backend, later);
    let started = Terminator::start(both.files(), None);
    let error = started.map(drop).unwrap_err().chain();
    assert!(
        error.contains("clientAuth.laterKey: unknown key"),
        "{error}"
    );
}

/// It would give clients other names than the file.
#[tokio::test]
async fn a_fallback_that_names_clients_differently_is_refused() {
    let backend = Scripted::start().await;
    let devices = Ca::new("devices");
    let named = |template: &str| {
        Some(Identity {
            client_id: Some(Naming {
                template: template.to_owned(),
                action: NamingAction::Set,
                mismatch: Mismatch::Overwrite,
            }),
            ..Identity::default()
        })
    };
    let with = |identity: Option<Identity>| {
        let unbindable = |config: &Config| {
            let mut config = config.clone();
            config.host = Some([192, 0, 2, 1].into());
            config.client_auth = trust(Require, &devices);
            config.identity = named("{cn}");
            config.to_yaml().expose().to_owned()
        };
        let both = Both::new(&backend, unbindable);
        let mut fallback = both.good.clone();
        fallback.client_auth = trust(Require, &devices);
        fallback.identity = identity;
        std::fs::write(&both.fallback, fallback.to_yaml().expose()).unwrap();
        Terminator::start(both.files(), None)
    };
    for other in [None, named("a/{cn}")] {
        let error = with(other).map(drop).unwrap_err().chain();
        assert!(error.contains("192.0.2.1"), "{error}");
    }
    assert!(with(named("{cn}")).is_ok());
}

#[tokio::test]
async fn without_a_good_fallback_the_error_is_that_of_the_file() {
    let backend = Scripted::start().await;
    let both = Both::new(&backend, |_| "port: [\n".to_owned());
    for text in [None, Some("pem: garbage\n")] {
        match text {
            Some(text) => std::fs::write(&both.fallback, text).unwrap(),
            None => std::fs::remove_file(&both.fallback).unwrap(),
        }
        let started = Terminator::start(both.files(), None);
        let error = started.map(drop).unwrap_err().chain();
        assert!(error.contains("line 2"), "{error}");
    }
}
