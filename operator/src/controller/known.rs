//! What the watches remember of each listener: which objects it references. An event about an object costs a look-up, and not
//! a walk through all listeners. It must not hold whole listeners: there may be thousands.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;

use crate::crd::MqttTlsListener;
use crate::gather::Seen;
use crate::kinds::{KINDS, Kind};
use crate::plan::names::{Name, listener_of, listener_of_child};
use crate::plan::references::named;

/// A listener, reduced to its name and its version.
pub(super) type Meta = PartialObjectMeta<MqttTlsListener>;

/// An object that a listener references.
type Object = (Kind, Name);

/// The listeners and what they reference.
#[derive(Debug, Default)]
pub struct Known(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What each listener references, and the list in which it was last found.
    listeners: HashMap<Arc<Name>, (Vec<Object>, u64)>,
    /// The listeners that reference an object.
    by_object: HashMap<Object, Vec<Arc<Name>>>,
    /// Number of the current list.
    list: u64,
    /// The listeners that had children that few have, by kind. They may not have them any more.
    owners: HashMap<Name, BTreeSet<Kind>>,
    /// The kinds that the cluster does not serve.
    unserved: BTreeSet<Kind>,
}

impl Known {
    /// Begins a list of all listeners.
    pub fn begin_list(&self) {
        self.lock().list += 1;
    }

    /// Ends the list: the listeners that were not in it no longer exist.
    pub fn end_list(&self) {
        let mut inner = self.lock();
        let list = inner.list;
        let listeners = inner.listeners.iter();
        let gone = listeners.filter(|(_, (_, found))| *found != list);
        let gone: Vec<_> = gone.map(|(name, _)| Arc::clone(name)).collect();
        for name in gone {
            inner.remove(&name);
        }
    }

    /// Adds or replaces a listener; `None` for the listener if it cannot be parsed, so that it references nothing.
    pub fn learn(&self, name: &Name, listener: Option<&MqttTlsListener>) {
        let mut inner = self.lock();
        let list = inner.list;
        let objects = listener.map(references).unwrap_or_default();
        if let Some((known, found)) = inner.listeners.get_mut(name)
            && *known == objects
        {
            *found = list;
            return;
        }
        inner.remove(name);
        let name = Arc::new(name.clone());
        for object in &objects {
            let listeners = inner.by_object.entry(object.clone()).or_default();
            listeners.push(Arc::clone(&name));
        }
        inner.listeners.insert(name, (objects, list));
    }

    /// Removes a listener.
    pub fn forget(&self, name: &Name) {
        let mut inner = self.lock();
        inner.remove(name);
        inner.owners.remove(name);
    }

    /// Returns the listeners that reference an object, the one that owns it, and the one that has a child of its name: an
    /// object that is in a child's way, or that has lost owner and labels, is known by its name only.
    pub fn listeners_of(&self, kind: Kind, object: &ObjectMeta) -> Vec<ObjectRef<Meta>> {
        let (Some(name), Some(namespace)) = (object.name.as_deref(), object.namespace.as_deref())
        else {
            return Vec::new();
        };
        // A grant is found by its namespace.
        let referenced = if kind == Kind::ReferenceGrant {
            ""
        } else {
            name
        };
        let by_reference = (kind, Name::new(namespace, referenced));
        let mut found: Vec<ObjectRef<Meta>> = {
            let inner = self.lock();
            let listeners = inner.by_object.get(&by_reference).into_iter().flatten();
            listeners.map(|listener| reference(listener)).collect()
        };
        // The owner may not be known yet; then it is reconciled when it appears.
        let owner = listener_of(object).map(|owner| reference(&Name::new(namespace, &owner)));
        found.extend(owner.filter(|owner| !found.contains(owner)));
        let by_name = listener_of_child(name).filter(|_| kind.is_owned());
        let by_name = by_name.map(|listener| reference(&Name::new(namespace, listener)));
        found.extend(by_name.filter(|by_name| !found.contains(by_name)));
        found
    }

    /// Notes that a listener has a child that few listeners have.
    pub fn note_owner(&self, kind: Kind, child: &ObjectMeta) {
        let owner = listener_of(child).zip(child.namespace.as_deref());
        if let Some((owner, namespace)) = owner {
            let owner = Name::new(namespace, &owner);
            let mut inner = self.lock();
            // Anyone may write the labels.
            if inner.listeners.contains_key(&owner) {
                inner.owners.entry(owner).or_default().insert(kind);
            }
        }
    }

    /// Notes whether the cluster serves a kind, as its watch has found again and again.
    pub fn note_served(&self, kind: Kind, is_served: bool) {
        let mut inner = self.lock();
        if is_served {
            inner.unserved.remove(&kind);
        } else {
            inner.unserved.insert(kind);
        }
    }

