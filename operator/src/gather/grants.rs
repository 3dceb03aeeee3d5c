//! Reads what a listener may reference in other namespaces. It must not read more than these namespaces.

use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client};

use super::Seen;
use crate::api::call::{Error, call};
use crate::crd::MqttTlsListener;
use crate::kinds::{Kind, Target, Verb, Version};
use crate::plan::grants::{Grant, Grants};
use crate::plan::references;

/// Reads the ReferenceGrants in the namespaces that a listener references. A cluster without the Gateway API has none.
pub(super) async fn grants(
    client: &Client,
    listener: &MqttTlsListener,
    seen: &Seen,
) -> Result<Grants, Error> {
    let mut all = Vec::new();
    let places = references::named(Kind::ReferenceGrant, listener).into_iter();
    // An operator for one namespace has no rights in others.
    for place in places.filter(|_| !seen.is_namespaced) {
        all.extend(of_namespace(client, &place.namespace, seen).await?);
    }
    Ok(Grants::new(all))
}

async fn of_namespace(client: &Client, namespace: &str, seen: &Seen) -> Result<Vec<Grant>, Error> {
    let mut found = Ok(Vec::new());
    for resource in Kind::ReferenceGrant.row().resources() {
        found = listed(client, namespace, &resource).await;
        if !found.as_ref().is_err_and(Error::is_not_found) {
            return found;
        }
    }
    // An API server that has just started serves none for a moment.
    if seen.unserved.contains(&Kind::ReferenceGrant) {
        return Ok(Vec::new());
    }
    found
}

async fn listed(
    client: &Client,
    namespace: &str,
    resource: &ApiResource,
) -> Result<Vec<Grant>, Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    let target = Target::of(Kind::ReferenceGrant, namespace);
    let found = call(Verb::List, &target, api.list(&ListParams::default())).await?;
    let grants = found.items.into_iter().map(|grant| Grant {
        namespace: namespace.to_owned(),
        version: Version::of(Kind::ReferenceGrant, &grant.metadata),
        // What cannot be parsed permits nothing.
        spec: serde_json::from_value(grant.data["spec"].clone()).unwrap_or_default(),
    });
    Ok(grants.collect())
}
