//! Which listeners an object is about: the reverse of what listeners name. Pure; it must not read.

use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::crd::MqttTlsListener;
use crate::gather::{backend_name, config_map_names, secret_names};
use crate::plan::names::listener_of;

/// A listener as it comes from the API server: one that does not read stops nothing.
pub type Guarded = DeserializeGuard<MqttTlsListener>;

/// The kinds of objects that are watched for listeners' sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Named by listeners.
    ConfigMap,
    /// A child.
    Deployment,
    /// Belongs to a child.
    Pod,
    /// A child.
    PodDisruptionBudget,
    /// Named by listeners, or a child.
    Secret,
    /// Named by listeners, or a child.
    Service,
}

impl Watched {
    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Deployment => "Deployment",
            Self::Pod => "Pod",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Secret => "Secret",
            Self::Service => "Service",
        }
    }

    /// Whether a listener names the object.
    fn is_named_by(self, listener: &MqttTlsListener, name: &str) -> bool {
        match self {
            Self::ConfigMap => config_map_names(listener).contains(name),
            Self::Secret => secret_names(listener).contains(name),
            Self::Service => backend_name(listener) == Some(name),
            Self::Deployment | Self::Pod | Self::PodDisruptionBudget => false,
        }
    }
}

/// The listeners that name an object, and the one that it belongs to.
pub fn listeners_of<'l>(
    kind: Watched,
    object: &ObjectMeta,
    listeners: impl Iterator<Item = &'l Guarded>,
) -> Vec<ObjectRef<Guarded>> {
    let (Some(name), Some(namespace)) = (object.name.as_deref(), object.namespace.as_deref())
    else {
        return Vec::new();
    };
    let mut found: Vec<ObjectRef<Guarded>> = listeners
        .filter(|listener| listener.meta().namespace.as_deref() == Some(namespace))
        .filter(|listener| {
            listener
                .0
                .as_ref()
                .is_ok_and(|listener| kind.is_named_by(listener, name))
        })
        .map(|listener| ObjectRef::new(&listener.name_any()).within(namespace))
        .collect();
    // The child of a listener that is not known yet is seen when that listener is.
    let owner = listener_of(object).map(|owner| ObjectRef::new(&owner).within(namespace));
    found.extend(owner.filter(|owner| !found.contains(owner)));
    found
}

#[cfg(test)]
mod tests {
    use kube::core::{DeserializeGuard, ObjectMeta};
    use mqtt_tls_config::yaml;

    use super::{Guarded, Watched, listeners_of};

    fn listener(name: &str, secret: &str) -> Guarded {
        let text = format!(
            "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\n\
             metadata: {{name: {name}, namespace: iot}}\n\
             spec:\n  certificates: [{{secretRef: {{name: {secret}}}}}]\n  \
             backend: {{service: {{name: smart-mqtt}}}}\n  \
             clientAuth: {{mode: Require, caRef: {{kind: ConfigMap, name: device-ca}}}}\n"
        );
        DeserializeGuard(Ok(yaml::from_value(yaml::value(&text).unwrap()).unwrap()))
    }

    fn names(kind: Watched, name: &str, namespace: &str) -> Vec<String> {
        let listeners = [
            listener("one", "shared"),
            listener("two", "shared"),
            listener("three", "x"),
        ];
        let object = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        let found = listeners_of(kind, &object, listeners.iter());
        found.into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn a_secret_that_two_listeners_name() {
        assert_eq!(names(Watched::Secret, "shared", "iot"), ["one", "two"]);
        assert_eq!(names(Watched::Secret, "shared", "other"), [""; 0]);
        assert_eq!(names(Watched::ConfigMap, "shared", "iot"), [""; 0]);
    }

    #[test]
    fn a_config_map_and_a_service() {
        assert_eq!(names(Watched::ConfigMap, "device-ca", "iot").len(), 3);
        assert_eq!(names(Watched::Service, "smart-mqtt", "iot").len(), 3);
        assert_eq!(names(Watched::Secret, "device-ca", "iot"), [""; 0]);
    }

    #[test]
    fn a_child_by_its_owner_or_its_labels() {
        let child = |text: &str| -> Vec<String> {
            let object: ObjectMeta = yaml::from_value(yaml::value(text).unwrap()).unwrap();
            let listeners = [listener("one", "x")];
            let found = listeners_of(Watched::Pod, &object, listeners.iter());
            found.into_iter().map(|found| found.name).collect()
        };
        assert_eq!(
            child(
                "{name: one-mqtts, namespace: iot, ownerReferences: [{apiVersion: \
                 mqtt.smartboot.tech/v1alpha1, kind: MqttTlsListener, name: one, uid: u}]}"
            ),
            ["one"]
        );
        let labels = "labels: {app.kubernetes.io/managed-by: mqtt-tls-operator, \
                      app.kubernetes.io/instance: one}";
        assert_eq!(
            child(&format!("{{name: a, namespace: iot, {labels}}}")),
            ["one"]
        );
        assert_eq!(
            child("{name: a, namespace: iot, labels: {app.kubernetes.io/instance: one}}"),
            [""; 0]
        );
    }
}
