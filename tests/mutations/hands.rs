//! What others do to a listener's children, made from the children as they are: each part of each is edited, and each is
//! deleted, stripped, replaced, made again, and held. It must not judge.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};
use tests::state::{CHILDREN, DEPLOYMENT, SECRET};

use crate::stage::{CHILD, Stage};

/// A finalizer that only the hand removes.
const FINALIZER: &str = "example.com/hand";

/// The part of a Deployment whose parts are edited, too.
const TEMPLATE: &str = "/spec/template/spec";

/// What a hand does to a child.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Merges a patch.
    Edit(Value),
    /// Merges a patch of what the operator leaves to others, until the hand lets go by merging another one.
    Own(Value, Value),
    /// Deletes it.
    Delete,
    /// Deletes it, and makes a copy that belongs to nothing.
    Again,
    /// Deletes it, and makes another object of its name, until the hand lets go.
    Foreign,
    /// Keeps it after its deletion, until the hand lets go.
    Freeze,
    /// Makes the Secret immutable; the hand lets go by deleting it.
    Immutable,
}

/// A hand and a child.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    pub(crate) name: String,
    pub(crate) kind: usize,
    pub(crate) act: Act,
}

impl Hand {
    /// Whether it holds the child until it lets go.
    pub(crate) fn holds(&self) -> bool {
        let is_own = matches!(self.act, Act::Own(..));
        is_own || matches!(self.act, Act::Foreign | Act::Freeze | Act::Immutable)
    }

    /// Whether a listener may be ready meanwhile, because what is held may be harmless.
    pub(crate) fn may_be_harmless(&self) -> bool {
        matches!(self.act, Act::Own(..))
    }

    /// What the act itself interrupts.
    pub(crate) fn interruption(&self) -> Option<&'static str> {
        let is_edit = matches!(self.act, Act::Edit(_) | Act::Own(..));
        match CHILDREN[self.kind][2] {
            "Service" => Some("the Service leads to the pods"),
            "Deployment" if !is_edit => Some("with the Deployment, its pods are deleted"),
            _ => None,
        }
    }

    /// Acts.
    pub(crate) async fn act(&self, stage: &Stage) {
        let (api, merge) = (stage.children(self.kind), PatchParams::default());
        let patch = async |patch: Value| {
            api.patch(CHILD, &merge, &Patch::Merge(patch))
                .await
                .unwrap();
        };
        match &self.act {
            Act::Edit(edit) | Act::Own(edit, _) => patch(edit.clone()).await,
            Act::Immutable => patch(json!({"immutable": true})).await,
            Act::Delete => self.delete(stage).await,
            Act::Freeze => {
                patch(json!({"metadata": {"finalizers": [FINALIZER]}})).await;
                self.delete(stage).await;
            }
            Act::Again => {
                let mut copy = api.get(CHILD).await.unwrap();
                let metadata = &mut copy.metadata;
                metadata.owner_references = None;
                metadata.resource_version = None;
                metadata.uid = None;
                metadata.managed_fields = None;
                strip_addresses(&mut copy.data);
                self.replace(stage, copy).await;
            }
            Act::Foreign => {
                let foreign = serde_json::from_value(foreign(self.kind)).unwrap();
                self.replace(stage, foreign).await;
            }
        }
    }

    /// Lets go of what it holds.
    pub(crate) async fn let_go(&self, stage: &Stage) {
        let patch = match &self.act {
            Act::Freeze => json!({"metadata": {"finalizers": null}}),
            Act::Own(_, back) => back.clone(),
            _ => return self.delete(stage).await,
        };
        let (api, merge) = (stage.children(self.kind), PatchParams::default());
        // It may have been healed.
        let _ = api.patch(CHILD, &merge, &Patch::Merge(patch)).await;
    }

    /// Replaces the child again if the operator has made another's its own: a write that was under way meanwhile merges
    /// with what it finds.
    pub(crate) async fn insist(&self, stage: &Stage) {
        if let Act::Foreign = self.act {
            let child = stage.children(self.kind).get_opt(CHILD).await.unwrap();
            if child.is_none_or(|child| child.metadata.owner_references.is_some()) {
                self.act(stage).await;
            }
        }
    }

    async fn delete(&self, stage: &Stage) {
        let api = stage.children(self.kind);
        // It may be gone already.
        let _ = api.delete(CHILD, &DeleteParams::background()).await;
    }

    /// Puts another object in its place. The operator may be first; then it is deleted again.
    async fn replace(&self, stage: &Stage, object: DynamicObject) {
        let api = stage.children(self.kind);
        loop {
            self.delete(stage).await;
            if api.create(&PostParams::default(), &object).await.is_ok() {
                return;
            }
        }
    }
}

