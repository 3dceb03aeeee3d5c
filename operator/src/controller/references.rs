//! Maps an object to the listeners that reference or own it. Pure; it must not read.

use kube::ResourceExt;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::reflector::ObjectRef;

use crate::crd::MqttTlsListener;
use crate::kinds::Kind;
use crate::plan::names::{listener_of, listener_of_child};
use crate::plan::references::named;

/// A listener as the API server sends it; one that cannot be parsed does not break the watch.
pub type Guarded = DeserializeGuard<MqttTlsListener>;

/// Returns the listeners that reference an object, the one that owns it, and the one that has a child of its name: an
/// object that is in a child's way, or that has lost owner and labels, is known by its name only.
pub fn listeners_of<'l>(
    kind: Kind,
    object: &ObjectMeta,
    listeners: impl Iterator<Item = &'l Guarded>,
) -> Vec<ObjectRef<Guarded>> {
    let (Some(name), Some(namespace)) = (object.name.as_deref(), object.namespace.as_deref())
    else {
        return Vec::new();
    };
    let mut found: Vec<ObjectRef<Guarded>> = listeners
        .filter(|listener| {
            let listener = listener.0.as_ref();
            listener.is_ok_and(|listener| named(kind, listener).contains(&(namespace, name)))
        })
        .map(|listener| {
            let namespace = listener.namespace().unwrap_or_default();
            ObjectRef::new(&listener.name_any()).within(&namespace)
        })
        .collect();
    // The owner may not be in the store yet; then it is reconciled when it appears there.
    let owner = listener_of(object).map(|owner| ObjectRef::new(&owner).within(namespace));
    found.extend(owner.filter(|owner| !found.contains(owner)));
    let by_name = listener_of_child(name).filter(|_| kind.is_owned());
    let by_name = by_name.map(|listener| ObjectRef::new(listener).within(namespace));
    found.extend(by_name.filter(|by_name| !found.contains(by_name)));
    found
}

#[cfg(test)]
mod tests {
    use kube::core::{DeserializeGuard, ObjectMeta};
    use mqtt_tls_config::yaml;

    use super::{Guarded, Kind, listeners_of};

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

    fn names(kind: Kind, name: &str, namespace: &str) -> Vec<String> {
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
        assert_eq!(names(Kind::Secret, "shared", "iot"), ["one", "two"]);
        assert_eq!(names(Kind::Secret, "shared", "other"), [""; 0]);
        assert_eq!(names(Kind::ConfigMap, "shared", "iot"), [""; 0]);
    }

    #[test]
    fn a_config_map_and_a_service() {
        assert_eq!(names(Kind::ConfigMap, "device-ca", "iot").len(), 3);
        assert_eq!(names(Kind::Service, "smart-mqtt", "iot").len(), 3);
        assert_eq!(names(Kind::Secret, "device-ca", "iot"), [""; 0]);
    }

    #[test]
    fn a_child_by_its_name() {
        assert_eq!(names(Kind::Service, "one-mqtts", "iot"), ["one"]);
        assert_eq!(names(Kind::Secret, "one-mqtts", "iot"), ["one"]);
        assert_eq!(names(Kind::ConfigMap, "one-mqtts", "iot"), [""; 0]);
    }

    #[test]
    fn a_child_by_its_owner_or_its_labels() {
        let child = |text: &str| -> Vec<String> {
            let object: ObjectMeta = yaml::from_value(yaml::value(text).unwrap()).unwrap();
            let listeners = [listener("one", "x")];
            let found = listeners_of(Kind::Pod, &object, listeners.iter());
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
