//! Reads the objects that a listener references. It must not read any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::api::call::{Error, call};
use crate::crd::MqttTlsListener;
use crate::kinds::{Kind, Target, Verb};
use crate::plan::names::Name;
use crate::plan::references;

/// Reads one object, if it exists.
pub(super) async fn get<K>(
    client: &Client,
    target: &Target,
    namespace: &str,
    name: &str,
) -> Result<Option<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    call(Verb::Get, target, api.get_opt(name)).await
}

/// Reads the referenced objects of one kind that exist.
pub(super) async fn named<K>(
    client: &Client,
    kind: Kind,
    listener: &MqttTlsListener,
) -> Result<BTreeMap<Name, K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let names = references::named(kind, listener).into_iter();
    let names: BTreeSet<_> = names.collect();
    let gets = names.into_iter().map(async |(namespace, name)| {
        let target = Target::one(kind, name);
        let found = get::<K>(client, &target, namespace, name).await?;
        Ok::<_, Error>(found.map(|object| (Name::new(namespace, name), object)))
    });
    // Wait for all reads, so that the same one of several errors is reported each time.
    let found: Vec<Option<_>> = join_all(gets)
        .await
        .into_iter()
        .collect::<Result<_, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}
