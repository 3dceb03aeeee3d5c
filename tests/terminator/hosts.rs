//! Several hosts behind one port: each has its own certificates, client authentication, backend and sessions.

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{Backend, Config, Host, HostTls, Pem, Tickets, UnknownNames};
use serde_json::Value;
use tests::clients::tls::{Connector, End};
use tests::pki::{Ca, Leaf};
use tests::{assets, process, workdir};

use crate::fixture::{Fixture, SOON, Scripted, trust};

/// A terminator for `localhost`, and a host for `a.example` and `*.b.example`.
struct Tenants {
    fixture: Fixture,
    ca: Ca,
    leaf: Leaf,
    listeners: Scripted,
    hosts: Scripted,
}

impl Tenants {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let (listeners, hosts) = (Scripted::start().await, Scripted::start().await);
        let ca = Ca::new("tenant CA");
        let leaf = ca.leaf().dns("a.example").dns("*.b.example").issue();
        let fixture = Fixture::start_with(listeners.addr(), |config| {
            config.hosts = vec![Host {
                names: vec!["a.example".to_owned(), "*.b.example".to_owned()],
                pem: Some(Pem::new(leaf.bundle())),
                certificates: Vec::new(),
                client_auth: None,
                backend: Some(Backend {
                    host: "127.0.0.1".to_owned(),
                    port: hosts.addr().port(),
                }),
                tls: HostTls::default(),
            }];
            change(config);
        });
        Self {
            fixture,
            ca,
            leaf,
            listeners,
            hosts,
        }
    }

    fn tenant(&self, name: &str) -> Connector {
        Connector::new(&self.ca).server_name(name)
    }

    /// Connects with OpenSSL, which sends a name as it is, and returns what it shows.
    fn openssl(&self, version: &str, name: &str, options: &[&str]) -> String {
        let mut command = assets::installed("openssl");
        let addr = self.fixture.addr().to_string();
        command.args(["s_client", "-connect", &addr, "-nocommands", version]);
        command.args(["-servername", name]).args(options);
        process::run(command, b"", SOON).stdout
    }

    /// Connects with OpenSSL, which sends a stored session with any name; reports whether it was resumed.
    fn resumes(&self, version: &str, name: &str, options: &[&str]) -> bool {
        let seen = self.openssl(version, name, options);
        let is_resumed = seen.contains("\nReused, ");
        assert!(is_resumed || seen.contains("\nNew, "), "{seen}");
        is_resumed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_certificate_and_backend_by_its_name() {
    let tenants = Tenants::start(|_| {}).await;
    let addr = tenants.fixture.addr();
    for name in ["a.example", "x.b.example"] {
        let mut client = tenants.tenant(name).open(addr).await.unwrap();
        assert_eq!(client.server_cert(), tenants.leaf.cert_der);
        let mut peer = tenants.hosts.accept().await;
        client.send(b"up").await.unwrap();
        assert_eq!(peer.read_exact(2).await, b"up");
    }
    // An address is not sent as SNI; the second name has two labels before the wildcard's parent.
    for name in ["localhost", "127.0.0.1"] {
        let client = tenants.fixture.client().server_name(name);
        let client = client.open(addr).await.unwrap();
        assert_eq!(client.server_cert(), tenants.fixture.leaf.cert_der);
        tenants.listeners.accept().await;
    }
    for name in ["x.y.b.example", "b.example"] {
        let refused = tenants.tenant(name).connect(addr).await;
        assert!(refused.is_err(), "{name} gets the listener's certificate");
    }
    let (_, text) = tenants.fixture.get("/status");
    let status: Value = serde_json::from_str(&text).unwrap();
    let host = &status["hosts"][0];
    assert_eq!(host["names"][1], "*.b.example");
    assert_eq!(host["backend"]["reachable"], true);
    assert_eq!(
        host["certificates"][0]["fingerprint"],
        tenants.leaf.fingerprint()
    );
    assert_eq!(status["certificates"].as_array().unwrap().len(), 1);
}

/// Devices that resolve an absolute name, so that no search domain is tried, may send it with its dot.
#[tokio::test(flavor = "multi_thread")]
async fn neither_case_nor_a_dot_at_the_end_leads_to_another_host() {
    let tenants = Tenants::start(|config| config.unknown_names = UnknownNames::Refuse).await;
    for (name, ca) in [
        ("a.example.", "tenant CA"),
        ("A.Example", "tenant CA"),
        ("x.b.example.", "tenant CA"),
        ("localhost.", "server CA"),
    ] {
        let seen = tenants.openssl("-tls1_3", name, &[]);
        assert!(seen.contains(ca), "{name}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_leaves_out_it_takes_from_the_listener() {
    let tenants = Tenants::start(|config| {
        config.hosts[0].names = vec!["localhost".to_owned()];
        config.hosts[0].pem = None;
    })
    .await;
    let client = tenants.fixture.client();
    let client = client.open(tenants.fixture.addr()).await.unwrap();
    assert_eq!(client.server_cert(), tenants.fixture.leaf.cert_der);
    tenants.hosts.accept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_refused_if_wanted() {
    let tenants = Tenants::start(|config| config.unknown_names = UnknownNames::Refuse).await;
    let addr = tenants.fixture.addr();
    for name in ["c.example", "b.example"] {
        let refused = tenants.tenant(name).connect(addr).await.err().unwrap();
        assert_eq!(
            End::from(refused),
            End::Alert("UnrecognisedName".to_owned())
        );
    }
    let line = "mqtt_tls_handshakes_total{outcome=\"unknown_name\",version=\"none\",kind=\"none\"}";
    tenants.fixture.wait_for_metric(line, 2.0);
    // A name of the listener's own certificate, and none.
    for name in ["localhost", "127.0.0.1"] {
        let client = tenants.fixture.client().server_name(name);
        client.open(addr).await.unwrap();
        tenants.listeners.accept().await;
    }
    tenants.tenant("a.example").open(addr).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn client_authentication_is_each_hosts_own() {
    let devices = Ca::new("devices");
    let tenants = Tenants::start(|config| {
        config.hosts[0].client_auth = Some(trust(Require, &devices));
    })
    .await;
    let addr = tenants.fixture.addr();
    let mut refused = tenants.tenant("a.example").connect(addr).await.unwrap();
    let (_, end) = refused.read_to_end().await;
    assert_eq!(end, End::Alert("CertificateRequired".to_owned()));
    let device = devices.leaf().common_name("device 1").client_auth().issue();
    let known = Connector::with_identity(&tenants.ca, &device).server_name("a.example");
    known.open(addr).await.unwrap();
    tenants.hosts.accept().await;
    tenants.fixture.client().open(addr).await.unwrap();
    tenants.listeners.accept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_one_host_never_opens_another() {
    let tenants = Tenants::start(|config| {
        config.tls.tickets = Tickets::All;
        config.timeouts.first_packet = std::time::Duration::from_secs(1);
        let mut other = config.hosts[0].clone();
        other.names = vec!["c.example".to_owned()];
        config.hosts.push(other);
    })
    .await;
    let mut moved = tenants.fixture.config.clone();
    let names = std::mem::take(&mut moved.hosts[1].names);
    moved.hosts[1].names = std::mem::replace(&mut moved.hosts[0].names, names);
    moved.hosts[1].names.truncate(1);
    let mut kept = Vec::new();
    for version in ["-tls1_2", "-tls1_3"] {
        for from in ["a.example", "localhost"] {
            let session = workdir::scratch("session").join("session");
            let session = session.to_str().unwrap().to_owned();
            // Clients of TLS 1.3 get tickets after the handshake, so wait for the server to close.
            tenants.resumes(version, from, &["-ign_eof", "-sess_out", &session]);
            let resumes = |name| tenants.resumes(version, name, &["-sess_in", &session]);
            assert!(resumes(from), "{version} {from}");
            // The second is another name of the same host, for which rustls resumes none either.
            for to in ["c.example", "x.b.example", "nobody.example"] {
                assert!(!resumes(to), "{version} {from} {to}");
            }
            kept.push((version, from, session));
        }
    }
    // The same name of another host, and the listener itself, which has not changed.
    tenants.fixture.rewrite(&moved);
    tenants.fixture.wait_for_generation(2);
    for (version, from, session) in kept {
        let is_resumed = tenants.resumes(version, from, &["-sess_in", &session]);
        assert_eq!(is_resumed, from == "localhost", "{version} {from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_hosts_and_no_open_connection() {
    let tenants = Tenants::start(|_| {}).await;
    let addr = tenants.fixture.addr();
    let mut old = tenants.tenant("a.example").open(addr).await.unwrap();
    let mut peer = tenants.hosts.accept().await;
    let renewed = tenants.ca.leaf().dns("a.example").issue();
    let mut config = tenants.fixture.config.clone();
    config.hosts[0].pem = Some(Pem::new(renewed.bundle()));
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(2);
    let new = tenants.tenant("a.example").connect(addr).await.unwrap();
    assert_eq!(new.server_cert(), renewed.cert_der);
    // A host with a bad certificate changes nothing.
    config.hosts[0].pem = Some(Pem::new("garbage".to_owned()));
    tenants.fixture.rewrite(&config);
    let (reason, message) = tenants.fixture.wait_for_refusal();
    assert_eq!(reason, "NoCertificate");
    assert!(message.contains("hosts[0].pem"), "{message}");
    // Without hosts, the listener serves all names.
    config.hosts.clear();
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(3);
    assert!(tenants.tenant("a.example").connect(addr).await.is_err());
    old.send(b"up").await.unwrap();
    assert_eq!(peer.read_exact(2).await, b"up");
}
