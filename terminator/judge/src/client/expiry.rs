//! When a chain of certificates stops to be valid. It must not judge the chain.

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Returns the first second, in Unix time, at which a certificate that is valid now has expired. A certificate that cannot be
/// parsed, or has expired already, has none.
pub fn next_expiry(chain: &[CertificateDer<'_>], now: UnixTime) -> Option<u64> {
    let expiries = chain.iter().filter_map(|certificate| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        Some(not_after.saturating_add(1))
    });
    expiries.filter(|expiry| *expiry > now.as_secs()).min()
}
