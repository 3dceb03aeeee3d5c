//! Makes the children as planned: Objects<Prepared> in, Objects<Applied> out.
//!
//! It must decide nothing, and must write nothing when nothing differs. Every write can be made twice:
//! it may have worked although it seemed not to.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use crate::call::{CALL_DEADLINE, Error, call};
use crate::compare::is_applied;
use crate::metrics::Metrics;
use crate::plan::names::{CONFIG_VERSION, Identity, MANAGER};
use crate::plan::{Applied, Children, Objects, PodMark, Prepared, Wanted};

/// How many pods are told at once: a listener may have two hundred of them during a rollout.
const MARKS_AT_ONCE: usize = 16;

/// Whoever writes: where to, and whom for.
struct Writer<'w> {
    client: &'w Client,
    identity: &'w Identity,
    metrics: &'w Metrics,
}

/// Not all children could be made as planned.
#[derive(Debug)]
pub struct Failed {
    /// The first error.
    pub error: Error,
    /// Whether the configuration is as planned all the same.
    pub is_configured: bool,
}

/// Makes the children as planned.
///
/// All of them are tried: that one is refused is no reason to hold back a renewed certificate.
pub async fn apply(
    client: &Client,
    identity: &Identity,
    objects: Objects<Prepared>,
    observed: &Children,
    metrics: &Metrics,
) -> Result<Objects<Applied>, Failed> {
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
    match (config_secret, service, disruption_budget, deployment, pods) {
        (Ok(config_secret), Ok(service), Ok(disruption_budget), Ok(deployment), Ok(pods)) => {
            Ok(Objects {
                config_secret,
                service,
                disruption_budget,
                deployment,
                pods,
                state: PhantomData,
            })
        }
        (Err(error), ..) => Err(Failed {
            error,
            is_configured: false,
        }),
        (_, Err(error), ..)
        | (_, _, Err(error), ..)
        | (_, _, _, Err(error), _)
        | (.., Err(error)) => Err(Failed {
            error,
            is_configured: true,
        }),
    }
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
        // With force only on the very object that was looked at, and found to be ours: if it is another one by
        // now, the API server answers with a conflict. One that was not there and is now is a conflict only where it
        // differs in what is ours: applying cannot ask for an object to be new, and creating would record the fields
        // in another way. Someone would have to take this very name in the moments since it was looked for.
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
        match config_secret.and_then(ResourceExt::resource_version) {
            Some(version) => self.mark(pods, version, CALL_DEADLINE).await,
            None => Ok(pods),
        }
    }

    /// Marks the pods with a version, many at once. Those that are left at the deadline are marked at the next try.
    async fn mark(
        &self,
        pods: Vec<PodMark>,
        version: String,
        deadline: Duration,
    ) -> Result<Vec<PodMark>, Error> {
        let marks: Vec<_> = pods
            .iter()
            .filter(|pod| pod.version.as_ref() != Some(&version))
            .map(|pod| self.mark_one(&pod.name, &version))
            .collect();
        let marks = stream::iter(marks).buffer_unordered(MARKS_AT_ONCE);
        // Each pod is tried. Told is the first by its name: the status is to say the same at each try.
        let failed = marks.filter_map(async |marked| marked.err());
        let Ok(failed) = timeout(deadline, failed.collect::<Vec<_>>()).await else {
            let object = format!("Pods of {}", self.identity.child_name());
            let verb = "patch";
            return Err(Error::TimedOut { verb, object });
        };
        match failed.into_iter().min_by_key(|(name, _)| *name) {
            Some((_, error)) => Err(error),
            None => Ok(pods
                .into_iter()
                .map(|pod| PodMark {
                    version: Some(version.clone()),
                    ..pod
                })
                .collect()),
        }
    }

    async fn mark_one<'p>(&self, name: &'p str, version: &str) -> Result<(), (&'p str, Error)> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {CONFIG_VERSION: version}}}));
        let (object, params) = (format!("Pod {name}"), merge_params());
        let patched = api.patch_metadata(name, &params, &patch);
        let patched = call("patch", &object, patched).await;
        self.metrics.wrote("Pod", "patch", patched.is_ok());
        match patched {
            Err(error) if !error.is_not_found() => Err((name, error)),
            // A pod that is gone needs no telling.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn merge_params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use prometheus_client::registry::Registry;
    use tower::service_fn;

    use super::{MARKS_AT_ONCE, Writer};
    use crate::call::Error;
    use crate::metrics::Metrics;
    use crate::plan::PodMark;
    use crate::plan::names::Identity;

    /// An API server that takes its time for each pod, never answers about `silent`, and refuses `bad`.
    #[derive(Default)]
    struct Server {
        running: AtomicUsize,
        most: AtomicUsize,
        asked: Mutex<Vec<String>>,
    }

    impl Server {
        async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(running, Ordering::Relaxed);
            let path = request.uri().path();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            self.asked.lock().unwrap().push(name.clone());
            if name == "silent" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.running.fetch_sub(1, Ordering::Relaxed);
            let (code, body) = if name.starts_with("bad") {
                let status = serde_json::json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden",
                });
                (403, status)
            } else {
                let metadata = serde_json::json!({"metadata": {"name": name}});
                (200, metadata)
            };
            let response = Response::builder().status(code);
            Ok(response
                .body(Body::from(body.to_string().into_bytes()))
                .unwrap())
        }
    }

    async fn mark(names: &[String], deadline: Duration) -> (Arc<Server>, Result<usize, Error>) {
        let server = Arc::new(Server::default());
        let answers = Arc::clone(&server);
        let service = service_fn(move |request| {
            let answers = Arc::clone(&answers);
            async move { answers.answer(request).await }
        });
        let writer = Writer {
            client: &Client::new(service, "iot"),
            identity: &Identity {
                name: "edge".to_owned(),
                namespace: "iot".to_owned(),
                uid: "u".to_owned(),
                generation: None,
            },
            metrics: &Metrics::new(&mut Registry::default()),
        };
        let pods = names.iter().map(|name| PodMark {
            name: name.clone(),
            version: (name == "told").then(|| "7".to_owned()),
        });
        let marked = writer.mark(pods.collect(), "7".to_owned(), deadline).await;
        (server, marked.map(|pods| pods.len()))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test]
    async fn many_pods_are_told_at_once_and_not_all() {
        let many: Vec<String> = (0..50).map(|number| format!("pod-{number}")).collect();
        let all = [many, names(&["told"])].concat();
        let (server, marked) = mark(&all, Duration::from_secs(30)).await;
        assert_eq!(marked.unwrap(), 51);
        assert_eq!(server.most.load(Ordering::Relaxed), MARKS_AT_ONCE);
        let asked = server.asked.lock().unwrap().clone();
        assert!(asked.len() == 50 && !asked.contains(&"told".to_owned()));
    }

    #[tokio::test]
    async fn one_that_is_refused_holds_up_no_other() {
        let all = names(&["bad-b", "a", "bad-a", "c"]);
        let (server, marked) = mark(&all, Duration::from_secs(30)).await;
        let error = marked.unwrap_err();
        assert!(error.to_string().starts_with("patch Pod bad-a"), "{error}");
        assert_eq!(server.asked.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn one_that_is_silent_takes_no_longer_than_all() {
        let all = names(&["silent", "a", "b"]);
        let (server, marked) = mark(&all, Duration::from_millis(300)).await;
        assert_eq!(marked.unwrap_err().reason(), "TimedOut");
        assert_eq!(server.asked.lock().unwrap().len(), 3);
    }
}
