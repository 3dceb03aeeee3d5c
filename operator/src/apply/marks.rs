//! Annotates the pods with the configuration's version, so that the kubelet refreshes the mounted Secret at once
//! and not only after a minute or two. It must not delay the other children for longer than one call.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::Patch;
use serde_json::json;
use tokio::time::timeout;

use super::writer::Writer;
use crate::api::call::{CALL_DEADLINE, Error, call};
use crate::api::patch::merge;
use crate::kinds::{Child, Kind, Target, Verb, Version};
use crate::plan::names::CONFIG_VERSION;
use crate::plan::objects::{Children, PodMark};

/// Maximum number of concurrent patches: a listener may have two hundred pods during a rollout.
const MARKS_AT_ONCE: usize = 16;

/// Marks the pods with the version of the config Secret, and returns the versions of the marked pods by name.
pub(super) async fn mark_all(
    writer: &Writer<'_>,
    pods: &[PodMark],
    children: &Children,
) -> Result<BTreeMap<String, Version>, Error> {
    let config_secret = children.of(Child::Configuration);
    let version = config_secret.and_then(|secret| secret.metadata().resource_version.as_ref());
    match version {
        Some(version) => mark(writer, pods, version, CALL_DEADLINE).await,
        None => Ok(BTreeMap::new()),
    }
}

/// Marks the pods with a version, many at once. The next reconciliation marks those that are left at the deadline.
async fn mark(
    writer: &Writer<'_>,
    pods: &[PodMark],
    version: &str,
    deadline: Duration,
) -> Result<BTreeMap<String, Version>, Error> {
    let marks: Vec<_> = pods
        .iter()
        .filter(|pod| pod.version.as_deref() != Some(version))
        .map(|pod| mark_one(writer, &pod.name, version))
        .collect();
    let marks = stream::iter(marks).buffer_unordered(MARKS_AT_ONCE);
    // Try every pod, and report the first failure by name: the status must not change with each try.
    let Ok(marks) = timeout(deadline, marks.collect::<Vec<_>>()).await else {
        let target = Target::of(Kind::Pod, &writer.identity.child_name());
        let verb = Verb::Patch;
        return Err(Error::TimedOut { verb, target });
    };
    let (mut marked, mut failed) = (BTreeMap::new(), Vec::new());
    for mark in marks {
        match mark {
            Ok(version) => marked.extend(version),
            Err(one) => failed.push(one),
        }
    }
    match failed.into_iter().min_by_key(|(name, _)| *name) {
        Some((_, error)) => Err(error),
        None => Ok(marked),
    }
}

async fn mark_one<'p>(
    writer: &Writer<'_>,
    name: &'p str,
    version: &str,
) -> Result<Option<(String, Version)>, (&'p str, Error)> {
    let (kind, verb) = (Kind::Pod, Verb::Patch);
    let api: Api<Pod> = Api::namespaced(writer.client.clone(), &writer.identity.namespace);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {CONFIG_VERSION: version}}}));
    let (target, params) = (Target::one(kind, name), merge());
    let patched = api.patch_metadata(name, &params, &patch);
    let patched = call(verb, &target, patched).await;
    writer.metrics.wrote(kind, verb, patched.is_ok());
    match patched {
        Ok(pod) => Ok(Version::of(kind, &pod.metadata).map(|version| (name.to_owned(), version))),
        // A deleted pod needs no mark.
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err((name, error)),
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

    use super::{MARKS_AT_ONCE, mark};
    use crate::api::call::Error;
    use crate::apply::writer::Writer;
    use crate::metrics::Metrics;
    use crate::plan::names::Identity;
    use crate::plan::objects::PodMark;
    use crate::plan::reason::Reason;

    /// An API server that is slow for each pod, never responds for `silent`, and refuses `bad`.
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

    async fn marked(names: &[String], deadline: Duration) -> (Arc<Server>, Result<(), Error>) {
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
            version: (name == "marked").then(|| "7".to_owned()),
        });
        let pods: Vec<PodMark> = pods.collect();
        let marked = mark(&writer, &pods, "7", deadline).await.map(drop);
        (server, marked)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test]
    async fn pods_are_marked_concurrently_up_to_a_limit() {
        let many: Vec<String> = (0..50).map(|number| format!("pod-{number}")).collect();
        let all = [many, names(&["marked"])].concat();
        let (server, marked) = marked(&all, Duration::from_secs(30)).await;
        assert!(marked.is_ok());
        assert_eq!(server.most.load(Ordering::Relaxed), MARKS_AT_ONCE);
        let asked = server.asked.lock().unwrap().clone();
        assert!(asked.len() == 50 && !asked.contains(&"marked".to_owned()));
    }

    #[tokio::test]
    async fn a_refused_mark_does_not_stop_the_others() {
        let all = names(&["bad-b", "a", "bad-a", "c"]);
        let (server, marked) = marked(&all, Duration::from_secs(30)).await;
        let error = marked.unwrap_err();
        assert!(error.to_string().starts_with("patch Pod bad-a"), "{error}");
        assert_eq!(server.asked.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn an_unanswered_mark_ends_at_the_common_deadline() {
        let all = names(&["silent", "a", "b"]);
        let (server, marked) = marked(&all, Duration::from_millis(300)).await;
        assert_eq!(marked.unwrap_err().reason(), Reason::TimedOut);
        assert_eq!(server.asked.lock().unwrap().len(), 3);
    }
}
