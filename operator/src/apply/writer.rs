//! Writes children of any kind. It must not touch an object other than the one that was read.

use std::sync::Arc;

use kube::Client;
use kube::api::{DeleteParams, Patch, Preconditions};

use super::compare::is_applied;
use super::replace::replace;
use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::api::patch;
use crate::kinds::{ChildRow, Kind, Object, Verb};
use crate::metrics::Metrics;
use crate::plan::names::Identity;
use crate::plan::objects::{Children, Step, Wanted};

/// Writes the children of one listener.
pub(super) struct Writer<'w> {
    pub(super) client: &'w Client,
    pub(super) identity: &'w Identity,
    pub(super) metrics: &'w Metrics,
}

impl Writer<'_> {
    /// Runs all steps in order, updates `children`, and returns the first error.
    pub(super) async fn all(&self, steps: Vec<Step>, children: &mut Children) -> Result<(), Error> {
        let mut all = Ok(());
        for Step {
            child,
            name,
            wanted,
        } in steps
        {
            let name = name.as_deref();
            let found = children.of_step(child, name).cloned();
            match self.one(child.row(), &wanted, found).await {
                Ok(Some(object)) => children.put(child, object),
                Ok(None) => children.remove_step(child, name),
                Err(error) => all = all.and(Err(error)),
            }
        }
        all
    }

    /// Applies one child as planned, and returns the resulting object.
    async fn one(
        &self,
        row: &ChildRow,
        wanted: &Wanted<dyn Object>,
        found: Option<Arc<dyn Object>>,
    ) -> Result<Option<Arc<dyn Object>>, Error> {
        let api = ChildApi::new(self.client, &self.identity.namespace, row);
        match (wanted, found) {
            (Wanted::Present(wanted), Some(found)) if is_applied(&**wanted, &*found) => {
                Ok(Some(found))
            }
            (Wanted::Present(wanted), found) => {
                let found = found.as_deref();
                let written = self.write(&api, row.kind, &**wanted, found).await;
                let written = match (written, found) {
                    (Err(error), Some(found)) if error.is_invalid() => {
                        let replaced = replace(self.metrics, &api, row.kind, &**wanted, found);
                        match replaced.await {
                            Ok(true) => self.write(&api, row.kind, &**wanted, Some(found)).await,
                            Ok(false) | Err(_) => Err(error),
                        }
                    }
                    (written, _) => written,
                };
                written.map(Some)
            }
            (Wanted::Absent, Some(found)) => {
                self.delete(&api, row.kind, &*found).await?;
                Ok(None)
            }
            (Wanted::Absent, None) => Ok(None),
            (Wanted::Kept, found) => Ok(found),
        }
    }

    /// Writes one child by server-side apply.
    async fn write(
        &self,
        api: &ChildApi,
        kind: Kind,
        wanted: &dyn Object,
        found: Option<&dyn Object>,
    ) -> Result<Arc<dyn Object>, Error> {
        let (mut json, mut params) = (wanted.json(), patch::apply());
        // Force only on the object that was read and found to be ours; the uid makes the API server answer with a
        // conflict if it has been replaced. For an object that did not exist, apply cannot require that it is new
        // (and create would record the fields differently): one that appeared meanwhile conflicts only if our
        // fields differ.
        if let Some(found) = found {
            params = params.force();
            json["metadata"]["uid"] = found.metadata().uid.clone().into();
        }
        let name = wanted.name();
        let written = api
            .patch(Verb::Apply, name, &params, &Patch::Apply(json))
            .await;
        self.metrics.wrote(kind, Verb::Apply, written.is_ok());
        written
    }

    /// Deletes the object that was read, and no other of its name.
    async fn delete(&self, api: &ChildApi, kind: Kind, found: &dyn Object) -> Result<(), Error> {
        let uid = Preconditions {
            uid: found.metadata().uid.clone(),
            resource_version: None,
        };
        let params = DeleteParams::background().preconditions(uid);
        let deleted = api.delete(found.name(), &params).await;
        self.metrics.wrote(kind, Verb::Delete, deleted.is_ok());
        match deleted {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
