//! `Accepted`: whether the spec is valid. It must not look at anything else.

use super::finding::Finding;
use super::judged::Judged;
use crate::plan::problem::Problem;
use crate::plan::reason::ConditionType;

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    of_problems(&judged.report.problems)
}

/// Computes the condition from problems alone, because the spec is judged without other objects.
pub(super) fn of_problems(problems: &[Problem]) -> Finding {
    let type_ = ConditionType::Accepted;
    Finding::of_problems(type_, &problems.iter())
        .unwrap_or_else(|| Finding::holds(type_, "the spec is valid"))
}
