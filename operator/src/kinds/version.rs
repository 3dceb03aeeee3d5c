//! The identity of one version of an object, as small as a number. It must not be compared with an order: resource
//! versions are opaque.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::table::Kind;

/// One version of one object: a hash of its kind, namespace, name and resource version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// Returns the version of an object; `None` if it has no resource version.
    pub fn of(kind: Kind, metadata: &ObjectMeta) -> Option<Self> {
        let version = metadata.resource_version.as_deref()?;
        let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
        let mut hasher = DefaultHasher::new();
        (kind, namespace, name, version).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}
