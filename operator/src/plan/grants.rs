//! Which objects of other namespaces a listener may use: those that a ReferenceGrant of the Gateway API permits there.
//!
//! It must not read one.

use serde::Deserialize;

use super::names::Name;
use crate::kinds::{Kind, Version};

/// The group and kind of listeners, as grants have them.
const FROM: (&str, &str) = ("mqtt.smartboot.tech", "MqttTlsListener");

/// The ReferenceGrants in the namespaces that a listener references.
#[derive(Clone, Debug, Default)]
pub struct Grants(Vec<Grant>);

/// A ReferenceGrant.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its namespace, whose objects it is about.
    pub namespace: String,
    /// Its version.
    pub version: Option<Version>,
    /// What it permits.
    pub spec: Spec,
}

/// What a ReferenceGrant permits.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Spec {
    /// Who may reference.
    #[serde(default)]
    pub from: Vec<From>,
    /// What they may reference.
    #[serde(default)]
    pub to: Vec<To>,
}

/// Who may reference.
#[derive(Clone, Debug, Deserialize)]
pub struct From {
    group: String,
    kind: String,
    namespace: String,
}

/// What may be referenced.
#[derive(Clone, Debug, Deserialize)]
pub struct To {
    group: String,
    kind: String,
    /// All if none.
    name: Option<String>,
}

impl Grants {
    /// Creates the grants that were read.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// Reports whether listeners in a namespace may reference an object. Those in its own namespace need no grant.
    pub fn permit(&self, listeners: &str, kind: Kind, object: &Name) -> bool {
        let mut there = self.0.iter();
        object.namespace == listeners
            || there.any(|grant| {
                grant.namespace == object.namespace && grant.spec.permits(listeners, kind, object)
            })
    }

    /// Returns their versions.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        self.0.iter().filter_map(|grant| grant.version)
    }
}

impl Spec {
    fn permits(&self, listeners: &str, kind: Kind, object: &Name) -> bool {
        let is_from = self.from.iter().any(|from| {
            (from.group.as_str(), from.kind.as_str()) == FROM && from.namespace == listeners
        });
        let is_to = self.to.iter().any(|to| {
            let is_kind = to.group.is_empty() && to.kind == kind.name();
            is_kind && to.name.as_ref().is_none_or(|name| *name == object.name)
        });
        is_from && is_to
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Grant, Grants, Kind, Name};

    fn grants(from: &Value, to: &Value) -> Grants {
        let spec = json!({"from": [from], "to": [to]});
        Grants::new(vec![Grant {
            namespace: "certs".to_owned(),
            version: None,
            spec: serde_json::from_value(spec).unwrap(),
        }])
    }

    #[test]
    fn a_grant_permits_a_kind_and_perhaps_a_name() {
        let listeners =
            json!({"group": "mqtt.smartboot.tech", "kind": "MqttTlsListener", "namespace": "iot"});
        let secrets = json!({"group": "", "kind": "Secret"});
        let one = json!({"group": "", "kind": "Secret", "name": "a"});
        let gateways =
            json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "iot"});
        let others = json!({"group": "mqtt.smartboot.tech", "kind": "MqttTlsListener", "namespace": "other"});
        let (a, b) = (Name::new("certs", "a"), Name::new("certs", "b"));
        for (from, to, expected) in [
            (&listeners, &secrets, [true, true, false]),
            (&listeners, &one, [true, false, false]),
            (&gateways, &secrets, [false, false, false]),
            (&others, &secrets, [false, false, false]),
        ] {
            let grants = grants(from, to);
            let found = [
                grants.permit("iot", Kind::Secret, &a),
                grants.permit("iot", Kind::Secret, &b),
                grants.permit("iot", Kind::ConfigMap, &a),
            ];
            assert_eq!(found, expected, "{from} {to}");
        }
        let grants = grants(&listeners, &secrets);
        assert!(!grants.permit("iot", Kind::Secret, &Name::new("elsewhere", "a")));
        assert!(Grants::default().permit("iot", Kind::Secret, &Name::new("iot", "a")));
    }
}
