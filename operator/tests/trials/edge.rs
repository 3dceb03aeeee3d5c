//! A listener with one Secret and one pod, as the API server and the terminator have it: each plan is applied, and what the
//! terminator makes of it is looked at.
//!
//! It must not decide what is expected of an event; it asserts only what holds for every plan.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mqtt_tls_config::{Config, Trial as FileTrial};
use mqtt_tls_operator::crd::MqttTlsListenerStatus;
use mqtt_tls_operator::kinds::Child;
use mqtt_tls_operator::plan::accepted;
use mqtt_tls_operator::plan::certificates::previous::Previous;
use mqtt_tls_operator::plan::conditions;
use mqtt_tls_operator::plan::conditions::judged::{Judged, Outcome};
use mqtt_tls_operator::plan::names::{Name, TRIAL, TRIALS, TRIALS_KEY};
use mqtt_tls_operator::plan::objects::{Applied, Objects, Wanted};
use mqtt_tls_operator::plan::pod::Pod;
use mqtt_tls_operator::plan::proof::answer::{Answer, Backend, Configuration};
use mqtt_tls_operator::plan::report::Report as PlanReport;
use mqtt_tls_operator::plan::trials::evidence::{Arm, OfShare};
use mqtt_tls_operator::plan::trials::seen::{Report, Said, Seen};
use mqtt_tls_operator::plan::trials::state::{Counted, Phase, Record, State};
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_operator::plan::{Plan, plan};
use mqtt_tls_terminator::settings::{Judgement, Settings};
use serde_json::{Value, json};

use crate::secrets::{Content, Leaf, Secrets};
use crate::support::{NAMESPACE, applied, environment, now, planned};

pub(crate) static SECRETS: LazyLock<Secrets> = LazyLock::new(Secrets::new);

/// The Secret's name.
pub(crate) const SECRET: &str = "edge-tls";

/// The steps, in percent.
pub(crate) const STEPS: [u16; 3] = [1, 50, 100];

/// More than a step needs at least, in seconds, and less than it lasts at most.
pub(crate) const STEP: i64 = 90;

/// More than a step lasts, in seconds.
pub(crate) const LONG: i64 = 3700;

/// The pod, and one of an earlier release.
const POD: &str = "edge-mqtts-1";
const OLD_POD: &str = "edge-mqtts-0";

/// The listener, and all around it.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    /// What the terminator serves.
    served: Option<Settings>,
    /// The last plan.
    planned: Objects,
    /// What the pod says, by trial.
    said: BTreeMap<String, Report>,
}

/// What is served and reported after a plan.
#[derive(Clone)]
pub(crate) struct Look {
    /// The certificate that clients get without a trial.
    pub(crate) served: &'static Leaf,
    /// The one that a share of them gets.
    pub(crate) candidate: Option<Candidate>,
    /// What is remembered.
    pub(crate) record: Option<Record>,
    pub(crate) status: MqttTlsListenerStatus,
}

/// A certificate that a share of the clients gets.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) leaf: &'static Leaf,
    /// The share, in percent.
    pub(crate) percent: u16,
}

impl Look {
    pub(crate) fn condition(&self, type_: &str) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|condition| condition.type_ == type_)
    }

    /// Returns the certificate that a share of the clients gets, its trial, and the share in percent.
    pub(crate) fn shown(&self) -> Option<(&'static str, &str, u16)> {
        let candidate = self.candidate.as_ref();
        candidate.map(|one| (one.leaf.name, one.id.as_str(), one.percent))
    }

    /// Returns the trial, and where it stands.
    pub(crate) fn stands(&self) -> Option<(&str, Phase)> {
        let record = self.record.as_ref();
        record.map(|record| (record.id.as_str(), record.phase))
    }

    /// Returns the reason of the condition about trials, if there is one.
    pub(crate) fn trial(&self) -> Option<&str> {
        self.condition("Trial").map(|found| &*found.reason)
    }
}

