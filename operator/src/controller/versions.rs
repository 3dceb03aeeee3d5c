//! The versions of a reconciliation's objects: as they were read, and as they are after its own writes. Pure.

use tokio::time::Instant;

use super::records::Record;
use super::sight::Ended;
use crate::kinds::{Kind, Version};
use crate::plan::objects::Applied;
use crate::plan::world::World;
use crate::status::Written;

/// Returns the version of each object after the writes. `named` are those of the objects that the listener references.
pub(super) fn now(
    world: &World,
    named: Vec<Version>,
    applied: &Applied,
    written: Option<&Written>,
) -> Vec<Version> {
    let listener = match written {
        Some(written) => written.version,
        None => Version::of(Kind::MqttTlsListener, &world.listener.metadata),
    };
    let pods = world.pods.iter().filter_map(|pod| {
        let marked = applied.marked.get(&pod.name);
        marked.copied().or(pod.version)
    });
    let named = named.into_iter().chain(listener);
    named
        .chain(applied.children.versions())
        .chain(pods)
        .collect()
}

/// Describes the end of a reconciliation.
pub(super) fn ended(
    mut read: Vec<Version>,
    now: Vec<Version>,
    due: Instant,
    record: Option<Record>,
) -> Ended {
    let is_new = |version: &&Version| !read.contains(version);
    let written = now.iter().filter(is_new).copied().collect();
    read.extend(now);
    Ended {
        seen: read,
        written,
        due,
        record,
    }
}
