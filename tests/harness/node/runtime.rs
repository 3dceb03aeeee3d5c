//! containerd, the kubelet and kube-proxy. They must write only to the node's folder and to folders that the enclosure
//! covers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::enclosure::{control_group, make_control_groups};
use super::{ADDRESS, CLUSTER_CIDR, DNS_SERVICE, FOLDER, NAME, POD_CIDR, START, write};
use crate::apiserver::ApiServer;
use crate::process::{Process, run};
use crate::{assets, pki};

/// The image with the pause program of `tests/setup`.
const PAUSE: &str = "localhost/pause:test";

pub(super) fn start(server: &ApiServer) -> Vec<Process> {
    let containerd = containerd();
    load_pause();
    let kubelet = kubelet(server);
    let proxy = kube_proxy(server);
    vec![kubelet, proxy, containerd]
}

/// containerd's command-line tool, in the namespace of pods.
pub(super) fn ctr() -> Command {
    let mut command = assets::installed("ctr");
    command
        .arg("--address")
        .arg(socket())
        .args(["--namespace", "k8s.io"]);
    command
}

fn socket() -> PathBuf {
    Path::new(FOLDER).join("containerd.sock")
}

fn containerd() -> Process {
    write(
        "cni/10-bridge.conflist",
        &json!({
            "cniVersion": "1.0.0",
            "name": "node",
            "plugins": [
                {
                    "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
                    "ipam": {
                        "type": "host-local", "dataDir": format!("{FOLDER}/host-local"),
                        "ranges": [[{"subnet": POD_CIDR}]], "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        })
        .to_string(),
    );
    let config = write(
        "containerd.toml",
        &format!(
            "version = 2\nroot = \"{FOLDER}/containerd\"\nstate = \"/run/containerd\"\n\
             [grpc]\naddress = \"{socket}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{PAUSE}\"\n\
             # Without the capability to lower it, a sandbox would not start.\nrestrict_oom_score_adj = true\n\
             # It would load a profile into the kernel of the whole machine.\ndisable_apparmor = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"/usr/lib/cni\"\nconf_dir = \"{FOLDER}/cni\"\n",
            socket = socket().display()
        ),
    );
    let mut command = assets::installed("containerd");
    command.arg("--config").arg(config);
    let process = Process::spawn("containerd", command);
    process.wait_until("it responds", START, || {
        let mut version = ctr();
        version.arg("version");
        run(version, b"", START).status.success().then_some(())
    });
    process
}

/// Builds and loads the sandbox image, which is a layer with one file.
fn load_pause() {
    let archive = Path::new(FOLDER).join("pause.tar");
    let program = assets::pause();
    let folder = Path::new(FOLDER).join("pause-image");
    std::fs::create_dir_all(&folder).expect("the folder is writable");
    tar(
        &folder.join("layer.tar"),
        program.parent().expect("it is in a folder"),
        &["pause"],
    );
    let layer = std::fs::read(folder.join("layer.tar")).expect("tar wrote it");
    let config = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", pki::fingerprint(&layer))]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]);
    for (name, value) in [("config.json", config), ("manifest.json", manifest)] {
        std::fs::write(folder.join(name), value.to_string()).expect("the folder is writable");
    }
    tar(
        &archive,
        &folder,
        &["manifest.json", "config.json", "layer.tar"],
    );
    let mut import = ctr();
    import.args(["images", "import"]).arg(archive);
    run(import, b"", START).expect_success();
}

fn tar(archive: &Path, folder: &Path, files: &[&str]) {
    let mut command = Command::new("tar");
    command
        .arg("-cf")
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .args(files);
    run(command, b"", START).expect_success();
}

fn kubelet(server: &ApiServer) -> Process {
    make_control_groups();
    let user = format!("system:node:{NAME}");
    let kubeconfig = server.kubeconfig_for(&user, &["system:nodes"]);
    let serving = server
        .ca()
        .leaf()
        .common_name(&user)
        .ip(&ADDRESS.to_string())
        .issue();
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": server.folder().join("ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", control_group()),
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", socket().display()),
        // The machine's free disk and memory must not cause evictions.
        "evictionHard": {"memory.available": "64Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": "/var/log/pods",
        "registerNode": true,
        "resolvConf": "/dev/null",
        "tlsCertFile": write("kubelet-serving.crt", &serving.chain_pem),
        "tlsPrivateKeyFile": write("kubelet-serving.key", &serving.key_pem),
        "volumePluginDir": format!("{FOLDER}/volume-plugins"),
    });
    let config = write("kubelet.yaml", &config.to_string());
    let mut command = Command::new(assets::kubernetes("kubelet"));
    command
        .arg("--config")
        .arg(config)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--root-dir")
        .arg(Path::new(FOLDER).join("kubelet"))
        .arg("--cert-dir")
        .arg(Path::new(FOLDER).join("kubelet-certs"))
        .args([
            "--hostname-override",
            NAME,
            "--node-ip",
            &ADDRESS.to_string(),
        ]);
    let process = Process::spawn("kubelet", command);
    process.wait_for_port((ADDRESS, 10_250).into(), START);
    process
}

fn kube_proxy(server: &ApiServer) -> Process {
    let kubeconfig = server.kubeconfig_for("system:kube-proxy", &[]);
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": ADDRESS,
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": CLUSTER_CIDR,
        // A setting of the whole machine, left unchanged.
        "conntrack": {"maxPerCore": 0},
        "hostnameOverride": NAME,
    });
    let config = write("kube-proxy.yaml", &config.to_string());
    let mut command = Command::new(assets::kubernetes("kube-proxy"));
    command.arg("--config").arg(config);
    Process::spawn("kube-proxy", command)
}
