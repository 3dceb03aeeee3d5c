//! Causes of failed handshakes: as an error, as one of a fixed set for metrics and the journal, and as a message.
//!
//! It must not include untrusted text.

use std::{fmt, io};

use mqtt_tls_judge::provider::provider;
use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, PeerMisbehaved};
use serde::Serialize;

use super::hello::Offer;
use crate::arrival::Arrival;
use crate::trial::Abort;

/// Cause of a failed handshake, the metric's `outcome`; one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    BadMessage,
    BadServerName,
    ClientAlert,
    ClientCertificateMissing,
    ClientCertificateRefused,
    Cut,
    Evicted,
    Http,
    Incompatible,
    Io,
    LeftAfterCertificate,
    NoProtocol,
    NotTls,
    PlaintextMqtt,
    ProxyProtocol,
    Setup,
    Timeout,
    TooLarge,
    UnknownName,
}

impl Failure {
    pub(crate) const ALL: [Self; 19] = [
        Self::BadMessage,
        Self::BadServerName,
        Self::ClientAlert,
        Self::ClientCertificateMissing,
        Self::ClientCertificateRefused,
        Self::Cut,
        Self::Evicted,
        Self::Http,
        Self::Incompatible,
        Self::Io,
        Self::LeftAfterCertificate,
        Self::NoProtocol,
        Self::NotTls,
        Self::PlaintextMqtt,
        Self::ProxyProtocol,
        Self::Setup,
        Self::Timeout,
        Self::TooLarge,
        Self::UnknownName,
    ];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::BadServerName => "bad_sni",
            Self::ClientAlert => "client_alert",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateRefused => "client_certificate_refused",
            Self::Cut => "cut",
            Self::Evicted => "evicted",
            Self::Http => "http",
            Self::Incompatible => "incompatible",
            Self::Io => "io",
            Self::LeftAfterCertificate => "left_after_certificate",
            Self::NoProtocol => "no_application_protocol",
            Self::NotTls => "not_tls",
            Self::PlaintextMqtt => "plaintext_mqtt",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Setup => "setup",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::UnknownName => "unknown_name",
        }
    }

    /// Returns the description for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::BadMessage => "the client violated the TLS protocol",
            Self::BadServerName => {
                "the host name that the client requests (SNI) has a port or other invalid characters"
            }
            Self::ClientAlert => {
                "the client sent an alert, usually because of the certificate's names, issuer or dates"
            }
            Self::ClientCertificateMissing => "the client sent no certificate, which is required",
            Self::ClientCertificateRefused => {
                "the client's certificate is not accepted, see `mqtt_tls_client_certificates_refused_total`"
            }
            Self::Cut => "the client disconnected before the first answer, as health checks do",
            Self::Evicted => "evicted for another client, see `limits.handshakes`",
            Self::Http => "a browser, or an HTTP health check",
            Self::Incompatible => "no version, suite, group or signature scheme in common",
            Self::Io => "the client's connection failed",
            Self::LeftAfterCertificate => {
                "the client disconnected after it received the certificate; small clients reject it in this way"
            }
            Self::NoProtocol => {
                "the client offers none of the protocols in `tls.alpn`, and one is required"
            }
            Self::NotTls => "an unknown protocol",
            Self::PlaintextMqtt => "the client speaks MQTT without TLS",
            Self::ProxyProtocol => "the load balancer sends the PROXY protocol: disable it there",
            Self::Setup => "internal error",
            Self::Timeout => {
                "the handshake exceeded `timeouts.handshake`: a slow network, or too little CPU"
            }
            Self::TooLarge => "a handshake message exceeded the size limit",
            Self::UnknownName => {
                "no host has the name that the client requests (SNI): add it to `hosts[].names`, or set `unknownNames: Serve`"
            }
        }
    }
}

/// An alert, with its name and direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Alert {
    Received(String),
    Sent(String),
}

/// Errors in a handshake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the client offers none of the application protocols (ALPN) in tls.alpn, and one is required: configure one of \
    them in the client, or set tls.alpn.required: false"
    )]
    NoProtocol,
    /// The requested host name is invalid.
    #[error("the host name that the client requests is invalid")]
    BadServerName(#[source] rustls::Error),
    /// Also a reset before the first byte, with which load balancers end their health checks.
    #[error("the client disconnected before the first answer")]
    Cut,
    #[error("the connection failed during the handshake")]
    Io(#[source] io::Error),
    /// Small clients and modems reject a certificate in this way, without an alert.
    #[error(
        "the client disconnected after it received the certificate, without an alert; usually it does not trust the \
    certificate"
    )]
    Left,
    #[error("the client does not speak TLS: received {0}")]
    NotTls(Arrival),
    #[error("failed to set up the session")]
    Setup(#[source] rustls::Error),
    #[error("timed out")]
    Timeout,
    #[error("the handshake failed")]
    Tls(#[source] rustls::Error),
    #[error("the client sent a handshake message of more than {0} bytes")]
    TooLarge(usize),
    #[error(
        "no host has the name that the client requests (SNI); add it to hosts[].names, or set unknownNames: Serve"
    )]
    UnknownName,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(name) => write!(f, "received {name}"),
            Self::Sent(name) => write!(f, "sent {name}"),
        }
    }
}

