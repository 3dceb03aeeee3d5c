//! SIGTERM: no new connections are accepted, and open ones are closed in order.

use std::time::Duration;

use rustix::process::Signal;
use tests::clients::tls::{Connector, End};
use tests::pki::Ca;

use crate::fixture::{SOON, Scripted, config, get, write};
use crate::program::{exit_code, start};

const CLIENTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_close_notify_and_their_data_is_forwarded() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let backend = Scripted::start().await;
    let mut config = config(&leaf, backend.addr());
    config.drain.deadline = Duration::from_secs(2);
    let addr = (config.host.unwrap(), config.port).into();
    let process = start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = Connector::new(&ca).open(addr).await.unwrap();
        clients.push((client, backend.accept().await));
    }
    process.signal(Signal::TERM);
    process.wait_for_line("draining", SOON);
    let admin = (config.admin.host, config.admin.port).into();
    assert_eq!(get(admin, "/readyz").0, 503);
    assert_eq!(get(admin, "/livez").0, 200);
    for (client, peer) in &mut clients {
        assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
        client.send(b"bye").await.unwrap();
        client.close_notify().await.unwrap();
        assert_eq!(peer.read_to_end().await, (b"bye".to_vec(), Ok(())));
    }
    assert!(Connector::new(&ca).connect(addr).await.is_err());
    assert_eq!(exit_code(&process), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stays_is_cut_off_at_the_deadline() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let backend = Scripted::start().await;
    let mut config = config(&leaf, backend.addr());
    config.drain.deadline = Duration::from_millis(300);
    let process = start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    let addr = (config.host.unwrap(), config.port).into();
    let client = Connector::new(&ca).open(addr).await.unwrap();
    let _peer = backend.accept().await;
    process.signal(Signal::TERM);
    assert_eq!(exit_code(&process), Some(0));
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_exits_at_once() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let backend = Scripted::start().await;
    let mut config = config(&leaf, backend.addr());
    config.drain.deadline = Duration::from_secs(3600);
    let process = start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    let addr = (config.host.unwrap(), config.port).into();
    let _client = Connector::new(&ca).open(addr).await.unwrap();
    let _peer = backend.accept().await;
    process.signal(Signal::TERM);
    process.wait_for_line("draining", SOON);
    process.signal(Signal::INT);
    assert_eq!(exit_code(&process), Some(130));
}
