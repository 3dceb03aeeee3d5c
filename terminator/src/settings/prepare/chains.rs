//! Judges the certificates of the listener or a host, each with its candidate. Pure.
//!
//! It must not be milder with a candidate: a share of the clients gets it.

use mqtt_tls_config::{Candidate as CandidateEntry, Certificate as CertificateEntry, Pem};

use super::super::hosts::Host;
use super::{Cause, Judge, candidate_key, certificate_key};
use crate::tls::Candidate;
use mqtt_tls_judge::certificate::Certificate;

/// What is served, and what may take its place.
pub(super) struct Chains {
    /// The default first.
    pub(super) certificates: Vec<Certificate>,
    pub(super) candidates: Vec<Candidate>,
}

impl Chains {
    /// Returns those of the listener, for a host without its own.
    pub(super) fn of(listener: &Host) -> Self {
        Self {
            certificates: listener.certificates.clone(),
            candidates: listener.candidates.clone(),
        }
    }
}

impl Judge<'_, '_> {
    /// Judges certificates, of which the default is apart; `None` after a problem.
    pub(super) fn chains(
        &mut self,
        host: &str,
        default: (&Pem, Option<&CandidateEntry>),
        others: &[CertificateEntry],
    ) -> Option<Chains> {
        let others = others.iter().map(|one| (&one.pem, one.candidate.as_ref()));
        let mut chains = Chains {
            certificates: Vec::new(),
            candidates: Vec::new(),
        };
        let mut is_whole = true;
        for (index, (pem, candidate)) in std::iter::once(default).chain(others).enumerate() {
            let certificate = self.fitting(pem, || certificate_key(host, index));
            is_whole &= certificate.is_some();
            chains.certificates.extend(certificate);
            let Some(CandidateEntry { id, pem }) = candidate else {
                continue;
            };
            let certificate = self.fitting(pem, || candidate_key(host, index));
            is_whole &= certificate.is_some();
            chains
                .candidates
                .extend(certificate.map(|certificate| Candidate {
                    index,
                    id: id.clone(),
                    certificate,
                }));
        }
        is_whole.then_some(chains)
    }

    /// Judges a certificate, and whether it has a suite; `None` after a problem.
    fn fitting(&mut self, pem: &Pem, key: impl FnOnce() -> String) -> Option<Certificate> {
        let judged = self.certificate(pem).map_err(Cause::Certificate);
        let judged = judged.and_then(|one| match self.tls.misfit(one.facts().is_rsa()) {
            None => Ok(one),
            Some(why) => Err(Cause::Misfit(why)),
        });
        judged.map_err(|cause| self.add(key(), cause)).ok()
    }
}
