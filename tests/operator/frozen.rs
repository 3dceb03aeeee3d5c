//! Two API servers of one etcd, one of which is frozen: it stays behind, and goes on later. The operator comes to it from the
//! fresh one, as through a load balancer, and so goes back in time. What it has written is never replaced by what was
//! before, and the last change counts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tests::pki::Leaf;
use tests::pods::config_of;
use tests::wait::eventually_async;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;

use crate::fixture::{Fixture, spawn_operator};
use crate::proxy::Proxy;

/// Upper bound for the next try of a watch, which doubles its wait with each failure, and for an API server to recover.
const RECOVERY: Duration = Duration::from_secs(180);

/// The operator has so many watches.
const WATCHES: usize = 7;

/// A connection to etcd that can be frozen: nothing passes meanwhile, and nothing is lost.
struct Freezer {
    addr: SocketAddr,
    is_frozen: watch::Sender<bool>,
}

impl Freezer {
    async fn start(etcd: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (is_frozen, seen) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(etcd).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, seen.clone()));
                tokio::spawn(pass(from_server, to_client, seen.clone()));
            }
        });
        Self { addr, is_frozen }
    }

    fn freeze(&self, is_frozen: bool) {
        self.is_frozen.send(is_frozen).unwrap();
    }
}

async fn pass(
    from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut is_frozen: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        if from.readable().await.is_err() {
            return;
        }
        if is_frozen.wait_for(|is_frozen| !is_frozen).await.is_err() {
            return;
        }
        match from.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(count) if to.write_all(&bytes[..count]).await.is_ok() => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// What the config Secret and the Deployment have said, in order: the number of the certificate, and the replicas.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(Vec<usize>, Vec<i32>)>>);

impl Seen {
    /// Watches both at the API server that is not frozen.
    fn watch(&self, cluster: &Fixture, leaves: Vec<Leaf>) {
        let (secrets, deployments): (Api<Secret>, Api<Deployment>) = (cluster.api(), cluster.api());
        let seen = self.clone();
        tokio::spawn(async move {
            let config = watcher::Config::default().fields("metadata.name=edge-mqtts");
            let watch = watcher(secrets, config).default_backoff().applied_objects();
            let each = watch.try_for_each(async |secret| {
                let config = config_of(&secret);
                let is = |leaf: &Leaf| config.pem.expose().contains(leaf.key_pem.trim());
                let mut all = seen.0.lock().unwrap();
                all.0.extend(leaves.iter().position(is));
                Ok(())
            });
            each.await
        });
        let seen = self.clone();
        tokio::spawn(async move {
            let watch = watcher(deployments, watcher::Config::default());
            let watch = watch.default_backoff().applied_objects();
            let each = watch.try_for_each(async |deployment| {
                let replicas = deployment.spec.and_then(|spec| spec.replicas);
                seen.0.lock().unwrap().1.extend(replicas);
                Ok(())
            });
            each.await
        });
    }

    fn assert_nothing_came_back(&self) {
        let (certificates, replicas) = &*self.0.lock().unwrap();
        assert!(certificates.is_sorted(), "{certificates:?}");
        assert!(replicas.is_sorted(), "{replicas:?}");
    }
}

/// Waits until this certificate is rendered.
async fn rendered(cluster: &Fixture, leaf: &Leaf, within: Duration) {
    let (secrets, key) = (cluster.api::<Secret>(), leaf.key_pem.trim());
    let look = || async {
        let config = config_of(&secrets.get("edge-mqtts").await.unwrap());
        config.pem.expose().contains(key).then_some(())
    };
    eventually_async(within, "the certificate is rendered", look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_api_server_brings_nothing_back() {
    let cluster = Fixture::without_operator("frozen").await;
    let freezer = Freezer::start(cluster.server.etcd_addr()).await;
    let behind = cluster.server.beside(freezer.addr);
    let proxy = Proxy::start(behind.client().await).await;
    let _operator = spawn_operator(&proxy.kubeconfig, &["--namespace", &cluster.namespace]);
    let leaves: Vec<Leaf> = (0..4).map(|_| cluster.leaf("edge")).collect();
    cluster.put_tls("edge-tls", &leaves[0]).await;
    cluster.apply_listener("edge", "");
    cluster.wait_until_programmed("edge").await;
    let seen = Seen::default();
    seen.watch(&cluster, leaves.clone());

    // The operator does not see this at first, and then comes to the fresh API server.
    freezer.freeze(true);
    cluster.put_tls("edge-tls", &leaves[1]).await;
    cluster.apply_listener("edge", "  replicas: 3\n");
    proxy.lead_to(cluster.client.clone());
    rendered(&cluster, &leaves[1], RECOVERY).await;
    cluster.wait_until_programmed("edge").await;
    cluster.put_tls("edge-tls", &leaves[2]).await;
    rendered(&cluster, &leaves[2], RECOVERY).await;
    cluster.settle().await;

    // Back in time: the watches of the frozen one are at the first certificate, and it cannot read from etcd.
    let watches = proxy.answered();
    proxy.lead_to(behind.client().await);
    let look = || async { (proxy.answered() >= watches + WATCHES).then_some(()) };
    eventually_async(RECOVERY, "all watches are at the frozen one", look).await;
    cluster.put_tls("edge-tls", &leaves[3]).await;
    cluster.apply_listener("edge", "  replicas: 4\n");
    freezer.freeze(false);
    rendered(&cluster, &leaves[3], RECOVERY).await;
    let deployments = cluster.api::<Deployment>();
    let look = || async {
        let spec = deployments.get("edge-mqtts").await.unwrap().spec?;
        (spec.replicas == Some(4)).then_some(())
    };
    eventually_async(RECOVERY, "the last change is applied", look).await;
    cluster.wait_until_programmed("edge").await;

    // And back to the fresh one, at rest.
    let before = deployments.get("edge-mqtts").await.unwrap();
    proxy.lead_to(cluster.client.clone());
    cluster.settle().await;
    let after = deployments.get("edge-mqtts").await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());
    seen.assert_nothing_came_back();
    let (certificates, replicas) = seen.0.lock().unwrap().clone();
    assert_eq!(certificates.last(), Some(&3), "{certificates:?}");
    assert_eq!(replicas.last(), Some(&4), "{replicas:?}");
}
