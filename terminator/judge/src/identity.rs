//! Who a client is, by its certificate: the names in it, rules about them, and the user name and client ID that they give.
//!
//! It must not verify a certificate: a verifier has. It must not choose between two names of a kind, since who requested
//! the certificate chose their order.

pub mod configured;
pub mod naming;
pub mod rules;
pub mod shared;
pub mod template;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::oid_registry::OID_X509_COMMON_NAME;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::escape;
use super::facts::sha256;
use super::name;

/// A kind of name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Common name of the subject.
    CommonName,
    /// DNS name of the subject alternative name, in lower case.
    Dns,
    /// E-mail address of the subject alternative name, its domain in lower case.
    Email,
    /// IP address of the subject alternative name, in its shortest form.
    Ip,
    /// URI of the subject alternative name.
    Uri,
    /// SHA-256 of the public key (SubjectPublicKeyInfo), in lower-case hexadecimal.
    Spki,
}

impl Field {
    /// All of them, by name.
    pub const ALL: [Self; 6] = [
        Self::CommonName,
        Self::Dns,
        Self::Email,
        Self::Ip,
        Self::Uri,
        Self::Spki,
    ];

    /// Returns the name, as templates and rules have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommonName => "cn",
            Self::Dns => "san.dns",
            Self::Email => "san.email",
            Self::Ip => "san.ip",
            Self::Uri => "san.uri",
            Self::Spki => "spki",
        }
    }

    /// Returns the field of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The names in a certificate. Untrusted text, although an authority signed it: it is not escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// By [`Field::ALL`]; `None` for a value that is not usable, or no text.
    values: [Vec<Option<String>>; 6],
}

/// A certificate that cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate's names cannot be read")]
pub struct Unreadable;

impl Identity {
    /// Reads the names in a certificate (DER).
    ///
    /// # Errors
    ///
    /// It cannot be parsed, or has two subject alternative names.
    pub fn of(certificate: &[u8]) -> Result<Self, Unreadable> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Unreadable)?;
        let mut identity = Self {
            values: Default::default(),
        };
        for attribute in parsed.subject().iter_attributes() {
            if *attribute.attr_type() == OID_X509_COMMON_NAME {
                let value = attribute.attr_value();
                let tag = u8::try_from(value.tag().0).unwrap_or_default();
                identity.add(Field::CommonName, name::strictly(tag, value.data));
            }
        }
        let names = parsed.subject_alternative_name().map_err(|_| Unreadable)?;
        let names = names.map(|extension| &extension.value.general_names);
        for name in names.into_iter().flatten() {
            if let Some((field, value)) = alternative(name) {
                identity.add(field, value);
            }
        }
        identity.add(Field::Spki, Some(sha256(parsed.subject_pki.raw)));
        Ok(identity)
    }

    fn add(&mut self, field: Field, value: Option<String>) {
        let value = value.filter(|value| is_usable(value));
        self.values[field as usize].push(value);
    }

    /// Returns the usable values of a field.
    pub fn usable(&self, field: Field) -> impl Iterator<Item = &str> {
        self.values[field as usize].iter().flatten().map(|it| &**it)
    }

    /// Returns all values of a field; `None` for those that cannot be used.
    fn all(&self, field: Field) -> &[Option<String>] {
        &self.values[field as usize]
    }
}

/// Reports whether a text differs visibly from others where people or databases compare it: it is not empty, has no space at
/// its ends and nothing that cannot be seen.
fn is_usable(value: &str) -> bool {
    let is_noncharacter = |char: char| {
        let code = u32::from(char);
        (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
    };
    !value.is_empty()
        && value.trim() == value
        && !value
            .chars()
            .any(|char| escape::is_unseen(char) || is_noncharacter(char))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.values.each_ref().map(Vec::len);
        write!(f, "Identity({counts:?} names)")
    }
}

/// Returns the field of an alternative name, and its value if that is one.
fn alternative(name: &GeneralName<'_>) -> Option<(Field, Option<String>)> {
    let ascii = |text: &str| text.is_ascii().then(|| text.to_owned());
    Some(match name {
        GeneralName::DNSName(name) => {
            let name = ascii(name).map(|name| name.to_ascii_lowercase());
            (Field::Dns, name)
        }
        GeneralName::RFC822Name(address) => {
            let address = ascii(address).and_then(|address| {
                let (local, domain) = address.rsplit_once('@')?;
                Some(format!("{local}@{}", domain.to_ascii_lowercase()))
            });
            (Field::Email, address)
        }
        GeneralName::URI(uri) => (Field::Uri, ascii(uri)),
        GeneralName::IPAddress(bytes) => (Field::Ip, address(bytes).map(|ip| ip.to_string())),
        // Tags of RFC 5280, section 4.2.1.6: what is there and cannot be read makes the others ambiguous.
        GeneralName::Invalid(tag, _) => match tag.0 {
            1 => (Field::Email, None),
            2 => (Field::Dns, None),
            6 => (Field::Uri, None),
            7 => (Field::Ip, None),
            _ => return None,
        },
        _ => return None,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Field, Identity};

    /// An identity of these values; `None` for one that cannot be used.
    pub(crate) fn identity(values: &[(Field, Option<&str>)]) -> Identity {
        let mut identity = Identity {
            values: Default::default(),
        };
        for (field, value) in values {
            identity.add(*field, value.map(str::to_owned));
        }
        identity
    }

    #[test]
    fn fields_are_in_order_and_found_by_name() {
        for (index, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, index);
            assert_eq!(Field::by_name(field.name()), Some(field));
        }
        assert!(Field::ALL.map(Field::name).is_sorted());
        assert_eq!(Field::by_name("san"), None);
    }

    #[test]
    fn what_is_no_certificate_is_unreadable() {
        assert!(Identity::of(&[0x30, 0]).is_err());
    }
}
