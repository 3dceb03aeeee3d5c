//! What a process that holds keys does to itself before it reads any. It must not fail: a machine that
//! does not allow it is told of, and served all the same.

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tracing::warn;

/// No core dump and no debugger of the same user may show a key (prctl(2), `PR_SET_DUMPABLE`), and the
/// limit on file descriptors is raised as far as it goes: each connection needs two.
pub fn harden() {
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn!(%error, "core dumps cannot be switched off");
    }
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        warn!(%error, limit = ?limit.current, "the limit on file descriptors cannot be raised");
    }
}
