//! What a client offers of what can be served, as sets of bits. Pure.
//!
//! It must not decide what the client gets.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use mqtt_tls_config::key::Named;
use mqtt_tls_config::{Group, Suite};
use rustls::{NamedGroup, ProtocolVersion, SignatureScheme};

/// Kind of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa,
}

impl KeyKind {
    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Returns the kind of key that makes signatures of a scheme, and whether TLS 1.3 has the scheme for handshakes.
    fn of(scheme: SignatureScheme) -> Option<(Self, bool)> {
        use SignatureScheme as Scheme;
        match scheme {
            Scheme::ECDSA_NISTP256_SHA256 => Some((Self::P256, true)),
            Scheme::ECDSA_NISTP384_SHA384 => Some((Self::P384, true)),
            Scheme::ECDSA_NISTP521_SHA512 => Some((Self::P521, true)),
            Scheme::ED25519 => Some((Self::Ed25519, true)),
            Scheme::RSA_PSS_SHA256 | Scheme::RSA_PSS_SHA384 | Scheme::RSA_PSS_SHA512 => {
                Some((Self::Rsa, true))
            }
            Scheme::RSA_PKCS1_SHA256 | Scheme::RSA_PKCS1_SHA384 | Scheme::RSA_PKCS1_SHA512 => {
                Some((Self::Rsa, false))
            }
            _ => None,
        }
    }

    /// Returns the kind of key on a curve. In TLS 1.2 the client's groups also apply to the certificate's curve (RFC 8422,
    /// section 5.1.1).
    fn on(curve: NamedGroup) -> Option<Self> {
        match curve {
            NamedGroup::secp256r1 => Some(Self::P256),
            NamedGroup::secp384r1 => Some(Self::P384),
            NamedGroup::secp521r1 => Some(Self::P521),
            _ => None,
        }
    }
}

/// Returns the bit of a suite in a set.
pub(crate) fn suite_bit(suite: Suite) -> u16 {
    1 << suite as u16
}

/// Returns the bit of a group in a set.
pub(crate) fn group_bit(group: Group) -> u8 {
    1 << group as u8
}

/// Returns the bit of the group with a number; 0 if it cannot be served.
fn group_bit_of(number: u16) -> u8 {
    let mut known = Group::ALL.iter();
    let known = known.find(|group| group.number() == number);
    known.map_or(0, |group| group_bit(*group))
}

/// What a client offers of what can be served, as sets of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) tls12: bool,
    pub(crate) tls13: bool,
    pub(crate) suites: u16,
    pub(crate) groups: u8,
    /// Groups that it has sent a share of, in TLS 1.3.
    pub(crate) shares: u8,
    /// Kinds of keys whose signatures it can verify, in TLS 1.2, and whose curve it offers.
    pub(crate) keys12: u8,
    /// The same, whatever curves it offers.
    pub(crate) any_keys12: u8,
    /// The same in TLS 1.3.
    pub(crate) keys13: u8,
}

impl Offered {
    pub(super) fn suites(&mut self, numbers: impl Iterator<Item = u16>) {
        for number in numbers {
            let mut known = Suite::ALL.iter();
            let known = known.find(|suite| suite.number() == number);
            self.suites |= known.map_or(0, |suite| suite_bit(*suite));
        }
    }

    /// Adds the groups, and returns the kinds of keys on them.
    pub(super) fn groups(&mut self, numbers: impl Iterator<Item = u16>) -> u8 {
        let mut curves = 0;
        for number in numbers {
            self.groups |= group_bit_of(number);
            curves |= KeyKind::on(NamedGroup::from(number)).map_or(0, KeyKind::bit);
        }
        curves
    }

    /// Adds a group that it has sent a share of.
    pub(super) fn share(&mut self, number: u16) {
        self.shares |= group_bit_of(number);
    }

    pub(super) fn schemes(&mut self, numbers: impl Iterator<Item = u16>) {
        let known = numbers.filter_map(|number| KeyKind::of(SignatureScheme::from(number)));
        for (key, is_of_tls13) in known {
            self.keys12 |= key.bit();
            if is_of_tls13 {
                self.keys13 |= key.bit();
            }
        }
    }

    pub(super) fn versions(&mut self, numbers: impl Iterator<Item = u16>) {
        (self.tls12, self.tls13) = (false, false);
        for number in numbers {
            let version = ProtocolVersion::from(number);
            self.tls12 |= version == ProtocolVersion::TLSv1_2;
            self.tls13 |= version == ProtocolVersion::TLSv1_3;
        }
    }
}
