//! A changed file: what it changes, what it leaves unchanged, and what is refused.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mqtt_tls_config::Pem;
use mqtt_tls_terminator::Terminator;
use tests::clients::tls::{Connector, TlsClient};
use tests::pki::Leaf;
use tests::ports;
use tests::wait::eventually;
use tests::workdir;

use crate::fixture::{Fixture, SOON, Scripted, config};

/// Opens a connection; returns both ends.
async fn open(fixture: &Fixture, backend: &Scripted) -> (TlsClient, crate::fixture::Peer) {
    let client = fixture.client().open(fixture.addr()).await.unwrap();
    (client, backend.accept().await)
}

async fn is_alive((client, peer): &mut (TlsClient, crate::fixture::Peer)) {
    client.send(b"up").await.unwrap();
    assert_eq!(peer.read_exact(2).await, b"up");
    peer.send(b"down").await;
    assert_eq!(client.read_exact(4).await.unwrap(), b"down");
}

fn renewed(fixture: &Fixture) -> (Leaf, mqtt_tls_config::Config) {
    let leaf = fixture.ca.leaf().dns("localhost").issue();
    let mut config = fixture.config.clone();
    config.pem = Pem::new(leaf.bundle());
    (leaf, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_file_is_served_to_new_connections_and_old_ones_stay_open() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut old = open(&fixture, &backend).await;
    let (leaf, config) = renewed(&fixture);
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    let mut new = open(&fixture, &backend).await;
    assert_eq!(new.0.server_cert(), leaf.cert_der);
    assert_eq!(old.0.server_cert(), fixture.leaf.cert_der);
    is_alive(&mut old).await;
    is_alive(&mut new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_written_in_place_is_served() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let (leaf, config) = renewed(&fixture);
    std::fs::write(&fixture.file, config.to_yaml().expose()).unwrap();
    fixture.wait_for_generation(2);
    assert_eq!(
        open(&fixture, &backend).await.0.server_cert(),
        leaf.cert_der
    );
}

/// Swaps the file as the kubelet does: a new folder, a link to it under another name, and a rename over `..data`.
fn swap(mount: &Path, name: &str, text: &str) {
    let folder = mount.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.yaml"), text).unwrap();
    let link = mount.join("..data_tmp");
    symlink(name, &link).unwrap();
    std::fs::rename(&link, mount.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_swap_of_a_mounted_secret_is_noticed() {
    let backend = Scripted::start().await;
    let ca = tests::pki::Ca::new("root");
    let (first, second) = (
        ca.leaf().dns("localhost").issue(),
        ca.leaf().dns("localhost").issue(),
    );
    let mut config = config(&first, backend.addr());
    let mount = workdir::scratch("mount");
    swap(&mount, "..2026_01", config.to_yaml().expose());
    symlink("..data/config.yaml", mount.join("config.yaml")).unwrap();
    let terminator = Terminator::start(mount.join("config.yaml").as_path().into(), None)
        .map_err(|error| error.chain());
    let terminator = terminator.unwrap();
    config.pem = Pem::new(second.bundle());
    swap(&mount, "..2026_02", config.to_yaml().expose());
    std::fs::remove_dir_all(mount.join("..2026_01")).unwrap();
    eventually(SOON, "the second certificate is served", || {
        let served = &terminator.status().certificates[0].facts.fingerprint;
        (*served == second.fingerprint()).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_file_changes_nothing_and_is_reported_once() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut old = open(&fixture, &backend).await;
    fixture.rewrite_text("port: 8883\npem: garbage\n");
    let (reason, message) = fixture.wait_for_refusal();
    assert_eq!(reason, "NoCertificate");
    assert!(
        message.contains("pem: there is no certificate"),
        "{message}"
    );
    // Reloaded again, and counted once.
    fixture.terminator.reload();
    assert_eq!(
        open(&fixture, &backend).await.0.server_cert(),
        fixture.leaf.cert_der
    );
    is_alive(&mut old).await;
    fixture.wait_for_metric("mqtt_tls_reload_succeeded", 0.0);
    fixture.wait_for_metric("mqtt_tls_reloads_total{outcome=\"NoCertificate\"}", 1.0);
    // Back to the active configuration: the error is gone.
    fixture.rewrite(&fixture.config);
    eventually(SOON, "the error is gone", || {
        fixture
            .terminator
            .status()
            .configuration
            .last_error
            .is_none()
            .then_some(())
    });
    assert_eq!(fixture.terminator.status().configuration.generation, 1);
    fixture.wait_for_metric("mqtt_tls_reload_succeeded", 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_changes_nothing() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    std::fs::remove_file(&fixture.file).unwrap();
    assert_eq!(fixture.wait_for_refusal().0, "unreadable");
    assert_eq!(
        open(&fixture, &backend).await.0.server_cert(),
        fixture.leaf.cert_der
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_or_early_certificate_never_replaces_a_valid_one() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    for (leaf, reason) in [
        (
            fixture.ca.leaf().dns("localhost").expired().issue(),
            "expired",
        ),
        (
            fixture.ca.leaf().dns("localhost").not_yet_valid().issue(),
            "not_yet_valid",
        ),
    ] {
        let mut config = fixture.config.clone();
        config.pem = Pem::new(leaf.bundle());
        fixture.rewrite(&config);
        eventually(SOON, reason, || {
            let error = fixture.terminator.status().configuration.last_error?;
            (error.reason == reason).then_some(())
        });
        assert_eq!(
            open(&fixture, &backend).await.0.server_cert(),
            fixture.leaf.cert_der
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_served_at_startup_and_can_be_replaced() {
    let backend = Scripted::start().await;
    let ca = tests::pki::Ca::new("root");
    let expired = ca.leaf().dns("localhost").expired().issue();
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.pem = Pem::new(expired.bundle());
    });
    assert_eq!(
        fixture.terminator.status().certificates[0]
            .facts
            .fingerprint,
        expired.fingerprint()
    );
    fixture.rewrite(&renewed(&fixture).1);
    fixture.wait_for_generation(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_port_is_opened_and_open_connections_stay() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut old = open(&fixture, &backend).await;
    let mut config = fixture.config.clone();
    (config.port, config.admin.port) = (ports::free_port(), ports::free_port());
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    let addr = (config.host.unwrap(), config.port).into();
    eventually(SOON, "the old port is closed", || {
        std::net::TcpStream::connect(fixture.addr())
            .is_err()
            .then_some(())
    });
    let new = fixture.client().open(addr).await.unwrap();
    let mut new = (new, backend.accept().await);
    is_alive(&mut new).await;
    is_alive(&mut old).await;
    assert_eq!(
        crate::fixture::get((config.admin.host, config.admin.port).into(), "/livez").0,
        200
    );
}

/// How the operator changes a port: the former one stays open until no client uses it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_port_stays_open_beside_the_new_one_until_it_is_removed() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut old = open(&fixture, &backend).await;
    let former = fixture.addr();
    // A client that connects to the former port all the time.
    let served = Arc::new(AtomicUsize::new(0));
    let load = connect_for_ever(fixture.client(), former, Arc::clone(&served));
    let mut config = fixture.config.clone();
    config.port = ports::free_port();
    config.also_listen = vec![former.port()];
    let new = (config.host.unwrap(), config.port).into();
    let accepting = tokio::spawn(async move {
        loop {
            drop(backend.accept().await);
        }
    });
    let load = tokio::spawn(load);
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    let listen = fixture.terminator.status().listen;
    assert_eq!(listen, format!("{new}, {former}"));
    let so_far = served.load(Ordering::Relaxed);
    for _ in 0..20 {
        fixture.client().open(new).await.unwrap();
    }
    eventually(SOON, "the former port serves", || {
        (served.load(Ordering::Relaxed) > so_far + 20).then_some(())
    });
    assert!(!load.is_finished(), "an attempt failed: {:?}", load.await);
    load.abort();

    config.also_listen = Vec::new();
    fixture.rewrite(&config);
    fixture.wait_for_generation(3);
    eventually(SOON, "the former port is closed", || {
        std::net::TcpStream::connect(former).is_err().then_some(())
    });
    fixture.client().open(new).await.unwrap();
    accepting.abort();
    is_alive(&mut old).await;
}

/// One of several ports that cannot be bound: neither is opened.
#[tokio::test(flavor = "multi_thread")]
async fn all_ports_are_opened_or_none() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = fixture.config.clone();
    config.port = ports::free_port();
    config.also_listen = vec![fixture.config.port, taken.local_addr().unwrap().port()];
    fixture.rewrite(&config);
    assert_eq!(fixture.wait_for_refusal().0, "unbindable");
    let other = (config.host.unwrap(), config.port);
    assert!(std::net::TcpStream::connect(other).is_err());
    open(&fixture, &backend).await;
    drop(taken);
    fixture.terminator.reload();
    fixture.wait_for_generation(2);
    for port in [config.port].into_iter().chain(config.also_listen) {
        let addr = (config.host.unwrap(), port).into();
        fixture.client().open(addr).await.unwrap();
        backend.accept().await;
    }
}

/// A terminator that starts while a port changes opens all of them.
#[tokio::test(flavor = "multi_thread")]
async fn several_ports_are_opened_at_startup() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.also_listen = vec![ports::free_port(), config.port];
    });
    for port in [fixture.config.port, fixture.config.also_listen[0]] {
        let addr = (fixture.config.host.unwrap(), port).into();
        fixture.client().open(addr).await.unwrap();
        backend.accept().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_moves_to_all_addresses() {
    let fixture = Fixture::start(Scripted::start().await.addr());
    let mut config = fixture.config.clone();
    config.admin.host = "0.0.0.0".parse().unwrap();
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    assert_eq!(fixture.get("/livez").0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_addresses_on_the_same_ports_are_applied() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    fixture.wait_for_metric("mqtt_tls_reload_succeeded", 1.0);
    let mut old = open(&fixture, &backend).await;
    let mut config = fixture.config.clone();
    config.host = Some("127.0.0.2".parse().unwrap());
    config.admin.host = "127.0.0.2".parse().unwrap();
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    config.host = None;
    config.admin.host = "::".parse().unwrap();
    fixture.rewrite(&config);
    fixture.wait_for_generation(3);
    // Back to the first address, via all addresses.
    let mut new = open(&fixture, &backend).await;
    is_alive(&mut new).await;
    is_alive(&mut old).await;
    fixture.wait_for_metric("mqtt_tls_reloads_total{outcome=\"ok\"}", 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_changes_nothing() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = fixture.config.clone();
    config.port = taken.local_addr().unwrap().port();
    fixture.rewrite(&config);
    assert_eq!(fixture.wait_for_refusal().0, "unbindable");
    open(&fixture, &backend).await;
}

/// With the message of `check`, and without opening a socket.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_cannot_serve_change_nothing() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut config = fixture.config.clone();
    config.admin.port = config.port;
    fixture.rewrite(&config);
    let (reason, message) = fixture.wait_for_refusal();
    assert_eq!(reason, "SharedPort");
    assert!(message.contains("is the listener's own"), "{message}");
    let mut config = fixture.config.clone();
    config.host = Some("224.0.0.1".parse().unwrap());
    fixture.rewrite(&config);
    let refusals = "mqtt_tls_reloads_total{outcome=\"UnreachableHost\"}";
    fixture.wait_for_metric(refusals, 1.0);
    open(&fixture, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_drops_nothing() {
    const OPEN: usize = 50;
    const ROTATIONS: u64 = 10;
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut kept = Vec::new();
    for _ in 0..OPEN {
        kept.push(open(&fixture, &backend).await);
    }
    let before = fixture.terminator.status().connections.open;
    let served = Arc::new(AtomicUsize::new(0));
    // A client reconnects continuously; each attempt must succeed.
    let (addr, connector) = (fixture.addr(), fixture.client());
    let load = tokio::spawn(connect_for_ever(connector, addr, Arc::clone(&served)));
    let accepting = tokio::spawn(async move {
        loop {
            drop(backend.accept().await);
        }
    });
    for rotation in 0..ROTATIONS {
        let so_far = served.load(Ordering::Relaxed);
        fixture.rewrite(&renewed(&fixture).1);
        fixture.wait_for_generation(rotation + 2);
        eventually(SOON, "more connections are made", || {
            (served.load(Ordering::Relaxed) > so_far + 5).then_some(())
        });
    }
    assert!(!load.is_finished(), "an attempt failed: {:?}", load.await);
    load.abort();
    accepting.abort();
    for connection in &mut kept {
        is_alive(connection).await;
    }
    fixture.wait_for_metric("mqtt_tls_connections_open", f64::from(before));
    assert_eq!(kept.len(), OPEN);
}

async fn connect_for_ever(
    connector: Connector,
    addr: std::net::SocketAddr,
    served: Arc<AtomicUsize>,
) {
    loop {
        let mut client = connector
            .open(addr)
            .await
            .expect("a handshake during a rotation");
        // The backend closes at once, in order.
        let (_, end) = client.read_to_end().await;
        assert_eq!(end, tests::clients::tls::End::CloseNotify);
        served.fetch_add(1, Ordering::Relaxed);
    }
}
