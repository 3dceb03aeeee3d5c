//! Reads everything that one reconciliation is about, and nothing else. It must not write.
//!
//! All of it is read from the API server and not from a cache: what is decided rests on it, and Secrets
//! are not to be held in memory for longer than that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::call::{Error, call};
use crate::crd::{CaKind, MqttTlsListener};
use crate::plan::names::Identity;
use crate::plan::{About, Children, World};

/// Pods that have ended, such as evicted ones, stay for long and mount nothing any more.
const RUNNING: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// How many pods of one listener are looked at: as many as replicas, during a rollout twice.
const PODS_MAX: u32 = 500;

/// What was found.
pub enum Gathered {
    /// The listener and all around it.
    World(Box<World>),
    /// There is no such listener, or it is about to go: the garbage collector takes its children.
    Gone,
    /// It is there, and it does not read as a listener.
    Malformed(Box<InvalidObject>),
    /// It is there, and not all that it takes to judge it can be read: then nothing is planned.
    Unread(Box<Unread>),
}

/// A listener around which something cannot be read.
pub struct Unread {
    /// The listener itself.
    pub listener: MqttTlsListener,
    /// The condition that depends on it.
    pub about: About,
    /// Why not.
    pub error: Error,
}

/// Reads the world of one listener.
pub async fn gather(client: &Client, namespace: &str, name: &str) -> Result<Gathered, Error> {
    let found = get::<DeserializeGuard<MqttTlsListener>>(client, namespace, name).await?;
    let listener = match found {
        None => return Ok(Gathered::Gone),
        Some(DeserializeGuard(Err(invalid))) => return Ok(Gathered::Malformed(Box::new(invalid))),
        Some(DeserializeGuard(Ok(listener))) => listener,
    };
    if listener.metadata.deletion_timestamp.is_some() {
        return Ok(Gathered::Gone);
    }
    let identity = Identity::of(&listener);
    let (secrets, config_maps, backend, children, pods) = futures::join!(
        named(client, namespace, secret_names(&listener)),
        named(client, namespace, config_map_names(&listener)),
        backend(client, namespace, &listener),
        children(client, namespace, &identity),
        pods(client, namespace, &identity),
    );
    let named = secrets.and_then(|secrets| Ok((secrets, config_maps?, backend?)));
    let named = named.map_err(|error| (About::ResolvedRefs, error));
    let made = children.and_then(|children| Ok((children, pods?)));
    let made = made.map_err(|error| (About::Programmed, error));
    // Told is the first in this order, and not what failed first: the status would change with each try, and
    // call for the next one at once.
    Ok(match named.and_then(|named| Ok((named, made?))) {
        Ok(((secrets, config_maps, backend), (children, pods))) => {
            Gathered::World(Box::new(World {
                listener,
                secrets,
                config_maps,
                backend,
                children,
                pods,
            }))
        }
        Err((about, error)) => Gathered::Unread(Box::new(Unread {
            listener,
            about,
            error,
        })),
    })
}

/// The Secrets that a listener names.
pub fn secret_names(listener: &MqttTlsListener) -> BTreeSet<&str> {
    let spec = &listener.spec;
    let ca = spec
        .client_auth
        .ca_ref
        .as_ref()
        .filter(|ca| ca.kind == CaKind::Secret);
    let certificates = spec
        .certificates
        .iter()
        .map(|one| one.secret_ref.name.as_str());
    certificates.chain(ca.map(|ca| ca.name.as_str())).collect()
}

/// The ConfigMaps that a listener names.
pub fn config_map_names(listener: &MqttTlsListener) -> BTreeSet<&str> {
    let ca = listener.spec.client_auth.ca_ref.as_ref();
    ca.filter(|ca| ca.kind == CaKind::ConfigMap)
        .map(|ca| ca.name.as_str())
        .into_iter()
        .collect()
}

/// The Service that a listener names.
pub fn backend_name(listener: &MqttTlsListener) -> Option<&str> {
    listener
        .spec
        .backend
        .service
        .as_ref()
        .map(|service| service.name.as_str())
}

async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let object = format!("{} {name}", K::kind(&()));
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    call("get", &object, api.get_opt(name)).await
}

/// Those of the named objects that exist.
async fn named<K>(
    client: &Client,
    namespace: &str,
    names: BTreeSet<&str>,
) -> Result<BTreeMap<String, K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let gets = names.into_iter().map(async |name| {
        let found = get::<K>(client, namespace, name).await?;
        Ok::<_, Error>(found.map(|object| (name.to_owned(), object)))
    });
    // All are waited for, so that of several errors it is always the same one that is told.
    let found: Vec<Option<_>> = join_all(gets)
        .await
        .into_iter()
        .collect::<Result<_, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}

async fn backend(
    client: &Client,
    namespace: &str,
    listener: &MqttTlsListener,
) -> Result<Option<Service>, Error> {
    match backend_name(listener) {
        Some(name) => get(client, namespace, name).await,
        None => Ok(None),
    }
}

async fn children(
    client: &Client,
    namespace: &str,
    identity: &Identity,
) -> Result<Children, Error> {
    let name = identity.child_name();
    let (config_secret, service, disruption_budget, deployment) = futures::join!(
        get::<Secret>(client, namespace, &name),
        get::<Service>(client, namespace, &name),
        get::<PodDisruptionBudget>(client, namespace, &name),
        get::<Deployment>(client, namespace, &name),
    );
    Ok(Children {
        config_secret: config_secret?,
        service: service?,
        disruption_budget: disruption_budget?,
        deployment: deployment?,
    })
}

async fn pods(
    client: &Client,
    namespace: &str,
    identity: &Identity,
) -> Result<Vec<ObjectMeta>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selected = ListParams::default()
        .labels(&identity.selector_text())
        .fields(RUNNING)
        .limit(PODS_MAX);
    let object = format!("Pods of {}", identity.child_name());
    let pods = call("list", &object, api.list_metadata(&selected)).await?;
    Ok(pods.items.into_iter().map(|pod| pod.metadata).collect())
}
