//! The one table of kinds. Code elsewhere must not treat a kind specially where a column of the table can.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::core::ApiResource;

use super::certificate::Certificate;
use super::grant::ReferenceGrant;
use super::verb::Verb;
use crate::crd::MqttTlsListener;

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Issued by cert-manager, for listeners that name an issuer.
    Certificate,
    /// Referenced by listeners, and the CA certificates for devices; another has the records of the last results.
    ConfigMap,
    /// The definition of listeners.
    CustomResourceDefinition,
    /// The terminators of a listener.
    Deployment,
    /// Shown by `kubectl describe`.
    Event,
    /// For leader election.
    Lease,
    /// The listeners.
    MqttTlsListener,
    /// A terminator.
    Pod,
    /// Limits disruptions of terminators.
    PodDisruptionBudget,
    /// Permits references to another namespace (Gateway API).
    ReferenceGrant,
    /// Explains a rollout.
    ReplicaSet,
    /// Referenced by listeners, and the terminators' configuration.
    Secret,
    /// Referenced by listeners, and in front of the terminators.
    Service,
}

/// Which objects of a kind are watched, in addition to listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// None.
    No,
    /// All.
    All,
    /// Those of listeners, if the cluster serves the kind.
    OfListenersIfServed,
    /// All, if the cluster serves the kind.
    IfServed,
    /// The pods of terminators.
    Terminators,
}

/// Which role grants the verbs on a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The role of the leader.
    Work,
    /// The role of all replicas in their own namespace.
    Leadership,
    /// The role of `crd --apply`.
    Installation,
}

/// Properties of a kind.
#[derive(Clone, Copy)]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// Its group, version and plural.
    pub resource: fn() -> ApiResource,
    /// The version that clusters serve instead which do not serve that one.
    pub older: Option<&'static str>,
    /// Verbs on its objects.
    pub verbs: &'static [Verb],
    /// Verbs on the status of its objects.
    pub status_verbs: &'static [Verb],
    /// The role that grants the verbs.
    pub grant: Grant,
    /// Verbs on the operator's own object of this kind, in its own namespace.
    pub own_verbs: &'static [Verb],
    /// Writes that are counted.
    pub counted: &'static [Verb],
    /// Which objects are watched, in addition to listeners.
    pub watched: Watched,
}

/// Verbs on objects that listeners reference.
const NAMED: &[Verb] = &[Verb::Get, Verb::List, Verb::Watch];

/// Verbs on a child that always exists.
const MADE: &[Verb] = &[Verb::Get, Verb::List, Verb::Watch, Verb::Apply];

/// Verbs on an optional child.
const MADE_AND_TAKEN: &[Verb] = &[
    Verb::Get,
    Verb::List,
    Verb::Watch,
    Verb::Apply,
    Verb::Delete,
];

/// All kinds.
pub static KINDS: [Row; 13] = TABLE;

/// In the order of [`Kind`].
const TABLE: [Row; 13] = [
    Row::of::<Certificate>(Kind::Certificate, MADE_AND_TAKEN)
        .owned()
        .watched(Watched::OfListenersIfServed),
    Row::of::<ConfigMap>(Kind::ConfigMap, MADE_AND_TAKEN)
        .owned()
        .with_own(&[Verb::Get, Verb::Apply]),
    Row::of::<CustomResourceDefinition>(Kind::CustomResourceDefinition, &[Verb::Get, Verb::Apply])
        .granted(Grant::Installation),
    Row::of::<Deployment>(Kind::Deployment, MADE).owned(),
    Row::of::<Event>(Kind::Event, &[Verb::Create, Verb::Patch]),
    Row::of::<Lease>(Kind::Lease, &[Verb::Get, Verb::Update, Verb::Create])
        .granted(Grant::Leadership),
    Row::of::<MqttTlsListener>(Kind::MqttTlsListener, NAMED)
        .with_status(&[Verb::Patch])
        .counted(&[Verb::Apply]),
    Row::of::<Pod>(Kind::Pod, &[Verb::List, Verb::Watch, Verb::Patch])
        .watched(Watched::Terminators)
        .counted(&[Verb::Patch]),
    Row::of::<PodDisruptionBudget>(Kind::PodDisruptionBudget, MADE_AND_TAKEN).owned(),
    Row::of::<ReferenceGrant>(Kind::ReferenceGrant, &[Verb::List, Verb::Watch])
        .watched(Watched::IfServed)
        .with_older(ReferenceGrant::OLDER),
    Row::of::<ReplicaSet>(Kind::ReplicaSet, &[Verb::List]),
    Row::of::<Secret>(Kind::Secret, MADE).owned(),
    Row::of::<Service>(Kind::Service, MADE).owned(),
];

