//! What each reason of a condition means, and what to do: for people, in the reference.

/// A reason.
pub(crate) struct Reason {
    pub(crate) name: &'static str,
    /// The condition that has it; none if several can.
    pub(crate) conditions: Option<&'static str>,
    pub(crate) means: &'static str,
    pub(crate) to_do: &'static str,
}

const fn reason(
    name: &'static str,
    condition: &'static str,
    means: &'static str,
    to_do: &'static str,
) -> Reason {
    Reason {
        name,
        conditions: Some(condition),
        means,
        to_do,
    }
}

const fn of_several(name: &'static str, means: &'static str, to_do: &'static str) -> Reason {
    Reason {
        name,
        conditions: None,
        means,
        to_do,
    }
}

/// The conditions, in their order, and when each is true.
pub(crate) const CONDITIONS: [(&str, &str); 6] = [
    ("Accepted", "the spec makes sense"),
    (
        "ResolvedRefs",
        "every Secret, ConfigMap and Service that the spec names is there and usable",
    ),
    ("CertificateValid", "what is served is within its dates"),
    (
        "Programmed",
        "the config Secret, Deployment, Service and PodDisruptionBudget are as wanted",
    ),
    ("Available", "all pods that are wanted are ready"),
    ("Ready", "all of these"),
];

const ACCEPTED: &str = "Accepted";
const REFS: &str = "ResolvedRefs";
const VALID: &str = "CertificateValid";
const PROGRAMMED: &str = "Programmed";
const AVAILABLE: &str = "Available";

