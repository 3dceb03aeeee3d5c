//! What ready pods are asked, and what they answer. It must not ask, and must not decide what an answer means for the
//! listener; conditions do.

pub mod answer;
pub mod question;

use std::net::IpAddr;
use std::time::Duration;

use super::pod::Pod;
use super::trials::seen::Said;
use answer::{Answer, Configuration, DELIVERY_MAX};

/// A ready pod that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyPod {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
}

/// Returns the pods to ask, by name.
pub fn ready(pods: &[Pod]) -> Vec<ReadyPod> {
    let able = pods.iter().filter(|pod| pod.is_ready && !pod.is_leaving);
    let mut ready: Vec<ReadyPod> = able
        .filter_map(|pod| {
            let name = pod.name.clone();
            pod.ip.map(|ip| ReadyPod { name, ip })
        })
        .collect();
    ready.sort_by(|one, other| one.name.cmp(&other.name));
    ready
}

/// The answers of the ready pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// The pods that were asked, by name, with their answers; empty if no pod is ready.
    pub pods: Vec<(String, Answer)>,
}

impl Proofs {
    /// Returns what each pod says about trials; `None` if it could not be asked.
    pub fn said(&self) -> impl Iterator<Item = (&str, Option<&Said>)> {
        let pods = self.pods.iter();
        pods.map(|(pod, answer)| (pod.as_str(), answer.said.as_ref()))
    }

    /// Reports whether nothing is expected to change soon.
    pub fn are_settled(&self) -> bool {
        self.pods.iter().all(|(_, answer)| answer.is_settled())
    }

    /// Reports whether other answers would make another status. Texts of pods that could not be asked, or do not reach
    /// the broker, do not count: they may change with each try.
    pub fn differ(&self, others: &Self) -> bool {
        let outline = |proofs: &Self| -> Vec<_> {
            let pods = proofs.pods.iter();
            pods.map(|(pod, answer)| (pod.clone(), answer.clone().outline()))
                .collect()
        };
        outline(self) != outline(others)
    }

    /// Reports whether a pod's answer was found by a handshake, or by the lack of one.
    pub fn came_from_a_handshake(&self, pod: &str) -> bool {
        let mut pods = self.pods.iter();
        pods.any(|(name, answer)| {
            name == pod
                && matches!(
                    answer.configuration,
                    Configuration::OtherCertificate(_) | Configuration::Unasked(_)
                )
        })
    }

    /// Returns the time until the answers mean something else although they have not changed.
    pub fn look_again(&self) -> Duration {
        let mut pods = self.pods.iter();
        if pods.any(|(_, answer)| answer.configuration == Configuration::Behind) {
            DELIVERY_MAX
        } else {
            Duration::MAX
        }
    }
}