impl Edge {
    /// Returns a listener that nothing serves yet.
    pub(crate) fn new() -> Self {
        let listener = json!({
            "metadata": {"name": "edge", "namespace": NAMESPACE, "uid": "uid-1", "generation": 1},
            "spec": {
                "certificates": [{"secretRef": {"name": SECRET}}],
                "backend": {"address": {"host": "broker.example.com"}},
                "trial": {"steps": STEPS, "minHandshakes": 10, "minStep": "1m", "maxStep": "1h"},
            },
        });
        let mut world = World::new(serde_json::from_value(listener).unwrap());
        world.pods = vec![pod(POD, true)];
        Self {
            world,
            now: now(),
            served: None,
            planned: Objects::default(),
            said: BTreeMap::new(),
        }
    }

    /// Puts a content into the Secret.
    pub(crate) fn put(&mut self, content: &Content) {
        let name = Name::new(NAMESPACE, SECRET);
        let secret = content.data.as_ref().map(|data| Secret {
            data: Some(data.clone()),
            ..Secret::default()
        });
        match secret {
            Some(secret) => drop(self.world.secrets.insert(name, secret)),
            None => drop(self.world.secrets.remove(&name)),
        }
    }

    /// Puts a content into the Secret, and plans.
    pub(crate) fn with(&mut self, content: &str) -> Look {
        self.put(SECRETS.content(content));
        self.plan()
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
    }

    /// Asks something of a trial, as a user does.
    pub(crate) fn ask(&mut self, action: &str, id: &str) {
        let annotations = &mut self.world.listener.metadata.annotations;
        let text = format!("{action}:{id}");
        annotations
            .get_or_insert_default()
            .insert(TRIAL.to_owned(), text);
    }

    /// Lets all clients get a renewed certificate at once.
    pub(crate) fn do_not_try(&mut self) {
        let trial = json!({"strategy": "Immediate"});
        self.world.listener.spec.trial = serde_json::from_value(trial).unwrap();
    }

    /// Asks clients for certificates of a CA, in a file with as many bytes of text.
    pub(crate) fn trust(&mut self, bytes: usize) {
        let line = format!("{}\n", "#".repeat(63));
        let text = format!("{}{}", line.repeat(bytes / line.len()), SECRETS.ca);
        let map = ConfigMap {
            data: Some([("ca.crt".to_owned(), text)].into()),
            ..ConfigMap::default()
        };
        let (name, maps) = ("device-ca", &mut self.world.config_maps);
        maps.insert(Name::new(NAMESPACE, name), map);
        let client_auth = json!({"mode": "Optional", "caRef": {"kind": "ConfigMap", "name": name}});
        self.world.listener.spec.client_auth = serde_json::from_value(client_auth).unwrap();
    }

    /// Publishes the CA certificates that devices are to trust.
    pub(crate) fn publish(&mut self) {
        self.world.listener.spec.publish_ca = Some(true);
    }

    /// Returns the number of those that are published.
    pub(crate) fn published(&self) -> usize {
        let map = self.world.children.authorities().unwrap();
        map.data.as_ref().unwrap()["ca.crt"]
            .matches("BEGIN")
            .count()
    }

    /// Gives a host the same Secret.
    pub(crate) fn add_host(&mut self) {
        let host = json!({"names": ["edge.example.com"], "certificates": [{"secretRef": {"name": SECRET}}]});
        self.world.listener.spec.hosts = vec![serde_json::from_value(host).unwrap()];
    }

    /// Returns the certificate of the host, and that of its candidate.
    pub(crate) fn of_host(&self) -> (&'static Leaf, Option<Candidate>) {
        let secret = self.world.children.config_secret().expect("a Secret");
        let bytes = &secret.data.as_ref().unwrap()["config.yaml"].0;
        let mut config = Config::parse(std::str::from_utf8(bytes).unwrap()).unwrap();
        let host = config.hosts.remove(0);
        let candidate = host.candidate.map(|found| Candidate {
            leaf: SECRETS.of_pem(found.pem.expose()),
            percent: 0,
            id: found.id,
        });
        (SECRETS.of_pem(host.pem.unwrap().expose()), candidate)
    }

