//! `CertificateValid`: whether what is served is within its dates. Unknown if there is nothing, and true with another
//! reason than its own name if someone should look at it all the same.

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
    let certificates = serving.certificates.iter();
    let Some(first) = certificates.min_by(|one, other| one.not_after.cmp(&other.not_after)) else {
        let message = "no certificate is served yet; see ResolvedRefs and Programmed";
        return Finding::new(TYPE, Status::Unknown, Reason::NoCertificate, message);
    };
    let doubtful = |reason, message| Finding::new(TYPE, Status::True, reason, message);
    if let Some(source) = &serving.public_key {
        return doubtful(
            Reason::PublicDemoKey,
            format!(
                "{source} holds the example certificate that smart-mqtt ships: everyone has its \
                 private key, so replace it before a device depends on it"
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
