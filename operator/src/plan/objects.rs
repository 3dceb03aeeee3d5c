//! The wanted and the existing children. Each wanted child has a typed field; code that handles all of them iterates
//! over the steps. They must not be shown: they hold key material.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::kinds::{Kind, Object, Version, Wave};

/// The wanted children; by default all are kept.
#[derive(Clone, Default)]
pub struct Objects {
    /// The Secret with the terminators' configuration.
    pub config_secret: Wanted<Secret>,
    /// The Service in front of the terminators.
    pub service: Wanted<Service>,
    /// The limit on disrupted pods.
    pub disruption_budget: Wanted<PodDisruptionBudget>,
    /// The terminators.
    pub deployment: Wanted<Deployment>,
    /// The pods to mark with the configuration's version.
    pub pods: Vec<PodMark>,
}

/// One step of applying a plan: one child.
pub struct Step {
    /// The child's kind.
    pub kind: Kind,
    /// Its wanted state.
    pub wanted: Wanted<dyn Object>,
}

impl Step {
    /// Returns its wave.
    pub fn wave(&self) -> Option<Wave> {
        Some(self.kind.row().child?.wave)
    }
}

impl Objects {
    /// Returns the steps in the order in which they are written, and the pods.
    pub fn steps(self) -> (Vec<Step>, Vec<PodMark>) {
        // Destructured without `..`, so that a forgotten child does not compile.
        let Self {
            config_secret,
            service,
            disruption_budget,
            deployment,
            pods,
        } = self;
        let mut steps = vec![
            config_secret.step(Kind::Secret),
            service.step(Kind::Service),
            disruption_budget.step(Kind::PodDisruptionBudget),
            deployment.step(Kind::Deployment),
        ];
        steps.sort_by_key(Step::wave);
        (steps, pods)
    }
}

/// The wanted state of one child.
#[derive(Default)]
pub enum Wanted<K: ?Sized> {
    /// It exists as given.
    Present(Arc<K>),
    /// It does not exist.
    Absent,
    /// It stays as it is, whether it exists or not.
    #[default]
    Kept,
}

impl<K: ?Sized> Clone for Wanted<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Present(object) => Self::Present(Arc::clone(object)),
            Self::Absent => Self::Absent,
            Self::Kept => Self::Kept,
        }
    }
}

impl<K> Wanted<K> {
    /// Wants an object.
    pub fn new(object: K) -> Self {
        Self::Present(Arc::new(object))
    }

    /// Returns the object, if one is wanted.
    pub fn present(&self) -> Option<&K> {
        match self {
            Self::Present(object) => Some(object),
            Self::Absent | Self::Kept => None,
        }
    }
}

impl<K: Object> Wanted<K> {
    fn step(self, kind: Kind) -> Step {
        let wanted = match self {
            Self::Present(object) => Wanted::Present(object as Arc<dyn Object>),
            Self::Absent => Wanted::Absent,
            Self::Kept => Wanted::Kept,
        };
        Step { kind, wanted }
    }
}

/// A pod that mounts the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMark {
    /// The pod's name.
    pub name: String,
    /// The configuration's version that it was last marked with.
    pub version: Option<String>,
}

/// The existing children, at most one of each kind, including those of other owners.
#[derive(Clone, Default)]
pub struct Children(BTreeMap<Kind, Arc<dyn Object>>);

impl Children {
    /// Returns the child of a kind.
    pub fn of(&self, kind: Kind) -> Option<&Arc<dyn Object>> {
        self.0.get(&kind)
    }

    /// Returns the child of a type.
    pub fn get<K: Object>(&self) -> Option<&K> {
        self.0.values().find_map(|object| {
            let object: &dyn Any = &**object;
            object.downcast_ref()
        })
    }

    /// Returns the versions of the children.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        let children = self.0.iter();
        children.filter_map(|(kind, object)| Version::of(*kind, object.metadata()))
    }

    /// Adds or replaces a child.
    pub fn put(&mut self, kind: Kind, object: Arc<dyn Object>) {
        self.0.insert(kind, object);
    }

    /// Removes a child.
    pub fn remove(&mut self, kind: Kind) {
        self.0.remove(&kind);
    }
}

/// The children after a plan was applied: as the API server returned them, or as they were read if nothing was
/// written. Only `apply` creates one.
#[derive(Clone)]
pub struct Applied {
    /// The children.
    pub children: Children,
    /// The versions of the pods that were marked.
    pub marked: Vec<Version>,
}
