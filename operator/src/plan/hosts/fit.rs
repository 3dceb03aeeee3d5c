//! Makes what is chosen fit into a Secret: of what has grown, the largest stays as it was. The objects of one host must
//! not keep the certificates of all others from being renewed.
//!
//! It must not leave out a host that is served.

use jiff::Timestamp;
use mqtt_tls_config::{Config, FILE_SIZE_MAX};

use super::{Choices, ChosenHost, Decision};
use crate::plan::certificates::choose::Chosen;
use crate::plan::certificates::previous::{Entry, Previous};
use crate::plan::config::{Rendered, render};
use crate::plan::host_key::HostKey;
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;

/// Number of sources that a message about a configuration that is too large names.
const SHOWN_MAX: usize = 3;

/// What gives way in a configuration that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yielding {
    /// Hosts: what the listener itself serves is what all others inherit.
    Hosts,
    /// Hosts and the listener itself, in a configuration that differs from the previous one in renewed objects only.
    All,
}

/// A configuration that fits.
#[derive(Default)]
pub struct Fitted {
    /// The configuration; `None` without a certificate to serve.
    pub rendered: Option<Rendered>,
    /// The problems of those that stay as they were, or are left out.
    pub outgrown: Vec<(HostKey, Problem)>,
}

/// Renders a configuration that fits.
///
/// # Errors
///
/// None of those that may give way has grown.
pub fn fit(
    config: &Config,
    choices: &mut Choices,
    previous: &Previous,
    yielding: Yielding,
    now: Timestamp,
) -> Result<Fitted, Problem> {
    let mut fitted = Fitted::default();
    while let Some(rendered) = render(config.clone(), choices, previous, now) {
        if rendered.size() <= FILE_SIZE_MAX {
            fitted.rendered = Some(rendered);
            break;
        }
        match choices.give_way(previous, yielding) {
            Some(problem) => fitted.outgrown.push(problem),
            None => return Err(choices.too_large(rendered.size())),
        }
    }
    Ok(fitted)
}

impl Decision {
    /// Renders what is chosen, if it is complete, and adds the problems of what does not fit.
    pub fn rendered(
        &mut self,
        config: &Config,
        previous: &Previous,
        now: Timestamp,
    ) -> Option<Rendered> {
        if !self.is_complete {
            return None;
        }
        let fitted = fit(config, &mut self.choices, previous, Yielding::Hosts, now);
        let fitted = fitted.map_err(|problem| self.problems.push(problem)).ok()?;
        for (key, problem) in fitted.outgrown {
            if !self
                .status
                .iter()
                .any(|known| Some(&*known.name) == key.name())
            {
                let problems = std::slice::from_ref(&problem);
                self.status.extend(Problem::of_host(&key, problems));
            }
            self.problems.push(problem.about_host(&key));
        }
        fitted.rendered
    }
}

impl Choices {
    /// Puts what has grown most back to what it was, and returns the problem; `None` if nothing has grown, or it may not
    /// give way.
    fn give_way(&mut self, previous: &Previous, yielding: Yielding) -> Option<(HostKey, Problem)> {
        let own = growth(&self.listener, Some(previous.listener()));
        let hosts = self.hosts.iter();
        let grown = hosts.map(|host| growth(&host.chosen, previous.host(&host.names)));
        let (index, most) = grown.enumerate().max_by_key(|(_, grown)| *grown)?;
        if own >= most {
            if yielding == Yielding::Hosts || own == 0 {
                return None;
            }
            self.listener = Chosen::of(previous.listener())?;
            return Some((
                HostKey::LISTENER,
                too_large(own, "what was served before stays in use"),
            ));
        }
        let host = &self.hosts[index];
        let key = host.key.clone();
        match previous.host(&host.names) {
            Some(before) => {
                self.hosts[index] = host.as_before(before)?;
                Some((key, too_large(most, "the host stays as it was")))
            }
            None if previous.has_host(&host.names) => None,
            None => {
                self.hosts.remove(index);
                let what = "the host is left out, and its names are served as any other";
                Some((key, too_large(most, what)))
            }
        }
    }

