//! What becomes of the operator's pods during a journey.

use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install::NAMESPACE;

/// Its pods.
pub(crate) const SELECTOR: &str =
    "app.kubernetes.io/name=mqtt-tls-operator,app.kubernetes.io/component=operator";

/// Whether the operator lives through a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    /// All of its pods are killed after each step, without a chance to end in order.
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

/// Kills all of the operator's pods. Their Deployment makes new ones.
#[track_caller]
pub(crate) fn kill(cluster: &Cluster) {
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
    eventually(SOON, "the operator is back", || {
        let args = [
            "-n",
            NAMESPACE,
            "rollout",
            "status",
            "deployment",
            "-l",
            SELECTOR,
            "--timeout=60s",
        ];
        cluster.try_kubectl(&args).status.success().then_some(())
    });
}
