//! The reasons of `CertificateValid` with meaning and remedy, in the order of [`Reason`]. It must not decide which
//! one applies.

use super::vocabulary::{ConditionType, Reason, Row};

const VALID: &[ConditionType] = &[ConditionType::CertificateValid];

pub(super) const ROWS: [Row; 20] = [
    Row::new(
        Reason::AuthorityIsLeaf,
        "AuthorityIsLeaf",
        VALID,
        "true, but one of the CA certificates is not a CA",
        "replace it with the CA's certificate, unless it is the certificate of one device",
    ),
    Row::new(
        Reason::ClientsRefuse,
        "ClientsRefuse",
        VALID,
        "true, but clients that use rustls or Go reject the chain, for the reason in the message",
        "verify the chain with `openssl verify -x509_strict`",
    ),
    Row::new(
        Reason::DuplicateLeftOut,
        "DuplicateLeftOut",
        VALID,
        "true, but a PEM block is a duplicate, and is ignored",
        "remove it",
    ),
    Row::new(
        Reason::Expired,
        "Expired",
        VALID,
        "a certificate has expired",
        "renew it; the previous certificate stays in use if it is valid, else the expired one is still served, for devices without a clock",
    ),
    Row::new(
        Reason::IssuerCannotSign,
        "IssuerCannotSign",
        VALID,
        "true, but an issuer's key usage lacks keyCertSign, and most clients reject the chain",
        "reissue the CA's certificate with keyCertSign",
    ),
    Row::new(
        Reason::IssuerExpired,
        "IssuerExpired",
        VALID,
        "true, but an issuer in the chain has expired, and clients reject the chain",
        "replace it with the CA's newer certificate, or reissue the leaf",
    ),
    Row::new(
        Reason::IssuerExpiresSoon,
        "IssuerExpiresSoon",
        VALID,
        "true, but an issuer in the chain expires within 30 days, or within a sixth of its lifetime",
        "replace it in time with the CA's newer certificate, or reissue the leaf",
    ),
    Row::new(
        Reason::IssuerNotYetValid,
        "IssuerNotYetValid",
        VALID,
        "true, but an issuer in the chain is not yet valid",
        "wait, or check the clocks",
    ),
    Row::new(
        Reason::LeafIsCa,
        "LeafIsCa",
        VALID,
        "true, but the leaf is a CA, and clients that use rustls reject it as a server certificate",
        "reissue it with `basicConstraints=critical,CA:FALSE`",
    ),
    Row::new(
        Reason::NeverChosen,
        "NeverChosen",
        VALID,
        "true, but a certificate other than the first has no DNS name in its subject alternative name, so it is never selected by SNI",
        "reissue it with `subjectAltName`",
    ),
    Row::new(
        Reason::NoNames,
        "NoNames",
        VALID,
        "true, but the leaf has no subject alternative name, which clients match against the host name",
        "reissue it with `subjectAltName`",
    ),
    Row::new(
        Reason::NotYetValid,
        "NotYetValid",
        VALID,
        "a certificate is not yet valid",
        "wait, or reissue it; check the clocks",
    ),
    Row::new(
        Reason::OddDates,
        "OddDates",
        VALID,
        "true, but dates are written without seconds or with an offset, which OpenSSL and others cannot parse",
        "reissue it with another tool",
    ),
    Row::new(
        Reason::OddNames,
        "OddNames",
        VALID,
        "true, but one of the leaf's DNS names is an IP address, or a name that no client can request",
        "reissue it with `subjectAltName=IP:…` for addresses, and with names without scheme, port or inner `*`",
    ),
    Row::new(
        Reason::PublicDemoKey,
        "PublicDemoKey",
        VALID,
        "true, but the private key is the public example key of smart-mqtt",
        "replace it before devices depend on it",
    ),
    Row::new(
        Reason::StapleRequired,
        "StapleRequired",
        VALID,
        "true, but the certificate requires a stapled OCSP response (must-staple), which is not sent; clients that use GnuTLS reject it",
        "reissue it without must-staple",
    ),
    Row::new(
        Reason::WeakKey,
        "WeakKey",
        VALID,
        "true, but an issuer's key is short, or of a type that few clients support",
        "use a CA with RSA of at least 2048 bits or ECDSA P-256",
    ),
    Row::new(
        Reason::WeakSignature,
        "WeakSignature",
        VALID,
        "true, but a certificate is signed with SHA-1 or MD5, which current clients reject",
        "reissue it with SHA-256",
    ),
    Row::new(
        Reason::WrongKeyUsage,
        "WrongKeyUsage",
        VALID,
        "true, but the leaf's key usage lacks digitalSignature, which TLS 1.3 requires",
        "reissue it with digitalSignature",
    ),
    Row::new(
        Reason::WrongPurpose,
        "WrongPurpose",
        VALID,
        "true, but the extended key usage of the leaf, or of an issuer, lacks serverAuth",
        "reissue it with serverAuth",
    ),
];
