//! What proves that an installation works, and what is wrong with it otherwise, in words. Pure: it must not read.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::crd::Guarded;
use crate::crd::MqttTlsListener;
use crate::plan::names::MANAGER;
use crate::plan::reason::ConditionType;

/// Maximum number of problems of listeners that are shown.
const SHOWN_MAX: usize = 20;

/// What has been observed of the Lease. Clocks are not compared: a leader lives if it renews.
#[derive(Debug, Default)]
pub(super) struct Leader {
    spec: Option<LeaseSpec>,
    is_renewed: bool,
}

impl Leader {
    /// Takes a look at the Lease.
    pub(super) fn look(&mut self, lease: Option<&Lease>) {
        let spec = lease.and_then(|lease| lease.spec.clone());
        let [was_held, is_held] = [&self.spec, &spec].map(|spec| holder(spec.as_ref()).is_some());
        let is_changed = was_held && self.spec != spec;
        self.is_renewed = is_held && (self.is_renewed || is_changed);
        self.spec = spec;
    }

    fn verdict(&self) -> Result<String, String> {
        let advice =
            format!("see `kubectl get pods -A -l app.kubernetes.io/name={MANAGER}` and their logs");
        match holder(self.spec.as_ref()) {
            Some(holder) if self.is_renewed => Ok(format!("operator {holder} leads")),
            Some(holder) => Err(format!(
                "no operator works: {holder} holds the Lease and does not renew it; {advice}"
            )),
            None => Err(format!(
                "no operator works: the Lease has no holder; {advice}"
            )),
        }
    }
}

fn holder(spec: Option<&LeaseSpec>) -> Option<&str> {
    let holder = spec?.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

/// What has been read of the listeners.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    is_undefined: bool,
    all: usize,
    problems: Vec<String>,
}

impl Listeners {
    /// There is no resource definition.
    pub(super) fn undefined() -> Self {
        Self {
            is_undefined: true,
            ..Self::default()
        }
    }

    /// Takes a listener into account.
    pub(super) fn look(&mut self, listener: &Guarded) {
        let name = format!(
            "{}/{}",
            listener.namespace().unwrap_or_default(),
            listener.name_any()
        );
        let problem = match &listener.0 {
            Ok(listener) if listener.metadata.deletion_timestamp.is_some() => return,
            Ok(listener) => problem(listener),
            // The parser's message may quote a key in the wrong place.
            Err(_) => Some("is not a valid MqttTlsListener; see `kubectl describe`".to_owned()),
        };
        self.all += 1;
        self.problems
            .extend(problem.map(|problem| format!("listener {name} {problem}")));
    }

    fn verdict(&self) -> Result<String, Vec<String>> {
        if self.is_undefined {
            let problem = "the resource definition of MqttTlsListener is missing; apply it: `mqtt-tls-operator crd \
                           | kubectl apply --server-side -f -`";
            return Err(vec![problem.to_owned()]);
        }
        if self.problems.is_empty() {
            return Ok(match self.all {
                0 => "there is no listener yet".to_owned(),
                1 => "the listener is ready".to_owned(),
                all => format!("all {all} listeners are ready"),
            });
        }
        let mut shown = self.problems.clone();
        let more = shown.split_off(shown.len().min(SHOWN_MAX)).len();
        if more > 0 {
            shown.push(format!("{more} more listeners have problems"));
        }
        Err(shown)
    }
}

/// Returns what is wrong with a listener.
fn problem(listener: &MqttTlsListener) -> Option<String> {
    let status = listener.status.iter();
    let mut conditions = status.flat_map(|status| &status.conditions);
    let is_ready = |one: &&Condition| one.type_ == ConditionType::Ready.name();
    let ready = conditions.find(is_ready);
    let Some(ready) =
        ready.filter(|ready| ready.observed_generation == listener.metadata.generation)
    else {
        return Some("has been changed, and no operator has looked at it".to_owned());
    };
    let is_ready = ready.status == "True";
    (!is_ready).then(|| format!("is not ready ({}): {}", ready.reason, ready.message))
}

