//! The children: those that are wanted, as the plan makes them, and those that there are. Each wanted one has a
//! field of its type; code that handles all alike goes through the steps. It must not be shown: it holds key material.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::kinds::{Kind, Object, Wave};

/// The wanted children; by default none is touched.
#[derive(Clone, Default)]
pub struct Objects {
    /// The Secret with the terminators' configuration.
    pub config_secret: Wanted<Secret>,
    /// The Service in front of the terminators.
    pub service: Wanted<Service>,
    /// How many pods may be disrupted at once.
    pub disruption_budget: Wanted<PodDisruptionBudget>,
    /// The terminators.
    pub deployment: Wanted<Deployment>,
    /// The pods that are to be marked with the configuration's version.
    pub pods: Vec<PodMark>,
}

/// What is wanted of one child.
pub struct Step {
    /// The child's kind.
    pub kind: Kind,
    /// What is wanted.
    pub wanted: Wanted<dyn Object>,
}

impl Step {
    /// When it is done.
    pub fn wave(&self) -> Option<Wave> {
        Some(self.kind.row().child?.wave)
    }
}

impl Objects {
    /// What is wanted of each child, in the order in which they are written, and the pods.
    pub fn steps(self) -> (Vec<Step>, Vec<PodMark>) {
        // Taken apart without `..`: a child that is forgotten here does not compile.
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

/// What is wanted of one child.
#[derive(Default)]
pub enum Wanted<K: ?Sized> {
    /// It is to be like this.
    Present(Arc<K>),
    /// It is not to be there.
    Absent,
    /// It is not to be touched, whether it is there or not.
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
    /// It is to be like this.
    pub fn new(object: K) -> Self {
        Self::Present(Arc::new(object))
    }

    /// The object, if it is to be there.
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
    /// The version of the configuration that it was marked with last.
    pub version: Option<String>,
}

/// The children that there are, also those that someone else made: at most one of each kind.
#[derive(Clone, Default)]
pub struct Children(BTreeMap<Kind, Arc<dyn Object>>);

impl Children {
    /// The child of a kind.
    pub fn of(&self, kind: Kind) -> Option<&Arc<dyn Object>> {
        self.0.get(&kind)
    }

    /// The child of a type.
    pub fn get<K: Object>(&self) -> Option<&K> {
        self.0.values().find_map(|object| {
            let object: &dyn Any = &**object;
            object.downcast_ref()
        })
    }

    /// There is this child from now on.
    pub fn put(&mut self, kind: Kind, object: Arc<dyn Object>) {
        self.0.insert(kind, object);
    }

    /// There is no such child any more.
    pub fn remove(&mut self, kind: Kind) {
        self.0.remove(&kind);
    }
}

/// The children after all that was wanted was done: what the API server says of those that it was asked about, and
/// what was found of the others. Only the code that has done it makes one.
#[derive(Clone)]
pub struct Applied {
    /// The children.
    pub children: Children,
}
