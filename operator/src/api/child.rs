//! Reads and writes children, in the same way for all kinds. It must not be used for objects that a listener
//! only references.

use std::fmt::Debug;
use std::sync::Arc;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde::Serialize;

use super::call::{Error, call};
use crate::kinds::{ChildRow, Kind, Object, Parse, Target, Verb};

/// The API of one child in one namespace.
pub struct ChildApi {
    api: Api<DynamicObject>,
    kind: Kind,
    parse: Parse,
}

impl ChildApi {
    /// Returns the API of one child.
    pub fn new(client: &Client, namespace: &str, row: &ChildRow) -> Self {
        let resource: ApiResource = (row.kind.row().resource)();
        Self {
            api: Api::namespaced_with(client.clone(), namespace, &resource),
            kind: row.kind,
            parse: row.parse,
        }
    }

    /// Returns the child of this name, if it exists.
    pub async fn get(&self, name: &str) -> Result<Option<Arc<dyn Object>>, Error> {
        let get = async {
            let found = self.api.get_opt(name).await?;
            found.map(|found| self.read(&found)).transpose()
        };
        call(Verb::Get, &self.target(name), get).await
    }

    /// Returns the children that a selector selects.
    pub async fn list(&self, owner: &str, selector: &str) -> Result<Vec<Arc<dyn Object>>, Error> {
        let params = ListParams::default().labels(selector);
        let list = async {
            let found = self.api.list(&params).await?;
            found.items.iter().map(|found| self.read(found)).collect()
        };
        call(Verb::List, &Target::of(self.kind, owner), list).await
    }

    /// Creates or changes a child.
    pub async fn patch<P: Debug + Serialize>(
        &self,
        verb: Verb,
        name: &str,
        params: &PatchParams,
        patch: &Patch<P>,
    ) -> Result<Arc<dyn Object>, Error> {
        let patch = async { self.read(&self.api.patch(name, params, patch).await?) };
        call(verb, &self.target(name), patch).await
    }

    /// Deletes a child.
    pub async fn delete(&self, name: &str, params: &DeleteParams) -> Result<(), Error> {
        let deleted = self.api.delete(name, params);
        let deleted = call(Verb::Delete, &self.target(name), deleted).await;
        deleted.map(drop)
    }

    fn target(&self, name: &str) -> Target {
        Target::one(self.kind, name)
    }

    /// Parses the object as its kind. The parser's message must not be shown, because it may quote the content.
    fn read(&self, object: &DynamicObject) -> Result<Arc<dyn Object>, kube::Error> {
        let json = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
        (self.parse)(json).map_err(kube::Error::SerdeError)
    }
}
