//! Reads the objects that a listener references. It must not read any other.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::{StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::api::call::{Error, call};
use crate::crd::MqttTlsListener;
use crate::kinds::{Kind, Target, Verb};
use crate::plan::grants::Grants;
use crate::plan::names::Name;
use crate::plan::references;

/// Maximum number of objects of one kind that are read at once for a listener: hosts may reference hundreds.
const READS_AT_ONCE: usize = 16;

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
    (listener, grants): (&MqttTlsListener, &Grants),
) -> Result<BTreeMap<Name, K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let own = listener.metadata.namespace.as_deref().unwrap_or_default();
    let mut names = references::named(kind, listener);
    // What the listener may not use is not read either.
    names.retain(|name| grants.permit(own, kind, name));
    let gets = names.into_iter().map(async |name| {
        let target = Target::one(kind, &name.name);
        let found = get::<K>(client, &target, &name.namespace, &name.name).await?;
        Ok::<_, Error>(found.map(|object| (name, object)))
    });
    let gets: Vec<_> = gets.collect();
    // Wait for all reads, so that the same one of several errors is reported each time.
    let found: Vec<_> = stream::iter(gets).buffered(READS_AT_ONCE).collect().await;
    let found: Vec<Option<_>> = found.into_iter().collect::<Result<_, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::{Request, Response};
    use k8s_openapi::api::core::v1::Secret;
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::{Grants, READS_AT_ONCE, named};
    use crate::kinds::Kind;

    /// All objects of a listener with many hosts at once would be a burst of hundreds of requests.
    #[tokio::test]
    async fn few_objects_are_read_at_once() {
        let hosts = (0..64).map(|host| {
            json!({"names": [format!("h{host}")], "certificates": [{"secretRef": {"name": format!("s{host}")}}]})
        });
        let listener = json!({
            "metadata": {"name": "edge", "namespace": "iot"},
            "spec": {"certificates": [{"secretRef": {"name": "s0"}}], "backend": {"address": {"host": "broker"}},
                     "hosts": hosts.collect::<Vec<_>>()},
        });
        let listener = serde_json::from_value(listener).unwrap();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let server = service_fn(move |request: Request<Body>| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let now = running.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                // Others that are asked for at the same time begin meanwhile.
                for _ in 0..256 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::Relaxed);
                let name = request.uri().path().rsplit('/').next().unwrap_or_default();
                let secret = json!({"metadata": {"name": name}}).to_string();
                Ok::<_, Infallible>(Response::new(Body::from(secret.into_bytes())))
            }
        });
        let client = Client::new(server, "iot");
        let found = named::<Secret>(&client, Kind::Secret, (&listener, &Grants::default()))
            .await
            .unwrap();
        assert_eq!(found.len(), 64);
        assert_eq!(seen.load(Ordering::Relaxed), READS_AT_ONCE);
    }
}
