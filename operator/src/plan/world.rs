//! Everything that was read for one reconciliation. It must not be shown: it holds Secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::names::Name;
use super::objects::Children;
use crate::crd::MqttTlsListener;

/// Everything that was read for one reconciliation. Not `Debug`: it holds Secrets.
#[derive(Clone)]
pub struct World {
    /// The listener itself.
    pub listener: MqttTlsListener,
    /// The Secrets that it names; those that exist.
    pub secrets: BTreeMap<Name, Secret>,
    /// The ConfigMaps that it names; those that exist.
    pub config_maps: BTreeMap<Name, ConfigMap>,
    /// The Services that it names; those that exist.
    pub services: BTreeMap<Name, Service>,
    /// The children that exist, also those that someone else made.
    pub children: Children,
    /// The listener's pods.
    pub pods: Vec<ObjectMeta>,
}

impl World {
    /// Nothing but a listener.
    pub fn new(listener: MqttTlsListener) -> Self {
        Self {
            listener,
            secrets: BTreeMap::new(),
            config_maps: BTreeMap::new(),
            services: BTreeMap::new(),
            children: Children::default(),
            pods: Vec::new(),
        }
    }
}
