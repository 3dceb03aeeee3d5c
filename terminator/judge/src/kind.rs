//! What a block is, by its content; its label is a hint where the content does not tell. And what is to be
//! done with a block that is neither a certificate nor a key.

use super::der::{self, BIT_STRING, CONTEXT_0, Element, INTEGER, OCTET_STRING, OID, SEQUENCE};

/// How a private key is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Pkcs1,
    Pkcs8,
    Sec1,
}

/// What a block is.
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
    /// What it is, and what to do, in words that follow "block 1 is".
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::AttributeCertificate => {
                "an attribute certificate, which TLS does not use; take it out"
            }
            Self::Certificate => "a certificate",
            Self::Crl => "a revocation list, which is not used here; take it out",
            Self::DhParameters => {
                "Diffie-Hellman parameters, which are not used here; take them out"
            }
            Self::DsaKey => "a DSA key, which TLS no longer uses; make one with ECDSA or RSA",
            Self::DsaParameters => "DSA parameters, which TLS no longer uses; take them out",
            Self::EcParameters => "parameters of a curve, without a key; take them out",
            Self::EncryptedKey => "an encrypted private key",
            Self::OpenSshKey => {
                "a key in OpenSSH's own format; convert it: `ssh-keygen -p -m PKCS8 -f FILE`, and mind \
                 that TLS needs a certificate for it"
            }
            Self::OpenSshPublicKey => "a public key of SSH; TLS needs a certificate",
            Self::Pgp => "of PGP, which TLS does not use; a certificate of X.509 is needed",
            Self::Pkcs12 => {
                "a PKCS#12; convert it: `base64 -d` on what is between the markers, then `openssl pkcs12 \
                 -nodes`"
            }
            Self::Pkcs7 => "a PKCS7; convert it: `openssl pkcs7 -print_certs -in FILE`",
            Self::PrivateKey(_) => "a private key",
            Self::PublicKey => {
                "a public key alone; the certificate holds it already, and the private key is another file"
            }
            Self::Request => {
                "a request for a certificate (CSR), and not the certificate; put here what the CA made \
                 of it"
            }
            Self::Unknown => {
                "neither a certificate nor a key that is known here; take it out, or convert it to a \
                              CERTIFICATE or PRIVATE KEY block"
            }
        }
    }
}

/// What some DER is.
pub(super) fn of(der: &[u8]) -> Kind {
    kind(der).unwrap_or(Kind::Unknown)
}

fn kind(der: &[u8]) -> Option<Kind> {
    let whole = der::first(der)?.0;
    if whole.tag == OID {
        return Some(Kind::EcParameters);
    }
    whole.as_tag(SEQUENCE)?;
    // No more are needed: a revocation list may have a million.
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

/// A certificate, a request or a revocation list, by what is signed (RFC 5280, sections 4.1 and 5.1; RFC 2986).
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

/// Whether it begins with an identifier of PKCS#7 (1.2.840.113549.1.7).
fn is_pkcs7(part: &Element<'_>) -> bool {
    const PKCS7: [u8; 8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7];
    let first = part.children().next();
    first.is_some_and(|first| first.tag == OID && first.content.starts_with(&PKCS7))
}

/// What a block is by its label alone.
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

/// Whether the release before the one that looks at contents took blocks of this label.
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