    /// Returns what is known for the reads of a listener.
    pub fn seen(&self, listener: &Name) -> Seen {
        let inner = self.lock();
        let owned = inner.owners.get(listener).into_iter().flatten();
        Seen {
            owned: owned.copied().collect(),
            unserved: inner.unserved.iter().copied().collect(),
            is_namespaced: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // After a panic, a missing entry costs a quarter of an hour at most.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, name: &Name) {
        let Some((objects, _)) = self.listeners.remove(name) else {
            return;
        };
        for object in objects {
            if let Some(listeners) = self.by_object.get_mut(&object) {
                listeners.retain(|listener| **listener != *name);
                if listeners.is_empty() {
                    self.by_object.remove(&object);
                }
            }
        }
    }
}

/// Returns a reference to a listener for the queue.
pub(super) fn reference(listener: &Name) -> ObjectRef<Meta> {
    ObjectRef::new(&listener.name).within(&listener.namespace)
}

fn references(listener: &MqttTlsListener) -> Vec<Object> {
    let rows = KINDS.iter();
    rows.flat_map(|row| {
        let named = named(row.kind, listener).into_iter();
        named.map(|name| (row.kind, name))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;
    use mqtt_tls_config::yaml;

    use super::{Kind, Known, MqttTlsListener, Name};

    fn listener(name: &str, secret: &str) -> MqttTlsListener {
        let text = format!(
            "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\n\
             metadata: {{name: {name}, namespace: iot}}\n\
             spec:\n  certificates: [{{secretRef: {{name: {secret}}}}}]\n  \
             backend: {{service: {{name: smart-mqtt}}}}\n  \
             clientAuth: {{mode: Require, caRef: {{kind: ConfigMap, name: device-ca}}}}\n"
        );
        yaml::from_value(yaml::value(&text).unwrap()).unwrap()
    }

    fn known() -> Known {
        let known = Known::default();
        for (name, secret) in [("one", "shared"), ("two", "shared"), ("three", "x")] {
            known.learn(&Name::new("iot", name), Some(&listener(name, secret)));
        }
        known
    }

    fn found(known: &Known, kind: Kind, object: &ObjectMeta) -> Vec<String> {
        let found = known.listeners_of(kind, object).into_iter();
        found.map(|found| found.name).collect()
    }

    fn names(known: &Known, kind: Kind, name: &str, namespace: &str) -> Vec<String> {
        let object = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        found(known, kind, &object)
    }

    #[test]
    fn a_secret_that_two_listeners_name() {
        let known = known();
        let names = |kind, namespace| names(&known, kind, "shared", namespace);
        assert_eq!(names(Kind::Secret, "iot"), ["one", "two"]);
        assert_eq!(names(Kind::Secret, "other"), [""; 0]);
        assert_eq!(names(Kind::ConfigMap, "iot"), [""; 0]);
    }

    #[test]
    fn a_config_map_and_a_service() {
        let known = known();
        let names = |kind, name| names(&known, kind, name, "iot");
        assert_eq!(names(Kind::ConfigMap, "device-ca").len(), 3);
        assert_eq!(names(Kind::Service, "smart-mqtt").len(), 3);
        assert_eq!(names(Kind::Secret, "device-ca"), [""; 0]);
    }

    #[test]
    fn a_child_by_its_name() {
        let known = known();
        let names = |kind| names(&known, kind, "one-mqtts", "iot");
        assert_eq!(names(Kind::Service), ["one"]);
        assert_eq!(names(Kind::Secret), ["one"]);
        assert_eq!(names(Kind::Pod), [""; 0]);
    }

    #[test]
    fn a_child_by_its_owner_or_its_labels() {
        let child = |text: &str| -> Vec<String> {
            let object: ObjectMeta = yaml::from_value(yaml::value(text).unwrap()).unwrap();
            found(&known(), Kind::Pod, &object)
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

    #[test]
    fn changed_and_deleted_listeners_are_no_longer_found() {
        let known = known();
        let secret = |name| names(&known, Kind::Secret, name, "iot");
        let one = Name::new("iot", "one");
        known.learn(&one, Some(&listener("one", "x")));
        assert_eq!(
            (secret("shared"), secret("x").len()),
            (vec!["two".to_owned()], 2)
        );
        known.learn(&one, None);
        assert_eq!(secret("x"), ["three"]);
        known.forget(&Name::new("iot", "three"));
        assert_eq!(secret("x"), [""; 0]);
        // A list without the first one, which was deleted while the watch was down.
        known.begin_list();
        known.learn(&Name::new("iot", "three"), Some(&listener("three", "x")));
        known.end_list();
        assert_eq!((secret("shared"), secret("x").len()), (Vec::new(), 1));
    }
}
