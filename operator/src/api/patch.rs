//! How objects are changed: always in this operator's name.

use kube::api::PatchParams;

use crate::plan::names::MANAGER;

/// As a whole, on the server's side: what is ours is what is sent.
pub fn apply() -> PatchParams {
    PatchParams::apply(MANAGER)
}

/// In a part.
pub fn merge() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}
