//! All names, labels, annotations, selectors and owner references. Other modules must not define any.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::crd::MqttTlsListener;
use crate::kinds::Child;

/// The field manager, the value of `app.kubernetes.io/managed-by`, and the reporter of events.
pub const MANAGER: &str = "mqtt-tls-operator";

/// The value of `app.kubernetes.io/name` of all children.
const APPLICATION: &str = "mqtt-tls-terminator";

/// The end of the names of children.
const CHILD: &str = "-mqtts";

/// The end of the name of the Secret with the last accepted configuration.
const ACCEPTED: &str = "-mqtts-accepted";

/// The end of the name of the ConfigMap with the CA certificates for devices.
const AUTHORITIES: &str = "-mqtts-ca";

const LABEL_NAME: &str = "app.kubernetes.io/name";
const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
const LABEL_MANAGER: &str = "app.kubernetes.io/managed-by";

/// The pod's annotation with the resource version of the config Secret: a change makes the kubelet refresh
/// the mounted Secret at once.
pub const CONFIG_VERSION: &str = "mqtt.smartboot.tech/config-version";

/// The config Secret's annotation with the sources of its certificates and its CA bundle.
pub const SOURCES: &str = "mqtt.smartboot.tech/sources";

/// The config Secret's annotation with what is remembered of trials.
pub const TRIALS: &str = "mqtt.smartboot.tech/trials";

/// The annotation of a listener with what a user asks of a trial.
pub const TRIAL: &str = "mqtt.smartboot.tech/trial";

/// The annotation of the first release with the sources of the certificates: names of Secrets in order, separated
/// by commas. It is read, and never written.
pub const CERTIFICATE_SECRETS: &str = "mqtt.smartboot.tech/certificate-secrets";

/// The annotation of the first release with the kind, name and key of the CA bundle. It is read, and never written.
pub const CLIENT_CA: &str = "mqtt.smartboot.tech/client-ca";

/// The type of the Secrets with configurations.
pub const CONFIG_TYPE: &str = "Opaque";

/// The key in the config Secret.
pub const CONFIG_KEY: &str = "config.yaml";

/// The key in the config Secret with the session ticket keys.
pub const TICKET_KEYS: &str = "ticket-keys";

/// The key in the config Secret with the revocation lists of clients' certificates.
pub const CRLS: &str = "crls";

/// The key in the config Secret with the trials of renewed certificates.
pub const TRIALS_KEY: &str = "trials";

/// The key in the ConfigMap with the CA certificates for devices.
pub const CA_KEY: &str = "ca.crt";

/// The key in the Secret with the last accepted configuration.
pub const ACCEPTED_KEY: &str = "accepted.yaml";

/// Returns the selector of all children and pods of all listeners, for watches.
pub fn of_listeners() -> String {
    format!("{LABEL_NAME}={APPLICATION},{LABEL_MANAGER}={MANAGER}")
}

/// Returns the labels of objects that belong to the operator itself, including those that its installation has created.
pub fn own_labels() -> BTreeMap<String, String> {
    let labels = [
        (LABEL_NAME, MANAGER),
        ("app.kubernetes.io/part-of", "smart-mqtt"),
    ];
    labels
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the labels of objects that the operator has created for itself.
pub fn manager_labels() -> BTreeMap<String, String> {
    let mut labels = own_labels();
    labels.insert(LABEL_MANAGER.to_owned(), MANAGER.to_owned());
    labels
}

/// The namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Name {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl Name {
    /// Creates a name.
    pub fn new(namespace: &str, name: &str) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { namespace, name }
    }
}

/// The identity of a listener, valid or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The listener's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Distinguishes it from an earlier listener of the same name.
    pub uid: String,
    /// The generation of its spec.
    pub generation: Option<i64>,
}

/// The owner of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This listener.
    Ours,
    /// An earlier listener of this name, which no longer exists.
    Predecessors,
    /// Another owner, or none.
    Foreign,
}

