//! Plays a workload in a namespace of the API server: the users' acts, and those of the controllers that the server
//! lacks. It must not judge the result.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use mqtt_tls_operator::crd::MqttTlsListener;
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tests::pki::{Ca, Leaf};
use tests::pods::{self, StandIn};
use tests::state::{self, CHILDREN, SERVICE, State, TOUCHED, api};
use tests::wait::eventually_async;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::judge::Outcome;
use crate::proxy::Proxy;
use crate::workloads::{Act, Pair};

/// Upper bound for one act, which takes about a second.
const SOON: Duration = Duration::from_secs(60);

/// How long a change may cause no reconciliation before another one is made.
const TOUCH_AGAIN: Duration = Duration::from_secs(2);

/// How often a Secret is delivered to its pod.
const DELIVERY: Duration = Duration::from_millis(50);

/// A namespace with an operator behind a proxy.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) proxy: Proxy,
    /// The states in which the operator had settled, since writes are counted.
    pub(crate) rests: Vec<State>,
    /// The ready pods, each with its broker, and with what delivers its configuration.
    pub(crate) pods: JoinSet<()>,
    /// The run without a fault, whose rests the operator must reach by itself.
    pub(crate) wanted: Option<Arc<Outcome>>,
}

/// The certificates, which are the same in all runs, so that the results can be compared.
struct Pki {
    first: Leaf,
    renewed: Leaf,
    devices: Ca,
}

static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let ca = Ca::new("server CA");
    let leaf = || ca.leaf().dns("edge.example.com").issue();
    Pki {
        first: leaf(),
        renewed: leaf(),
        devices: Ca::new("device CA"),
    }
});

impl Stage {
    /// Plays the acts in order. Returns why one of them did not end.
    pub(crate) async fn play(&mut self, acts: &[Act]) -> Result<(), String> {
        for act in acts {
            let played = tokio::time::timeout(SOON, self.one(act)).await;
            played.map_err(|_| format!("timed out after {SOON:?} in {act:?}"))?;
        }
        Ok(())
    }

    async fn one(&mut self, act: &Act) {
        match act {
            Act::Tls(secret, pair) => self.put_tls(secret, *pair).await,
            Act::Ca(name) => {
                let data = [("ca.crt".to_owned(), PKI.devices.cert_pem())].into();
                let map = ConfigMap {
                    metadata: named(name),
                    data: Some(data),
                    ..ConfigMap::default()
                };
                let api: Api<ConfigMap> = self.api();
                api.patch(name, &user(), &Patch::Apply(&map)).await.unwrap();
            }
            Act::Listener(name, secret, more) => self.put_listener(name, secret, more).await,
            Act::Delete(name) => {
                let api: Api<MqttTlsListener> = self.api();
                api.delete(name, &DeleteParams::default()).await.unwrap();
            }
            Act::Foreign(name) => self.put_foreign(name).await,
            Act::Edit(kind, name, patch) => {
                let patch: Value = serde_json::from_str(patch).unwrap();
                let (api, params) = (self.children(*kind), PatchParams::default());
                let patch = Patch::Merge(patch);
                api.patch(name, &params, &patch).await.unwrap();
            }
            Act::Remove(kind, name) => {
                let (api, params) = (self.children(*kind), DeleteParams::default());
                api.delete(name, &params).await.unwrap();
            }
            Act::Collect => self.collect().await,
            Act::Pods(listener) => self.make_pods(listener).await,
            Act::Available(listener) => self.make_available(listener).await,
            Act::Serve(listener) => self.serve(listener).await,
            Act::Led(listener, port) => self.led(listener, *port).await,
            Act::Settle(listeners) => {
                self.reach().await;
                for listener in *listeners {
                    self.settle(listener).await;
                }
                self.rest().await;
            }
            Act::SettleOrFault(listener) => {
                let faulted = self
                    .proxy
                    .wait_for(|record| record.is_faulted.then_some(()));
                tokio::select! {
                    () = self.settle(listener) => {}
                    () = faulted => {}
                }
            }
            Act::Stop => self.proxy.operator().stop().await,
        }
    }

