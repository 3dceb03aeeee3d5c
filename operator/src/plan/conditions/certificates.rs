//! `status.certificates`: what the pods serve. While pods show that they serve something else, the entries of the last
//! time stay. It must not judge certificates.

use super::finding::{Finding, Status};
use super::judged::Judged;
use crate::crd::CertificateStatus;
use crate::plan::reason::Reason;

/// Returns the served certificates, the default first. `proof` is the condition `CertificateServed`.
pub(super) fn certificates(judged: &Judged<'_>, proof: Option<&Finding>) -> Vec<CertificateStatus> {
    let before = judged.before.map_or(&[][..], |before| &before.certificates);
    let is_earlier = |proof: &Finding| {
        proof.status == Status::False || proof.reason == Reason::NotServedYet.name()
    };
    if proof.is_some_and(is_earlier) && !before.is_empty() {
        return before.to_vec();
    }
    let since = |one: &CertificateStatus| {
        let known = before.iter().find(|known| {
            known.fingerprint == one.fingerprint && known.secret_name == one.secret_name
        });
        let known = known.and_then(|known| known.since.clone());
        known.or_else(|| Some(format!("{:.0}", judged.now)))
    };
    let configured = judged.serving.certificates.iter();
    configured
        .map(|one| CertificateStatus {
            since: since(one),
            ..one.clone()
        })
        .collect()
}
