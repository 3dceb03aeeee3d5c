//! `CertificateValid`: whether the served certificates are within their validity period. It is unknown without a
//! certificate, and true with a reason other than its own name if there is a warning. It must not choose certificates.

use super::finding::{Finding, Status};
use super::judged::Judged;
use crate::plan::reason::{ConditionType, Reason};

const TYPE: ConditionType = ConditionType::CertificateValid;

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    let serving = &judged.serving;
    let problems = judged.report.problems.iter().chain(&serving.problems);
    if let Some(wrong) = Finding::of_problems(TYPE, &problems) {
        return wrong;
    }
    let certificates = serving.certificates.iter().chain(&serving.of_hosts);
    let Some(first) = certificates.min_by(|one, other| one.not_after.cmp(&other.not_after)) else {
        let message = "no certificate is served yet; see ResolvedRefs and Programmed";
        return Finding::new(TYPE, Status::Unknown, Reason::NoCertificate, message);
    };
    let doubtful = |reason, message| Finding::new(TYPE, Status::True, reason, message);
    if let Some(source) = &serving.public_key {
        return doubtful(
            Reason::PublicDemoKey,
            format!(
                "{source} contains the example certificate of smart-mqtt, whose private key is public; \
                 replace it before devices depend on it"
            ),
        );
    }
    let valid = format!(
        "valid until {} (Secret {})",
        first.not_after, first.secret_name
    );
    let Some(worst) = serving.warnings.first() else {
        return Finding::holds(TYPE, valid);
    };
    let warnings = serving.warnings.iter();
    let warnings: Vec<&str> = warnings.map(|one| &*one.message).collect();
    doubtful(worst.reason(), format!("{}; {valid}", warnings.join("; ")))
}
