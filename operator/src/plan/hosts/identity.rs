//! The names that clients of the listener and its hosts get from their certificates: what a host keeps, and what terminators
//! would refuse of all that is chosen.
//!
//! It must not choose.

use mqtt_tls_config::{ClientAuthMode, Config, Identity, IdentityMode, Protocol, SharedNames};
use mqtt_tls_judge::identity::naming::Naming;
use mqtt_tls_judge::identity::{configured, shared};

use super::Choices;
use super::together::Effective;
use crate::plan::certificates::entry::Entry;
use crate::plan::config::Inherited;
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};

/// Clients keep their names.
const KEPT: Identity = Identity {
    mode: IdentityMode::None,
    user_name: None,
    client_id: None,
    without_certificate: None,
};

/// Returns the names of a host's clients, which may be the listener's.
pub(super) fn effective(before: &Entry, listener: &Entry) -> Identity {
    let own = before.client_identity().or(listener.client_identity());
    own.cloned().unwrap_or(KEPT)
}

/// Returns what keeps the names of a host's clients as they were; `None` if it goes on to have those of the listener, which
/// `now` do not change.
pub(super) fn kept(before: &Entry, listener: &Entry, now: Option<&Identity>) -> Option<Identity> {
    let is_same = listener.client_identity() == now;
    let inherited = (!is_same).then(|| effective(before, listener));
    before.client_identity().cloned().or(inherited)
}

/// Returns the problem for which terminators would refuse a configuration.
pub(super) fn conflict(choices: &Choices, config: &Config) -> Option<Problem> {
    let inherited = Inherited::of(config);
    let all = Effective::all(choices, &inherited);
    if all.iter().all(|one| one.identity.is_none()) {
        return None;
    }
    let mut namings: Vec<Option<Naming>> = Vec::with_capacity(all.len());
    for one in &all {
        match naming(one, config.protocol) {
            Ok(naming) => namings.push(naming),
            Err(message) => return Some(problem(Reason::InvalidIdentity, one.key.says(&message))),
        }
    }
    if config.shared_names == SharedNames::Accept {
        return None;
    }
    let hosts = all.iter().zip(&namings).map(|(one, naming)| shared::Host {
        shown: match one.key.name() {
            Some(name) => format!("host {name}"),
            None => "the listener itself".to_owned(),
        },
        naming: naming.as_ref(),
        authorities: one.authorities,
        backends: one.backends.clone(),
    });
    let found = shared::judge(&hosts.collect::<Vec<_>>());
    let messages: Vec<String> = found
        .iter()
        .map(|(index, error)| all[*index].key.says(&error.to_string()))
        .collect();
    (!messages.is_empty()).then(|| problem(Reason::SharedNames, messages.join("; ")))
}

fn naming(one: &Effective<'_>, protocol: Protocol) -> Result<Option<Naming>, String> {
    let Some(identity) = one.identity else {
        return Ok(None);
    };
    if protocol != Protocol::Mqtt {
        let message = "its clients still get names from certificates, which needs protocol: mqtt";
        return Err(message.to_owned());
    }
    let auth = one.client_auth;
    let has_certificates = auth.is_some_and(|auth| auth.mode != ClientAuthMode::None);
    configured::of(identity, has_certificates)
        .map(Some)
        .map_err(|(key, error)| format!("identity{key}: {error}"))
}

