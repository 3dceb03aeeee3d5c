//! The reasons of several conditions, and of events alone: what each means, and what to do. In the order of [`Reason`].

use super::vocabulary::ConditionType::{Available, CertificateValid, Programmed, ResolvedRefs};
use super::vocabulary::{Reason, Row};

pub(super) const ROWS: [Row; 13] = [
    Row::new(
        Reason::BlockLeftOut,
        "BlockLeftOut",
        &[ResolvedRefs, CertificateValid],
        "a block is neither a certificate nor a key that is used here; in a new CA bundle it is a refusal, since it would lock devices out",
        "convert it as the message says, or take it out",
    ),
    Row::new(
        Reason::Forbidden,
        "Forbidden",
        &[ResolvedRefs, Programmed],
        "the operator lacks a right, which the message names",
        "give its service account that verb; the chart and `deploy/base` do",
    ),
    Row::new(
        Reason::IssuerNotCa,
        "IssuerNotCa",
        &[ResolvedRefs, CertificateValid],
        "what issued another certificate of the chain is no CA, so that no client accepts it; a chain that was served before goes on",
        "put the CA's own certificate there",
    ),
    Row::new(
        Reason::NameNotPermitted,
        "NameNotPermitted",
        &[ResolvedRefs, CertificateValid],
        "the leaf has names that a CA of its chain may not issue for; a chain that was served before goes on",
        "issue it for permitted names",
    ),
    Row::new(
        Reason::NoCertificate,
        "NoCertificate",
        &[ResolvedRefs, CertificateValid],
        "there is no certificate, in the Secret (`ResolvedRefs`) or at all (`CertificateValid`)",
        "put the chain into the Secret",
    ),
    Row::new(
        Reason::NotAccepted,
        "NotAccepted",
        &[ResolvedRefs, CertificateValid, Programmed],
        "the spec is not accepted, and what was made before stays",
        "see `Accepted`",
    ),
    Row::new(
        Reason::NotRead,
        "NotRead",
        &[ResolvedRefs, CertificateValid, Programmed, Available],
        "what this rests on could not be read",
        "see the condition that says `Forbidden` or `ReadFailed`",
    ),
    Row::new(
        Reason::PathTooLong,
        "PathTooLong",
        &[ResolvedRefs, CertificateValid],
        "there are more CAs below one than it allows (pathLenConstraint); a chain that was served before goes on",
        "let a CA nearer to it issue the leaf",
    ),
    Row::new(
        Reason::ReadFailed,
        "ReadFailed",
        &[ResolvedRefs, Programmed],
        "the API server failed three times in a row",
        "retried automatically; check the API server",
    ),
    Row::new(
        Reason::SignatureMismatch,
        "SignatureMismatch",
        &[ResolvedRefs, CertificateValid],
        "a signature does not fit the key of the issuer above it; a chain that was served before goes on",
        "put the issuer's certificate there that has the key which signed",
    ),
    Row::new(
        Reason::UnusableAuthority,
        "UnusableAuthority",
        &[ResolvedRefs, CertificateValid],
        "nobody can chain to one of the CA certificates: a weak key, a curve that is not supported, or no CA; if it is the only one, a new bundle is refused",
        "use a CA with RSA of 2048 bits or more, ECDSA P-256, P-384 or P-521, or Ed25519",
    ),
    Row::new(
        Reason::CertificateLoaded,
        "CertificateLoaded",
        &[],
        "a certificate is rendered that was not before; the message says for which names, and until when",
        "",
    ),
    Row::new(
        Reason::Malformed,
        "Malformed",
        &[],
        "the object does not read as a listener, so that it has no conditions; what was made for it stays: \
         mend it, or apply the resource definition that belongs to this operator",
        "",
    ),
];
