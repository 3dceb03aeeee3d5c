//! The operator's pods during a journey: killing them, and waiting for new ones.

use k8s_openapi::api::core::v1::Pod;

use crate::cluster::Cluster;
use crate::install::NAMESPACE;
use crate::processes;

/// Selects the operator's pods and its Deployment, but not the Job that updates the resource definition.
const SELECTOR: &str = "app.kubernetes.io/name=mqtt-tls-operator";

/// Whether the operator is killed during a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    /// All its pods are killed after each step ([`kill`]).
    IsKilled,
}

impl Fate {
    /// Call it after each step of a journey, while the operator reacts to it.
    #[track_caller]
    pub(crate) fn strikes(self, cluster: &Cluster) {
        if self == Self::IsKilled {
            kill(cluster);
        }
    }

    /// A suffix for namespaces, which must differ between the variants of a journey.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Lives => "",
            Self::IsKilled => "-killed",
        }
    }
}

/// Kills all operators. None of them releases the Lease, so a new one waits until it expires. Deleting the pods, too,
/// lets the Deployment replace them at once, where the kubelet would restart them with a growing backoff. If the node
/// is another machine, the pods are only deleted without grace, and may still shut down gracefully.
#[track_caller]
pub(crate) fn kill(cluster: &Cluster) {
    let pods: Vec<Pod> = cluster.list("pods", &["-n", NAMESPACE, "-l", SELECTOR]);
    assert!(!pods.is_empty(), "there is an operator to kill");
    for pod in &pods {
        let uid = pod.metadata.uid.as_deref().expect("each pod has one");
        processes::kill(cluster, uid, "mqtt-tls-operator");
    }
    let args = [
        "-n",
        NAMESPACE,
        "delete",
        "pods",
        "-l",
        SELECTOR,
        "--grace-period=0",
        "--force",
    ];
    cluster.kubectl(&args);
}

/// Waits until all of the operator's pods are ready.
#[track_caller]
pub(crate) fn wait_until_it_is_back(cluster: &Cluster) {
    let args = [
        "-n",
        NAMESPACE,
        "rollout",
        "status",
        "deployment",
        "-l",
        SELECTOR,
        "--timeout=180s",
    ];
    let output = cluster.kubectl(&args);
    assert!(output.contains("successfully rolled out"), "{output}");
}
