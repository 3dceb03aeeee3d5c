//! Judging a CA bundle: the certificates that a client's must chain to.
//!
//! It must not read a clock or a file. Whether an authority is within its dates is not asked: trust
//! anchors have none (RFC 5280, section 6.1.1).

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;

use crate::pem::{self, Content};

/// Certificates that client certificates must chain to; at least one.
#[derive(Clone)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
}

/// Why a PEM is not a usable CA bundle.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A block could not be read.
    #[error("{0}")]
    BrokenPem(pem::Error),
    /// There is no certificate.
    #[error("there is no certificate; put the authorities here, as CERTIFICATE blocks")]
    NoCertificate,
    /// There is a key, which nobody should have put here.
    #[error("{0} is a private key; a CA bundle holds certificates only, take it out")]
    PrivateKey(pem::Place),
    /// A certificate cannot be a trust anchor.
    #[error("the certificate in {place} cannot be used: {why}")]
    UnusableCertificate {
        /// Where it stands.
        place: pem::Place,
        /// What the library said.
        why: String,
    },
}

impl Error {
    /// The kind of error, one of a fixed set, for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BrokenPem(_) => "BrokenPem",
            Self::NoCertificate => "NoCertificate",
            Self::PrivateKey(_) => "PrivateKeyInBundle",
            Self::UnusableCertificate { .. } => "UnusableCertificate",
        }
    }
}

/// Judges a PEM bundle of authorities.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn judge(text: &str) -> Result<Authorities, Error> {
    let mut roots = RootCertStore::empty();
    for block in pem::blocks(text).map_err(Error::BrokenPem)? {
        match block.content {
            Content::Certificate(der) => {
                let place = block.place;
                let unusable = |error: rustls::Error| {
                    let why = error.to_string();
                    Error::UnusableCertificate { place, why }
                };
                roots.add(der).map_err(unusable)?;
            }
            Content::PrivateKey(_) | Content::EncryptedKey => {
                return Err(Error::PrivateKey(block.place));
            }
            Content::Other => {}
        }
    }
    if roots.is_empty() {
        return Err(Error::NoCertificate);
    }
    Ok(Authorities {
        roots: Arc::new(roots),
    })
}

impl Authorities {
    /// The trust anchors, as rustls verifies with them.
    pub(crate) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.roots.len())
    }
}
