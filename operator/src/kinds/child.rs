//! The one table of children: the objects that each listener owns. Code elsewhere must not treat a child specially where
//! a column of the table can.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::de::DeserializeOwned;

use super::certificate::Certificate;
use super::object::{self, Object, Parse};
use super::table::Kind;

/// An object that each listener owns, or one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Child {
    /// The Secret with the terminators' configuration.
    Configuration,
    /// The Secret with the last configuration that all pods accepted.
    Accepted,
    /// The Service in front of the terminators.
    Service,
    /// The limit on disrupted pods.
    DisruptionBudget,
    /// The terminators.
    Deployment,
    /// The ConfigMap with the CA certificates that devices are to trust.
    Authorities,
    /// The certificates that cert-manager issues.
    Certificate,
}

/// When a child is written: all children of a wave before those of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// What a pod that starts falls back on. It must not be looser than a configuration that is written after it.
    Fallback,
    /// What the pods mount. Running pods are marked before the next wave.
    Configuration,
    /// The objects around the pods.
    Surroundings,
    /// The pods.
    Terminators,
}

/// Properties of a child.
#[derive(Clone, Copy)]
pub struct ChildRow {
    /// The child.
    pub child: Child,
    /// Its kind.
    pub kind: Kind,
    /// When it is written.
    pub wave: Wave,
    /// How it is parsed.
    pub parse: Parse,
    /// Whether a listener may have several.
    pub is_plural: bool,
    /// Whether few listeners have it, so that it is read only for those that may.
    pub is_rare: bool,
}

/// All children.
pub static CHILDREN: [ChildRow; 7] = TABLE;

/// In the order of [`Child`].
const TABLE: [ChildRow; 7] = [
    row::<Secret>(Child::Configuration, Kind::Secret, Wave::Configuration),
    row::<Secret>(Child::Accepted, Kind::Secret, Wave::Fallback),
    row::<Service>(Child::Service, Kind::Service, Wave::Surroundings),
    row::<PodDisruptionBudget>(
        Child::DisruptionBudget,
        Kind::PodDisruptionBudget,
        Wave::Surroundings,
    ),
    row::<Deployment>(Child::Deployment, Kind::Deployment, Wave::Terminators),
    row::<ConfigMap>(Child::Authorities, Kind::ConfigMap, Wave::Surroundings).rare(),
    row::<Certificate>(Child::Certificate, Kind::Certificate, Wave::Surroundings)
        .rare()
        .plural(),
];

const fn row<K: Object + DeserializeOwned>(child: Child, kind: Kind, wave: Wave) -> ChildRow {
    ChildRow {
        child,
        kind,
        wave,
        parse: object::parse::<K>,
        is_plural: false,
        is_rare: false,
    }
}

impl ChildRow {
    const fn rare(self) -> Self {
        Self {
            is_rare: true,
            ..self
        }
    }

    const fn plural(self) -> Self {
        Self {
            is_plural: true,
            ..self
        }
    }
}

impl Child {
    /// Returns its row of the table.
    pub fn row(self) -> &'static ChildRow {
        &CHILDREN[self as usize]
    }
}

impl Kind {
    /// Reports whether each listener owns an object of it.
    pub fn is_owned(self) -> bool {
        CHILDREN.iter().any(|row| row.kind == self)
    }

    /// Reports whether few listeners own objects of it.
    pub fn is_rarely_owned(self) -> bool {
        let mut rows = CHILDREN.iter();
        rows.any(|row| row.kind == self && row.is_rare)
    }
}

// Fails to compile if a child has no row, or if its row is out of order.
const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].child as usize == index);
        index += 1;
    }
    assert!(TABLE.len() == Child::Certificate as usize + 1);
};
