//! What each reason of a condition means, and what to do: for people, in the reference.

/// A reason.
pub(crate) struct Reason {
    pub(crate) name: &'static str,
    /// The conditions that can have it.
    pub(crate) conditions: &'static [&'static str],
    pub(crate) means: &'static str,
    pub(crate) to_do: &'static str,
}

const fn reason(
    name: &'static str,
    conditions: &'static [&'static str],
    means: &'static str,
    to_do: &'static str,
) -> Reason {
    Reason {
        name,
        conditions,
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
    (
        "CertificateValid",
        "what is served is within its dates; with another reason than this word, someone should look at it all the same",
    ),
    (
        "Programmed",
        "the config Secret, Deployment, Service and PodDisruptionBudget are as wanted, and no rollout is stuck",
    ),
    ("Available", "all pods that are wanted are ready"),
    ("Ready", "all of these"),
];

const ACCEPTED: &[&str] = &["Accepted"];
const REFS: &[&str] = &["ResolvedRefs"];
const VALID: &[&str] = &["CertificateValid"];
const PROGRAMMED: &[&str] = &["Programmed"];
const AVAILABLE: &[&str] = &["Available"];

/// The reasons, by condition and then by name; last those of several conditions.
pub(crate) const REASONS: [Reason; 76] = [
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
        "InvalidLimits",
        ACCEPTED,
        "a number in `spec.limits` is out of bounds; the message says which",
        "leave it out, or give one within the bounds",
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
        "InvalidTimeouts",
        ACCEPTED,
        "a duration in `spec.timeouts` is none, or out of bounds; the message says which",
        "leave it out, or write it as `30s`, `1m30s` or `500ms`",
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
        "NoPrivateKey",
        REFS,
        "there is no private key in the Secret",
        "add it",
    ),
    reason(
        "PrivateKeyInBundle",
        REFS,
        "there is a private key among the CA certificates; it does not belong there",
        "take it out, and count it as known to all who could read the object",
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
        "RSA of 2048 bits or more, ECDSA P-256, P-384 or P-521, or Ed25519; the message says what it is",
    ),
    reason(
        "AuthorityIsLeaf",
        VALID,
        "true, but among the CA certificates is one that is no CA",
        "if it is not one device's own certificate, put the CA's there",
    ),
    reason(
        "ClientsRefuse",
        VALID,
        "true, but clients made with rustls or Go refuse the chain for a reason that has no word of its own here",
        "see the message; verify the chain with `openssl verify -x509_strict`",
    ),
    reason(
        "DuplicateLeftOut",
        VALID,
        "true, but a block is there twice; one of them is left out",
        "take it out",
    ),
    reason(
        "Expired",
        VALID,
        "a Secret's certificate is over",
        "renew it; a valid one from before stays, else it is served all the same, for devices without a clock",
    ),
    reason(
        "IssuerCannotSign",
        VALID,
        "true, but an issuer's key usage lacks keyCertSign, and most clients refuse what it signed",
        "issue the CA's certificate with keyCertSign",
    ),
    reason(
        "IssuerExpired",
        VALID,
        "true, but an issuer in the chain is over, and clients refuse the chain",
        "put the CA's newer certificate in its place, or reissue the leaf",
    ),
    reason(
        "IssuerExpiresSoon",
        VALID,
        "true, but an issuer in the chain is over within 30 days, or within a sixth of its life",
        "the same, in time",
    ),
    reason(
        "IssuerNotYetValid",
        VALID,
        "true, but an issuer in the chain is yet to begin",
        "wait, or look at the clocks",
    ),
    reason(
        "LeafIsCa",
        VALID,
        "true, but the leaf is a CA, and clients made with rustls refuse it as a server's",
        "issue it with `basicConstraints=critical,CA:FALSE`",
    ),
    reason(
        "NeverChosen",
        VALID,
        "true, but a certificate behind the first has no DNS name in its subject alternative name, so that no host name chooses it",
        "issue it with `subjectAltName`",
    ),
    reason(
        "NoNames",
        VALID,
        "true, but the leaf has no subject alternative name, which is where clients look for its name",
        "issue it with `subjectAltName`",
    ),
    reason(
        "NotYetValid",
        VALID,
        "a Secret's certificate is not valid yet",
        "wait, or issue one that is; look at the clocks",
    ),
    reason(
        "OddDates",
        VALID,
        "true, but dates are written without seconds or with an offset, which OpenSSL and others do not read",
        "issue it anew, with another tool",
    ),
    reason(
        "OddNames",
        VALID,
        "true, but among the leaf's DNS names is an address, or what no client asks for",
        "issue it with `subjectAltName=IP:…` for addresses, and names without scheme, port or inner `*`",
    ),
    reason(
        "PublicDemoKey",
        VALID,
        "true, but the key is the one that smart-mqtt ships: everyone has it",
        "replace it before a device depends on it",
    ),
    reason(
        "StapleRequired",
        VALID,
        "true, but the certificate asks for a stapled OCSP response (must-staple), which is not sent: clients made with GnuTLS refuse it",
        "issue it without must-staple",
    ),
    reason(
        "WeakKey",
        VALID,
        "true, but an issuer's key is short, or of a kind that few clients know",
        "use a CA with RSA of 2048 bits or more, or ECDSA P-256",
    ),
    reason(
        "WeakSignature",
        VALID,
        "true, but a certificate is signed with SHA-1 or MD5, which clients of today refuse",
        "issue it with SHA-256",
    ),
    reason(
        "WrongKeyUsage",
        VALID,
        "true, but the leaf's key usage lacks digitalSignature, which TLS 1.3 needs",
        "issue it with digitalSignature",
    ),
    reason(
        "WrongPurpose",
        VALID,
        "true, but the extended key usage of the leaf, or of an issuer, lacks serverAuth",
        "issue it with serverAuth",
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
        "NotStarted",
        PROGRAMMED,
        "only `standalone`: the terminator does not start",
        "see the message",
    ),
    reason(
        "NotWritten",
        PROGRAMMED,
        "only `standalone`: the configuration cannot be written",
        "see the message: is there room, and a right to write?",
    ),
    reason(
        "PortTaken",
        PROGRAMMED,
        "only `standalone`: another program has the port",
        "end it, or choose another port",
    ),
    reason(
        "PredecessorRemains",
        PROGRAMMED,
        "an earlier listener of this name is still being collected",
        "wait",
    ),
    reason(
        "Refused",
        PROGRAMMED,
        "the API server or a webhook refuses a child",
        "see the message",
    ),
    reason(
        "RolloutStuck",
        PROGRAMMED,
        "the newest pods have not become ready within ten minutes; those of before go on serving",
        "`kubectl describe pods -l app.kubernetes.io/instance=NAME`: as a rule an image that cannot be pulled, or no \
         node with room",
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
    reason(
        "BlockLeftOut",
        &["ResolvedRefs", "CertificateValid"],
        "a block is neither a certificate nor a key that is used here; in a new CA bundle it is a refusal, since it would lock devices out",
        "convert it as the message says, or take it out",
    ),
    reason(
        "Forbidden",
        &["ResolvedRefs", "Programmed"],
        "the operator lacks a right, which the message names",
        "give its service account that verb; the chart and `deploy/base` do",
    ),
    reason(
        "IssuerNotCa",
        &["ResolvedRefs", "CertificateValid"],
        "what issued another certificate of the chain is no CA, so that no client accepts it; a chain that was served before goes on",
        "put the CA's own certificate there",
    ),
    reason(
        "NameNotPermitted",
        &["ResolvedRefs", "CertificateValid"],
        "the leaf has names that a CA of its chain may not issue for; a chain that was served before goes on",
        "issue it for permitted names",
    ),
    reason(
        "NoCertificate",
        &["ResolvedRefs", "CertificateValid"],
        "there is no certificate, in the Secret (`ResolvedRefs`) or at all (`CertificateValid`)",
        "put the chain into the Secret",
    ),
    reason(
        "NotAccepted",
        &["ResolvedRefs", "CertificateValid", "Programmed"],
        "the spec is not accepted, and what was made before stays",
        "see `Accepted`",
    ),
    reason(
        "NotRead",
        &[
            "ResolvedRefs",
            "CertificateValid",
            "Programmed",
            "Available",
        ],
        "what this rests on could not be read",
        "see the condition that says `Forbidden` or `ReadFailed`",
    ),
    reason(
        "PathTooLong",
        &["ResolvedRefs", "CertificateValid"],
        "there are more CAs below one than it allows (pathLenConstraint); a chain that was served before goes on",
        "let a CA nearer to it issue the leaf",
    ),
    reason(
        "ReadFailed",
        &["ResolvedRefs", "Programmed"],
        "the API server failed three times in a row",
        "it is tried again; look at the API server",
    ),
    reason(
        "SignatureMismatch",
        &["ResolvedRefs", "CertificateValid"],
        "a signature does not fit the key of the issuer above it; a chain that was served before goes on",
        "put the issuer's certificate there that has the key which signed",
    ),
    reason(
        "UnusableAuthority",
        &["ResolvedRefs", "CertificateValid"],
        "nobody can chain to one of the CA certificates: a weak key, a curve that is not supported, or no CA; if it is the only one, a new bundle is refused",
        "use a CA with RSA of 2048 bits or more, ECDSA P-256, P-384 or P-521, or Ed25519",
    ),
];

/// What events tell beside the conditions: reason, when.
pub(crate) const EVENTS: [(&str, &str); 2] = [
    (
        "CertificateLoaded",
        "a certificate is rendered that was not before; the message says for which names, and until when",
    ),
    (
        "Malformed",
        "the object does not read as a listener, so that it has no conditions; what was made for it stays: \
         mend it, or apply the resource definition that belongs to this operator",
    ),
];
