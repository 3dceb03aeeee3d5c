//! Pods without a node: real terminators on loopback addresses, whose configuration and whose pod's status the tests write
//! as a kubelet would. It must not decide when.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use mqtt_tls_config::Config;
use serde_json::json;

use crate::process::Process;
use crate::{programs, workdir};

/// Upper bound for a terminator's start.
const START: Duration = Duration::from_secs(30);

/// A terminator in place of a pod's; stopped when dropped.
pub struct StandIn {
    /// Its address, which no other pod has.
    pub ip: IpAddr,
    /// Its configuration file.
    pub file: PathBuf,
    /// Its file of trials, which need not be there.
    pub trials: PathBuf,
    /// Its program.
    pub terminator: Process,
}

impl StandIn {
    /// Starts a terminator with a configuration, and with a broker on this machine.
    #[track_caller]
    pub fn start(config: Config, broker: u16) -> Self {
        let (ip, file) = (address(), workdir::scratch("pod").join("config.yaml"));
        let config = placed(config, ip, broker);
        write(&file, &config);
        let trials = file.with_file_name("trials");
        let mut command = Command::new(programs::terminator());
        command.arg(&file).arg("--trials").arg(&trials);
        let terminator = Process::spawn("terminator", command);
        terminator.wait_for_port(SocketAddr::new(ip, config.port), START);
        Self {
            ip,
            file,
            trials,
            terminator,
        }
    }
}

/// Returns an address that no other pod has, not even those of test binaries that run at the same time.
pub fn address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 64 | (high & 63), low, host).into()
}

/// Returns the configuration in a listener's Secret.
#[track_caller]
pub fn config_of(secret: &Secret) -> Config {
    config_in(secret, "config.yaml").expect("it is there")
}

/// Returns the configuration in a key of a Secret, if it is there.
#[track_caller]
pub fn config_in(secret: &Secret, key: &str) -> Option<Config> {
    let text = &secret.data.as_ref()?.get(key)?.0;
    let text = std::str::from_utf8(text).expect("it is text");
    Some(Config::parse(text).expect("it is valid"))
}

/// Returns a configuration as the pod at an address runs it, with a broker on this machine: all pods share its ports.
pub fn placed(mut config: Config, ip: IpAddr, broker: u16) -> Config {
    config.host = Some(ip);
    config.admin.host = ip;
    config.backend.host = Ipv4Addr::LOCALHOST.to_string();
    config.backend.port = broker;
    config
}

/// Replaces a configuration file.
#[track_caller]
pub fn write(file: &Path, config: &Config) {
    workdir::replace(file, config.to_yaml().expose());
}

/// Writes the status that the kubelet writes for a ready pod.
pub async fn report_ready(pods: &Api<Pod>, name: &str, ip: IpAddr) {
    let status = json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("the API server takes a pod's status");
}
