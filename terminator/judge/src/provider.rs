//! The crypto provider, aws-lc-rs. All rustls configurations use it explicitly, never the process default.
//!
//! It must not install a process-wide default: code that relies on one breaks when another crate in the tree
//! brings a second provider.

use std::sync::{Arc, LazyLock};

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    // AES-256 comes with SHA-384, which most CPUs do not accelerate; it costs a tenth of a handshake.
    let suites = &mut provider.cipher_suites;
    suites.sort_by_key(|suite| !is_aes128(suite.suite()));
    Arc::new(provider)
});

static AES256_FIRST: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

fn is_aes128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// Returns the provider: TLS 1.3 and the ECDHE suites of TLS 1.2, AES-128 first, with X25519MLKEM768 as the
/// preferred group.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// Returns the same provider with AES-256 first, the default order of aws-lc-rs.
pub fn aes256_first() -> Arc<CryptoProvider> {
    Arc::clone(&AES256_FIRST)
}

#[cfg(test)]
mod tests {
    use rustls::{CipherSuite, NamedGroup};

    use super::{aes256_first, provider};

    #[test]
    fn aes_128_is_first() {
        let provider = provider();
        let mut suites = provider
            .cipher_suites
            .iter()
            .map(rustls::SupportedCipherSuite::suite);
        assert_eq!(suites.next(), Some(CipherSuite::TLS13_AES_128_GCM_SHA256));
        assert_eq!(suites.count(), 8, "none is lost");
        let first = aes256_first().cipher_suites[0].suite();
        assert_eq!(first, CipherSuite::TLS13_AES_256_GCM_SHA384);
    }

    #[test]
    fn the_hybrid_group_is_first() {
        assert_eq!(provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
    }
}
