//! What a listener names. It must not be read if it is not named.

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

/// One object, if it exists.
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

/// Those of the named objects of a kind that exist.
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
    // All are waited for, so that of several errors it is always the same one that is reported.
    let found: Vec<Option<_>> = join_all(gets)
        .await
        .into_iter()
        .collect::<Result<_, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}
