//! The one crypto provider: aws-lc-rs, named wherever rustls is built, never taken from the process.
//!
//! It must not install a process-wide default: a library that relies on one breaks when another crate
//! in the tree brings a second provider.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The provider: TLS 1.3 and ECDHE suites of TLS 1.2 only; X25519MLKEM768 is the preferred group.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::provider;

    #[test]
    fn the_hybrid_group_is_first() {
        assert_eq!(provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
    }
}
