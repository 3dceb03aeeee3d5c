//! Why a handshake fails: for the caller as an error, for metrics and the journal as one of a fixed set, for people in
//! words.
//!
//! It must not repeat text from outside.

use std::io;

use mqtt_tls_judge::provider::provider;
use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, PeerMisbehaved};
use serde::Serialize;

use super::hello::Offer;
use crate::arrival::Arrival;

/// Why a handshake failed, as the metric's `outcome`; one of a fixed set.
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
    NotTls,
    PlaintextMqtt,
    ProxyProtocol,
    Setup,
    Timeout,
    TooLarge,
}

impl Failure {
    pub(crate) const ALL: [Self; 17] = [
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
        Self::NotTls,
        Self::PlaintextMqtt,
        Self::ProxyProtocol,
        Self::Setup,
        Self::Timeout,
        Self::TooLarge,
    ];

    /// As a metric's label.
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
            Self::NotTls => "not_tls",
            Self::PlaintextMqtt => "plaintext_mqtt",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Setup => "setup",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
        }
    }

    /// What it means, for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::BadMessage => "the client broke the TLS protocol",
            Self::BadServerName => {
                "the host name in the client (SNI) has a port, or other characters that no name has"
            }
            Self::ClientAlert => {
                "the client refused with an alert: as a rule the certificate's names, issuer or dates"
            }
            Self::ClientCertificateMissing => "the client showed no certificate, and must",
            Self::ClientCertificateRefused => {
                "the client's certificate does not chain to the CA, or is out of date"
            }
            Self::Cut => "the client hung up before it was answered: also health checks",
            Self::Evicted => "its place was needed for another client, see `limits.handshakes`",
            Self::Http => "a browser, or an HTTP health check",
            Self::Incompatible => "no version, suite, group or signature scheme in common",
            Self::Io => "the client's connection failed",
            Self::LeftAfterCertificate => {
                "the client hung up after it had seen the certificate: small ones refuse it so"
            }
            Self::NotTls => "something that is neither TLS nor one of the others",
            Self::PlaintextMqtt => "the client speaks MQTT without TLS",
            Self::ProxyProtocol => {
                "the load balancer sends the PROXY protocol: switch it off there"
            }
            Self::Setup => "a fault of ours",
            Self::Timeout => {
                "not finished within `timeouts.handshake`: a slow network, or too little CPU"
            }
            Self::TooLarge => "a handshake message larger than the bound",
        }
    }
}

/// An alert, by its name, and which side sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Alert {
    Received(String),
    Sent(String),
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The host name that it asks for is none.
    #[error("the host name that the client asks for is none")]
    BadServerName(#[source] rustls::Error),
    /// Also a reset before the first byte: load balancers end their health checks so.
    #[error("the client ended the connection before it was answered")]
    Cut,
    #[error("the connection failed in the handshake")]
    Io(#[source] io::Error),
    /// Small clients and modems refuse a certificate so, without a word.
    #[error(
        "the client left after it had been shown the certificate, and did not say why: as a rule it does not trust \
         it"
    )]
    Left,
    #[error("the client does not speak TLS: it began with {0:?}")]
    NotTls(Arrival),
    #[error("no session can be made")]
    Setup(#[source] rustls::Error),
    #[error("the handshake was not finished in time")]
    Timeout,
    #[error("the handshake failed")]
    Tls(#[source] rustls::Error),
    #[error("the client sent a handshake message of more than {0} bytes")]
    TooLarge(usize),
}

impl Error {
    /// The kind of error.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::BadServerName(_) => Failure::BadServerName,
            Self::Cut => Failure::Cut,
            Self::Io(_) => Failure::Io,
            Self::Left => Failure::LeftAfterCertificate,
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
            Self::Tls(error) => match error {
                rustls::Error::AlertReceived(_) => Failure::ClientAlert,
                rustls::Error::InvalidCertificate(_) => Failure::ClientCertificateRefused,
                rustls::Error::NoCertificatesPresented => Failure::ClientCertificateMissing,
                rustls::Error::PeerIncompatible(_) => Failure::Incompatible,
                _ => Failure::BadMessage,
            },
        }
    }

    /// The alert that one side ended the handshake with; `queued` is what waits to be sent.
    pub(crate) fn alert(&self, queued: &[u8]) -> Option<Alert> {
        let name = |alert: AlertDescription| match alert.as_str() {
            Some(name) => name.to_owned(),
            None => format!("{}", u8::from(alert)),
        };
        let sent = match self {
            Self::Tls(rustls::Error::AlertReceived(alert)) => {
                return Some(Alert::Received(name(*alert)));
            }
            // Behind the ServerHello alerts are encrypted, and which one it was follows from the error.
            Self::Tls(rustls::Error::InvalidCertificate(error)) => {
                Some(AlertDescription::from(error.clone()))
            }
            Self::Tls(rustls::Error::NoCertificatesPresented) => {
                Some(AlertDescription::CertificateRequired)
            }
            _ => match queued {
                // A record of two bytes: the level, and the description (RFC 8446, section 6).
                [21, _, _, 0, 2, _, description] => Some(AlertDescription::from(*description)),
                _ => None,
            },
        };
        sent.map(|alert| Alert::Sent(name(alert)))
    }

    /// What is wrong in words, the cause with it. Nothing in it is text from outside.
    pub(crate) fn words(&self, offer: &Offer) -> String {
        match self {
            Self::BadServerName(_) => {
                "the host name that the client asks for (SNI) is none: it must consist of letters, digits, hyphens \
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

    /// What rustls said of a client's messages. Of a name it may say that the message is broken.
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

/// What a client and this listener do not have in common.
fn incompatible(missing: &PeerIncompatible) -> &'static str {
    match missing {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "no version in common: the client offers neither TLS 1.2 nor TLS 1.3"
        }
        PeerIncompatible::NoCipherSuitesInCommon => {
            "no cipher suite in common: TLS 1.2 needs ECDHE with AES-GCM or ChaCha20-Poly1305 for the \
             certificate's kind of key, TLS 1.3 one of its first three suites"
        }
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired => {
            "no key exchange group in common: the client needs one of X25519MLKEM768, X25519, P-256 and P-384"
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature scheme in common: the client cannot verify the kind of key that the certificate has, or \
             offers SHA-1 only"
        }
        PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::UncompressedEcPointsRequired => {
            "no point format in common: the client must take uncompressed points"
        }
        PeerIncompatible::NullCompressionRequired => {
            "no compression method in common: the client must offer to compress nothing"
        }
        _ => "the client offers nothing that this listener can go on with",
    }
}
