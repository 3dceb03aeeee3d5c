//! Every name, label, annotation, selector and owner reference.
//!
//! It must be the only place where one is made up.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::crd::MqttTlsListener;

/// The field manager, the value of `app.kubernetes.io/managed-by`, and the reporter of events.
pub const MANAGER: &str = "mqtt-tls-operator";

/// The value of `app.kubernetes.io/name` of all children.
const APPLICATION: &str = "mqtt-tls-terminator";

const LABEL_NAME: &str = "app.kubernetes.io/name";
const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
const LABEL_MANAGER: &str = "app.kubernetes.io/managed-by";

/// The pod's annotation with the resource version of the configuration Secret: changing it makes the
/// kubelet look at the mounted Secret at once.
pub const CONFIG_VERSION: &str = "mqtt.smartboot.tech/config-version";

/// The configuration Secret's annotation with the objects behind its certificates and its CA bundle.
pub const SOURCES: &str = "mqtt.smartboot.tech/sources";

/// The same of the first release: the names of the Secrets behind the certificates, in their order, separated by
/// commas. It is read, and not written.
pub const CERTIFICATE_SECRETS: &str = "mqtt.smartboot.tech/certificate-secrets";

/// The same of the first release: kind, name and key of the CA bundle. It is read, and not written.
pub const CLIENT_CA: &str = "mqtt.smartboot.tech/client-ca";

/// The key of the configuration Secret.
pub const CONFIG_KEY: &str = "config.yaml";

/// The selector of all pods of all listeners, for the watch.
pub fn all_pods() -> String {
    format!("{LABEL_NAME}={APPLICATION},{LABEL_MANAGER}={MANAGER}")
}

/// The labels of what belongs to the operator itself and to no listener.
pub fn manager_labels() -> BTreeMap<String, String> {
    let labels = [
        (LABEL_NAME, MANAGER),
        ("app.kubernetes.io/part-of", "smart-mqtt"),
        (LABEL_MANAGER, MANAGER),
    ];
    labels
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Which object of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Name {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl Name {
    /// The object of this name in this namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { namespace, name }
    }
}

/// Who a listener is, however its spec looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The listener's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What tells it from an earlier one of the same name.
    pub uid: String,
    /// The generation of its spec.
    pub generation: Option<i64>,
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This listener's.
    Ours,
    /// An earlier listener's of this name; the garbage collector is about to take it.
    Predecessors,
    /// Someone else's.
    Foreign,
}

impl Identity {
    /// Who this listener is.
    pub fn of(listener: &MqttTlsListener) -> Self {
        Self {
            name: listener.name_any(),
            namespace: listener.namespace().unwrap_or_default(),
            uid: listener.uid().unwrap_or_default(),
            generation: listener.meta().generation,
        }
    }

    /// The name of all children.
    pub fn child_name(&self) -> String {
        format!("{}-mqtts", self.name)
    }

    /// The labels by which the pods are selected. A Deployment's selector can never change.
    pub fn selector_labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (LABEL_NAME.to_owned(), APPLICATION.to_owned()),
            (LABEL_INSTANCE.to_owned(), self.name.clone()),
        ])
    }

    /// The same as a text, for the scale subresource and for lists.
    pub fn selector_text(&self) -> String {
        let labels = self.selector_labels();
        let pairs: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(",")
    }

    /// The selector of the pods.
    pub fn selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.selector_labels()),
            match_expressions: None,
        }
    }

    /// The labels of every child and pod. The operator's own win over `added` ones.
    pub fn labels(&self, added: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut labels = added.clone();
        labels.extend(self.selector_labels());
        labels.extend([
            (
                "app.kubernetes.io/component".to_owned(),
                "terminator".to_owned(),
            ),
            (
                "app.kubernetes.io/part-of".to_owned(),
                "smart-mqtt".to_owned(),
            ),
            (LABEL_MANAGER.to_owned(), MANAGER.to_owned()),
        ]);
        labels
    }

    /// The metadata of a child.
    pub fn child(
        &self,
        labels: &BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    ) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.child_name()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(labels)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![self.owner_reference()]),
            ..ObjectMeta::default()
        }
    }

    /// What makes the garbage collector delete a child after its listener.
    fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: MqttTlsListener::api_version(&()).into_owned(),
            kind: MqttTlsListener::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            // Blocking the owner's deletion takes one more permission on some clusters, and gives nothing
            // that is needed here.
            block_owner_deletion: None,
        }
    }

    /// Whose an object of a child's name is.
    ///
    /// Without a controlling owner the labels decide: then someone removed the reference, and it is put
    /// back.
    pub fn ownership(&self, object: &ObjectMeta) -> Ownership {
        let owners = object.owner_references.as_deref().unwrap_or_default();
        match owners.iter().find(|owner| owner.controller == Some(true)) {
            Some(owner) if owner.uid == self.uid => Ownership::Ours,
            Some(owner) if is_listener(owner) && owner.name == self.name => Ownership::Predecessors,
            None if self.is_labelled(object) => Ownership::Ours,
            Some(_) | None => Ownership::Foreign,
        }
    }

    fn is_labelled(&self, object: &ObjectMeta) -> bool {
        let labels = object.labels.as_ref();
        let has = |name: &str, value: &str| {
            labels
                .and_then(|labels| labels.get(name))
                .is_some_and(|found| found == value)
        };
        has(LABEL_MANAGER, MANAGER) && has(LABEL_INSTANCE, &self.name)
    }
}

/// The name of the listener that an object says it belongs to, by owner reference or by label.
pub fn listener_of(object: &ObjectMeta) -> Option<String> {
    let owners = object.owner_references.as_deref().unwrap_or_default();
    if let Some(owner) = owners.iter().find(|owner| is_listener(owner)) {
        return Some(owner.name.clone());
    }
    let labels = object.labels.as_ref()?;
    (labels.get(LABEL_MANAGER)? == MANAGER).then(|| labels.get(LABEL_INSTANCE).cloned())?
}

fn is_listener(owner: &OwnerReference) -> bool {
    owner.kind == MqttTlsListener::kind(&())
        && owner.api_version.split('/').next() == Some(&*MqttTlsListener::group(&()))
}
