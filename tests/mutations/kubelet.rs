//! Stands in for the kubelets: each pod of a terminator is the real program on a loopback address, with the files that the
//! pod's volumes name. Pods are made, scheduled and deleted by Kubernetes' own controllers. It must not judge.
//!
//! What it changes in a configuration, because all pods share this machine: addresses to listen on that stand for all
//! addresses become the pod's own, and the names of the broker become its address. An address that no pod could have stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt};
use mqtt_tls_config::Config;
use rustix::process::Signal;
use serde_json::json;
use tests::process::Process;
use tests::{programs, workdir};

use crate::mirror::Mirror;

/// How often a pod is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often a pod is asked whether it is ready.
const PROBE: Duration = Duration::from_millis(200);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// The pause before a program that ended is started again.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long a deleted pod goes on as before, and how long it may drain. Both are shorter than on a node.
const PRE_STOP: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(3);

/// The broker's names in configurations; another name is left as it is.
const BROKERS: [&str; 2] = ["broker.example.com", "broker."];
/// The broker's port in configurations.
const BROKER_PORT: u16 = 1883;
/// The port of probes.
const ADMIN: u16 = 9883;

/// All kubelets.
pub(crate) struct Kubelet {
    client: Client,
    mirror: Arc<Mirror>,
    broker: SocketAddr,
    /// The addresses of pods that are deleted, or were.
    stopped: Mutex<BTreeSet<IpAddr>>,
}

/// A pod's files and its program.
struct Running {
    home: PathBuf,
    ip: IpAddr,
    written: BTreeMap<PathBuf, String>,
    process: Process,
    started: Instant,
    is_ready: Option<bool>,
}

impl Kubelet {
    /// Serves all pods that are bound to nodes.
    pub(crate) fn start(client: Client, mirror: Arc<Mirror>, broker: SocketAddr) -> Arc<Self> {
        let kubelet = Arc::new(Self {
            client,
            mirror,
            broker,
            stopped: Mutex::default(),
        });
        let all = Arc::clone(&kubelet);
        tokio::spawn(async move {
            let mut known = BTreeSet::new();
            loop {
                for pod in all.mirror.pods.state() {
                    let is_bound = pod
                        .spec
                        .as_ref()
                        .is_some_and(|spec| spec.node_name.is_some());
                    if is_bound && known.insert(pod.uid().unwrap_or_default()) {
                        let all = Arc::clone(&all);
                        tokio::spawn(async move { all.serve(&pod).await });
                    }
                }
                tokio::time::sleep(TICK).await;
            }
        });
        kubelet
    }

    /// Reports whether the pod at this address is deleted, or was.
    pub(crate) fn is_stopped(&self, ip: IpAddr) -> bool {
        self.stopped.lock().unwrap().contains(&ip)
    }

    async fn serve(&self, pod: &Pod) {
        let Some(mut running) = self.begin(pod).await else {
            self.forget(pod).await;
            return;
        };
        let mut asked = Instant::now();
        while let Some(now) = self.present(pod) {
            if now.metadata.deletion_timestamp.is_some() {
                break;
            }
            self.deliver(&now, &running.home, running.ip, &mut running.written);
            if !running.process.is_running() && running.started.elapsed() > BACK_OFF {
                running.process = spawn(&now, &running.home);
                running.started = Instant::now();
            }
            if asked.elapsed() > PROBE || running.is_ready != Some(true) {
                asked = Instant::now();
                // A busy machine may take long to answer.
                let Some(is_ready) = is_ready(running.ip).await else {
                    continue;
                };
                if running.is_ready != Some(is_ready) {
                    self.report(&now, running.ip, is_ready).await;
                    running.is_ready = Some(is_ready);
                }
            }
            tokio::time::sleep(TICK).await;
        }
        self.stopped.lock().unwrap().insert(running.ip);
        tokio::time::sleep(PRE_STOP).await;
        running.process.signal(Signal::TERM);
        let begin = Instant::now();
        while running.process.is_running() && begin.elapsed() < DRAIN {
            tokio::time::sleep(TICK).await;
        }
        running.process.kill();
        self.forget(pod).await;
        let _ = std::fs::remove_dir_all(&running.home);
    }

