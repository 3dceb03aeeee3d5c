//! The cipher suites, key exchange groups and versions that TLS may use, by their names in the IANA registries.
//!
//! It must not offer anything that would weaken TLS.

use serde::{Serialize, Serializer};

use crate::key::Named;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Of TLS 1.3.
    Aes128,
    /// Of TLS 1.3.
    Aes256,
    /// Of TLS 1.3.
    ChaCha20,
    /// Of TLS 1.2, for ECDSA and Ed25519 keys.
    EcdsaAes128,
    /// Of TLS 1.2, for ECDSA and Ed25519 keys.
    EcdsaAes256,
    /// Of TLS 1.2, for ECDSA and Ed25519 keys.
    EcdsaChaCha20,
    /// Of TLS 1.2, for RSA keys.
    RsaAes128,
    /// Of TLS 1.2, for RSA keys.
    RsaAes256,
    /// Of TLS 1.2, for RSA keys.
    RsaChaCha20,
}

impl Suite {
    /// Returns its number in the IANA registry.
    pub fn number(self) -> u16 {
        match self {
            Self::Aes128 => 0x1301,
            Self::Aes256 => 0x1302,
            Self::ChaCha20 => 0x1303,
            Self::EcdsaAes128 => 0xc02b,
            Self::EcdsaAes256 => 0xc02c,
            Self::EcdsaChaCha20 => 0xcca9,
            Self::RsaAes128 => 0xc02f,
            Self::RsaAes256 => 0xc030,
            Self::RsaChaCha20 => 0xcca8,
        }
    }

    /// Returns the version that uses it.
    pub fn version(self) -> TlsVersion {
        match self {
            Self::Aes128 | Self::Aes256 | Self::ChaCha20 => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        }
    }

    /// Reports whether it can be used with an RSA key, or else with an ECDSA or Ed25519 key. Those of TLS 1.3 can be used
    /// with any.
    pub fn fits(self, is_rsa: bool) -> bool {
        match self {
            Self::Aes128 | Self::Aes256 | Self::ChaCha20 => true,
            Self::EcdsaAes128 | Self::EcdsaAes256 | Self::EcdsaChaCha20 => !is_rsa,
            Self::RsaAes128 | Self::RsaAes256 | Self::RsaChaCha20 => is_rsa,
        }
    }
}

impl Named for Suite {
    const ALL: &'static [Self] = &[
        Self::Aes128,
        Self::Aes256,
        Self::ChaCha20,
        Self::EcdsaAes128,
        Self::EcdsaAes256,
        Self::EcdsaChaCha20,
        Self::RsaAes128,
        Self::RsaAes256,
        Self::RsaChaCha20,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Aes128 => "TLS_AES_128_GCM_SHA256",
            Self::Aes256 => "TLS_AES_256_GCM_SHA384",
            Self::ChaCha20 => "TLS_CHACHA20_POLY1305_SHA256",
            Self::EcdsaAes128 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Self::EcdsaAes256 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Self::EcdsaChaCha20 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Self::RsaAes128 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Self::RsaAes256 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            Self::RsaChaCha20 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        }
    }
}

impl Serialize for Suite {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// A key exchange group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Hybrid, of TLS 1.3 only: secure also against quantum computers.
    X25519MlKem768,
    /// Curve25519.
    X25519,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Group {
    /// Returns its number in the IANA registry.
    pub fn number(self) -> u16 {
        match self {
            Self::X25519MlKem768 => 0x11ec,
            Self::X25519 => 0x001d,
            Self::P256 => 0x0017,
            Self::P384 => 0x0018,
        }
    }

    /// Reports whether a version can use it.
    pub fn is_of(self, version: TlsVersion) -> bool {
        version == TlsVersion::Tls13 || self != Self::X25519MlKem768
    }
}

impl Named for Group {
    const ALL: &'static [Self] = &[Self::X25519MlKem768, Self::X25519, Self::P256, Self::P384];

    fn name(self) -> &'static str {
        match self {
            Self::X25519MlKem768 => "X25519MLKEM768",
            Self::X25519 => "x25519",
            Self::P256 => "secp256r1",
            Self::P384 => "secp384r1",
        }
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}
