//! What becomes of the operator's pods during a journey.

use k8s_openapi::api::core::v1::Pod;

use crate::cluster::Cluster;
use crate::install::NAMESPACE;
use crate::processes;

/// Its pods, and its Deployment; not the Job that brings the resource definition up to date.
const SELECTOR: &str = "app.kubernetes.io/name=mqtt-tls-operator";

/// Whether the operator lives through a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    /// All of it is killed after each step ([`kill`]).
    IsKilled,
}

impl Fate {
    /// To be called after each thing that a journey does, while the operator works on it.
    #[track_caller]
    pub(crate) fn strikes(self, cluster: &Cluster) {
        if self == Self::IsKilled {
            kill(cluster);
        }
    }

    /// For names of namespaces, which differ between a journey and the same with another fate.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Lives => "",
            Self::IsKilled => "-killed",
        }
    }
}

/// Kills every operator that there is: none gives the Lease back, so another waits for it to run out. Their Deployment
/// makes new pods at once, where the kubelet would start the old ones again later each time. On a node that is another
/// machine the pods are deleted without grace, and the programs may still end in order.
#[track_caller]
pub(crate) fn kill(cluster: &Cluster) {
    let pods: Vec<Pod> = cluster.list("pods", &["-n", NAMESPACE, "-l", SELECTOR]);
    assert!(!pods.is_empty(), "there is an operator to be killed");
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

/// Waits until all of its pods are there and ready.
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
    let said = cluster.kubectl(&args);
    assert!(said.contains("successfully rolled out"), "{said}");
}