    fn too_large(&self, size: u64) -> Problem {
        let all = std::iter::once(&self.listener).chain(self.hosts.iter().map(|host| &host.chosen));
        let mut parts: Vec<(usize, String)> = all.flat_map(Chosen::sizes).collect();
        parts.sort_by(|one, other| other.cmp(one));
        parts.dedup();
        let shown = parts.iter().take(SHOWN_MAX);
        let shown: Vec<String> = shown
            .map(|(size, source)| format!("{source} ({size} bytes)"))
            .collect();
        let message = format!(
            "the certificates and CA certificates together have {size} bytes; the limit of a Secret is {FILE_SIZE_MAX}; \
             reference fewer or smaller ones; the largest are {}",
            shown.join(", ")
        );
        Problem::of_reference(Reason::ConfigurationTooLarge, message)
    }
}

impl ChosenHost {
    /// Returns the host as it was; `None` if that would change with the listener, from which it took what it has itself now.
    fn as_before(&self, before: &Entry) -> Option<Self> {
        let chosen = Chosen::of(before)?;
        let would_change = chosen.client_auth.is_none() && self.chosen.client_auth.is_some()
            || before.backend().is_none() && self.backend.is_some();
        (!would_change).then(|| Self {
            key: self.key.clone(),
            names: self.names.clone(),
            chosen,
            backend: before.backend().cloned(),
        })
    }
}

/// Returns the number of bytes that something has now, and did not have before.
fn growth(chosen: &Chosen, before: Option<&Entry>) -> usize {
    let sizes = chosen.sizes().into_iter().map(|(size, _)| size);
    sizes
        .sum::<usize>()
        .saturating_sub(before.map_or(0, Entry::size))
}

