//! TCP and TLS to a server, for the fleet and the prober: each failure with its step. It sends no byte of MQTT.

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

/// How long TCP may take: longer than one lost SYN, shorter than a device's patience.
pub(super) const DIAL: Duration = Duration::from_secs(5);

/// How long TLS may take on a machine that has hundreds of them to do.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Trusts the CAs of a bundle, in whatever order they are, and resumes nothing: on a resumed session no
/// certificate is shown, and none is checked.
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

/// A DNS name or an address, as certificates have it.
pub(super) fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).expect("a DNS name or an address")
}

/// Dials. `address` is `host:port`, and the host is looked up each time.
pub(super) async fn dial(address: &str) -> Result<TcpStream, Failure> {
    let tcp = within(DIAL, TcpStream::connect(address)).await;
    tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
        .map_err(|error| Failure::new(Phase::Dial, &error))
}

/// Dials and shakes hands.
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