    /// Starts a pod of an earlier release beside the other one, or removes it.
    pub(crate) fn old_pod(&mut self, is_there: bool) {
        self.world.pods.retain(|pod| pod.name != OLD_POD);
        self.world
            .pods
            .extend(is_there.then(|| pod(OLD_POD, false)));
    }

    /// Lets the operator start again: it knows only what is written, and what the pod says from then on.
    pub(crate) fn restart(&mut self) {
        self.world.seen = Seen::default();
        self.said.clear();
    }

    /// Returns the configuration and what is remembered. Worlds in which all of that is the same, and which were one before, differ in
    /// the Secret and the status only.
    pub(crate) fn written(&self) -> String {
        let secret = self.world.children.config_secret().unwrap();
        let annotations = &secret.metadata.annotations;
        serde_json::to_string(&(&secret.data, annotations)).unwrap()
    }

    pub(crate) fn has_old_pod(&self) -> bool {
        self.world.pods.iter().any(|pod| !pod.reads_trials)
    }

    /// Lets the pod say what it has counted of a trial since the last time.
    pub(crate) fn count(&mut self, trial: &Candidate, more: OfShare) {
        let report = self.said.entry(trial.id.clone()).or_default();
        report.id.clone_from(&trial.id);
        let counted = Counted {
            shares: vec![OfShare {
                share: trial.percent * 100,
                ..more
            }],
            alerts: BTreeMap::new(),
        };
        report.counted.add(&counted);
        self.say();
    }

    /// Lets the pod hold a trial, or go on.
    pub(crate) fn hold(&mut self, id: &str, is_held: bool) {
        let report = self.said.entry(id.to_owned()).or_default();
        id.clone_into(&mut report.id);
        report.is_held = is_held;
        self.say();
    }

    fn say(&mut self) {
        let said = Said {
            trials: self.said.values().cloned().collect(),
            ..Said::default()
        };
        self.world.seen.take([(POD, Some(&said))].into_iter());
    }

    /// Plans and applies, and looks at what comes of it.
    pub(crate) fn plan(&mut self) -> Look {
        let Plan {
            objects,
            report,
            previous,
        } = plan(&self.world, &environment(), self.now);
        self.world.children = applied(&self.world.children, &objects, self.now);
        let status = self.status(&report, &previous);
        let text = serde_json::to_string(&status).unwrap();
        assert!(!SECRETS.shows_a_key(&text), "a key in the status: {text}");
        self.world.listener.status = Some(status.clone());
        self.planned = objects;
        self.look(status)
    }

    /// Deletes the config Secret.
    pub(crate) fn delete_config(&mut self) {
        self.world.children.remove(Child::Configuration);
    }

    /// Lets another release of the operator have written what is remembered of each trial.
    pub(crate) fn upgrade(&mut self, change: impl Fn(&mut Value)) {
        self.restart();
        self.edit_trials(|text| {
            let mut state: Value = serde_json::from_str(text).unwrap();
            for trial in state["trials"].as_array_mut().unwrap() {
                change(trial);
            }
            state.to_string()
        });
    }

    /// Changes what is remembered of trials, if there is something.
    pub(crate) fn edit_trials(&mut self, edit: impl FnOnce(&str) -> String) {
        let mut secret = self.world.children.config_secret().unwrap().clone();
        let annotations = secret.metadata.annotations.get_or_insert_default();
        if let Some(text) = annotations.get_mut(TRIALS) {
            *text = edit(text);
        }
        self.world
            .children
            .put(Child::Configuration, Arc::new(secret));
    }

