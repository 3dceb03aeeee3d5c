//! The wanted and the existing children. Each wanted child has a typed field; code that handles all of them iterates
//! over the steps. They must not be shown: they hold key material.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::kinds::certificate::Certificate;
use crate::kinds::{Child, Object, Version, Wave};

/// The wanted children; by default all are kept.
#[derive(Clone, Default)]
pub struct Objects {
    /// The Secret with the terminators' configuration.
    pub config_secret: Wanted<Secret>,
    /// The Secret with the last configuration that all pods accepted.
    pub accepted_secret: Wanted<Secret>,
    /// The Service in front of the terminators.
    pub service: Wanted<Service>,
    /// The limit on disrupted pods.
    pub disruption_budget: Wanted<PodDisruptionBudget>,
    /// The terminators.
    pub deployment: Wanted<Deployment>,
    /// The ConfigMap with the CA certificates that devices are to trust.
    pub authorities: Wanted<ConfigMap>,
    /// The certificates that cert-manager issues, by name.
    pub certificates: BTreeMap<String, Wanted<Certificate>>,
    /// The pods to mark with the configuration's version.
    pub pods: Vec<PodMark>,
}

/// One step of applying a plan: one child.
pub struct Step {
    /// The child.
    pub child: Child,
    /// Its name, if there may be several.
    pub name: Option<String>,
    /// Its wanted state.
    pub wanted: Wanted<dyn Object>,
}

impl Step {
    /// Returns its wave.
    pub fn wave(&self) -> Wave {
        self.child.row().wave
    }
}

impl Objects {
    /// Returns the steps in the order in which they are written, and the pods.
    pub fn steps(self) -> (Vec<Step>, Vec<PodMark>) {
        // Destructured without `..`, so that a forgotten child does not compile.
        let Self {
            config_secret,
            accepted_secret,
            service,
            disruption_budget,
            deployment,
            authorities,
            certificates,
            pods,
        } = self;
        let mut steps = vec![
            config_secret.step(Child::Configuration),
            accepted_secret.step(Child::Accepted),
            service.step(Child::Service),
            disruption_budget.step(Child::DisruptionBudget),
            deployment.step(Child::Deployment),
            authorities.step(Child::Authorities),
        ];
        steps.extend(certificates.into_iter().map(|(name, wanted)| Step {
            name: Some(name),
            ..wanted.step(Child::Certificate)
        }));
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
    /// Returns the step that applies it.
    pub fn step(self, child: Child) -> Step {
        let wanted = match self {
            Self::Present(object) => Wanted::Present(object as Arc<dyn Object>),
            Self::Absent => Wanted::Absent,
            Self::Kept => Wanted::Kept,
        };
        Step {
            child,
            name: None,
            wanted,
        }
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

/// The existing children, including those of other owners.
#[derive(Clone, Default)]
pub struct Children(BTreeMap<(Child, String), Arc<dyn Object>>);

impl Children {
    /// Returns a child; of several, the first by name.
    pub fn of(&self, child: Child) -> Option<&Arc<dyn Object>> {
        self.all(child).next()
    }

    /// Returns all children of a row of the table, by name.
    fn all(&self, child: Child) -> impl Iterator<Item = &Arc<dyn Object>> {
        let all = self.0.iter().filter(move |((one, _), _)| *one == child);
        all.map(|(_, object)| object)
    }

    /// Returns the child of a step.
    pub fn of_step(&self, child: Child, name: Option<&str>) -> Option<&Arc<dyn Object>> {
        let name = name.unwrap_or_default().to_owned();
        self.0.get(&(child, name))
    }

    fn get<K: Object>(&self, child: Child) -> Option<&K> {
        let object: &dyn Any = &**self.of(child)?;
        object.downcast_ref()
    }

    /// Returns the Secret with the configuration.
    pub fn config_secret(&self) -> Option<&Secret> {
        self.get(Child::Configuration)
    }

    /// Returns the Secret with the last configuration that all pods accepted.
    pub fn accepted_secret(&self) -> Option<&Secret> {
        self.get(Child::Accepted)
    }

    /// Returns the Service.
    pub fn service(&self) -> Option<&Service> {
        self.get(Child::Service)
    }

    /// Returns the limit on disrupted pods.
    pub fn disruption_budget(&self) -> Option<&PodDisruptionBudget> {
        self.get(Child::DisruptionBudget)
    }

    /// Returns the Deployment.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.get(Child::Deployment)
    }

    /// Returns the versions of the children.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        let children = self.0.iter();
        children.filter_map(|((child, _), object)| Version::of(child.row().kind, object.metadata()))
    }

    /// Returns the ConfigMap with the CA certificates that devices are to trust.
    pub fn authorities(&self) -> Option<&ConfigMap> {
        self.get(Child::Authorities)
    }

    /// Returns the certificates that cert-manager issues, by name.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        let all = self.all(Child::Certificate);
        all.filter_map(|object| {
            let object: &dyn Any = &**object;
            object.downcast_ref()
        })
    }

    /// Adds or replaces a child.
    pub fn put(&mut self, child: Child, object: Arc<dyn Object>) {
        // The only one of its kind is found by whatever name it has.
        let name = if child.row().is_plural {
            object.name().to_owned()
        } else {
            String::new()
        };
        self.0.insert((child, name), object);
    }

    /// Removes a child, or all of several.
    pub fn remove(&mut self, child: Child) {
        self.remove_step(child, None);
    }

    /// Removes the child of a step.
    pub fn remove_step(&mut self, child: Child, name: Option<&str>) {
        self.0
            .retain(|(one, found), _| *one != child || name.is_some_and(|name| name != found));
    }
}

/// The children after a plan was applied: as the API server returned them, or as they were read if nothing was
/// written. Only `apply` creates one.
#[derive(Clone)]
pub struct Applied {
    /// The children.
    pub children: Children,
    /// The versions of the pods that were marked, by name.
    pub marked: BTreeMap<String, Version>,
}
