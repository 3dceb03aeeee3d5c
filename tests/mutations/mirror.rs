//! The present pods, Secrets and Services, and from these the endpoints of a Service, as the endpoints' controller would
//! publish them if a pod's address could be a loopback address. It must not write.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// What is there now.
pub(crate) struct Mirror {
    pub(crate) pods: Store<Pod>,
    pub(crate) secrets: Store<Secret>,
    services: Store<Service>,
}

impl Mirror {
    /// Begins to watch, and waits until all is known.
    pub(crate) async fn start(client: &Client) -> Self {
        let mirror = Self {
            pods: mirrored(client),
            secrets: mirrored(client),
            services: mirrored(client),
        };
        mirror.pods.wait_until_ready().await.unwrap();
        mirror.secrets.wait_until_ready().await.unwrap();
        mirror.services.wait_until_ready().await.unwrap();
        mirror
    }

    /// Where connections to a Service's first port may lead.
    pub(crate) fn endpoints(&self, namespace: &str, service: &str) -> Vec<SocketAddr> {
        let service = self
            .services
            .get(&ObjectRef::new(service).within(namespace));
        let Some(spec) = service.as_ref().and_then(|service| service.spec.as_ref()) else {
            return Vec::new();
        };
        let port = spec.ports.iter().flatten().next().and_then(|port| {
            let port = match &port.target_port {
                Some(IntOrString::Int(number)) => *number,
                Some(IntOrString::String(_)) => return None,
                None => port.port,
            };
            u16::try_from(port).ok()
        });
        let selector = spec.selector.clone().unwrap_or_default();
        let Some(port) = port.filter(|_| !selector.is_empty()) else {
            return Vec::new();
        };
        let pods = self.pods.state();
        let selected = pods.iter().filter(|pod| {
            let labels = pod.metadata.labels.clone().unwrap_or_default();
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.metadata.deletion_timestamp.is_none()
                && selector
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
        });
        let ready = selected.filter_map(|pod| ready_ip(pod));
        ready.map(|ip| SocketAddr::new(ip, port)).collect()
    }
}

/// The address of a ready pod.
fn ready_ip(pod: &Pod) -> Option<IpAddr> {
    let status = pod.status.as_ref()?;
    let is_ready = |one: &k8s_openapi::api::core::v1::PodCondition| {
        one.type_ == "Ready" && one.status == "True"
    };
    status
        .conditions
        .iter()
        .flatten()
        .any(is_ready)
        .then_some(())?;
    status.pod_ip.as_deref()?.parse().ok()
}

fn mirrored<K>(client: &Client) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash,
{
    let (store, writer) = reflector::store();
    let events = watcher(Api::all(client.clone()), watcher::Config::default()).default_backoff();
    let mirrored = reflector::reflector(writer, events);
    tokio::spawn(mirrored.for_each(|_| std::future::ready(())));
    store
}
