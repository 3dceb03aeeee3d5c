//! TCP and TLS connections for the fleet and the prober, with the step of each failure. It must not send MQTT.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::report::{Failure, Phase};

/// Upper bound for TCP: longer than the retransmission of one lost SYN, shorter than devices' timeouts.
pub(super) const DIAL: Duration = Duration::from_secs(5);

/// Upper bound for TLS on a machine with hundreds of concurrent handshakes.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Trusts the CAs of a bundle, without resumption, because a resumed session presents no certificate.
pub(super) fn client_config(ca_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let ca = ca.expect("a bundle of CAs is PEM");
        roots.add(ca).expect("a CA can be trusted");
    }
    assert!(!roots.is_empty(), "there is no CA to trust");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has these versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Parses a DNS name or an address.
pub(super) fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).expect("a DNS name or an address")
}

/// Dials `host:port`, and resolves the host each time.
pub(super) async fn dial(address: &str) -> Result<TcpStream, Failure> {
    let tcp = within(DIAL, TcpStream::connect(address)).await;
    tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
        .map_err(|error| Failure::new(Phase::Dial, &error))
}

/// Dials and completes the TLS handshake.
pub(super) async fn shake_hands(
    address: &str,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Failure> {
    let tcp = dial(address).await?;
    let handshake = TlsConnector::from(config).connect(name, tcp);
    within(HANDSHAKE, handshake)
        .await
        .map_err(|error| Failure::new(Phase::Handshake, &error))
}

async fn within<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(limit, step).await;
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