    /// Lets all pods accept the configuration.
    pub(crate) fn accept(&mut self) {
        let Plan {
            report, previous, ..
        } = plan(&self.world, &environment(), self.now);
        let done = self.done();
        let outcome = Outcome::Done(&done);
        let mut judged = Judged::new(&self.world, &report, &previous, &outcome, self.now);
        let served = Answer {
            configuration: Configuration::Served,
            backend: Backend::Unknown,
            hosts: Vec::new(),
            protocols: Vec::new(),
            unloaded: None,
            said: None,
        };
        let pods = self.world.pods.iter();
        judged.proofs.pods = pods.map(|pod| (pod.name.clone(), served.clone())).collect();
        if let Wanted::Present(secret) = accepted::proven(&judged) {
            self.world.children.put(Child::Accepted, secret);
        }
    }

    /// Asserts that another plan writes nothing, after a look.
    pub(crate) fn assert_settled(&self, look: &Look) {
        let again = plan(&self.world, &environment(), self.now);
        let is_same = planned(&self.planned) == planned(&again.objects);
        assert!(is_same, "a second plan differs");
        assert_eq!(look.status, self.status(&again.report, &again.previous));
    }

    /// Returns the status after a plan was applied.
    fn status(&self, report: &PlanReport, previous: &Previous) -> MqttTlsListenerStatus {
        let done = self.done();
        let outcome = Outcome::Done(&done);
        let judged = Judged::new(&self.world, report, previous, &outcome, self.now);
        conditions::status(&judged)
    }

    fn done(&self) -> Applied {
        Applied {
            children: self.world.children.clone(),
            marked: BTreeMap::new(),
        }
    }

    /// Loads the configuration as a terminator does, and returns what it serves.
    fn look(&mut self, status: MqttTlsListenerStatus) -> Look {
        let secret = self.world.children.config_secret().expect("a Secret");
        let text = |key: &str| {
            let bytes = secret.data.as_ref().unwrap().get(key)?;
            Some(std::str::from_utf8(&bytes.0).unwrap())
        };
        let config = Config::parse(text("config.yaml").unwrap()).expect("it can be parsed");
        let judgement = match &self.served {
            Some(before) => Judgement::InPlaceOf(before),
            None => Judgement::Strict,
        };
        let settings = Settings::prepare(&config, judgement).expect("the terminator takes it");
        if let Some(before) = &self.served {
            let may = settings.may_replace(before, self.now);
            may.expect("the terminator takes it in place of what it serves");
        }
        self.served = Some(settings);
        let annotations = secret.metadata.annotations.clone().unwrap_or_default();
        let state = State::read(
            annotations.get(TRIALS).map(String::as_str),
            text(TRIALS_KEY),
            NAMESPACE,
        );
        let has_records = !state.records.is_empty();
        assert_eq!(
            annotations.contains_key(TRIALS),
            has_records,
            "{annotations:?}"
        );
        assert!(state.records.len() <= 1, "there is one Secret");
        let record = state.records.into_iter().next();
        let file = text(TRIALS_KEY).map(|text| FileTrial::parse(text).expect("a file of trials"));
        let is_running = record.as_ref().is_some_and(Record::is_running);
        assert_eq!(
            file.is_some(),
            is_running,
            "only those that run are in the file"
        );
        let candidate = config.candidate.map(|found| {
            let of_file = file.iter().flatten().find(|trial| trial.id == found.id);
            Candidate {
                leaf: SECRETS.of_pem(found.pem.expose()),
                percent: of_file.expect("a trial of the candidate").share / 100,
                id: found.id,
            }
        });
        Look {
            served: SECRETS.of_pem(config.pem.expose()),
            candidate,
            record,
            status,
        }
    }
}

pub(crate) fn is_rolled_back(record: &Record) -> bool {
    matches!(record.phase, Phase::RolledBack { .. })
}

/// Counts in which nothing aborts.
pub(crate) fn good(number: u64) -> OfShare {
    let arm = Arm {
        served: number,
        ..Arm::default()
    };
    OfShare {
        current: arm,
        candidate: arm,
        ..OfShare::default()
    }
}

fn pod(name: &str, reads_trials: bool) -> Pod {
    Pod {
        name: name.to_owned(),
        uid: name.to_owned(),
        is_ready: true,
        reads_trials,
        ..Pod::default()
    }
}
