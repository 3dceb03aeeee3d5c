//! A TLS handshake that ends after the server's certificate is known. The terminator takes it for a probe.
//!
//! It must not verify the chain: whether devices trust it is known to devices only. It verifies that the server has
//! the certificate's key.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt_tls_config::PROBE_PROTOCOL;
use mqtt_tls_judge::any_chain::AnyChain;
use mqtt_tls_judge::facts::sha256;
use mqtt_tls_judge::provider::provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::chain;
use crate::plan::proof::answer::{Configuration, text};
use crate::plan::proof::question::Handshake;

/// Why a handshake did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The port cannot be reached.
    #[error("failed to connect to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// The name cannot be sent.
    #[error("the name is no server name")]
    Name,
    /// The server sent no certificate.
    #[error("the server sent no certificate")]
    NoCertificate,
    /// TLS could not be set up.
    #[error("failed to set up TLS")]
    Setup(#[source] rustls::Error),
    /// The time is over.
    #[error("timed out")]
    Timeout,
}

/// Shakes hands, and returns the leaf's fingerprint.
pub(super) async fn shake(address: SocketAddr, wanted: &Handshake) -> Result<String, Error> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| Error::Connect(address, error))?;
    let name = match &wanted.server_name {
        Some(name) => ServerName::try_from(name.clone()).map_err(|_| Error::Name)?,
        // An IP address is not sent as SNI (RFC 6066, section 3).
        None => ServerName::IpAddress(address.ip().into()),
    };
    let config = config(schemes(wanted.key)).map_err(Error::Setup)?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(Error::Handshake)?;
    let leaf = stream.get_ref().1.peer_certificates();
    let leaf = leaf.and_then(|chain| chain.first());
    leaf.map(|leaf| sha256(leaf)).ok_or(Error::NoCertificate)
}

/// Returns what a handshake says against the pod, if it does not return the wanted certificate.
pub(super) fn contrary(wanted: &Handshake, shaken: Result<String, Error>) -> Option<Configuration> {
    let name = wanted.server_name.as_deref().unwrap_or("no server name");
    match shaken {
        Ok(fingerprint) if fingerprint == wanted.fingerprint => None,
        Ok(fingerprint) => Some(Configuration::OtherCertificate(text(&format!(
            "{name}: {fingerprint} instead of {}",
            wanted.fingerprint
        )))),
        Err(error) => Some(Configuration::Unasked(text(&format!(
            "TLS handshake with {name}: {}",
            chain(&error)
        )))),
    }
}

fn config(schemes: &'static [SignatureScheme]) -> Result<ClientConfig, rustls::Error> {
    let verifier = AnyChain::with_schemes(schemes);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROBE_PROTOCOL.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Returns the signature schemes of a kind of key in TLS 1.3 (RFC 8446, section 4.2.3).
fn schemes(key: &str) -> &'static [SignatureScheme] {
    match key {
        "ECDSA P-256" => &[SignatureScheme::ECDSA_NISTP256_SHA256],
        "ECDSA P-384" => &[SignatureScheme::ECDSA_NISTP384_SHA384],
        "ECDSA P-521" => &[SignatureScheme::ECDSA_NISTP521_SHA512],
        "Ed25519" => &[SignatureScheme::ED25519],
        _ => &[
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
        ],
    }
}
