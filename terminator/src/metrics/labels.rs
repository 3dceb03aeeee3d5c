//! The values that labels have: each is there from the start. It must not list what comes from a client.

/// What a connection is refused for want of.
pub(super) const LIMITS: [&str; 3] = ["connections", "descriptors", "handshakes"];

/// How a connection ends.
pub(super) const ENDS: [&str; 18] = [
    "backend_closed",
    "backend_refused",
    "backend_reset",
    "backend_timeout",
    "backend_unresolved",
    "client_closed",
    "client_cut",
    "client_reset",
    "cut_off",
    "descriptors_exhausted",
    "drained",
    "first_packet_timeout",
    "handshake_failed",
    "key_spent",
    "local_ports_exhausted",
    "not_mqtt",
    "refused",
    "tls_error",
];

/// How a handshake fails.
pub(super) const HANDSHAKE_FAILURES: [&str; 17] = [
    "bad_message",
    "bad_sni",
    "client_alert",
    "client_certificate_missing",
    "client_certificate_refused",
    "cut",
    "evicted",
    "http",
    "incompatible",
    "io",
    "left_after_certificate",
    "not_tls",
    "plaintext_mqtt",
    "proxy_protocol",
    "setup",
    "timeout",
    "too_large",
];

/// What comes of loading a configuration.
pub(super) const RELOADS: [&str; 31] = [
    "BlockLeftOut",
    "BrokenPem",
    "ChainOutOfOrder",
    "ChainTooLong",
    "ClientVerifier",
    "EncryptedPrivateKey",
    "IssuerNotCa",
    "KeyMismatch",
    "NameNotPermitted",
    "NoCertificate",
    "NoPrivateKey",
    "PathTooLong",
    "PrivateKeyInBundle",
    "Provider",
    "SeveralPrivateKeys",
    "SharedPort",
    "SignatureMismatch",
    "Tickets",
    "UnreachableHost",
    "UnusableAuthority",
    "UnusableCertificate",
    "UnusablePrivateKey",
    "expired",
    "malformed",
    "not_yet_valid",
    "ok",
    "reverted",
    "unbindable",
    "unchanged",
    "unreadable",
    "unusable",
];
