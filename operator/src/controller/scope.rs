//! What the operator works on. It must not say how.

use kube::api::Api;
use kube::{Client, Resource};

/// Whose listeners are reconciled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the cluster.
    Cluster,
    /// Those of one namespace.
    Namespace(String),
}

impl Scope {
    /// The scope that is asked for. A name that is empty, as of a variable that is set to nothing, says nothing.
    pub fn of(namespace: Option<&str>) -> Self {
        match namespace {
            Some("") | None => Self::Cluster,
            Some(namespace) => Self::Namespace(namespace.to_owned()),
        }
    }

    /// The objects of a type in it.
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
    fn a_name_that_is_empty_says_nothing() {
        assert_eq!(Scope::of(None), Scope::Cluster);
        assert_eq!(Scope::of(Some("")), Scope::Cluster);
        assert_eq!(Scope::of(Some("iot")), Scope::Namespace("iot".to_owned()));
    }
}
