//! TLS to a server from which something is fetched. It must not trust any CA but those that it is given.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::served::Error;
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::provider::provider;

/// Verifies servers by given authorities, and has no certificate of its own.
#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    /// Makes a client that trusts these authorities.
    pub(crate) fn new(authorities: &Authorities) -> Result<Self, Error> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Versions)?
            .with_root_certificates(Arc::clone(authorities.roots()))
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Connects, and verifies that the server has this name or address.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match host.parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
    }
}
