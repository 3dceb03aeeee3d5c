//! `tls`: which versions, suites and groups TLS uses, of those that are secure; ALPN, session tickets and the size of
//! records.
//!
//! It must not offer anything that would weaken TLS.

use serde::Serialize;

use super::alpn::Alpn;
use super::suites::{Group, Suite, TlsVersion};
use crate::entries::Entries;
use crate::key::{Defaults, Key, Named, Section, Values, Visitor};

/// What TLS offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The lowest version.
    #[serde(skip_serializing_if = "is_lowest")]
    pub min_version: TlsVersion,
    /// The highest version.
    #[serde(skip_serializing_if = "is_highest")]
    pub max_version: TlsVersion,
    /// The cipher suites.
    #[serde(skip_serializing_if = "is_all")]
    pub suites: Vec<Suite>,
    /// The key exchange groups.
    #[serde(skip_serializing_if = "is_all")]
    pub groups: Vec<Group>,
    /// Which clients get session tickets.
    pub tickets: Tickets,
    /// Maximum plaintext of a record with data for a client, in bytes; 512 to 16,384.
    #[serde(skip_serializing_if = "is_unlimited")]
    pub record_size_max: u32,
    /// ALPN.
    #[serde(skip_serializing_if = "Alpn::is_default")]
    pub alpn: Alpn,
}

/// Which clients get session tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Tickets {
    /// None: each handshake is a full one.
    None,
    /// Clients of TLS 1.2. Tickets of TLS 1.3 carry a nonce of 32 bytes here, and small stacks (wolfSSL)
    /// have room for 8: their handshake succeeds, and each read after it fails.
    #[default]
    Tls12,
    /// All clients.
    All,
}