    /// Keeps the state.
    async fn rest(&mut self) {
        if self.proxy.record().is_counted() {
            self.rests.push(self.state().await);
        }
    }

    /// Waits until the operator has reached the same state as without a fault, before any change makes it look again.
    async fn reach(&self) {
        let Some(wanted) = &self.wanted else {
            return;
        };
        if self.proxy.record().is_counted() {
            let mut record = self.proxy.watch();
            while self.state().await != wanted.rests[self.rests.len()] {
                record.changed().await.unwrap();
            }
        }
    }

    async fn state(&self) -> State {
        state::read(&self.client, &self.namespace).await
    }

    /// Waits until a whole reconciliation that began after this call has tried no write. It has ended when the next
    /// one of the same listener begins.
    async fn settle(&self, listener: &str) {
        loop {
            let begin = self.proxy.record().end();
            let first = self.look(begin, listener).await;
            let second = self.look(first + 1, listener).await;
            if !self.proxy.record().has_write(first, second, listener) {
                return;
            }
        }
    }

    /// Triggers a reconciliation, and waits for its beginning. The reconciliation before may still be about to read the
    /// listener, and then sees this change too, so that the event is not worth another look: the listener is changed
    /// again.
    async fn look(&self, from: usize, listener: &str) -> usize {
        let listeners: Api<MqttTlsListener> = self.api();
        for touch in 0.. {
            let label = json!({"metadata": {"labels": {TOUCHED: format!("at-{from}-{touch}")}}});
            let params = PatchParams::default();
            listeners
                .patch(listener, &params, &Patch::Merge(label))
                .await
                .unwrap();
            let look = self.proxy.wait_for(|record| record.look(from, listener));
            if let Ok(look) = tokio::time::timeout(TOUCH_AGAIN, look).await {
                return look;
            }
        }
        unreachable!("the loop has no end");
    }

    async fn put_tls(&self, name: &str, pair: Pair) {
        let Pki { first, renewed, .. } = &*PKI;
        let (chain, key) = match pair {
            Pair::First => (&first.chain_pem, &first.key_pem),
            Pair::Renewed => (&renewed.chain_pem, &renewed.key_pem),
            Pair::Mismatch => (&renewed.chain_pem, &first.key_pem),
        };
        let secret = Secret {
            metadata: named(name),
            string_data: Some(
                [
                    ("tls.crt".to_owned(), chain.clone()),
                    ("tls.key".to_owned(), key.clone()),
                ]
                .into(),
            ),
            ..Secret::default()
        };
        let api: Api<Secret> = self.api();
        api.patch(name, &user(), &Patch::Apply(&secret))
            .await
            .unwrap();
    }

    async fn put_listener(&self, name: &str, secret: &str, more: &str) {
        let mut spec = json!({
            "certificates": [{"secretRef": {"name": secret}}],
            "backend": {"address": {"host": "broker.example.com"}},
        });
        let more: Map<String, Value> = serde_json::from_str(more).unwrap();
        spec.as_object_mut().unwrap().extend(more);
        let listener = json!({
            "apiVersion": "mqtt.smartboot.tech/v1alpha1", "kind": "MqttTlsListener",
            "metadata": {"name": name}, "spec": spec,
        });
        let api: Api<MqttTlsListener> = self.api();
        api.patch(name, &user(), &Patch::Apply(&listener))
            .await
            .unwrap();
    }

