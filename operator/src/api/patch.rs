//! Parameters for patches: always with this operator as the field manager. It must not force a conflict.

use kube::api::PatchParams;

use crate::plan::names::MANAGER;

/// Server-side apply: the fields that are sent become this operator's fields.
pub fn apply() -> PatchParams {
    PatchParams::apply(MANAGER)
}

/// Merge patch: changes only the fields that are sent.
pub fn merge() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}
