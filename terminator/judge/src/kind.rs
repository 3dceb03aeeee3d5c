//! Identifies a block by its content, or by its label where the content is not conclusive, and gives advice on
//! blocks that are neither a certificate nor a key.

use super::der::{self, BIT_STRING, CONTEXT_0, Element, INTEGER, OCTET_STRING, OID, SEQUENCE};

/// Encoding of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Pkcs1,
    Pkcs8,
    Sec1,
}

/// Kind of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AttributeCertificate,
    Certificate,
    Crl,
    DhParameters,
    DsaKey,
    DsaParameters,
    EcParameters,
    EncryptedKey,
    OpenSshKey,
    OpenSshPublicKey,
    Pgp,
    Pkcs12,
    Pkcs7,
    PrivateKey(Encoding),
    PublicKey,
    Request,
    Unknown,
}

impl Kind {
    /// Describes the block and what to do, as a continuation of "block 1 is".
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::AttributeCertificate => {
                "an attribute certificate, which TLS does not use; remove it"
            }
            Self::Certificate => "a certificate",
            Self::Crl => "a revocation list, which is not used here; remove it",
            Self::DhParameters => "Diffie-Hellman parameters, which are not used here; remove them",
            Self::DsaKey => "a DSA key, which TLS no longer uses; use an ECDSA or RSA key",
            Self::DsaParameters => "DSA parameters, which TLS no longer uses; remove them",
            Self::EcParameters => "curve parameters without a key; remove them",
            Self::EncryptedKey => "an encrypted private key",
            Self::OpenSshKey => {
                "a key in OpenSSH's own format; convert it with `ssh-keygen -p -m PKCS8 -f FILE`; TLS also \
                needs a certificate for it"
            }
            Self::OpenSshPublicKey => "an SSH public key; TLS needs a certificate",
            Self::Pgp => "a PGP block, which TLS does not use; use an X.509 certificate",
            Self::Pkcs12 => {
                "PKCS#12; convert it: `base64 -d` the text between the markers, then `openssl pkcs12 \
                -nodes`"
            }
            Self::Pkcs7 => "PKCS#7; convert it with `openssl pkcs7 -print_certs -in FILE`",
            Self::PrivateKey(_) => "a private key",
            Self::PublicKey => {
                "a public key; the certificate already contains it, and the private key is in another file"
            }
            Self::Request => {
                "a certificate signing request (CSR); replace it with the certificate that the CA issued \
                for it"
            }
            Self::Unknown => {
                "neither a certificate nor a known kind of key; remove it, or convert it to a CERTIFICATE \
                or PRIVATE KEY block"
            }
        }
    }
}

/// Identifies DER by its content.
pub(super) fn of(der: &[u8]) -> Kind {
    kind(der).unwrap_or(Kind::Unknown)
}

fn kind(der: &[u8]) -> Option<Kind> {
    let whole = der::first(der)?.0;
    if whole.tag == OID {
        return Some(Kind::EcParameters);
    }
    whole.as_tag(SEQUENCE)?;
    // A revocation list may have a million elements; ten are enough.
    let parts: Vec<Element<'_>> = whole.children().take(10).collect();
    let tags: Vec<u8> = parts.iter().map(|part| part.tag).collect();
    match tags.as_slice() {
        [INTEGER, SEQUENCE, OCTET_STRING, ..] => Some(Kind::PrivateKey(Encoding::Pkcs8)),
        [INTEGER, SEQUENCE, ..] if parts[0].content == [3] && is_pkcs7(&parts[1]) => {
            Some(Kind::Pkcs12)
        }
        [INTEGER, OCTET_STRING, ..] => Some(Kind::PrivateKey(Encoding::Sec1)),
        _ if tags.iter().all(|tag| *tag == INTEGER) => match tags.len() {
            9 => Some(Kind::PrivateKey(Encoding::Pkcs1)),
            6 => Some(Kind::DsaKey),
            _ => None,
        },
        [OID, ..] if is_pkcs7(&whole) => Some(Kind::Pkcs7),
        [SEQUENCE, OCTET_STRING] if begins_with_oid(parts[0]) => Some(Kind::EncryptedKey),
        [SEQUENCE, BIT_STRING] if begins_with_oid(parts[0]) => Some(Kind::PublicKey),
        [SEQUENCE, SEQUENCE, BIT_STRING] => signed(parts[0]),
        _ => None,
    }
}

