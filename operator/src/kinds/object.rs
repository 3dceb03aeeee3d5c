//! An object of any kind, for code that handles all kinds alike. It must not be shown: it may be a Secret.

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

    /// All of it, as it is sent; nothing if it has no form in JSON, which no kind of Kubernetes is without.
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

/// How an object of some kind is read.
pub type Parse = fn(Value) -> Result<Arc<dyn Object>, Error>;

pub(super) fn parse<K: Object + DeserializeOwned>(value: Value) -> Result<Arc<dyn Object>, Error> {
    let object: K = serde_json::from_value(value)?;
    Ok(Arc::new(object))
}
