//! `ResolvedRefs`: whether every object that the spec names is usable. Unknown if the spec itself is not accepted.

use super::finding::Finding;
use super::judged::Judged;
use crate::plan::reason::ConditionType;

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    let type_ = ConditionType::ResolvedRefs;
    Finding::of_problems(type_, &judged.report.problems.iter())
        .unwrap_or_else(|| Finding::holds(type_, "every object that the spec names is usable"))
}
