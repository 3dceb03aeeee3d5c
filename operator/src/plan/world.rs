//! Everything that was read for one reconciliation. It must not be shown: it holds Secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};

use super::grants::Grants;
use super::names::Name;
use super::objects::Children;
use super::pod::Pod;
use super::replica_set::ReplicaSet;
use super::tickets::Randomness;
use super::trials::seen::Seen;
use crate::crd::MqttTlsListener;
use crate::kinds::{Kind, Version};

/// Everything that was read for one reconciliation. Not `Debug`: it holds Secrets.
#[derive(Clone)]
pub struct World {
    /// The listener itself.
    pub listener: MqttTlsListener,
    /// The existing Secrets that it references.
    pub secrets: BTreeMap<Name, Secret>,
    /// The existing ConfigMaps that it references.
    pub config_maps: BTreeMap<Name, ConfigMap>,
    /// The existing Services that it references.
    pub services: BTreeMap<Name, Service>,
    /// The existing children, including those of other owners.
    pub children: Children,
    /// What it may reference in other namespaces.
    pub grants: Grants,
    /// Whether the cluster serves cert-manager's Certificates, as far as the listener needs them.
    pub has_cert_manager: bool,
    /// The ReplicaSets of its Deployment, while a rollout needs an explanation.
    pub replica_sets: Vec<ReplicaSet>,
    /// The listener's pods.
    pub pods: Vec<Pod>,
    /// What the pods have said about trials, as far as this process has asked them.
    pub seen: Seen,
    /// Random numbers for session ticket keys, if the system has any.
    pub randomness: Option<Randomness>,
}

impl World {
    /// Returns the versions of everything that was read.
    pub fn versions(&self) -> Vec<Version> {
        let listener = Version::of(Kind::MqttTlsListener, &self.listener.metadata);
        let pods = self.pods.iter().filter_map(|pod| pod.version);
        let named = self.named_versions().into_iter();
        named
            .chain(listener)
            .chain(self.children.versions())
            .chain(pods)
            .collect()
    }

    /// Returns the versions of the objects that the listener references.
    pub fn named_versions(&self) -> Vec<Version> {
        let secrets = self.secrets.values();
        let secrets = secrets.map(|one| (Kind::Secret, &one.metadata));
        let maps = self.config_maps.values();
        let maps = maps.map(|one| (Kind::ConfigMap, &one.metadata));
        let services = self.services.values();
        let services = services.map(|one| (Kind::Service, &one.metadata));
        let named = secrets.chain(maps).chain(services);
        let named = named.filter_map(|(kind, metadata)| Version::of(kind, metadata));
        named.chain(self.grants.versions()).collect()
    }

    /// Reports whether the listener may reference an object.
    pub fn permits(&self, kind: Kind, object: &Name) -> bool {
        let namespace = self.listener.metadata.namespace.as_deref();
        self.grants
            .permit(namespace.unwrap_or_default(), kind, object)
    }

    /// Returns a pod that was started by an earlier release, and reads no trials.
    pub fn old_pod(&self) -> Option<String> {
        let mut pods = self.pods.iter().filter(|pod| !pod.is_leaving);
        pods.find(|pod| !pod.reads_trials)
            .map(|pod| pod.name.clone())
    }

    /// Returns a world with a listener and nothing else.
    pub fn new(listener: MqttTlsListener) -> Self {
        Self {
            listener,
            secrets: BTreeMap::new(),
            config_maps: BTreeMap::new(),
            services: BTreeMap::new(),
            children: Children::default(),
            grants: Grants::default(),
            has_cert_manager: false,
            replica_sets: Vec::new(),
            pods: Vec::new(),
            seen: Seen::default(),
            randomness: None,
        }
    }
}
