//! All plans: each write of each workload with each fault. It must not run them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::fault::Fault;
use crate::judge::Outcome;
use crate::workloads::Workload;
use crate::write::Write;

/// One run with one fault.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) workload: &'static Workload,
    pub(crate) point: Write,
    pub(crate) fault: Fault,
    /// Whether it belongs to the share that always runs.
    pub(crate) is_shared: bool,
    /// The run without a fault.
    pub(crate) wanted: Arc<Outcome>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (workload, fault) = (self.workload.name, self.fault.name());
        write!(f, "{workload}/{}/{fault}", self.point)
    }
}

/// The plans of a workload, whose place among all is `index`.
pub(crate) fn of(workload: &'static Workload, index: usize, wanted: &Arc<Outcome>) -> Vec<Plan> {
    let mut plans = Vec::new();
    // The order of writes of two listeners is not the same in each run.
    let points: BTreeSet<&Write> = wanted.writes.iter().collect();
    // Nor is the number of statuses and events if a pod answers when it does.
    let has_number = |write: &&Write| !workload.is_served || write.object.is_child();
    let points = points.into_iter().filter(has_number);
    for (row, point) in points.enumerate() {
        for (column, fault) in Fault::ALL.into_iter().enumerate() {
            // Half a minute each.
            if fault == Fault::Silent && !workload.is_slow {
                continue;
            }
            plans.push(Plan {
                workload,
                point: point.clone(),
                fault,
                is_shared: is_shared(index, row, column, wanted.writes.len()),
                wanted: Arc::clone(wanted),
            });
        }
    }
    plans
}

/// A third of the faults of a workload, each at another write: all faults and all workloads have their share.
fn is_shared(workload: usize, write: usize, fault: usize, writes: usize) -> bool {
    let is_quick = Fault::ALL[fault] != Fault::Silent;
    is_quick && (workload + fault).is_multiple_of(3) && write == (3 * workload + 5 * fault) % writes
}
