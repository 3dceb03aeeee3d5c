//! Tests of the clients against a minimal TLS server, to rule them out as a cause of other failures.

use super::*;
use crate::clients::go::GoClient;
use crate::clients::openssl::SClient;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Serves one connection at a time: an echo of the first read, then close_notify. Returns the address, the CA to trust,
/// and the leaf.
async fn echo_once(connections: usize) -> (SocketAddr, Ca, Leaf) {
    let ca = Ca::new("test CA");
    let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").issue();
    let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for _ in 0..connections {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config.clone()));
            let mut stream = acceptor.accept(tcp).await.unwrap();
            let mut buffer = vec![0; 100];
            let count = stream.read(&mut buffer).await.unwrap();
            stream.write_all(&buffer[..count]).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (addr, ca, leaf)
}

#[tokio::test]
async fn rustls_in_one_byte_segments() {
    let (addr, ca, leaf) = echo_once(1).await;
    let mut client = Connector::new(&ca)
        .one_byte_segments()
        .connect(addr)
        .await
        .unwrap();
    assert_eq!(client.server_cert(), leaf.cert_der);
    client.send_one_byte_records(b"x").await.unwrap();
    assert_eq!(
        client.read_to_end().await,
        (b"x".to_vec(), End::CloseNotify)
    );
}

#[tokio::test]
async fn openssl_s_client() {
    let (addr, ca, _) = echo_once(1).await;
    let client = move || {
        SClient::new(addr, &ca)
            .arg("-brief")
            .until_server_closes()
            .run(b"hello")
    };
    let finished = tokio::task::spawn_blocking(client)
        .await
        .unwrap()
        .expect_success();
    assert!(finished.stdout.contains("hello"), "{finished:?}");
    assert!(finished.stderr.contains("Verification: OK"), "{finished:?}");
}

#[tokio::test]
async fn go_client_handshake() {
    let (addr, ca, leaf) = echo_once(1).await;
    let client = move || GoClient::handshake(addr, &ca).run();
    let seen = tokio::task::spawn_blocking(client).await.unwrap();
    assert_eq!(
        (seen.error.as_str(), seen.version.as_str()),
        ("", "TLS 1.3"),
        "{seen:?}"
    );
    assert_eq!(seen.fingerprint, leaf.fingerprint());
    assert_eq!(seen.curve, "X25519MLKEM768");
}

#[tokio::test]
async fn go_client_reports_its_error() {
    let (addr, _, _) = echo_once(1).await;
    let client = move || GoClient::handshake(addr, &Ca::new("another CA")).run();
    let seen = tokio::task::spawn_blocking(client).await.unwrap();
    assert!(
        seen.error.contains("signed by unknown authority"),
        "{seen:?}"
    );
}