/// Returns all hands that the API server lets act on the children of a stage.
pub(crate) async fn all(stage: &Stage) -> Vec<Hand> {
    let mut hands = Vec::new();
    for (index, kind) in CHILDREN.into_iter().enumerate() {
        let api = stage.children(index);
        let child = serde_json::to_value(api.get(CHILD).await.unwrap()).unwrap();
        let mut add = |what: &str, act: Act| {
            let name = format!("children/{}/{what}", kind[2]);
            hands.push(Hand {
                name,
                kind: index,
                act,
            });
        };
        add("deleted", Act::Delete);
        add("made-again", Act::Again);
        add("replaced", Act::Foreign);
        add("frozen", Act::Freeze);
        let strip = json!({"metadata": {"ownerReferences": null, "labels": null}});
        add("stripped", Act::Edit(strip));
        if index == SECRET {
            add("immutable", Act::Immutable);
        }
        if index == DEPLOYMENT {
            let paused = |value: Value| json!({"spec": {"paused": value}});
            add("paused", Act::Own(paused(json!(true)), paused(Value::Null)));
        }
        for (name, edit, back) in edits(&child, index) {
            let dry = PatchParams {
                dry_run: true,
                ..PatchParams::default()
            };
            let tried = api.patch(CHILD, &dry, &Patch::Merge(&edit)).await;
            // The API server refuses some edits, and completes others to what was there.
            if tried.is_ok_and(|tried| is_edited(&child, &tried)) {
                let act = match back {
                    Some(back) => Act::Own(edit, back),
                    None => Act::Edit(edit),
                };
                add(&name, act);
            }
        }
    }
    hands
}

/// Whether an edit changes more than versions.
fn is_edited(child: &Value, edited: &DynamicObject) -> bool {
    let mut edited = serde_json::to_value(edited).unwrap();
    let mut child = child.clone();
    for object in [&mut edited, &mut child] {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|name, _| {
            !["managedFields", "resourceVersion", "generation"].contains(&name.as_str())
        });
    }
    edited != child
}

/// The edits of each part of a child, another value and none, with the way back if the operator leaves the part to others.
fn edits(child: &Value, kind: usize) -> Vec<(String, Value, Option<Value>)> {
    let places: &[&str] = match kind {
        SECRET => &["/data", "/metadata/labels"],
        DEPLOYMENT => &["/spec", TEMPLATE, "/metadata/labels"],
        _ => &["/spec", "/metadata/labels"],
    };
    let mut edits = Vec::new();
    for place in places {
        let patch = |name: &str, value: Value| {
            let keys = place.rsplit('/').filter(|key| !key.is_empty());
            keys.fold(
                json!({ (name): value }),
                |inner, key| json!({ (key): inner }),
            )
        };
        let parts = child.pointer(place).and_then(Value::as_object);
        for (name, value) in parts.into_iter().flatten() {
            let back = (!is_owned(child, place, name)).then(|| patch(name, value.clone()));
            for (how, value) in [("edited", another(value)), ("removed", Value::Null)] {
                let title = format!("{}.{name}/{how}", place[1..].replace('/', "."));
                edits.push((title, patch(name, value), back.clone()));
            }
        }
    }
    edits
}

/// Whether the operator owns a part, as the API server has recorded.
fn is_owned(child: &Value, place: &str, name: &str) -> bool {
    let managers = child.pointer("/metadata/managedFields");
    let managers = managers.and_then(Value::as_array).into_iter().flatten();
    let mut own = managers.filter(|entry| entry["manager"] == "mqtt-tls-operator");
    own.any(|entry| {
        let keys = place.split('/').filter(|key| !key.is_empty());
        let part = keys.fold(&entry["fieldsV1"], |part, key| &part[format!("f:{key}")]);
        part.get(format!("f:{name}")).is_some()
    })
}

/// Another value of the same type, as a merge patch.
fn another(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::Bool(is) => json!(!is),
        Value::String(text) if text == "TCP" => json!("UDP"),
        Value::String(text) => json!(format!("{text}AAAA")),
        Value::Array(items) => {
            let mut items = items.clone();
            if let Some(first) = items.first_mut() {
                let patch = another(first);
                crate::hints::merge(first, &patch);
            }
            json!(items)
        }
        Value::Object(fields) => {
            let first = fields.iter().next();
            let edited = first.map(|(name, value)| (name.clone(), another(value)));
            Value::Object(edited.into_iter().collect::<Map<_, _>>())
        }
        Value::Null => json!("a"),
    }
}

/// An object of another owner.
fn foreign(kind: usize) -> Value {
    let [group, version, kind] = CHILDREN[kind];
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let selector = json!({"matchLabels": {"app": "theirs"}});
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": CHILD}});
    let content = match kind {
        "Secret" => json!({"stringData": {"theirs": "a"}}),
        "Service" => json!({"spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}}}),
        "PodDisruptionBudget" => json!({"spec": {"minAvailable": 0, "selector": selector}}),
        _ => json!({"spec": {"replicas": 0, "selector": selector, "template": {
            "metadata": {"labels": {"app": "theirs"}},
            "spec": {"containers": [{"name": "theirs", "image": "theirs"}]},
        }}}),
    };
    crate::hints::merge(&mut object, &content);
    object
}

/// A copy of a Service gets addresses of its own.
fn strip_addresses(data: &mut Value) {
    if let Some(spec) = data.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|name, _| name != "clusterIP" && name != "clusterIPs");
    }
}