    async fn put_foreign(&self, name: &str) {
        let spec = json!({"ports": [{"port": 80}], "selector": {"app": "theirs"}});
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec,
        });
        let api = self.children(SERVICE);
        api.patch(name, &user(), &Patch::Apply(service))
            .await
            .unwrap();
    }

    async fn make_pods(&self, listener: &str) {
        let account = ServiceAccount {
            metadata: named("default"),
            ..ServiceAccount::default()
        };
        let accounts: Api<ServiceAccount> = self.api();
        let patch = Patch::Apply(&account);
        accounts.patch("default", &user(), &patch).await.unwrap();
        let deployments: Api<Deployment> = self.api();
        let deployment = deployments.get(&format!("{listener}-mqtts")).await.unwrap();
        let template = deployment.spec.unwrap().template;
        let pods: Api<Pod> = self.api();
        for number in 1..=2 {
            let mut metadata = template.metadata.clone().unwrap();
            metadata.name = Some(format!("{listener}-mqtts-{number}"));
            let pod = Pod {
                metadata,
                spec: template.spec.clone(),
                status: None,
            };
            pods.create(&PostParams::default(), &pod).await.unwrap();
        }
    }

    async fn serve(&mut self, listener: &str) {
        let (secrets, pods): (Api<Secret>, Api<Pod>) = (self.api(), self.api());
        let name = format!("{listener}-mqtts");
        let mut config = pods::config_of(&secrets.get(&name).await.unwrap());
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = broker.local_addr().unwrap().port();
        let pod = StandIn::start(config.clone(), port);
        pods::report_ready(&pods, &format!("{name}-1"), pod.ip).await;
        self.pods.spawn(async move {
            let (pod, _broker) = (pod, broker);
            loop {
                tokio::time::sleep(DELIVERY).await;
                // The last test may have ended the API server.
                let Ok(Some(secret)) = secrets.get_opt(&name).await else {
                    continue;
                };
                let rendered = pods::config_of(&secret);
                if rendered != config {
                    let placed = pods::placed(rendered.clone(), pod.ip, port);
                    pods::write(&pod.file, &placed);
                    config = rendered;
                }
            }
        });
    }

    async fn led(&self, listener: &str, port: u16) {
        let (services, name): (Api<Service>, _) = (self.api(), format!("{listener}-mqtts"));
        let look = || async {
            let ports = services.get(&name).await.unwrap().spec.unwrap().ports;
            let leads = ports.is_some_and(|ports| ports[0].port == i32::from(port));
            leads.then_some(())
        };
        eventually_async(2 * SOON, "the Service leads to the port", look).await;
    }

    async fn make_available(&self, listener: &str) {
        let (deployments, name): (Api<Deployment>, _) = (self.api(), format!("{listener}-mqtts"));
        let deployment = deployments.get(&name).await.unwrap();
        let replicas = deployment.spec.unwrap().replicas;
        let status = json!({"status": {
            "observedGeneration": deployment.metadata.generation,
            "replicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "updatedReplicas": replicas,
        }});
        deployments
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// The operator is stopped meanwhile, so that it sees all of it at once, in each run.
    async fn collect(&self) {
        self.proxy.operator().signal(Signal::STOP);
        let listeners: Api<MqttTlsListener> = self.api();
        let living = listeners.list(&ListParams::default()).await.unwrap();
        let living: Vec<String> = living.iter().filter_map(ResourceExt::uid).collect();
        for kind in CHILDREN {
            let api = api(&self.client, &self.namespace, kind);
            for child in api.list(&ListParams::default()).await.unwrap() {
                let owners = child.owner_references();
                if !owners.is_empty() && owners.iter().all(|owner| !living.contains(&owner.uid)) {
                    self.remove(&api, kind[2], &child).await;
                }
            }
        }
        self.proxy.operator().signal(Signal::CONT);
    }

    /// Deletes a child; with a Deployment also its pods.
    async fn remove(&self, api: &Api<DynamicObject>, kind: &str, child: &DynamicObject) {
        let now = DeleteParams::default().grace_period(0);
        api.delete(&child.name_any(), &now).await.unwrap();
        if kind == "Deployment" {
            let pods: Api<Pod> = self.api();
            let instance = &child.labels()["app.kubernetes.io/instance"];
            let selected = format!("app.kubernetes.io/instance={instance}");
            let selected = ListParams::default().labels(&selected);
            pods.delete_collection(&now, &selected).await.unwrap();
        }
    }

    fn children(&self, kind: usize) -> Api<DynamicObject> {
        api(&self.client, &self.namespace, CHILDREN[kind])
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A user's apply.
fn user() -> PatchParams {
    PatchParams::apply("user").force()
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}
