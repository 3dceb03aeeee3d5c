//! Hardens a process before it reads keys. It must not fail: if the system does not allow a step, it logs a
//! warning.

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tracing::warn;

/// Disables core dumps and debugging by the same user, which could reveal keys (prctl(2), `PR_SET_DUMPABLE`), and
/// raises the soft limit on file descriptors to the hard limit: each connection needs two.
pub fn harden() {
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn!(%error, "failed to disable core dumps");
    }
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        warn!(%error, limit = limit.current, "failed to raise the limit on file descriptors");
    }
}