/// Identifies a certificate, request or revocation list by its signed data (RFC 5280, sections 4.1 and 5.1;
/// RFC 2986).
fn signed(what: Element<'_>) -> Option<Kind> {
    let mut parts: Vec<Element<'_>> = what.children().take(8).collect();
    if parts.first()?.tag == CONTEXT_0 {
        parts.remove(0);
    }
    let is_dates = |part: &Element<'_>| {
        let mut dates = part.children();
        dates.next().is_some_and(|date| is_time(date.tag))
    };
    let tags: Vec<u8> = parts.iter().map(|part| part.tag).collect();
    match tags.as_slice() {
        [
            INTEGER,
            SEQUENCE,
            SEQUENCE,
            SEQUENCE,
            SEQUENCE,
            SEQUENCE,
            ..,
        ] if is_dates(&parts[3]) => Some(Kind::Certificate),
        [INTEGER, SEQUENCE, SEQUENCE, CONTEXT_0] | [INTEGER, SEQUENCE, SEQUENCE] => {
            Some(Kind::Request)
        }
        [INTEGER, SEQUENCE, SEQUENCE, time, ..] | [SEQUENCE, SEQUENCE, time, ..]
            if is_time(*time) =>
        {
            Some(Kind::Crl)
        }
        _ => None,
    }
}

fn is_time(tag: u8) -> bool {
    matches!(tag, der::UTC_TIME | der::GENERALIZED_TIME)
}

fn begins_with_oid(part: Element<'_>) -> bool {
    part.children().next().is_some_and(|first| first.tag == OID)
}

/// Reports whether it begins with a PKCS#7 identifier (1.2.840.113549.1.7).
fn is_pkcs7(part: &Element<'_>) -> bool {
    const PKCS7: [u8; 8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7];
    let first = part.children().next();
    first.is_some_and(|first| first.tag == OID && first.content.starts_with(&PKCS7))
}

/// Identifies a block by its label alone.
pub(super) fn by_label(label: &str) -> Kind {
    match label {
        "ATTRIBUTE CERTIFICATE" => Kind::AttributeCertificate,
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Kind::Request,
        "CRL" | "X509 CRL" => Kind::Crl,
        "DH PARAMETERS" | "X9.42 DH PARAMETERS" => Kind::DhParameters,
        "DSA PARAMETERS" => Kind::DsaParameters,
        "DSA PRIVATE KEY" => Kind::DsaKey,
        "EC PARAMETERS" => Kind::EcParameters,
        "EC PRIVATE KEY" => Kind::PrivateKey(Encoding::Sec1),
        "ENCRYPTED PRIVATE KEY" => Kind::EncryptedKey,
        "OPENSSH PRIVATE KEY" => Kind::OpenSshKey,
        "SSH2 PUBLIC KEY" => Kind::OpenSshPublicKey,
        "PKCS12" => Kind::Pkcs12,
        "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => Kind::Pkcs7,
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "EC PUBLIC KEY" | "DSA PUBLIC KEY" => Kind::PublicKey,
        "RSA PRIVATE KEY" => Kind::PrivateKey(Encoding::Pkcs1),
        label if label.starts_with("PGP ") => Kind::Pgp,
        label if label.ends_with("CERTIFICATE") => Kind::Certificate,
        label if label.ends_with("PRIVATE KEY") => Kind::PrivateKey(Encoding::Pkcs8),
        _ => Kind::Unknown,
    }
}

/// Reports whether releases that identified blocks by their label used blocks with this one.
pub(super) fn was_known(label: &str) -> bool {
    matches!(
        label,
        "CERTIFICATE"
            | "PRIVATE KEY"
            | "RSA PRIVATE KEY"
            | "EC PRIVATE KEY"
            | "ENCRYPTED PRIVATE KEY"
    )
}
