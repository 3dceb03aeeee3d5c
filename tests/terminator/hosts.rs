//! Several hosts behind one port: each has its own certificates, client authentication, backend and sessions.

use mqtt_tls_config::ClientAuthMode::{Optional, Require};
use mqtt_tls_config::{Backend, ClientAuth, Config, Host, Pem, Tickets, UnknownNames};
use serde_json::Value;
use tests::clients::openssl::{SClient, is_resumed};
use tests::clients::tls::{Connector, End};
use tests::pki::{Ca, Leaf};
use tests::workdir;

use crate::fixture::{Fixture, Scripted, trust};

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
        let leaf = ca.leaf().dns("a.example").dns("*.b.example");
        let leaf = leaf.dns("*.open.b.example").issue();
        let fixture = Fixture::start_with(listeners.addr(), |config| {
            config.hosts = vec![Host {
                pem: Some(Pem::new(leaf.bundle())),
                backend: Some(Backend {
                    host: "127.0.0.1".to_owned(),
                    port: hosts.addr().port(),
                }),
                ..Host::new(vec!["a.example".to_owned(), "*.b.example".to_owned()])
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
        let client = SClient::unverified(self.fixture.addr(), name);
        client.arg(version).args(options).run(b"").stdout
    }

    /// Connects with OpenSSL, which sends a stored session with any name; reports whether it was resumed.
    fn resumes(&self, version: &str, name: &str, options: &[&str]) -> bool {
        is_resumed(&self.openssl(version, name, options))
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
    let (_, metrics) = tenants.fixture.get("/metrics");
    for line in [
        "mqtt_tls_backend_reachable{host=\"\"} 1".to_owned(),
        "mqtt_tls_backend_reachable{host=\"a.example\"} 1".to_owned(),
        format!(
            "mqtt_tls_certificate_not_after_timestamp_seconds{{host=\"a.example\",index=\"0\",fingerprint=\"{}\"}}",
            tenants.leaf.fingerprint()
        ),
    ] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
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
async fn a_host_without_client_authentication_and_backend_has_the_listeners() {
    let devices = Ca::new("devices");
    let tenants = Tenants::start(|config| {
        config.client_auth = trust(Require, &devices);
        config.hosts[0].backend = None;
        let mut open = config.hosts[0].clone();
        open.names = vec!["open.b.example".to_owned()];
        open.client_auth = Some(ClientAuth::default());
        let mut asking = config.hosts[0].clone();
        asking.names = vec!["*.open.b.example".to_owned()];
        asking.client_auth = Some(trust(Optional, &devices));
        config.hosts.extend([open, asking]);
    })
    .await;
    let addr = tenants.fixture.addr();
    let end_of = async |name: &str| {
        let mut client = tenants.tenant(name).connect(addr).await.unwrap();
        client.read_to_end().await.1
    };
    for name in ["a.example", "x.b.example"] {
        let end = end_of(name).await;
        assert_eq!(end, End::Alert("CertificateRequired".to_owned()), "{name}");
    }
    // An exact name comes before the wildcard of another host, and a wildcard stands for one label.
    for name in ["open.b.example", "x.open.b.example"] {
        tenants.tenant(name).open(addr).await.unwrap();
        tenants.listeners.accept().await;
    }
    let device = devices.leaf().common_name("device 1").client_auth().issue();
    let known = Connector::with_identity(&tenants.ca, &device).server_name("a.example");
    known.open(addr).await.unwrap();
    tenants.listeners.accept().await;
}

/// A ticket of a host that asked for no certificate must not open the same host while it does.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_is_resumed_where_clients_are_asked_for_certificates() {
    let devices = Ca::new("devices");
    let tenants = Tenants::start(|config| {
        config.tls.tickets = Tickets::All;
        config.timeouts.first_packet = std::time::Duration::from_secs(1);
    })
    .await;
    let mut kept = Vec::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = workdir::scratch("session").join("session");
        let session = session.to_str().unwrap().to_owned();
        tenants.resumes(version, "a.example", &["-ign_eof", "-sess_out", &session]);
        kept.push((version, session));
    }
    let all_resume = |wanted: bool| {
        for (version, session) in &kept {
            let is_resumed = tenants.resumes(version, "a.example", &["-sess_in", session]);
            assert_eq!(is_resumed, wanted, "{version}");
        }
    };
    // Names in another order, and another certificate, change no session.
    let mut config = tenants.fixture.config.clone();
    config.hosts[0].names.reverse();
    let renewed = tenants.ca.leaf().dns("a.example").issue();
    config.hosts[0].pem = Some(Pem::new(renewed.bundle()));
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(2);
    all_resume(true);
    config.hosts[0].client_auth = Some(trust(Optional, &devices));
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(3);
    all_resume(false);
    config.hosts[0].client_auth = None;
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(4);
    all_resume(true);
    // For the listener itself they never were.
    config.hosts.clear();
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(5);
    all_resume(false);
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
async fn what_a_host_makes_of_its_names_is_a_warning() {
    let devices = Ca::new("devices");
    let tenants = Tenants::start(|config| {
        let host = &mut config.hosts[0];
        host.client_auth = Some(trust(Require, &devices));
        host.backend = None;
        host.names.push("c.example".to_owned());
    })
    .await;
    let (_, metrics) = tenants.fixture.get("/metrics");
    for reason in ["ClientAuthAvoidable", "NameNotCovered"] {
        let labels = format!("{{host=\"a.example\",index=\"host\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&labels), "{metrics}");
    }
    let (_, text) = tenants.fixture.get("/status");
    let status: Value = serde_json::from_str(&text).unwrap();
    let warnings = status["warnings"].as_array().unwrap();
    let key = |index: usize| {
        (
            warnings[index]["host"].as_str(),
            warnings[index]["key"].as_str(),
        )
    };
    assert_eq!(key(0), (Some("a.example"), Some("hosts[0].names")));
    assert_eq!(key(1), (Some("a.example"), Some("hosts[0].clientAuth")));
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
            for to in ["c.example", "x.b.example", "unknown.example"] {
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

/// An expired certificate of one host, which has no other, keeps no other host from being renewed.
#[tokio::test(flavor = "multi_thread")]
async fn each_host_is_compared_with_itself() {
    let tenants = Tenants::start(|_| {}).await;
    let addr = tenants.fixture.addr();
    let mut config = tenants.fixture.config.clone();
    let expired = tenants.ca.leaf().dns("c.example").expired().issue();
    let mut new = config.hosts[0].clone();
    new.names = vec!["c.example".to_owned()];
    new.pem = Some(Pem::new(expired.bundle()));
    config.hosts.push(new);
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(2);
    let renewed = tenants.ca.leaf().dns("a.example").issue();
    config.hosts[0].pem = Some(Pem::new(renewed.bundle()));
    config.hosts[0].names.reverse();
    tenants.fixture.rewrite(&config);
    tenants.fixture.wait_for_generation(3);
    let client = tenants.tenant("a.example").connect(addr).await.unwrap();
    assert_eq!(client.server_cert(), renewed.cert_der);
    config.hosts[0].pem = Some(Pem::new(expired.bundle()));
    config.hosts[0].names.reverse();
    tenants.fixture.rewrite(&config);
    let (reason, message) = tenants.fixture.wait_for_refusal();
    assert_eq!(reason, "expired");
    assert!(message.contains("hosts[0].pem (a.example): "), "{message}");
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
