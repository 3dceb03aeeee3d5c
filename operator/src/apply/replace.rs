//! Replaces those parts of a child that server-side apply cannot: it adds to lists and maps, so fields of other managers
//! can make the result invalid. It must not be used before the API server has rejected an apply.

use kube::api::Patch;
use serde_json::{Map, Value, json};

use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::api::patch::merge;
use crate::kinds::{Kind, Object, Verb};
use crate::metrics::Metrics;

/// Replaces the parts in the object that was read. Returns whether there were any.
pub(super) async fn replace(
    metrics: &Metrics,
    api: &ChildApi,
    kind: Kind,
    wanted: &dyn Object,
    found: &dyn Object,
) -> Result<bool, Error> {
    let Some(parts) = parts(kind, &wanted.json(), &found.json()) else {
        return Ok(false);
    };
    let (params, patch) = (merge(), Patch::Merge(parts));
    let patched = api.patch(Verb::Patch, wanted.name(), &params, &patch).await;
    metrics.wrote(kind, Verb::Patch, patched.is_ok());
    patched.map(|_| true)
}

/// Returns the merge patch, if there is something to replace: owners, of which only one may be a controller; a Service's
/// ports; and fields of a PodDisruptionBudget that exclude ours.
fn parts(kind: Kind, wanted: &Value, found: &Value) -> Option<Value> {
    let (owners, found_owners) = (
        &wanted["metadata"]["ownerReferences"],
        &found["metadata"]["ownerReferences"],
    );
    let mut parts = Map::new();
    let mut metadata = json!({"uid": found["metadata"]["uid"]});
    let is_other = |owner: &Value| owner["controller"] == true && owner["uid"] != owners[0]["uid"];
    let has_other = found_owners
        .as_array()
        .is_some_and(|all| all.iter().any(is_other));
    if has_other {
        metadata["ownerReferences"] = owners.clone();
    }
    match kind {
        Kind::Service => {
            let spec = json!({"ports": wanted["spec"]["ports"]});
            parts.insert("spec".to_owned(), spec);
        }
        Kind::PodDisruptionBudget => {
            let mut spec = wanted["spec"].clone();
            let all = found["spec"].as_object().into_iter().flat_map(Map::keys);
            for other in all.filter(|key| wanted["spec"].get(key.as_str()).is_none()) {
                spec[other] = Value::Null;
            }
            parts.insert("spec".to_owned(), spec);
        }
        _ if !has_other => return None,
        _ => {}
    }
    parts.insert("metadata".to_owned(), metadata);
    Some(Value::Object(parts))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Kind, parts};

    #[test]
    fn only_what_apply_cannot_remove_is_replaced() {
        let owner = |uid: &str| json!([{"uid": uid, "controller": true}]);
        let wanted = json!({
            "metadata": {"ownerReferences": owner("new")},
            "spec": {"maxUnavailable": 1, "replicas": 2},
        });
        let found = |uid: &str| {
            json!({
                "metadata": {"uid": "o", "ownerReferences": owner(uid)},
                "spec": {"maxUnavailable": 1, "minAvailable": 2},
            })
        };
        let patch = parts(Kind::PodDisruptionBudget, &wanted, &found("new")).unwrap();
        assert_eq!(patch["metadata"], json!({"uid": "o"}));
        let spec = json!({"maxUnavailable": 1, "replicas": 2, "minAvailable": null});
        assert_eq!(patch["spec"], spec);
        assert_eq!(parts(Kind::Deployment, &wanted, &found("new")), None);
        let patch = parts(Kind::Deployment, &wanted, &found("old")).unwrap();
        let metadata = json!({"uid": "o", "ownerReferences": owner("new")});
        assert_eq!(patch, json!({"metadata": metadata}));
    }
}
