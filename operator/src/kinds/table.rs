//! The one table of kinds: what there is to know about each. A kind that is not in it does not exist here.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::core::ApiResource;

use super::object::{self, Object, Parse};
use super::verb::Verb;
use crate::crd::MqttTlsListener;

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Named by listeners.
    ConfigMap,
    /// The definition of the listeners themselves.
    CustomResourceDefinition,
    /// The terminators.
    Deployment,
    /// What `kubectl describe` shows of a listener.
    Event,
    /// By which one of several operators is chosen.
    Lease,
    /// The listeners.
    MqttTlsListener,
    /// A terminator.
    Pod,
    /// How many terminators may be disrupted at once.
    PodDisruptionBudget,
    /// Named by listeners, and the terminators' configuration.
    Secret,
    /// Named by listeners, and in front of the terminators.
    Service,
}

/// When a child is written: those of one wave before those of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// What the pods mount. The pods that run hear of it before the next wave.
    Configuration,
    /// What stands around the pods.
    Surroundings,
    /// The pods.
    Terminators,
}

/// A kind of which each listener has an object.
#[derive(Clone, Copy)]
pub struct Child {
    /// When it is written.
    pub wave: Wave,
    /// How it is read.
    pub parse: Parse,
}

/// Which objects of a kind are watched for listeners' sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// None.
    No,
    /// All.
    All,
    /// The pods of terminators.
    Terminators,
}

/// In whose role the verbs on a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Of the operator that works.
    Work,
    /// Of all of them, in their own namespace.
    Leadership,
    /// Of `crd --apply`.
    Installation,
}

/// What there is to know about a kind.
#[derive(Clone, Copy)]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// Its group, version and plural.
    pub resource: fn() -> ApiResource,
    /// What is asked about its objects.
    pub verbs: &'static [Verb],
    /// What is asked about the status of its objects.
    pub status_verbs: &'static [Verb],
    /// Whose verbs these are.
    pub grant: Grant,
    /// The writes that are counted.
    pub counted: &'static [Verb],
    /// What is watched of it, beside the listeners.
    pub watched: Watched,
    /// How each listener's object of it is handled, if each has one.
    pub child: Option<Child>,
}

/// The verbs on what listeners name.
const NAMED: &[Verb] = &[Verb::Get, Verb::List, Verb::Watch];

/// The verbs on a child that is always there.
const MADE: &[Verb] = &[Verb::Get, Verb::List, Verb::Watch, Verb::Apply];

/// The verbs on a child that a spec can do without.
const MADE_AND_TAKEN: &[Verb] = &[
    Verb::Get,
    Verb::List,
    Verb::Watch,
    Verb::Apply,
    Verb::Delete,
];

/// All kinds.
pub static KINDS: [Row; 10] = TABLE;

/// In the order of [`Kind`].
const TABLE: [Row; 10] = [
    Row::of::<ConfigMap>(Kind::ConfigMap, NAMED).watched(Watched::All),
    Row::of::<CustomResourceDefinition>(Kind::CustomResourceDefinition, &[Verb::Get, Verb::Apply])
        .granted(Grant::Installation),
    Row::of::<Deployment>(Kind::Deployment, MADE).child::<Deployment>(Wave::Terminators),
    Row::of::<Event>(Kind::Event, &[Verb::Create, Verb::Patch]),
    Row::of::<Lease>(Kind::Lease, &[Verb::Get, Verb::Update, Verb::Create])
        .granted(Grant::Leadership),
    Row::of::<MqttTlsListener>(Kind::MqttTlsListener, NAMED)
        .with_status(&[Verb::Patch])
        .counted(&[Verb::Apply]),
    Row::of::<Pod>(Kind::Pod, &[Verb::List, Verb::Watch, Verb::Patch])
        .watched(Watched::Terminators)
        .counted(&[Verb::Patch]),
    Row::of::<PodDisruptionBudget>(Kind::PodDisruptionBudget, MADE_AND_TAKEN)
        .child::<PodDisruptionBudget>(Wave::Surroundings),
    Row::of::<Secret>(Kind::Secret, MADE).child::<Secret>(Wave::Configuration),
    Row::of::<Service>(Kind::Service, MADE)
        .child::<Service>(Wave::Surroundings)
        // Its ports may have to be replaced as a whole.
        .counted(&[Verb::Apply, Verb::Delete, Verb::Patch]),
];

/// The kinds of children.
pub fn children() -> impl Iterator<Item = (&'static Row, Child)> {
    KINDS.iter().filter_map(|row| Some((row, row.child?)))
}

impl Kind {
    /// Its name, as in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::CustomResourceDefinition => "CustomResourceDefinition",
            Self::Deployment => "Deployment",
            Self::Event => "Event",
            Self::Lease => "Lease",
            Self::MqttTlsListener => "MqttTlsListener",
            Self::Pod => "Pod",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Secret => "Secret",
            Self::Service => "Service",
        }
    }

    /// Whether what is in its objects may not be shown, not even in part.
    pub fn is_confidential(self) -> bool {
        self == Self::Secret
    }

    /// What there is to know about it.
    pub fn row(self) -> &'static Row {
        &KINDS[self as usize]
    }

    /// Its plural, as in rights and addresses.
    pub fn plural(self) -> String {
        (self.row().resource)().plural
    }
}

impl Row {
    const fn of<K: Resource<DynamicType = ()>>(kind: Kind, verbs: &'static [Verb]) -> Self {
        Self {
            kind,
            resource: resource::<K>,
            verbs,
            status_verbs: &[],
            grant: Grant::Work,
            counted: &[],
            watched: Watched::No,
            child: None,
        }
    }

    /// Each listener has an object of it.
    const fn child<K: Object + serde::de::DeserializeOwned>(self, wave: Wave) -> Self {
        let parse = object::parse::<K>;
        Self {
            child: Some(Child { wave, parse }),
            watched: Watched::All,
            counted: &[Verb::Apply, Verb::Delete],
            ..self
        }
    }

    const fn watched(self, watched: Watched) -> Self {
        Self { watched, ..self }
    }

    const fn granted(self, grant: Grant) -> Self {
        Self { grant, ..self }
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

    /// The rights on its objects.
    pub fn rights(&self) -> Vec<&'static str> {
        rights(self.verbs)
    }

    /// The rights on the status of its objects.
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

// A kind without a row does not compile, nor one whose row stands elsewhere.
const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].kind as usize == index);
        index += 1;
    }
    assert!(TABLE.len() == Kind::Service as usize + 1);
};
