//! Compares a run with a fault with the run without. It must not run either.
//!
//! The rule: the end state is equal, and each object is written as often as without the fault. What a fault explains
//! is named in [`Slack`].

use std::collections::{BTreeMap, BTreeSet};

use tests::state::{State, differences};

use crate::fault::Fault;
use crate::plans::Plan;
use crate::write::{Object, Write};

/// What a run has led to.
pub(crate) struct Outcome {
    pub(crate) state: State,
    /// All writes in order, also those that failed.
    pub(crate) writes: Vec<Write>,
    /// How often each object was written.
    pub(crate) executed: BTreeMap<Object, usize>,
    /// The states between the acts, each time that the operator had settled.
    pub(crate) rests: Vec<State>,
}

/// By how much the number of an object's writes may differ.
#[derive(Debug, Default, PartialEq, Eq)]
struct Slack {
    fewer: usize,
    more: usize,
}

/// Returns what is wrong after a run with a fault.
pub(crate) fn complaints(plan: &Plan, found: &Outcome) -> Vec<String> {
    let wanted = &plan.wanted;
    let mut complaints = differences(&wanted.state, &found.state);
    let objects: BTreeSet<&Object> = wanted
        .executed
        .keys()
        .chain(found.executed.keys())
        .collect();
    for object in objects {
        let count = |outcome: &Outcome| outcome.executed.get(object).copied().unwrap_or(0);
        let (wanted, found) = (count(wanted), count(found));
        let Slack { fewer, more } = slack(plan, object);
        if found + fewer < wanted || found > wanted + more {
            complaints.push(format!("{object} was written {found} times, not {wanted}"));
        }
    }
    complaints
}

fn slack(plan: &Plan, object: &Object) -> Slack {
    let Plan { point, fault, .. } = plan;
    // A child that could not be written is reported in the status, and that it could be written afterwards: two more
    // writes of the status, each with its event.
    let is_reported = fault.is_seen() && point.object.is_child();
    let more = match object {
        object if object.is_status() => 2 * usize::from(is_reported),
        object if object.is_event() => usize::from(is_reported),
        _ => 0,
    };
    // A pod that does not answer in time is reported, and that it answers again, perhaps twice.
    let by_pods = if plan.workload.is_served && !object.is_child() {
        4
    } else {
        0
    };
    let is_lost = object.is_event() && loses_events(point, *fault, object);
    let fewer = if plan.workload.is_cut_short || is_lost {
        usize::MAX / 2
    } else {
        by_pods
    };
    Slack {
        fewer,
        more: more + by_pods,
    }
}

/// Events are written once, after the status that they repeat: an operator that fails between the two never writes them.
/// A crash may be such a moment for another listener, too.
fn loses_events(point: &Write, fault: Fault, event: &Object) -> bool {
    let is_after_status = point.object.is_status() && fault.is_executed();
    let is_between_events = point.object.is_event() && fault.is_crash();
    let is_of_another = fault.is_crash() && event.listener() != point.object.listener();
    let is_itself = point.object == *event && !fault.is_executed();
    is_after_status || is_between_events || is_of_another || is_itself
}