/// Returns what is right, or everything that is wrong.
pub(super) fn verdict(leader: &Leader, listeners: &Listeners) -> Result<Vec<String>, Vec<String>> {
    match (leader.verdict(), listeners.verdict()) {
        (Ok(leader), Ok(listeners)) => Ok(vec![leader, listeners]),
        (Ok(_), Err(problems)) => Err(problems),
        (Err(problem), Ok(_)) => Err(vec![problem]),
        (Err(problem), Err(problems)) => Err([vec![problem], problems].concat()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::{Leader, Listeners, verdict};

    fn lease(holder: &str, renewed: &str) -> k8s_openapi::api::coordination::v1::Lease {
        let spec = json!({"holderIdentity": holder, "renewTime": renewed});
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn leads() -> Leader {
        let mut leader = Leader::default();
        leader.look(Some(&lease("one", "2026-01-01T00:00:00.000000Z")));
        leader.look(Some(&lease("one", "2026-01-01T00:00:02.000000Z")));
        leader
    }

    fn listeners(statuses: &[Value]) -> Listeners {
        let mut listeners = Listeners::default();
        for status in statuses {
            let listener = json!({
                "metadata": {"name": "edge", "namespace": "iot", "generation": 2},
                "spec": {"certificates": [], "backend": {"address": {"host": "a.b"}}},
                "status": status,
            });
            listeners.look(&DeserializeGuard(Ok(
                serde_json::from_value(listener).unwrap()
            )));
        }
        listeners
    }

    fn ready(status: &str, generation: i64) -> Value {
        json!({"conditions": [{
            "type": "Ready", "status": status, "reason": "SecretNotFound", "message": "there is no Secret edge-tls",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation,
        }]})
    }

    #[test]
    fn an_installation_works_if_a_leader_renews_and_listeners_are_ready() {
        let found = verdict(&leads(), &listeners(&[])).unwrap();
        assert_eq!(found, ["operator one leads", "there is no listener yet"]);
        let both = listeners(&[ready("True", 2), ready("True", 2)]);
        let found = verdict(&leads(), &both).unwrap();
        assert_eq!(found[1], "all 2 listeners are ready");
    }

    #[test]
    fn a_lease_that_is_not_renewed_proves_no_leader() {
        let mut leader = Leader::default();
        let of = |leader: &Leader| verdict(leader, &listeners(&[])).unwrap_err().remove(0);
        leader.look(None);
        assert!(of(&leader).contains("the Lease has no holder"));
        // As the chart creates it.
        leader.look(Some(&lease("", "2026-01-01T00:00:00.000000Z")));
        assert!(of(&leader).contains("the Lease has no holder"));
        let old = lease("one", "2026-01-01T00:00:00.000000Z");
        for _ in 0..2 {
            leader.look(Some(&old));
            assert!(of(&leader).contains("does not renew it"), "{}", of(&leader));
        }
        leader.look(Some(&lease("two", "2026-01-01T00:01:00.000000Z")));
        assert!(verdict(&leader, &listeners(&[])).is_ok());
        leader.look(None);
        assert!(of(&leader).contains("the Lease has no holder"));
    }

    #[test]
    fn each_problem_is_said_in_words() {
        let found = listeners(&[
            ready("True", 2),
            ready("False", 2),
            ready("True", 1),
            json!({}),
        ]);
        let behind = "listener iot/edge has been changed, and no operator has looked at it";
        assert_eq!(
            verdict(&leads(), &found).unwrap_err(),
            [
                "listener iot/edge is not ready (SecretNotFound): there is no Secret edge-tls",
                behind,
                behind,
            ]
        );
        let found = verdict(&Leader::default(), &Listeners::undefined()).unwrap_err();
        assert!(found[0].starts_with("no operator works"), "{found:?}");
        assert!(found[1].contains("definition"), "{found:?}");
        let many = listeners(&vec![ready("False", 2); 25]);
        let found = verdict(&leads(), &many).unwrap_err();
        assert_eq!(found.last().unwrap(), "5 more listeners have problems");
    }
}
