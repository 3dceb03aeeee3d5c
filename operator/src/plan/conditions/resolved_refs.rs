//! `ResolvedRefs`: whether every referenced object is usable; unknown if the spec is not accepted. It must not read
//! any object.

use super::finding::Finding;
use super::judged::Judged;
use crate::plan::reason::ConditionType;

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    let type_ = ConditionType::ResolvedRefs;
    Finding::of_problems(type_, &judged.report.problems.iter())
        .unwrap_or_else(|| Finding::holds(type_, "all referenced objects are usable"))
}