impl Kind {
    /// Returns its name as in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "Certificate",
            Self::ConfigMap => "ConfigMap",
            Self::CustomResourceDefinition => "CustomResourceDefinition",
            Self::Deployment => "Deployment",
            Self::Event => "Event",
            Self::Lease => "Lease",
            Self::MqttTlsListener => "MqttTlsListener",
            Self::Pod => "Pod",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::ReplicaSet => "ReplicaSet",
            Self::Secret => "Secret",
            Self::Service => "Service",
        }
    }

    /// Reports whether the content of its objects must not be shown.
    pub fn is_confidential(self) -> bool {
        self == Self::Secret
    }

    /// Returns its row of the table.
    pub fn row(self) -> &'static Row {
        &KINDS[self as usize]
    }

    /// Returns its plural, as in RBAC rules and URLs.
    pub fn plural(self) -> String {
        (self.row().resource)().plural
    }
}

impl Row {
    const fn of<K: Resource<DynamicType = ()>>(kind: Kind, verbs: &'static [Verb]) -> Self {
        Self {
            kind,
            resource: resource::<K>,
            older: None,
            verbs,
            status_verbs: &[],
            grant: Grant::Work,
            own_verbs: &[],
            counted: &[],
            watched: Watched::No,
        }
    }

    /// Each listener owns an object of it.
    const fn owned(self) -> Self {
        Self {
            watched: Watched::All,
            // What apply cannot remove is replaced by a patch.
            counted: &[Verb::Apply, Verb::Delete, Verb::Patch],
            ..self
        }
    }

    const fn with_older(self, version: &'static str) -> Self {
        Self {
            older: Some(version),
            ..self
        }
    }

    const fn watched(self, watched: Watched) -> Self {
        Self { watched, ..self }
    }

    const fn granted(self, grant: Grant) -> Self {
        Self { grant, ..self }
    }

    const fn with_own(self, own_verbs: &'static [Verb]) -> Self {
        Self { own_verbs, ..self }
    }

    const fn counted(self, counted: &'static [Verb]) -> Self {
        Self { counted, ..self }
    }

    const fn with_status(self, status_verbs: &'static [Verb]) -> Self {
        Self {
            status_verbs,
            ..self
        }
    }

    /// Returns its group and plural with each version, the newest first.
    pub fn resources(&self) -> Vec<ApiResource> {
        let newest = (self.resource)();
        let older = self.older.map(|version| ApiResource {
            version: version.to_owned(),
            api_version: format!("{}/{version}", newest.group),
            ..newest.clone()
        });
        std::iter::once(newest).chain(older).collect()
    }

    /// Reports whether a cluster need not serve the kind.
    pub fn is_optional(&self) -> bool {
        matches!(
            self.watched,
            Watched::OfListenersIfServed | Watched::IfServed
        )
    }

    /// Returns the RBAC verbs on its objects.
    pub fn rights(&self) -> Vec<&'static str> {
        rights(self.verbs)
    }

    /// Returns the RBAC verbs on the operator's own object.
    pub fn own_rights(&self) -> Vec<&'static str> {
        rights(self.own_verbs)
    }

    /// Returns the RBAC verbs on the status of its objects.
    pub fn status_rights(&self) -> Vec<&'static str> {
        rights(self.status_verbs)
    }
}

fn rights(verbs: &[Verb]) -> Vec<&'static str> {
    let rights = verbs.iter().flat_map(|verb| verb.rights());
    rights.copied().collect()
}

fn resource<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

// Fails to compile if a kind has no row, or if its row is out of order.
const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].kind as usize == index);
        index += 1;
    }
    assert!(TABLE.len() == Kind::Service as usize + 1);
};
