//! An object of any kind, for code that handles all kinds in the same way. It must not be shown: it may be a Secret.

use std::any::Any;
use std::sync::Arc;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// An object of any kind.
pub trait Object: Any + Send + Sync {
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// Its name.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The whole object as JSON, or null if it cannot be serialized, which no Kubernetes kind is.
    fn json(&self) -> Value;
}

impl<K> Object for K
where
    K: Resource<DynamicType = ()> + Serialize + Send + Sync + 'static,
{
    fn metadata(&self) -> &ObjectMeta {
        self.meta()
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Parses an object of some kind.
pub type Parse = fn(Value) -> Result<Arc<dyn Object>, Error>;

pub(super) fn parse<K: Object + DeserializeOwned>(value: Value) -> Result<Arc<dyn Object>, Error> {
    let object: K = serde_json::from_value(value)?;
    Ok(Arc::new(object))
}