/// The reasons, by condition and then by name.
pub(crate) const REASONS: [Reason; 47] = [
    reason(
        "DuplicateCertificate",
        ACCEPTED,
        "`spec.certificates` names a Secret twice",
        "name each Secret once",
    ),
    reason(
        "InvalidBackend",
        ACCEPTED,
        "the broker is named not at all, twice, or by what is no name",
        "give one of `backend.service` and `backend.address`, the host without a port",
    ),
    reason(
        "InvalidCertificates",
        ACCEPTED,
        "there are no certificates, or too many",
        "name 1 to 16 Secrets",
    ),
    reason(
        "InvalidHost",
        ACCEPTED,
        "`spec.host` is no IP address",
        "leave it out, or give an address",
    ),
    reason(
        "InvalidName",
        ACCEPTED,
        "the listener's name is too long, or no name for a Service",
        "choose a shorter one, of letters, digits and `-`",
    ),
    reason(
        "InvalidPort",
        ACCEPTED,
        "the port is 0, or that of the pods' own probes",
        "choose another",
    ),
    reason(
        "InvalidReplicas",
        ACCEPTED,
        "fewer than none, or too many",
        "0 to 100",
    ),
    reason(
        "MissingCaRef",
        ACCEPTED,
        "clients are to show certificates, and nothing says which CA they chain to",
        "add `clientAuth.caRef`, or set `mode: None`",
    ),
    reason(
        "UnreachableHost",
        ACCEPTED,
        "`spec.host` is an address that nothing outside of the pod reaches",
        "leave it out",
    ),
    reason(
        "BackendNotFound",
        REFS,
        "the broker's Service is not there",
        "create it, or correct `backend.service.name`",
    ),
    reason(
        "BackendPortNotFound",
        REFS,
        "the broker's Service has no such port",
        "correct `backend.service.port`; the message lists its ports",
    ),
    reason(
        "BrokenPem",
        REFS,
        "a PEM block is cut off or damaged; the message says which",
        "write the Secret again from the whole file",
    ),
    reason(
        "CaNotFound",
        REFS,
        "the Secret or ConfigMap with the CA certificates is not there; no device is let in unchecked",
        "create it, or correct `clientAuth.caRef`",
    ),
    reason(
        "ChainOutOfOrder",
        REFS,
        "a certificate does not belong to the one before it",
        "put the leaf first, then each issuer",
    ),
    reason(
        "ChainTooLong",
        REFS,
        "there are more certificates than a handshake should carry",
        "leave out the root and what does not belong",
    ),
    reason(
        "ConfigurationTooLarge",
        REFS,
        "all certificates together do not fit into a Secret",
        "name fewer or smaller ones",
    ),
    reason(
        "EncryptedPrivateKey",
        REFS,
        "the key wants a password",
        "decrypt it: `openssl pkey -in key.pem`",
    ),
    reason(
        "KeyMismatch",
        REFS,
        "the private key is not the leaf's",
        "take both from one issuance",
    ),
    reason(
        "MissingKey",
        REFS,
        "the Secret has no such data key, or nothing in it",
        "a Secret has `tls.crt` and `tls.key`, or `pem`; a CA bundle `ca.crt` or what `caRef.key` says",
    ),
    reason(
        "SecretNotFound",
        REFS,
        "the Secret is not there",
        "create it; cert-manager may be waiting: `kubectl describe certificate`",
    ),
    reason(
        "SeveralPrivateKeys",
        REFS,
        "there is more than one private key",
        "leave the leaf's",
    ),
    reason(
        "UnusableCertificate",
        REFS,
        "a certificate cannot be read or used",
        "issue it again; the message says what is wrong with it",
    ),
    reason(
        "UnusablePrivateKey",
        REFS,
        "the private key is of a kind that TLS does not use here",
        "RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519",
    ),
    reason(
        "Expired",
        VALID,
        "a certificate that is served is over",
        "renew it; it is served all the same, for devices without a clock",
    ),
    reason(
        "NotYetValid",
        VALID,
        "a certificate that is served is not valid yet",
        "wait, or issue one that is; look at the clocks",
    ),
    reason(
        "PublicDemoKey",
        VALID,
        "true, but the key is the one that smart-mqtt ships: everyone has it",
        "replace it before a device depends on it",
    ),
    reason("Valid", VALID, "it is within its dates", ""),
    reason(
        "NameTaken",
        PROGRAMMED,
        "an object of a child's name is not the listener's",
        "rename or delete it; the message names it",
    ),
    reason(
        "NotRendered",
        PROGRAMMED,
        "there is nothing to serve with, or what was before stays",
        "see `ResolvedRefs`",
    ),
    reason(
        "PredecessorRemains",
        PROGRAMMED,
        "an earlier listener of this name is still being collected",
        "wait",
    ),
    reason(
        "Conflict",
        PROGRAMMED,
        "the API server says that somebody else changes the same fields",
        "see the message; it is tried again",
    ),
    reason(
        "Invalid",
        PROGRAMMED,
        "the API server refuses a child",
        "see the message: often a policy of the cluster, or a value under `spec.pod`",
    ),
    reason(
        "Refused",
        PROGRAMMED,
        "the API server or a webhook refuses a child",
        "see the message",
    ),
    reason(
        "TimedOut",
        PROGRAMMED,
        "the API server has not answered in time",
        "it is tried again; look at the API server",
    ),
    reason(
        "Unanswered",
        PROGRAMMED,
        "the API server could not be asked",
        "it is tried again; look at network and API server",
    ),
    reason(
        "Unreadable",
        PROGRAMMED,
        "an answer made no sense",
        "it is tried again; are operator and cluster of versions that go together?",
    ),
    reason(
        "NoTerminators",
        AVAILABLE,
        "there is no Deployment yet",
        "see `Programmed`",
    ),
    reason("PodsAvailable", AVAILABLE, "all pods are ready", ""),
    reason(
        "Progressing",
        AVAILABLE,
        "the Deployment's controller has not seen the newest change",
        "wait",
    ),
    reason(
        "ScaledToZero",
        AVAILABLE,
        "`spec.replicas` is 0",
        "scale up",
    ),
    reason(
        "TooFewPods",
        AVAILABLE,
        "some pods are not ready",
        "`kubectl describe pods -l app.kubernetes.io/instance=NAME`; the log of one says what it waits for",
    ),
    of_several(
        "Forbidden",
        "the operator lacks a right, which the message names",
        "give its service account that verb; the chart and `deploy/base` do",
    ),
    of_several(
        "NoCertificate",
        "there is no certificate, in the Secret (`ResolvedRefs`) or at all (`CertificateValid`)",
        "put the chain into the Secret",
    ),
    of_several(
        "NoPrivateKey",
        "there is no private key in the Secret",
        "add it",
    ),
    of_several(
        "NotAccepted",
        "the spec is not accepted, and what was made before stays",
        "see `Accepted`",
    ),
    of_several(
        "NotRead",
        "what this rests on could not be read",
        "see the condition that says `Forbidden` or `ReadFailed`",
    ),
    of_several(
        "ReadFailed",
        "the API server failed three times in a row",
        "it is tried again; look at the API server",
    ),
];