impl Identity {
    /// Returns the identity of a listener.
    pub fn of(listener: &MqttTlsListener) -> Self {
        Self {
            name: listener.name_any(),
            namespace: listener.namespace().unwrap_or_default(),
            uid: listener.uid().unwrap_or_default(),
            generation: listener.meta().generation,
        }
    }

    /// Returns the name of all children that are the only one of their kind.
    pub fn child_name(&self) -> String {
        format!("{}{CHILD}", self.name)
    }

    /// Returns the name of a child; of several, the beginning of their names.
    pub fn name_of(&self, child: Child) -> String {
        match child {
            Child::Accepted => format!("{}{ACCEPTED}", self.name),
            Child::Authorities => format!("{}{AUTHORITIES}", self.name),
            Child::Configuration
            | Child::Service
            | Child::DisruptionBudget
            | Child::Deployment
            | Child::Certificate => self.child_name(),
        }
    }

    /// Returns the labels that select the pods. A Deployment's selector is immutable.
    pub fn selector_labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (LABEL_NAME.to_owned(), APPLICATION.to_owned()),
            (LABEL_INSTANCE.to_owned(), self.name.clone()),
        ])
    }

    /// Returns the selector as a string, for the scale subresource and for lists.
    pub fn selector_text(&self) -> String {
        let labels = self.selector_labels();
        let pairs: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(",")
    }

    /// Returns the selector of the pods.
    pub fn selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.selector_labels()),
            match_expressions: None,
        }
    }

    /// Returns the labels of every child and pod. The operator's own labels override `added` ones.
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

    /// Reports whether a Service's selector selects this listener's pods, to which `added` labels were given, or the
    /// pods of any listener.
    pub fn is_selected(
        &self,
        selector: &BTreeMap<String, String>,
        added: &BTreeMap<String, String>,
    ) -> bool {
        let labels = self.labels(added);
        let mut wanted = selector.iter();
        let is_any = selector
            .get(LABEL_NAME)
            .is_some_and(|name| name == APPLICATION);
        is_any
            || (!selector.is_empty() && wanted.all(|(name, value)| labels.get(name) == Some(value)))
    }

    /// Returns the metadata of a child.
    pub fn child(
        &self,
        child: Child,
        labels: &BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    ) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name_of(child)),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(labels)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![self.owner_reference()]),
            ..ObjectMeta::default()
        }
    }

    /// Returns the owner reference, by which the garbage collector deletes a child after its listener.
    fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: MqttTlsListener::api_version(&()).into_owned(),
            kind: MqttTlsListener::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            // Blocking the owner's deletion needs another permission on some clusters and is not needed here.
            block_owner_deletion: None,
        }
    }

    /// Returns the owner of an object with a child's name.
    ///
    /// Without a controller reference, the labels or our own applied fields decide: someone removed the reference, and
    /// apply restores it.
    pub fn ownership(&self, object: &ObjectMeta) -> Ownership {
        let owners = object.owner_references.as_deref().unwrap_or_default();
        match owners.iter().find(|owner| owner.controller == Some(true)) {
            Some(owner) if owner.uid == self.uid => Ownership::Ours,
            Some(owner) if is_listener(owner) && owner.name == self.name => Ownership::Predecessors,
            None if self.is_labelled(object) || is_applied(object) => Ownership::Ours,
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

/// Reports whether the operator has applied the object.
fn is_applied(object: &ObjectMeta) -> bool {
    let mut entries = object.managed_fields.iter().flatten();
    entries.any(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    })
}

/// Returns the name of the listener that has a child of this name.
pub fn listener_of_child(name: &str) -> Option<&str> {
    let mut ends = [CHILD, ACCEPTED, AUTHORITIES].into_iter();
    ends.find_map(|end| name.strip_suffix(end))
}

/// Returns the name of the listener that owns an object, by owner reference or label.
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
