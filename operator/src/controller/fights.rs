//! Recognizes that a listener's children are changed back again and again, and slows it down. It must not take what a trial writes as
//! it comes for such a fight.

use tokio::time::Instant;
use tracing::warn;

use super::context::Context;
use crate::kinds::Version;
use crate::plan::certificates::previous::Previous;
use crate::plan::names::Name;
use crate::plan::objects::Applied;

/// Reports whether trials are as this process has written them: then what is written of them as it comes is no fight with another writer.
pub(super) fn has_kept_trials(context: &Context, name: &Name, previous: &Previous) -> bool {
    let watched = context.latest.watched(name);
    watched.is_some_and(|watched| watched.are_as_written(previous.trials()))
}

/// Makes the listener rest if others change its children back again and again.
pub(super) fn slow_down(context: &Context, name: &Name, read: &[Version], applied: &Applied) {
    let mut children = applied.children.versions();
    let has_written = children.any(|version| !read.contains(&version));
    if context.undone.end(name, has_written, Instant::now()) {
        warn!(
            namespace = name.namespace,
            listener = name.name,
            "children are changed back again and again, perhaps by another operator or a policy; slowing down"
        );
    }
}
