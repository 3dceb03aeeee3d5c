//! The ReferenceGrant of the Gateway API, as far as its name: what it permits is read as JSON, because both of its versions have the
//! same fields.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// A ReferenceGrant's spec, which is not read by this type.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "ReferenceGrant",
    namespaced,
    schema = "disabled"
)]
pub struct ReferenceGrantSpec {}

impl ReferenceGrant {
    /// The version that was served before.
    pub(super) const OLDER: &'static str = "v1beta1";
}