/// A combination of keys that no client, or none of a version, could connect with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The key to change.
    pub key: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Tls {
    /// Bounds of `recordSizeMax`, in bytes.
    pub const RECORD_SIZE_RANGE: (u32, u32) = (512, 16_384);

    const VERSIONS: &'static [(&'static str, TlsVersion)] =
        &[("Tls12", TlsVersion::Tls12), ("Tls13", TlsVersion::Tls13)];

    const MIN_VERSION: Key<TlsVersion> = Key {
        name: "minVersion",
        values: Values::named(Self::VERSIONS),
        default: || TlsVersion::Tls12,
        meaning: "the lowest version of TLS; clients that offer none from it on get the alert protocol_version",
    };

    const MAX_VERSION: Key<TlsVersion> = Key {
        name: "maxVersion",
        values: Values::named(Self::VERSIONS),
        default: || TlsVersion::Tls13,
        meaning: "the highest version of TLS",
    };

    const SUITES: Key<Vec<Suite>> = Key {
        name: "suites",
        values: Values::list(
            "a list of cipher suites, each once, at least one, of TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, \
             TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
             TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
             TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 and \
             TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
        default: || Suite::ALL.to_vec(),
        meaning: "the cipher suites of all versions, by their IANA names; the order does not matter. Those with ECDHE are of \
                  TLS 1.2, each for one kind of key (ECDSA ones also for Ed25519): each version that is on, and with TLS 1.2 \
                  each certificate, needs one",
    };

    const GROUPS: Key<Vec<Group>> = Key {
        name: "groups",
        values: Values::list(
            "a list of key exchange groups, each once, at least one, of X25519MLKEM768, x25519, secp256r1 and secp384r1",
        ),
        default: || Group::ALL.to_vec(),
        meaning: "the key exchange groups, by their IANA names; the order does not matter. X25519MLKEM768 is of TLS 1.3 only",
    };

    const TICKETS: Key<Tickets> = Key {
        name: "tickets",
        values: Values::named(&[
            ("None", Tickets::None),
            ("Tls12", Tickets::Tls12),
            ("All", Tickets::All),
        ]),
        default: Tickets::default,
        meaning: "which clients get session tickets, to resume their sessions with. wolfSSL, as a rule, cannot read \
                  those of TLS 1.3",
    };

    const RECORD_SIZE_MAX: Key<u32> = Key {
        name: "recordSizeMax",
        values: Values::count(Self::RECORD_SIZE_RANGE),
        default: || Self::RECORD_SIZE_RANGE.1,
        meaning: "maximum size in bytes of the data in a record for a client: the size of the TLS buffer of small devices, \
                  often 4096. The messages of a handshake cannot be split for them, so a certificate whose handshake has \
                  more bytes gets a warning. Clients that ask for smaller records (RFC 6066, RFC 8449) get them in any case",
    };

    /// Reads the section, or its defaults where the file has none.
    pub(crate) fn read(entries: &mut Entries<'_, '_>) -> Self {
        let read = entries.nested(Self::NAME, |entries| {
            let tls = Self::visit(entries);
            let alpn = Alpn::read_if_any(entries).unwrap_or_default();
            // What could not be read has a default in its place.
            let conflict = tls.conflict().filter(|_| entries.is_clean());
            if let Some(Conflict { key, message }) = conflict {
                entries.complain(key, message);
            }
            Self { alpn, ..tls }
        });
        read.unwrap_or_default()
    }

    /// Reports whether a version is on.
    pub fn has(&self, version: TlsVersion) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }

    /// Returns the size of the devices' TLS buffers in bytes, if it is a limit.
    pub fn device_buffer(&self) -> Option<u32> {
        Some(self.record_size_max).filter(|size| !is_unlimited(size))
    }

    /// Returns the first combination of keys that no client, or none of a version, could connect with.
    pub fn conflict(&self) -> Option<Conflict> {
        let conflict = |key, message: &str| {
            let message = message.to_owned();
            Some(Conflict { key, message })
        };
        if self.min_version > self.max_version {
            let message = "is higher than maxVersion; lower it, or remove maxVersion";
            return conflict(Self::MIN_VERSION.name, message);
        }
        let lacks = |version| {
            self.has(version) && !self.suites.iter().any(|suite| suite.version() == version)
        };
        if lacks(TlsVersion::Tls13) {
            let message = "has none of TLS 1.3, which is on; add TLS_AES_128_GCM_SHA256, or set maxVersion: Tls12";
            return conflict(Self::SUITES.name, message);
        }
        if lacks(TlsVersion::Tls12) {
            let message = "has none of TLS 1.2, which is on; add TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 or \
                           TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, or set minVersion: Tls13";
            return conflict(Self::SUITES.name, message);
        }
        let is_of_tls12 = |group: &Group| group.is_of(TlsVersion::Tls12);
        if self.has(TlsVersion::Tls12) && !self.groups.iter().any(is_of_tls12) {
            let message = "has none of TLS 1.2, which is on; add x25519, or set minVersion: Tls13";
            return conflict(Self::GROUPS.name, message);
        }
        None
    }

    /// Returns what is wrong with a certificate whose key has no suite in TLS 1.2; `None` if it has one, or TLS 1.2 is off.
    pub fn misfit(&self, is_rsa: bool) -> Option<String> {
        let mut suites = self.suites.iter();
        let fits = |suite: &Suite| suite.version() == TlsVersion::Tls12 && suite.fits(is_rsa);
        if !self.has(TlsVersion::Tls12) || suites.any(fits) {
            return None;
        }
        let (key, suite) = if is_rsa {
            ("an RSA key", Suite::RsaAes128)
        } else {
            ("an ECDSA or Ed25519 key", Suite::EcdsaAes128)
        };
        Some(format!(
            "the certificate has {key}, and tls.suites has no suite of TLS 1.2 for one; add {}, use a certificate with another \
             kind of key, or set tls.minVersion: Tls13",
            suite.name()
        ))
    }
}

impl Section for Tls {
    const NAME: &'static str = "tls";
    const MEANING: &'static str =
        "what TLS offers, of what is secure; a change applies to new connections";

    /// Takes the values of all keys but `alpn`, which is a section of its own.
    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            min_version: visitor.key(&Self::MIN_VERSION),
            max_version: visitor.key(&Self::MAX_VERSION),
            suites: visitor.key(&Self::SUITES),
            groups: visitor.key(&Self::GROUPS),
            tickets: visitor.key(&Self::TICKETS),
            record_size_max: visitor.key(&Self::RECORD_SIZE_MAX),
            alpn: Alpn::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::visit(&mut Defaults)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_lowest(version: &TlsVersion) -> bool {
    Tls::MIN_VERSION.is_default(version)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_highest(version: &TlsVersion) -> bool {
    Tls::MAX_VERSION.is_default(version)
}

fn is_all<T: Named>(list: &[T]) -> bool {
    list == T::ALL
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_unlimited(size: &u32) -> bool {
    Tls::RECORD_SIZE_MAX.is_default(size)
}