    /// Waits for the pod's volumes, and starts its program. Returns none if the pod is deleted before.
    async fn begin(&self, pod: &Pod) -> Option<Running> {
        let (home, ip, mut written) = (workdir::scratch("pod"), address(), BTreeMap::new());
        loop {
            let now = self.present(pod)?;
            if now.metadata.deletion_timestamp.is_some() {
                return None;
            }
            if self.deliver(&now, &home, ip, &mut written) {
                let process = spawn(&now, &home);
                return Some(Running {
                    home,
                    ip,
                    written,
                    process,
                    started: Instant::now(),
                    is_ready: None,
                });
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn present(&self, pod: &Pod) -> Option<Arc<Pod>> {
        let found = self.mirror.pods.get(&ObjectRef::from_obj(pod))?;
        (found.uid() == pod.uid()).then_some(found)
    }

    /// Writes the files of the pod's volumes that have changed. Returns whether all that must be there are there.
    fn deliver(
        &self,
        pod: &Pod,
        home: &Path,
        ip: IpAddr,
        written: &mut BTreeMap<PathBuf, String>,
    ) -> bool {
        let mut is_complete = true;
        for (volume, secret, is_optional) in volumes(pod) {
            let found = self
                .mirror
                .secrets
                .get(&ObjectRef::new(&secret).within(&pod.namespace().unwrap_or_default()));
            let Some(found) = found else {
                is_complete &= is_optional;
                continue;
            };
            for (key, ByteString(bytes)) in files(&found) {
                let text = self.adapted(&String::from_utf8_lossy(&bytes), ip);
                let file = home.join(&volume).join(key);
                if written.get(&file) != Some(&text) {
                    write(&file, &text);
                    written.insert(file, text);
                }
            }
        }
        is_complete
    }

    /// Returns a configuration as the pod at an address runs it on this machine.
    fn adapted(&self, text: &str, ip: IpAddr) -> String {
        let Ok(mut config) = Config::parse(text) else {
            return text.to_owned();
        };
        if config.host.is_none_or(|host| host.is_unspecified()) {
            config.host = Some(ip);
        }
        config.admin.host = ip;
        if BROKERS
            .iter()
            .any(|name| config.backend.host.starts_with(name))
        {
            config.backend.host = self.broker.ip().to_string();
            if config.backend.port == BROKER_PORT {
                config.backend.port = self.broker.port();
            }
        }
        config.to_yaml().expose().to_string()
    }

    async fn report(&self, pod: &Pod, ip: IpAddr, is_ready: bool) {
        let (ip, ready) = (ip.to_string(), if is_ready { "True" } else { "False" });
        let container = json!({
            "name": "terminator", "image": "test", "imageID": "test", "ready": is_ready, "restartCount": 0,
            "started": true, "state": {"running": {}},
        });
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "containerStatuses": [container],
            "conditions": [
                {"type": "PodScheduled", "status": "True"}, {"type": "Initialized", "status": "True"},
                {"type": "ContainersReady", "status": ready}, {"type": "Ready", "status": ready},
            ],
        }});
        // The pod may be gone.
        let _ = self
            .api(pod)
            .patch_status(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Merge(status),
            )
            .await;
    }

    async fn forget(&self, pod: &Pod) {
        let now = DeleteParams::default().grace_period(0);
        // It may be gone.
        let _ = self.api(pod).delete(&pod.name_any(), &now).await;
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }
}

/// Returns an address that no other pod has had.
fn address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 83, high, low).into()
}

/// The volumes with Secrets: name of the volume, name of the Secret, and whether it may be missing.
fn volumes(pod: &Pod) -> Vec<(String, String, bool)> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let mut found = Vec::new();
    for volume in volumes {
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.clone().unwrap_or_default();
            found.push((volume.name.clone(), name, secret.optional == Some(true)));
        }
        let sources = volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten());
        for secret in sources.filter_map(|source| source.secret.as_ref()) {
            found.push((
                volume.name.clone(),
                secret.name.clone(),
                secret.optional == Some(true),
            ));
        }
    }
    found
}

fn files(secret: &Secret) -> BTreeMap<String, ByteString> {
    secret.data.clone().unwrap_or_default()
}

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    workdir::replace(file, text);
}

/// Starts the container's program with its arguments, in which the mount points are folders of this machine.
fn spawn(pod: &Pod, home: &Path) -> Process {
    let container: &Container = &pod.spec.as_ref().unwrap().containers[0];
    let mut command = Command::new(programs::terminator());
    command.args(["--threads", "1"]);
    for argument in container.args.iter().flatten() {
        let mounts = container.volume_mounts.iter().flatten();
        let place = |text: String, mount: &k8s_openapi::api::core::v1::VolumeMount| {
            let folder = home.join(&mount.name);
            text.replace(
                &format!("{}/", mount.mount_path),
                &format!("{}/", folder.display()),
            )
        };
        command.arg(mounts.fold(argument.clone(), place));
    }
    Process::spawn("terminator", command)
}

/// Asks a pod whether it is ready. Returns none if it does not answer in time.
async fn is_ready(ip: IpAddr) -> Option<bool> {
    let ask = move || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, ADMIN), ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    match tokio::task::spawn_blocking(ask).await.ok()? {
        Ok(is_ready) => Some(is_ready),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(false),
        Err(_) => None,
    }
}