fn problem(reason: Reason, message: String) -> Problem {
    Problem {
        about: ConditionType::Accepted,
        reason,
        message,
    }
    .until_then("until then no new configuration is rendered; certificates are still renewed")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use mqtt_tls_config::{ClientAuthMode, Config};
    use serde_json::{Value, json};

    use super::super::made::pem;
    use super::KEPT;
    use crate::crd::ClientAuth;
    use crate::kinds::Child;
    use crate::plan::environment::Environment;
    use crate::plan::names::Name;
    use crate::plan::reason::Reason;
    use crate::plan::world::World;
    use crate::plan::{Plan, plan};

    /// A listener with a host, in front of one broker; each has its certificate and its CA.
    struct Edge(World);

    impl Edge {
        fn new(identity: &Value) -> Self {
            let listener = json!({
                "metadata": {"name": "edge", "namespace": "iot", "uid": "u", "generation": 1},
                "spec": {},
            });
            let mut edge = Self(World::new(
                serde_json::from_value(with_spec(listener, identity, &Value::Null)).unwrap(),
            ));
            for name in ["edge", "a"] {
                edge.put(name, "pem", &pem(&format!("{name}.example"), false));
            }
            let ca = pem("ca", true);
            edge.put("edge-ca", "ca.crt", &ca);
            edge.put("a-ca", "ca.crt", &ca);
            edge
        }

        fn spec(&mut self, identity: &Value, of_host: &Value) {
            let listener = serde_json::to_value(&self.0.listener).unwrap();
            self.0.listener =
                serde_json::from_value(with_spec(listener, identity, of_host)).unwrap();
        }

        fn put(&mut self, name: &str, key: &str, text: &str) {
            let bytes = ByteString(text.as_bytes().to_vec());
            let secret = Secret {
                data: Some([(key.to_owned(), bytes)].into()),
                ..Secret::default()
            };
            self.0.secrets.insert(Name::new("iot", name), secret);
        }

        /// Plans and applies; returns the reasons and the configuration.
        fn step(&mut self) -> (Vec<Reason>, Config) {
            let (image, domain) = ("image".to_owned(), "cluster.local".to_owned());
            let environment = Environment::cluster(image, domain, Duration::from_secs(30));
            let now = "2026-06-01T00:00:00Z".parse().unwrap();
            let Plan {
                objects, report, ..
            } = plan(&self.0, &environment, now);
            if let Some(secret) = objects.config_secret.present() {
                let secret = Arc::new(secret.clone());
                self.0.children.put(Child::Configuration, secret);
            }
            let secret = self.0.children.config_secret().unwrap();
            let text = &secret.data.as_ref().unwrap()["config.yaml"].0;
            let config = Config::parse(std::str::from_utf8(text).unwrap()).unwrap();
            let problems = report.problems.iter();
            (problems.map(|problem| problem.reason).collect(), config)
        }
    }

    fn with_spec(mut listener: Value, identity: &Value, of_host: &Value) -> Value {
        let auth = |name| json!({"mode": "Require", "caRef": {"kind": "Secret", "name": name, "key": "ca.crt"}});
        let mut host = json!({
            "names": ["a.example"],
            "certificates": [{"secretRef": {"name": "a"}}],
            "clientAuth": auth("a-ca"),
        });
        if !of_host.is_null() {
            host["identity"] = of_host.clone();
        }
        listener["spec"] = json!({
            "certificates": [{"secretRef": {"name": "edge"}}],
            "backend": {"address": {"host": "broker"}},
            // Each is issued by itself, so a renewed one is of another class.
            "trial": {"strategy": "Immediate"},
            "clientAuth": auth("edge-ca"),
            "hosts": [host],
        });
        if !identity.is_null() {
            listener["spec"]["identity"] = identity.clone();
        }
        listener
    }

    fn by(template: &str) -> Value {
        json!({"userName": {"template": template}, "clientId": {"template": template}})
    }

    #[test]
    fn a_spec_whose_hosts_share_names_is_not_accepted() {
        let mut edge = Edge::new(&by("{cn}"));
        assert_eq!(edge.step().0, []);
        let before = edge.step().1;
        for (identity, of_host) in [
            (by("{cn}"), json!({"mode": "None"})),
            (by("{cn}"), by("{san.dns}")),
            (Value::Null, by("{cn}")),
        ] {
            edge.spec(&identity, &of_host);
            let (reasons, config) = edge.step();
            assert_eq!(reasons, [Reason::SharedNames], "{identity} {of_host}");
            assert_eq!(config.identity, before.identity);
        }
        edge.spec(&by("edge/{cn}"), &by("a/{san.dns}"));
        assert_eq!(edge.step().0, []);
    }

    /// Two Secrets have the same CA, and one is renewed before the other.
    #[test]
    fn while_authorities_differ_those_of_before_stay_and_certificates_are_renewed() {
        let mut edge = Edge::new(&by("{cn}"));
        let (_, before) = edge.step();
        let (ca, renewed) = (pem("ca", true), pem("edge.example", false));
        edge.put("edge-ca", "ca.crt", &ca);
        edge.put("edge", "pem", &renewed);
        let (reasons, config) = edge.step();
        assert_eq!(reasons, [Reason::SharedNames]);
        assert_eq!(config.client_auth.ca, before.client_auth.ca);
        assert_ne!(config.pem, before.pem);
        edge.put("a-ca", "ca.crt", &ca);
        let (reasons, config) = edge.step();
        assert_eq!(reasons, []);
        assert_ne!(config.client_auth.ca, before.client_auth.ca);
    }

    /// Its clients have no certificates, from which the listener's new names would come.
    #[test]
    fn a_host_that_stays_as_it_was_keeps_its_names() {
        let mut edge = Edge::new(&Value::Null);
        let host = &mut edge.0.listener.spec.hosts[0];
        host.backend = serde_json::from_value(json!({"address": {"host": "own"}})).unwrap();
        let auth = host.client_auth.replace(ClientAuth::default());
        assert_eq!(edge.step().0, []);
        edge.0.listener.spec.hosts[0].client_auth = auth;
        edge.0.listener.spec.identity = serde_json::from_value(by("{cn}")).unwrap();
        let ca = edge.0.secrets.remove(&Name::new("iot", "a-ca")).unwrap();
        let (reasons, config) = edge.step();
        assert_eq!(reasons, [Reason::CaNotFound]);
        let mode = |config: &Config| config.hosts[0].client_auth.as_ref().map(|auth| auth.mode);
        assert_eq!(mode(&config), Some(ClientAuthMode::None));
        assert_eq!(config.hosts[0].identity, Some(KEPT));
        edge.0.secrets.insert(Name::new("iot", "a-ca"), ca);
        let (reasons, config) = edge.step();
        assert_eq!(reasons, []);
        assert_eq!(mode(&config), Some(ClientAuthMode::Require));
        assert_eq!(config.hosts[0].identity, None);
    }
}
