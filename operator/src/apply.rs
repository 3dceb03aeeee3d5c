//! Makes the children as planned: Objects<Prepared> in, Objects<Applied> out.
//!
//! It must decide nothing, and must write nothing when nothing differs. Every write can be made twice:
//! it may have worked although it seemed not to.

use std::fmt::Debug;
use std::marker::PhantomData;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::call::{Error, call};
use crate::compare::is_applied;
use crate::metrics::Metrics;
use crate::plan::names::{CONFIG_VERSION, Identity, MANAGER};
use crate::plan::{Applied, Children, Objects, PodMark, Prepared, Wanted};

/// Whoever writes: where to, and whom for.
struct Writer<'w> {
    client: &'w Client,
    identity: &'w Identity,
    metrics: &'w Metrics,
}

/// Makes the children as planned.
///
/// All of them are tried: that one is refused is no reason to hold back a renewed certificate.
///
/// # Errors
///
/// The first of them.
pub async fn apply(
    client: &Client,
    identity: &Identity,
    objects: Objects<Prepared>,
    observed: &Children,
    metrics: &Metrics,
) -> Result<Objects<Applied>, Error> {
    let writer = Writer {
        client,
        identity,
        metrics,
    };
    // Taken apart without `..`: a child that is forgotten here does not compile.
    let Objects {
        config_secret,
        service,
        disruption_budget,
        deployment,
        pods,
        state: PhantomData,
    } = objects;
    let Children {
        config_secret: old_config_secret,
        service: old_service,
        disruption_budget: old_disruption_budget,
        deployment: old_deployment,
    } = observed;
    // The configuration first: the pods mount it. They are told at once, the rest can wait.
    let config_secret = writer.one(config_secret, old_config_secret.as_ref()).await;
    let pods = match &config_secret {
        Ok(config_secret) => writer.tell(pods, config_secret.present()).await,
        Err(_) => Ok(pods),
    };
    let service = writer.service(service, old_service.as_ref()).await;
    let disruption_budget = writer
        .one(disruption_budget, old_disruption_budget.as_ref())
        .await;
    // Pods mount whatever has the configuration's name: if that could not be made, someone else may have it.
    let is_mountable = config_secret.is_ok() || old_config_secret.is_some();
    let deployment = if is_mountable {
        writer.one(deployment, old_deployment.as_ref()).await
    } else {
        Ok(Wanted::Kept)
    };
    Ok(Objects {
        config_secret: config_secret?,
        service: service?,
        disruption_budget: disruption_budget?,
        deployment: deployment?,
        pods: pods?,
        state: PhantomData,
    })
}

impl Writer<'_> {
    /// Makes one child as planned.
    async fn one<K>(&self, wanted: Wanted<K>, observed: Option<&K>) -> Result<Wanted<K>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Serialize
            + Debug,
    {
        match (wanted, observed) {
            (Wanted::Present(wanted), Some(observed)) if is_applied(&*wanted, observed) => {
                Ok(Wanted::Present(Box::new(observed.clone())))
            }
            (Wanted::Present(wanted), observed) => Ok(Wanted::Present(Box::new(
                self.write(*wanted, observed).await?,
            ))),
            (Wanted::Absent, Some(observed)) => {
                self.delete(observed).await?;
                Ok(Wanted::Absent)
            }
            (Wanted::Absent, None) => Ok(Wanted::Absent),
            (Wanted::Kept, _) => Ok(Wanted::Kept),
        }
    }

    /// Makes the Service as planned. Ports that someone else put there can make it invalid together with
    /// ours, because applying only adds: then the list is replaced as a whole, and it is tried again.
    async fn service(
        &self,
        wanted: Wanted<Service>,
        observed: Option<&Service>,
    ) -> Result<Wanted<Service>, Error> {
        let refused = match (
            self.one(wanted.clone(), observed).await,
            wanted.present(),
            observed,
        ) {
            (Err(error), Some(wanted), Some(observed)) if error.is_invalid() => self
                .replace_ports(wanted, observed)
                .await
                .map_err(|_| error),
            (result, _, _) => return result,
        };
        refused?;
        self.one(wanted, observed).await
    }

    async fn replace_ports(&self, wanted: &Service, observed: &Service) -> Result<(), Error> {
        let ports = wanted.spec.as_ref().and_then(|spec| spec.ports.clone());
        let patch = json!({"metadata": {"uid": observed.uid()}, "spec": {"ports": ports}});
        let name = wanted.name_any();
        let api: Api<Service> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let (params, patch) = (merge_params(), Patch::Merge(patch));
        let object = format!("Service {name}");
        let patched = call("patch", &object, api.patch(&name, &params, &patch)).await;
        self.metrics.wrote("Service", "patch", patched.is_ok());
        patched.map(drop)
    }

    /// Applies one child on the server's side.
    async fn write<K>(&self, mut wanted: K, observed: Option<&K>) -> Result<K, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Serialize
            + Debug,
    {
        let (name, mut params) = (wanted.name_any(), PatchParams::apply(MANAGER));
        // With force only on the very object that was looked at, and found to be ours: if it is another
        // one by now, or was not there and is now, the API server answers with a conflict.
        if let Some(observed) = observed {
            params = params.force();
            wanted.meta_mut().uid.clone_from(&observed.meta().uid);
        }
        let object = format!("{} {name}", K::kind(&()));
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let patch = Patch::Apply(&wanted);
        let written = call("apply", &object, api.patch(&name, &params, &patch)).await;
        self.metrics.wrote(&K::kind(&()), "apply", written.is_ok());
        written
    }

    /// Deletes the very object that was looked at.
    async fn delete<K>(&self, observed: &K) -> Result<(), Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let name = observed.name_any();
        let object = format!("{} {name}", K::kind(&()));
        let uid = Preconditions {
            uid: observed.uid(),
            resource_version: None,
        };
        let params = DeleteParams::background().preconditions(uid);
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let deleted = call("delete", &object, api.delete(&name, &params)).await;
        self.metrics.wrote(&K::kind(&()), "delete", deleted.is_ok());
        match deleted {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Tells the pods the configuration's version, so that the kubelet looks at the mounted Secret at
    /// once and not within a minute or two.
    async fn tell<K: Resource>(
        &self,
        pods: Vec<PodMark>,
        config_secret: Option<&K>,
    ) -> Result<Vec<PodMark>, Error> {
        let Some(version) = config_secret.and_then(ResourceExt::resource_version) else {
            return Ok(pods);
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {CONFIG_VERSION: &version}}}));
        let params = merge_params();
        let mut told = Vec::with_capacity(pods.len());
        let mut refused = None;
        for pod in pods {
            if pod.version.as_ref() != Some(&version) {
                let object = format!("Pod {}", pod.name);
                let patched = api.patch_metadata(&pod.name, &params, &patch);
                let patched = call("patch", &object, patched).await;
                self.metrics.wrote("Pod", "patch", patched.is_ok());
                match patched {
                    // The other pods are told all the same.
                    Err(error) if !error.is_not_found() => {
                        refused.get_or_insert(error);
                    }
                    // A pod that is gone needs no telling.
                    Ok(_) | Err(_) => {}
                }
            }
            told.push(PodMark {
                version: Some(version.clone()),
                ..pod
            });
        }
        refused.map_or(Ok(told), Err)
    }
}

fn merge_params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}
