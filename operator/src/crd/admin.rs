//! What the terminator pods show on their admin port, as users write it. It must not open the port to more than it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::maps;

/// What the terminator pods show on their admin port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admin {
    /// Whether connections are listed, with address, host, client ID and the name that the certificate gives: at
    /// `/connections`, for requests from the pod itself only, such as those of `kubectl port-forward`. It takes about 100 bytes
    /// a connection; those that are open when it is switched on are not listed. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(schema_with = "maps::switch")]
    pub connections: bool,
}

impl Admin {
    /// Reports whether nothing is set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
