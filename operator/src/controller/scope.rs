//! Which namespaces the operator works on. It must not define how.

use std::fmt;

use kube::api::Api;
use kube::{Client, Resource};

/// Which listeners are reconciled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All in the cluster.
    Cluster,
    /// Those in one namespace.
    Namespace(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("all namespaces"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
        }
    }
}

impl Scope {
    /// Returns the scope for a namespace; an empty name, as from an empty variable, counts as none.
    pub fn of(namespace: Option<&str>) -> Self {
        match namespace {
            Some("") | None => Self::Cluster,
            Some(namespace) => Self::Namespace(namespace.to_owned()),
        }
    }

    /// Returns the API of a type in this scope.
    pub fn api<K>(&self, client: &Client, type_: &K::DynamicType) -> Api<K>
    where
        K: Resource,
        K::Scope: kube::core::NamespaceScope,
    {
        let all = Api::all_with(client.clone(), type_);
        match self {
            Self::Cluster => all,
            Self::Namespace(namespace) => all.constrain(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn an_empty_namespace_counts_as_none() {
        assert_eq!(Scope::of(None), Scope::Cluster);
        assert_eq!(Scope::of(Some("")), Scope::Cluster);
        assert_eq!(Scope::of(Some("iot")), Scope::Namespace("iot".to_owned()));
    }
}