impl Error {
    /// Returns the cause for metrics.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::BadServerName(_) => Failure::BadServerName,
            Self::Cut => Failure::Cut,
            Self::Io(_) => Failure::Io,
            Self::Left => Failure::LeftAfterCertificate,
            Self::NoProtocol => Failure::NoProtocol,
            Self::NotTls(arrival) => match arrival {
                Arrival::Http => Failure::Http,
                Arrival::PlaintextMqtt => Failure::PlaintextMqtt,
                Arrival::ProxyProtocol => Failure::ProxyProtocol,
                Arrival::Ssl2 => Failure::Incompatible,
                Arrival::Other(_) | Arrival::Tls | Arrival::Undecided => Failure::NotTls,
            },
            Self::Setup(_) => Failure::Setup,
            Self::Timeout => Failure::Timeout,
            Self::TooLarge(_) => Failure::TooLarge,
            Self::UnknownName => Failure::UnknownName,
            Self::Tls(error) => match error {
                rustls::Error::AlertReceived(_) => Failure::ClientAlert,
                rustls::Error::InvalidCertificate(_) => Failure::ClientCertificateRefused,
                rustls::Error::NoCertificatesPresented => Failure::ClientCertificateMissing,
                rustls::Error::PeerIncompatible(_) => Failure::Incompatible,
                _ => Failure::BadMessage,
            },
        }
    }

    /// Returns how the client ended the handshake, if it did.
    pub(crate) fn abort(&self) -> Option<Abort> {
        match self {
            Self::Tls(rustls::Error::AlertReceived(alert)) => Some(Abort::Alert((*alert).into())),
            Self::Left | Self::Io(_) => Some(Abort::Cut),
            Self::Timeout => Some(Abort::Timeout),
            _ => None,
        }
    }

    /// Returns the alert that ended the handshake; `queued` is the queued data for the client.
    pub(crate) fn alert(&self, queued: &[u8]) -> Option<Alert> {
        let name = |alert: AlertDescription| match alert.as_str() {
            Some(name) => name.to_owned(),
            None => format!("{}", u8::from(alert)),
        };
        let sent = match self {
            Self::Tls(rustls::Error::AlertReceived(alert)) => {
                return Some(Alert::Received(name(*alert)));
            }
            // After the ServerHello alerts are encrypted; the error determines which one it is.
            Self::Tls(rustls::Error::InvalidCertificate(error)) => {
                Some(AlertDescription::from(error.clone()))
            }
            Self::Tls(rustls::Error::NoCertificatesPresented) => {
                Some(AlertDescription::CertificateRequired)
            }
            _ => match queued {
                // A two-byte record: level and description (RFC 8446, section 6).
                [21, _, _, 0, 2, _, description] => Some(AlertDescription::from(*description)),
                _ => None,
            },
        };
        sent.map(|alert| Alert::Sent(name(alert)))
    }

    /// Formats the error with its cause. It includes no untrusted text.
    pub(crate) fn message(&self, offer: &Offer) -> String {
        match self {
            Self::BadServerName(_) => {
                "the host name that the client requests (SNI) is invalid: it must consist of letters, digits, hyphens \
                and dots, without port, scheme or brackets"
                    .to_owned()
            }
            // A client without a suite in common often has no group for one either, and rustls reports the group first.
            Self::Tls(rustls::Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon))
                if !offers_a_suite(offer) =>
            {
                incompatible(&PeerIncompatible::NoCipherSuitesInCommon).to_owned()
            }
            Self::Tls(rustls::Error::PeerIncompatible(missing)) => incompatible(missing).to_owned(),
            Self::Tls(error) => error.to_string(),
            other => mqtt_tls_program::error::chain(other),
        }
    }

    /// Converts rustls' error about a client's message. rustls may report an invalid SNI as an invalid message.
    pub(super) fn of(error: rustls::Error, hello: &[u8]) -> Self {
        let is_about_the_name = match &error {
            rustls::Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName)
            | rustls::Error::InvalidMessage(InvalidMessage::InvalidServerName) => true,
            rustls::Error::InvalidMessage(_) => Offer::read(hello)
                .server_name
                .is_some_and(|name| name.is_empty()),
            _ => false,
        };
        if is_about_the_name {
            Self::BadServerName(error)
        } else {
            Self::Tls(error)
        }
    }
}

fn offers_a_suite(offer: &Offer) -> bool {
    let provider = provider();
    let mut served = provider.cipher_suites.iter();
    served.any(|served| offer.suites.contains(&served.suite()))
}

/// Describes what a client and this listener do not have in common.
fn incompatible(missing: &PeerIncompatible) -> &'static str {
    match missing {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "no version in common: the client offers none that is on, see `tls.minVersion` and `tls.maxVersion` (TLS 1.2 and \
            1.3 by default)"
        }
        PeerIncompatible::NoCipherSuitesInCommon => {
            "no cipher suite in common: the client must offer one of `tls.suites`, by default TLS 1.2's with ECDHE for the \
            certificate's kind of key, and AES-GCM or ChaCha20-Poly1305"
        }
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired => {
            "no key exchange group in common: the client must support one of `tls.groups`, by default X25519MLKEM768, X25519, \
            P-256 or P-384"
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature scheme in common: the client does not support the certificate's kind of key, or offers \
            SHA-1 only"
        }
        PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::UncompressedEcPointsRequired => {
            "no point format in common: the client must support uncompressed points"
        }
        PeerIncompatible::NullCompressionRequired => {
            "no compression method in common: the client must offer null compression"
        }
        _ => "the client's offer is incompatible with this listener",
    }
}
