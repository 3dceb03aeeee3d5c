//! Revocation lists that are fetched by URL: by HTTP and HTTPS, within bounds, and without giving back what was revoked.

mod attacks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{Config, CrlUrl, Pem, Revocation, WhenUnknown};
use serde_json::Value;
use tests::clients::tls::{Connector, End};
use tests::pki::{Ca, Leaf};
use tests::wait::eventually;
use tests::web::Web;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::fixture::{Fixture, SOON, Scripted, trust};

/// A terminator that requires certificates of one CA, whose lists are fetched.
struct Fetching {
    fixture: Fixture,
    devices: Ca,
    backend: Scripted,
}

fn url(url: &str) -> CrlUrl {
    CrlUrl {
        url: url.to_owned(),
        ca: None,
        refresh: Duration::from_secs(3600),
    }
}

impl Fetching {
    async fn start(devices: Ca, urls: Vec<CrlUrl>) -> Self {
        Self::start_with(devices, urls, |_| {}).await
    }

    async fn start_with(devices: Ca, urls: Vec<CrlUrl>, change: impl FnOnce(&mut Config)) -> Self {
        let backend = Scripted::start().await;
        let fixture = Fixture::start_with(backend.addr(), |config| {
            config.client_auth = trust(Require, &devices);
            config.client_auth.revocation = Some(Revocation::default());
            config.crls = urls;
            change(config);
        });
        Self {
            fixture,
            devices,
            backend,
        }
    }

    fn device(&self, name: &str) -> Leaf {
        self.devices.leaf().common_name(name).client_auth().issue()
    }

    /// Returns how a device is refused; `None` if it is served.
    async fn refusal(&self, device: &Leaf) -> Option<End> {
        let connector = Connector::with_identity(&self.fixture.ca, device);
        let mut client = match connector.open(self.fixture.addr()).await {
            Ok(client) => client,
            Err(error) => return Some(End::from(error)),
        };
        tokio::select! {
            mut peer = self.backend.accept() => {
                peer.send(b"!").await;
                assert_eq!(client.read_exact(1).await.unwrap(), b"!");
                None
            }
            (_, end) = client.read_to_end() => Some(end),
        }
    }

    /// Returns a source as `/status` has it.
    fn source(&self, index: usize) -> Value {
        // Asked by HTTP, it would connect to the backend.
        let status = serde_json::to_value(self.fixture.terminator.status()).unwrap();
        status["revocation"]["sources"][index].clone()
    }

    /// Waits until a source has failed, and returns the message.
    #[track_caller]
    fn failure(&self, index: usize, reason: &str) -> String {
        eventually(SOON, &format!("it fails with {reason}"), || {
            let error = &self.source(index)["error"];
            let message = error["message"].as_str()?.to_owned();
            (error["reason"] == reason).then_some(message)
        })
    }

    /// Waits until so many lists were loaded.
    #[track_caller]
    fn wait_for_loads(&self, outcome: &str, count: f64) {
        let labels = format!("{{outcome=\"{outcome}\",source=\"url\"}}");
        let line = format!("mqtt_tls_revocation_list_loads_total{labels}");
        self.fixture.wait_for_metric(&line, count);
    }
}