fn too_large(growth: usize, what: &str) -> Problem {
    let message = format!(
        "its certificates and CA certificates have grown by {growth} bytes, and the configuration would exceed {FILE_SIZE_MAX} bytes, the \
         limit of a Secret; reference fewer or smaller ones"
    );
    Problem::of_reference(Reason::ConfigurationTooLarge, message).until_then(what)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use serde_json::{Value, json};

    use crate::kinds::Child;
    use crate::plan::environment::Environment;
    use crate::plan::names::Name;
    use crate::plan::world::World;
    use crate::plan::{Plan, plan};

    /// Two hosts, each with its certificate and its CA.
    struct Tenants {
        world: World,
        environment: Environment,
        certificates: Vec<String>,
    }

    fn pem(name: &str, is_ca: bool) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            return params.self_signed(&key).unwrap().pem();
        }
        let chain = params.self_signed(&key).unwrap().pem();
        format!("{chain}{}", key.serialize_pem())
    }

    impl Tenants {
        fn new() -> Self {
            let host = |name: &str| -> Value {
                json!({
                    "names": [name],
                    "certificates": [{"secretRef": {"name": name}}],
                    "clientAuth": {"mode": "Require", "caRef": {"kind": "ConfigMap", "name": name, "key": "ca.crt"}},
                })
            };
            let listener = json!({
                "metadata": {"name": "edge", "namespace": "iot", "uid": "u", "generation": 1},
                "spec": {"certificates": [{"secretRef": {"name": "edge"}}],
                         "backend": {"address": {"host": "broker"}},
                         "hosts": [host("a.example"), host("b.example")]},
            });
            let (image, domain) = ("image".to_owned(), "cluster.local".to_owned());
            let mut tenants = Self {
                world: World::new(serde_json::from_value(listener).unwrap()),
                environment: Environment::cluster(image, domain, Duration::from_secs(30)),
                certificates: Vec::new(),
            };
            for name in ["edge", "a.example", "b.example"] {
                tenants.issue(name);
                tenants.trust(name, 0);
            }
            tenants
        }

        /// Puts a new certificate into the Secret of a host.
        fn issue(&mut self, name: &str) {
            let pem = pem(name, false);
            let bytes = ByteString(pem.clone().into_bytes());
            let secret = Secret {
                data: Some([("pem".to_owned(), bytes)].into()),
                ..Secret::default()
            };
            self.certificates.push(pem);
            self.world.secrets.insert(Name::new("iot", name), secret);
        }

        /// Puts a CA certificate with as many bytes of text before it into the `ConfigMap` of a host.
        fn trust(&mut self, name: &str, text: usize) {
            let line = format!("{}\n", "#".repeat(63));
            let text = format!("{}{}", line.repeat(text / line.len()), pem(name, true));
            let map = ConfigMap {
                data: Some([("ca.crt".to_owned(), text)].into()),
                ..ConfigMap::default()
            };
            self.world.config_maps.insert(Name::new("iot", name), map);
        }

        fn plan(&mut self) -> Plan {
            let now = "2026-06-01T00:00:00Z".parse().unwrap();
            let plan = plan(&self.world, &self.environment, now);
            if let Some(secret) = plan.objects.config_secret.present() {
                let secret = Arc::new(secret.clone());
                self.world.children.put(Child::Configuration, secret);
            }
            plan
        }

        /// Reports whether the last configuration has the newest certificate.
        fn serves_the_newest(&self) -> bool {
            let secret = self.world.children.config_secret().unwrap();
            let data = secret.data.as_ref().unwrap();
            let text = std::str::from_utf8(&data.values().next().unwrap().0).unwrap();
            let newest = self.certificates.last().unwrap();
            newest.lines().all(|line| text.contains(line))
        }
    }

    const TOO_MUCH: usize = 1000 * 1024;

    #[test]
    fn a_host_that_outgrows_a_secret_stays_as_it_was_and_others_are_renewed() {
        let mut tenants = Tenants::new();
        assert!(tenants.plan().report.problems.is_empty());
        tenants.trust("b.example", TOO_MUCH);
        for name in ["a.example", "b.example", "edge"] {
            tenants.issue(name);
            let plan = tenants.plan();
            assert_eq!(tenants.serves_the_newest(), name != "b.example", "{name}");
            let report = plan.report;
            assert_eq!(report.problems.len(), 1);
            let message = &report.problems[0].message;
            assert!(message.starts_with("hosts[1] (b.example): "), "{message}");
            assert!(message.ends_with("; the host stays as it was"), "{message}");
            assert_eq!(report.hosts[0].reason, "ConfigurationTooLarge");
        }
        tenants.trust("b.example", 0);
        assert!(tenants.plan().report.problems.is_empty());
        tenants.issue("b.example");
        tenants.plan();
        assert!(tenants.serves_the_newest());
    }

    #[test]
    fn a_new_host_that_does_not_fit_is_left_out() {
        let mut tenants = Tenants::new();
        tenants.trust("a.example", TOO_MUCH);
        let plan = tenants.plan();
        let message = &plan.report.problems[0].message;
        assert!(message.contains("hosts[0] (a.example)"), "{message}");
        assert!(message.contains("the host is left out"), "{message}");
        assert!(tenants.serves_the_newest());
    }

    #[test]
    fn hosts_are_renewed_while_the_listener_itself_does_not_fit() {
        let mut tenants = Tenants::new();
        tenants.plan();
        let spec = &mut tenants.world.listener.spec;
        spec.client_auth = spec.hosts[0].client_auth.clone().unwrap();
        spec.client_auth.ca_ref.as_mut().unwrap().name = "edge".to_owned();
        tenants.plan();
        tenants.trust("edge", TOO_MUCH);
        tenants.issue("a.example");
        let plan = tenants.plan();
        assert!(tenants.serves_the_newest());
        let message = &plan.report.problems[0].message;
        assert!(
            message.contains("the largest are ConfigMap edge"),
            "{message}"
        );
    }
}
