//! Performs a full handshake in memory, to check that a certificate and its key work before clients connect.
//!
//! It must not decide whether a client would trust the chain: that depends on the client's trust anchors.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use crate::any_chain::AnyChain;
use crate::provider::provider;

/// Maximum number of flights; more than any handshake has.
const FLIGHTS_MAX: usize = 8;

/// Performs a TLS 1.3 handshake with a client that trusts every chain but checks signatures.
pub(crate) fn handshake(certified: &Arc<CertifiedKey>) -> Result<(), rustls::Error> {
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))));
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyChain::default()))
        .with_no_client_auth();
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let mut server = ServerConnection::new(Arc::new(server))?;
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    for _ in 0..FLIGHTS_MAX {
        if !client.is_handshaking() && !server.is_handshaking() {
            return Ok(());
        }
        pass(&mut client, &mut server)?;
        pass(&mut server, &mut client)?;
    }
    Err(rustls::Error::HandshakeNotComplete)
}

/// Transfers pending records from one side to the other.
fn pass<A, B, DataA, DataB>(from: &mut A, to: &mut B) -> Result<(), rustls::Error>
where
    A: std::ops::DerefMut<Target = rustls::ConnectionCommon<DataA>>,
    B: std::ops::DerefMut<Target = rustls::ConnectionCommon<DataB>>,
    DataA: rustls::SideData,
    DataB: rustls::SideData,
{
    let io = |error: std::io::Error| rustls::Error::General(error.to_string());
    let mut flight = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut flight).map_err(io)?;
    }
    let mut flight = flight.as_slice();
    while !flight.is_empty() {
        to.read_tls(&mut flight).map_err(io)?;
        to.process_new_packets()?;
    }
    Ok(())
}