fn alert(name: &str) -> End {
    End::Alert(name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_by_http_revokes_and_a_newer_one_takes_its_place() {
    let (web, devices) = (Web::http(), Ca::new("devices"));
    let (first, second) = (
        devices.leaf().common_name("first").client_auth().issue(),
        devices.leaf().common_name("second").client_auth().issue(),
    );
    web.put("ca.crl", &devices.crl_between(&[&first], -60, 3600));
    let fetching = Fetching::start(devices, vec![url(&web.url("ca.crl"))]).await;
    fetching.wait_for_loads("ok", 1.0);
    assert_eq!(
        fetching.refusal(&first).await,
        Some(alert("CertificateRevoked"))
    );
    let connector = Connector::with_identity(&fetching.fixture.ca, &second);
    let mut connected = connector.open(fetching.fixture.addr()).await.unwrap();
    let _peer = fetching.backend.accept().await;
    let newer = fetching.devices.crl_between(&[&first, &second], -30, 3600);
    web.put("ca.crl", &newer);
    fetching.fixture.terminator.reload();
    // It is judged again while it is connected.
    assert_eq!(connected.read_to_end().await.1, End::CloseNotify);
    fetching.wait_for_loads("ok", 2.0);
    assert_eq!(
        fetching.refusal(&second).await,
        Some(alert("CertificateRevoked"))
    );
    assert_eq!(fetching.refusal(&fetching.device("third")).await, None);
    let source = fetching.source(0);
    assert_eq!(source["source"], "crls[0]");
    assert_eq!(source["lists"][0]["entries"], 2);
    assert_eq!(source["error"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_by_https_is_verified_by_its_own_ca() {
    let (web_ca, devices) = (Ca::new("web CA"), Ca::new("devices"));
    let leaf = web_ca.leaf().dns("localhost").issue();
    let web = Web::https(&leaf);
    let bad = devices.leaf().client_auth().issue();
    web.put("ca.crl", &devices.crl(&[&bad]));
    let at = |host: &str, ca: &Ca| CrlUrl {
        ca: Some(Pem::new(ca.cert_pem())),
        ..url(&web.url_at(host, "ca.crl"))
    };
    let urls = vec![
        at("localhost", &Ca::new("another CA")),
        // The certificate does not have the address.
        at("127.0.0.1", &web_ca),
        CrlUrl {
            ca: Some(Pem::new(web_ca.cert_pem())),
            ..url(&web.url_at("localhost", "ca.crl?good"))
        },
    ];
    // s_server takes what follows for a part of the name.
    web.put("ca.crl?good", &devices.crl(&[&bad]));
    let fetching = Fetching::start(devices, urls).await;
    fetching.wait_for_loads("ok", 1.0);
    assert_eq!(
        fetching.refusal(&bad).await,
        Some(alert("CertificateRevoked"))
    );
    let message = fetching.failure(0, "TLSFailed");
    assert!(message.contains("UnknownIssuer"), "{message}");
    let message = fetching.failure(1, "TLSFailed");
    assert!(message.contains("not valid for name"), "{message}");
    assert_eq!(fetching.source(2)["error"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_there_yet_is_awaited() {
    let (web, devices) = (Web::http(), Ca::new("devices"));
    let bad = devices.leaf().client_auth().issue();
    let strict = Revocation {
        when_outdated: WhenUnknown::Refuse,
        ..Revocation::default()
    };
    let fetching = Fetching::start_with(devices, vec![url(&web.url("ca.crl"))], |config| {
        config.client_auth.revocation = Some(strict);
    })
    .await;
    let message = fetching.failure(0, "StatusNotOK");
    assert_eq!(message, "the server answers with status 404");
    // Perhaps it is revoked.
    let good = fetching.device("good");
    assert_eq!(
        fetching.refusal(&good).await,
        Some(alert("CertificateUnknown"))
    );
    web.put("ca.crl", &fetching.devices.crl(&[&bad]));
    fetching.wait_for_loads("ok", 1.0);
    assert_eq!(
        fetching.refusal(&bad).await,
        Some(alert("CertificateRevoked"))
    );
    assert_eq!(fetching.refusal(&good).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_the_list_of_a_url_that_stays() {
    let (web, devices) = (Web::http(), Ca::new("devices"));
    let bad = devices.leaf().client_auth().issue();
    web.put("ca.crl", &devices.crl(&[&bad]));
    let fetching = Fetching::start(devices, vec![url(&web.url("ca.crl"))]).await;
    fetching.wait_for_loads("ok", 1.0);
    let mark = web.process().mark();
    web.remove("ca.crl");
    let mut config = fetching.fixture.config.clone();
    config.limits.connections = 100;
    fetching.fixture.rewrite(&config);
    fetching.fixture.wait_for_generation(2);
    assert_eq!(
        fetching.refusal(&bad).await,
        Some(alert("CertificateRevoked"))
    );
    assert_eq!(web.process().mark(), mark, "it is not asked again");
    // Another interval asks again, and keeps the list.
    config.crls[0].refresh = Duration::from_secs(60);
    fetching.fixture.rewrite(&config);
    fetching.failure(0, "StatusNotOK");
    assert_eq!(
        fetching.refusal(&bad).await,
        Some(alert("CertificateRevoked"))
    );
    // Under another URL, which may be the same one with another token, it stays until that has brought its own.
    config.crls[0].url = web.url("new.crl?token=2");
    fetching.fixture.rewrite(&config);
    fetching.fixture.wait_for_generation(4);
    fetching.failure(0, "StatusNotOK");
    assert_eq!(fetching.source(1)["source"], "removed[0]");
    assert_eq!(
        fetching.refusal(&bad).await,
        Some(alert("CertificateRevoked"))
    );
    // What is removed is gone.
    config.crls.clear();
    fetching.fixture.rewrite(&config);
    fetching.fixture.wait_for_generation(5);
    assert_eq!(fetching.refusal(&bad).await, None);
}

/// A terminator that starts is ready once each URL was asked.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_waits_for_the_first_answer() {
    let (devices, held) = (Ca::new("devices"), Arc::new(Semaphore::new(0)));
    let bad = devices.leaf().client_auth().issue();
    let list = devices.crl(&[&bad]);
    let (server, _) = serve(Arc::clone(&held), list.into_bytes()).await;
    let fetching = Fetching::start(devices, vec![url(&format!("http://{server}/"))]).await;
    let (status, text) = fetching.fixture.get("/readyz");
    assert_eq!((status, &*text), (503, "not ready:\nrevocation lists\n"));
    let warnings = fetching.fixture.terminator.status().warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
    held.add_permits(1);
    eventually(SOON, "it is ready", || {
        (fetching.fixture.get("/readyz").0 == 200).then_some(())
    });
    assert_eq!(
        fetching.refusal(&bad).await,
        Some(alert("CertificateRevoked"))
    );
}

/// Serves bytes once there is a permit; returns the address, and the number of requests.
async fn serve(held: Arc<Semaphore>, bytes: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, counted) = (listener.local_addr().unwrap(), Arc::clone(&requests));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            counted.fetch_add(1, Ordering::Relaxed);
            let _permit = held.acquire().await.unwrap();
            let line = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            // The client may be gone.
            let _ = stream.write_all(&[line.as_bytes(), &bytes].concat()).await;
        }
    });
    (address, requests)
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}
