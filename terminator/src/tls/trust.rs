//! Client authentication of a host: whom it trusts, and the verifier for rustls. Judging is the judge's, by the lists of the
//! moment.
//!
//! It must not read a clock, nor let a certificate count that was not judged.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::client::{Clients, Reason, Refusal, WhenUnknown};
use mqtt_tls_judge::hosts::Required;
use mqtt_tls_judge::provider::provider;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoClientAuth;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::refused;
use crate::crls::Pool;
use crate::verdicts::Verdicts;

/// Client authentication of a host.
#[derive(Clone, Debug)]
pub(crate) enum ClientTrust {
    /// Clients are not asked for a certificate.
    Disabled,
    /// A client's certificate must be accepted if it sends one.
    Optional(Arc<Trust>),
    /// Each client must send a certificate that is accepted.
    Required(Arc<Trust>),
    /// Clients are asked for a certificate, and none is refused. It does not count.
    DryRun(Arc<Trust>),
}

impl ClientTrust {
    /// Reports whether clients are not asked for a certificate.
    pub(crate) fn is_disabled(&self) -> bool {
        matches!(self, Self::Disabled)
    }

    /// Reports whether a certificate that a client presents has been verified once the handshake has succeeded.
    pub(crate) fn verifies(&self) -> bool {
        match self {
            Self::Disabled | Self::DryRun(_) => false,
            Self::Optional(_) | Self::Required(_) => true,
        }
    }

    /// Returns how clients are judged, if they are.
    pub(crate) fn trust(&self) -> Option<&Arc<Trust>> {
        match self {
            Self::Disabled => None,
            Self::Optional(trust) | Self::Required(trust) | Self::DryRun(trust) => Some(trust),
        }
    }

    /// Reports whether clients are judged as by another, with the same lists.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same = |one: &Trust, other: &Trust| {
            let (clients, others) = (&one.clients, &other.clients);
            one.authorities.is_same(&other.authorities)
                && clients.purpose == others.purpose
                && clients.revocation == others.revocation
                && clients.rules == others.rules
        };
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && match (self.trust(), other.trust()) {
                (Some(one), Some(other)) => is_same(one, other),
                _ => true,
            }
    }

    /// Reports whether clients are refused whose list is outdated.
    pub(crate) fn refuses_outdated(&self) -> bool {
        let trust = self.trust().filter(|_| self.verifies());
        let revocation = trust.and_then(|trust| trust.clients.revocation);
        revocation.is_some_and(|revocation| revocation.when_outdated == WhenUnknown::Refuse)
    }

    /// Returns what is required of clients' certificates, if they need one.
    pub(crate) fn required(&self) -> Option<Required<'_>> {
        let Self::Required(trust) = self else {
            return None;
        };
        Some(Required {
            authorities: &trust.authorities,
            rules: trust.clients.rules.is_some(),
            revocation: trust.clients.revocation.is_some(),
        })
    }

    /// Returns the authorities for client certificates.
    pub(crate) fn authorities(&self) -> Option<&Authorities> {
        self.trust().map(|trust| &trust.authorities)
    }

    /// Makes the verifier for rustls, which counts whom it refuses.
    pub(super) fn verifier(&self, verdicts: &Arc<Verdicts>) -> Arc<dyn ClientCertVerifier> {
        match self {
            Self::Disabled => Arc::new(NoClientAuth),
            Self::Optional(trust) => Verifier::of(trust, Mode::Optional, verdicts),
            Self::Required(trust) => Verifier::of(trust, Mode::Required, verdicts),
            Self::DryRun(trust) => Verifier::of(trust, Mode::DryRun, verdicts),
        }
    }
}

/// How clients are judged: by what settings say, and by the lists of the moment.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) authorities: Authorities,
    pub(crate) clients: Clients,
    pub(crate) pool: Arc<Pool>,
}

impl Trust {
    /// Judges a client by its certificate and those that it sent with it: in a handshake, and later.
    pub(crate) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        self.clients
            .judge(leaf, intermediates, &self.pool.lists(), now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Optional,
    Required,
    DryRun,
}

/// The verifier of a host.
#[derive(Debug)]
struct Verifier {
    trust: Arc<Trust>,
    mode: Mode,
    /// Names of the authorities, as clients are sent them; none if they are too large.
    hints: Vec<DistinguishedName>,
    verdicts: Arc<Verdicts>,
}

impl Verifier {
    fn of(trust: &Arc<Trust>, mode: Mode, verdicts: &Arc<Verdicts>) -> Arc<dyn ClientCertVerifier> {
        let authorities = &trust.authorities;
        let hints = authorities
            .names_size()
            .map(|_| authorities.roots().subjects());
        Arc::new(Self {
            trust: Arc::clone(trust),
            mode,
            hints: hints.unwrap_or_default(),
            verdicts: Arc::clone(verdicts),
        })
    }

    /// Counts a client whose signature does not fit its certificate.
    fn counted<T>(&self, verified: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::InvalidCertificate(_)) = verified {
            self.verdicts.refused.count(Some(Reason::BadSignature));
        }
        verified
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == Mode::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// In a dry run, the certificate is judged once the handshake has succeeded.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.mode == Mode::DryRun {
            return Ok(ClientCertVerified::assertion());
        }
        refused::forget();
        match self.trust.judge(end_entity, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => {
                self.verdicts.refused.count(Some(refusal.reason()));
                refused::record(end_entity, &refusal);
                Err(Error::InvalidCertificate(refusal.into_tls()))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.mode == Mode::DryRun {
            // A kind of key that is not supported would be refused here.
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = provider().signature_verification_algorithms;
        self.counted(verify_tls12_signature(message, cert, dss, &algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.mode == Mode::DryRun {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = provider().signature_verification_algorithms;
        self.counted(verify_tls13_signature(message, cert, dss, &algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
