//! The reasons of several conditions, and of events only, with meaning and remedy, in the order of [`Reason`]. It must
//! not decide which one applies.

use super::vocabulary::ConditionType::{
    Accepted, Available, BackendReachable, CertificateServed, CertificateValid, Programmed,
    ResolvedRefs,
};
use super::vocabulary::{Reason, Row};

pub(super) const ROWS: [Row; 20] = [
    Row::new(
        Reason::BackendIsOwn,
        "BackendIsOwn",
        &[Accepted, ResolvedRefs],
        "the backend leads back to the terminators: it is the listener's own Service, another one that selects \
         terminators, or a loopback address",
        "set the Service or the address of smart-mqtt",
    ),
    Row::new(
        Reason::BlockLeftOut,
        "BlockLeftOut",
        &[ResolvedRefs, CertificateValid],
        "a PEM block that is neither a certificate nor a supported key is ignored; a new CA bundle with one is rejected, because it would lock devices out",
        "convert it as the message says, or remove it",
    ),
    Row::new(
        Reason::Forbidden,
        "Forbidden",
        &[ResolvedRefs, Programmed],
        "the operator lacks a permission",
        "grant its service account the verb in the message; the chart and `deploy/base` contain it",
    ),
    Row::new(
        Reason::IssuerNotCa,
        "IssuerNotCa",
        &[ResolvedRefs, CertificateValid],
        "an issuer in the chain is not a CA, so no client accepts the chain; a chain that is already served stays in use",
        "replace it with the CA's own certificate",
    ),
    Row::new(
        Reason::NameNotPermitted,
        "NameNotPermitted",
        &[ResolvedRefs, CertificateValid],
        "the leaf has names that a CA in its chain is not permitted to issue; a chain that is already served stays in use",
        "reissue it for permitted names",
    ),
    Row::new(
        Reason::NoCertificate,
        "NoCertificate",
        &[ResolvedRefs, CertificateValid],
        "the Secret contains no certificate (`ResolvedRefs`), or none is served yet (`CertificateValid`)",
        "put the chain into the Secret",
    ),
    Row::new(
        Reason::NoReadyPods,
        "NoReadyPods",
        &[CertificateServed, BackendReachable],
        "no pod is ready, so none can be asked",
        "see `Available`",
    ),
    Row::new(
        Reason::NotAccepted,
        "NotAccepted",
        &[ResolvedRefs, CertificateValid, Programmed],
        "the spec is not accepted; what runs stays, and its certificates are still renewed",
        "see `Accepted`",
    ),
    Row::new(
        Reason::NotRead,
        "NotRead",
        &[
            ResolvedRefs,
            CertificateValid,
            Programmed,
            Available,
            CertificateServed,
            BackendReachable,
        ],
        "objects that this condition depends on could not be read",
        "see the condition with reason `Forbidden` or `ReadFailed`",
    ),
    Row::new(
        Reason::PathTooLong,
        "PathTooLong",
        &[ResolvedRefs, CertificateValid],
        "there are more CAs below one than it allows (pathLenConstraint); a chain that is already served stays in use",
        "have the leaf issued by a CA closer to it",
    ),
    Row::new(
        Reason::PodsNotAsked,
        "PodsNotAsked",
        &[CertificateServed, BackendReachable],
        "the operator could not ask a pod, or the pod has nothing to report yet; `Ready` follows the other conditions",
        "allow the operator to reach the pods' admin port and the listener's port, or accept that nothing is proved",
    ),
    Row::new(
        Reason::ReadFailed,
        "ReadFailed",
        &[ResolvedRefs, Programmed],
        "reads from the API server failed three times in a row",
        "retried automatically; check the API server",
    ),
    Row::new(
        Reason::SignatureMismatch,
        "SignatureMismatch",
        &[ResolvedRefs, CertificateValid],
        "a signature does not match the key of the next issuer in the chain; a chain that is already served stays in use",
        "replace the issuer's certificate with the one of the key that signed",
    ),
    Row::new(
        Reason::TemporaryCertificate,
        "TemporaryCertificate",
        &[ResolvedRefs, CertificateValid],
        "the certificate is one that cert-manager makes until the real one is issued, and that no client can verify; one that is already \
         served stays in use",
        "wait for the real one; `kubectl describe certificate` says what keeps it",
    ),
    Row::new(
        Reason::UnusableAuthority,
        "UnusableAuthority",
        &[ResolvedRefs, CertificateValid],
        "no certificate can chain to one of the CA certificates: it has a weak key or an unsupported curve, or is not a CA; a new bundle without a usable one is rejected",
        "use a CA with RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519",
    ),
    Row::new(
        Reason::CertificateLoaded,
        "CertificateLoaded",
        &[],
        "a new certificate is in the configuration; the message contains its names and expiry date",
        "",
    ),
    Row::new(
        Reason::Malformed,
        "Malformed",
        &[],
        "the object cannot be parsed as a listener, so it gets no conditions; existing objects are left unchanged. Fix \
         the resource, or apply the CustomResourceDefinition of this operator's release",
        "",
    ),
    Row::new(
        Reason::NotReady,
        "NotReady",
        &[],
        "the listener was ready and is no longer; a warning unless a rollout is in progress. The message contains the reason",
        "",
    ),
    Row::new(
        Reason::Ready,
        "Ready",
        &[],
        "the listener has become ready",
        "",
    ),
    Row::new(
        Reason::TrialEnded,
        "TrialEnded",
        &[],
        "a trial is over, and no other one of the same Secret takes its place: all devices get the renewed certificate, its Secret has one of the class before, or the listener uses that no more",
        "",
    ),
];
