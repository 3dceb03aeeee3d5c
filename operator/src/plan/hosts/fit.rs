//! Makes what is chosen fit into a Secret: of what has grown, the largest stays as it was. The objects of one host must
//! not keep the certificates of all others from being renewed.
//!
//! It must not leave out a host that is served.

mod size;

use std::cmp::Reverse;

use jiff::Timestamp;
use mqtt_tls_config::{Alpn, Backend, Config, FILE_SIZE_MAX, Pem, TICKET_FILE_SIZE_MAX};

use super::{Choices, ChosenHost, Decision, alpn, identity};
use crate::crd::HostStatus;
use crate::plan::certificates::choose::Chosen;
use crate::plan::certificates::entry::Entry;
use crate::plan::certificates::previous::Previous;
use crate::plan::config::{Rendered, render};
use crate::plan::host_key::HostKey;
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;

/// Maximum size of a file in bytes: that of a Secret's values, which has the session ticket keys, too.
const SIZE_MAX: usize = 1024 * 1024 - 4096;
const _: () = assert!(SIZE_MAX as u64 + TICKET_FILE_SIZE_MAX == FILE_SIZE_MAX);

/// Part of it that is kept for renewals, in bytes: a renewed certificate may be a few bytes longer than the previous one.
const RESERVE: usize = 64 * 1024;

/// Growth of a host that may use the reserve, in bytes.
const RENEWAL_MAX: usize = 1024;

/// Bytes that the file has at most for each line of a text, and for each text or name, beside its own.
const PER_LINE: usize = 6;
const PER_TEXT: usize = 64;

/// Bytes that the file has at most without hosts, certificates and CA certificates.
const REST: usize = 16 * 1024;

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
/// None of those that may give way has grown, or terminators would refuse it for another cause.
pub fn fit(
    config: &Config,
    choices: &mut Choices,
    previous: &Previous,
    yielding: Yielding,
    now: Timestamp,
) -> Result<Fitted, Problem> {
    let mut fitted = Fitted::default();
    choices.fit_candidates();
    let most = choices.size_max();
    let mut limit = most;
    loop {
        let outgrown = &mut fitted.outgrown;
        let expected = choices.lighten(limit, previous, yielding, outgrown)?;
        fitted.rendered = render(config.clone(), choices, previous, now);
        let size = fitted.rendered.as_ref().map_or(0, Rendered::size);
        if size <= most {
            // What was served before may have no suite any more, and terminators refuse it then.
            let mut all = choices.all();
            let fits = fitted.outgrown.is_empty() || all.all(|one| one.fits(&config.tls));
            if !fits {
                return Err(without_suite());
            }
            fitted.add_crls(choices, previous, now)?;
            return Ok(fitted);
        }
        // Some characters need more space in the file.
        limit = expected.saturating_mul(most) / size;
    }
}

impl Fitted {
    /// Adds the revocation lists; those of before stay if they have outgrown their limit.
    fn add_crls(
        &mut self,
        choices: &Choices,
        previous: &Previous,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let mut crls = choices.all_crls(previous, now)?;
        let problems = crls.fit(previous.crls())?.into_iter();
        self.outgrown
            .extend(problems.map(|problem| (HostKey::LISTENER, problem)));
        if let Some(rendered) = &mut self.rendered {
            rendered.crls = crls.text();
        }
        Ok(())
    }
}

/// Adds the problems of what did not fit to all problems, and to the status of hosts.
pub fn report(
    outgrown: Vec<(HostKey, Problem)>,
    problems: &mut Vec<Problem>,
    status: &mut Vec<HostStatus>,
) {
    for (key, problem) in outgrown {
        let mut known = status.iter_mut();
        match known.find(|known| Some(&*known.name) == key.name()) {
            Some(known) => problem.add_to(known),
            None => status.extend(Problem::of_host(&key, std::slice::from_ref(&problem))),
        }
        problems.push(problem.about_host(&key));
    }
}

impl Decision {
    /// Takes the listener's own broker, and its protocols with theirs.
    pub fn take_brokers(&mut self) -> (Backend, Alpn) {
        let alpn = std::mem::take(&mut self.alpn);
        (std::mem::take(&mut self.backend), alpn)
    }

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
        let fitted = fitted.and_then(|fitted| {
            let conflict = identity::conflict(&self.choices, config);
            conflict
                .or_else(|| self.choices.too_many_urls())
                .map_or(Ok(fitted), Err)
        });
        let fitted = fitted.map_err(|problem| self.problems.push(problem)).ok()?;
        report(fitted.outgrown, &mut self.problems, &mut self.status);
        fitted.rendered
    }
}

/// Number of bytes in the file, at most.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    certificates: usize,
    ca: usize,
}

impl Weight {
    fn of(certificates: impl Iterator<Item = usize>, ca: Option<usize>) -> Self {
        Self {
            certificates: certificates.sum(),
            ca: ca.unwrap_or_default(),
        }
    }

    fn of_chosen(chosen: &Chosen) -> Self {
        let served = chosen.rendered().map(|one| {
            let candidate = one.candidate.map_or(0, |one| weight(&one.pem) + PER_TEXT);
            weight(&one.pem) + candidate
        });
        Self::of(served, chosen.ca().map(weight))
    }

    fn of_entry(entry: &Entry) -> Self {
        let candidates = entry.candidates();
        let candidates = candidates.map(|(_, pem)| weight(pem) + PER_TEXT);
        let certificates = entry.pems().map(weight).chain(candidates);
        Self::of(certificates, entry.ca().map(weight))
    }

    fn sum(self) -> usize {
        self.certificates + self.ca
    }

    /// Returns what was added to another one.
    fn since(self, before: Self) -> Self {
        Self {
            certificates: self.certificates.saturating_sub(before.certificates),
            ca: self.ca.saturating_sub(before.ca),
        }
    }
}

/// Returns the size of the rules for client certificates.
fn rules_size(chosen: &Chosen) -> usize {
    let rules = chosen.client_auth.iter().flat_map(|auth| &auth.rules);
    rules.map(|rule| rule.value.len() + PER_TEXT).sum()
}

fn weight(pem: &Pem) -> usize {
    let text = pem.expose();
    text.len() + text.lines().count() * PER_LINE + PER_TEXT
}

impl Choices {
    /// Puts what has grown back to what it was until the rest is expected to fit, and returns the expected size.
    fn lighten(
        &mut self,
        limit: usize,
        previous: &Previous,
        yielding: Yielding,
        outgrown: &mut Vec<(HostKey, Problem)>,
    ) -> Result<usize, Problem> {
        loop {
            let size = self.size();
            if size + RESERVE <= limit {
                return Ok(size);
            }
            let least = if size > limit { 0 } else { RENEWAL_MAX };
            match self.give_way(previous, yielding, least) {
                Some(problem) => {
                    outgrown.push(problem);
                    self.agree_on_candidates();
                    self.dates = self.all().flat_map(|one| one.dates.clone()).collect();
                }
                None if size <= limit => return Ok(size),
                None => return Err(self.too_large(size)),
            }
        }
    }

    /// Returns what is chosen for the listener itself and for each host.
    fn all(&self) -> impl Iterator<Item = &Chosen> {
        let hosts = self.hosts.iter().map(|host| &host.chosen);
        std::iter::once(&self.listener).chain(hosts)
    }

    /// Puts that back to what it was which has grown most, and by more than `least` bytes, and returns the problem; `None` if
    /// nothing can give way.
    fn give_way(
        &mut self,
        previous: &Previous,
        yielding: Yielding,
        least: usize,
    ) -> Option<(HostKey, Problem)> {
        let since = |chosen, before: Option<&Entry>| {
            let before = before.map(Weight::of_entry).unwrap_or_default();
            Weight::of_chosen(chosen).since(before)
        };
        let hosts = self.hosts.iter().enumerate();
        let mut grown: Vec<(usize, Weight)> = hosts
            .map(|(index, host)| (index, since(&host.chosen, previous.host(&host.names))))
            .filter(|(_, grown)| grown.sum() > least)
            .collect();
        grown.sort_by_key(|(_, grown)| Reverse(grown.sum()));
        // Without a previous configuration, only hosts can be left out.
        let own = match previous.rest() {
            Some(_) => since(&self.listener, Some(previous.listener())),
            None => Weight::default(),
        };
        let most = grown.first().map_or(0, |(_, grown)| grown.sum());
        if own.sum() > least && own.sum() >= most {
            if yielding == Yielding::Hosts {
                return None;
            }
            let problem = self.listener.put_back(previous.listener(), own);
            if let Some(problem) = problem {
                return Some((HostKey::LISTENER, problem));
            }
        }
        let mut grown = grown.into_iter();
        grown.find_map(|(index, grown)| self.put_back(index, grown, previous))
    }

    /// Puts a host back to what it was, or leaves it out if it is new.
    fn put_back(
        &mut self,
        index: usize,
        grown: Weight,
        previous: &Previous,
    ) -> Option<(HostKey, Problem)> {
        let host = &mut self.hosts[index];
        let key = host.key.clone();
        let problem = match previous.host(&host.names) {
            Some(before) => {
                let part = host.chosen.put_back(before, grown);
                part.or_else(|| host.put_back(before, previous.listener(), grown))?
            }
            None if previous.has_host(&host.names) => return None,
            None => {
                self.hosts.remove(index);
                let what = "the host is left out, and its names are served as any other";
                too_large("certificates and CA certificates", grown.sum(), what)
            }
        };
        Some((key, problem))
    }

    fn too_large(&self, size: usize) -> Problem {
        let mut parts: Vec<(usize, String)> = self.all().flat_map(Chosen::sizes).collect();
        parts.sort_by(|one, other| other.cmp(one));
        parts.dedup();
        let shown = parts.iter().take(SHOWN_MAX);
        let shown: Vec<String> = shown
            .map(|(size, source)| format!("{source} ({size} bytes)"))
            .collect();
        let most = self.size_max();
        let message = format!(
            "the configuration with all certificates and CA certificates would have about {size} bytes; the limit is {most}, \
             that of a Secret; reference fewer or smaller ones; the largest are {}",
            shown.join(", ")
        );
        Problem::of_reference(Reason::ConfigurationTooLarge, message)
    }
}

impl Chosen {
    /// Puts the part that has grown most back to what it was; `None` if there was none.
    fn put_back(&mut self, before: &Entry, grown: Weight) -> Option<Problem> {
        if grown.ca > grown.certificates {
            self.put_ca_back(before)?;
            let what = "the previous CA certificates stay in use";
            return Some(too_large("CA certificates", grown.ca, what));
        }
        let kept = Self::of(before).filter(|kept| !kept.served.is_empty())?;
        self.served = kept.served;
        self.untry();
        self.dates.extend(kept.dates);
        let what = "the previous certificates stay in use";
        Some(too_large("certificates", grown.certificates, what))
    }
}

impl ChosenHost {
    /// Puts the host back to what it was; `None` if that would change with the listener, from which it took what it has itself
    /// now.
    fn put_back(&mut self, before: &Entry, listener: &Entry, grown: Weight) -> Option<Problem> {
        let chosen = Chosen::of(before)?;
        let would_change = chosen.client_auth.is_none() && self.chosen.client_auth.is_some()
            || before.backend().is_none() && self.backend.is_some();
        if would_change {
            return None;
        }
        // Trials have their own places.
        let staged = std::mem::take(&mut self.chosen.staged);
        self.chosen = Chosen { staged, ..chosen };
        self.chosen.untry();
        self.backend = before.backend().cloned();
        // Whatever the listener's become.
        self.alpn = Some(alpn::effective(before, listener));
        self.client_identity = Some(identity::effective(before, listener));
        let what = "the host stays as it was";
        Some(too_large(
            "certificates and CA certificates",
            grown.sum(),
            what,
        ))
    }
}

fn without_suite() -> Problem {
    let message = "what does not fit into a Secret stays as it was, and a certificate of before has no suite of tls.suites; reference fewer \
                   or smaller certificates and CA certificates, or leave its suites on";
    Problem::of_reference(Reason::NoSuite, message.to_owned())
}

fn too_large(of: &str, grown: usize, what: &str) -> Problem {
    let message = format!(
        "its {of} have grown by about {grown} bytes, and the configuration would exceed {SIZE_MAX} bytes, the limit of a Secret, of \
         which {RESERVE} are kept for renewals; reference fewer or smaller ones"
    );
    Problem::of_reference(Reason::ConfigurationTooLarge, message).until_then(what)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use serde_json::{Value, json};

    use super::super::made::pem;
    use crate::kinds::Child;
    use crate::plan::environment::Environment;
    use crate::plan::names::Name;
    use crate::plan::objects::Children;
    use crate::plan::reason::Reason;
    use crate::plan::world::World;
    use crate::plan::{Plan, plan};
    use rcgen::{CertificateParams, KeyPair};

    /// Two hosts, each with its certificate and its CA.
    struct Tenants {
        world: World,
        environment: Environment,
        certificates: Vec<String>,
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
                         // Each is issued by itself, so a renewed one is of another class.
                         "trial": {"strategy": "Immediate"},
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
            self.put(name, pem(name, false));
        }

        fn put(&mut self, name: &str, pem: String) {
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

        /// The last configuration.
        fn text(&self) -> String {
            let secret = self.world.children.config_secret().unwrap();
            let data = secret.data.as_ref().unwrap();
            String::from_utf8(data.values().next().unwrap().0.clone()).unwrap()
        }

        /// Reports whether the last configuration has the newest certificate.
        fn serves_the_newest(&self) -> bool {
            let text = self.text();
            let newest = self.certificates.last().unwrap();
            newest.lines().all(|line| text.contains(line))
        }
    }

    const TOO_MUCH: usize = 1000 * 1024;

    #[test]
    fn a_bundle_that_outgrows_a_secret_stays_as_it_was_and_certificates_are_renewed() {
        let mut tenants = Tenants::new();
        assert!(tenants.plan().report.problems.is_empty());
        tenants.trust("b.example", TOO_MUCH);
        for name in ["a.example", "b.example", "edge"] {
            tenants.issue(name);
            let plan = tenants.plan();
            assert!(tenants.serves_the_newest(), "{name}");
            let report = plan.report;
            assert_eq!(report.problems.len(), 1);
            let message = &report.problems[0].message;
            assert!(
                message.starts_with("hosts[1] (b.example): its CA "),
                "{message}"
            );
            assert!(
                message.ends_with("the previous CA certificates stay in use"),
                "{message}"
            );
            assert_eq!(report.hosts[0].reason, "ConfigurationTooLarge");
            let text = tenants.text();
            tenants.plan();
            assert_eq!(tenants.text(), text, "a second plan changes nothing");
        }
        tenants.trust("b.example", 0);
        assert!(tenants.plan().report.problems.is_empty());
    }

    #[test]
    fn new_hosts_that_do_not_fit_are_left_out() {
        let mut tenants = Tenants::new();
        tenants.trust("a.example", TOO_MUCH);
        tenants.trust("b.example", TOO_MUCH);
        let plan = tenants.plan();
        let mut problems = plan.report.problems;
        problems.sort_by(|one, other| one.message.cmp(&other.message));
        for (problem, host) in problems
            .iter()
            .zip(["hosts[0] (a.example)", "hosts[1] (b.example)"])
        {
            let message = &problem.message;
            assert!(message.starts_with(host), "{message}");
            assert!(message.contains("the host is left out"), "{message}");
        }
        assert_eq!((problems.len(), plan.report.hosts.len()), (2, 2));
        assert!(
            tenants.text().contains("pem"),
            "the listener itself is served"
        );
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
        // Hosts give way first in a first configuration, without which nothing would be served.
        tenants.world.children = Children::default();
        tenants.trust("edge", TOO_MUCH - 200 * 1024);
        tenants.trust("a.example", 96 * 1024);
        let plan = tenants.plan();
        assert_eq!(plan.report.hosts[0].name, "a.example");
        assert_eq!(plan.report.problems.len(), 1);
    }

    #[test]
    fn a_renewal_by_some_bytes_always_fits() {
        let mut tenants = Tenants::new();
        tenants.plan();
        // As much as there may be without the reserve.
        let mut most = TOO_MUCH;
        loop {
            tenants.trust("a.example", most);
            let plan = tenants.plan();
            if plan.report.problems.is_empty() {
                break;
            }
            most -= 4 * 1024;
        }
        assert!(tenants.text().len() > 800 * 1024);
        tenants.trust("b.example", 64 * 1024);
        tenants.issue("b.example");
        let plan = tenants.plan();
        assert_eq!(
            plan.report.problems.len(),
            1,
            "only the bundle is too large"
        );
        assert!(tenants.serves_the_newest());
        tenants.trust("b.example", 512);
        assert!(tenants.plan().report.problems.is_empty());
        for name in ["edge", "a.example", "b.example"] {
            tenants.issue(name);
            assert!(tenants.plan().report.problems.is_empty());
            assert!(tenants.serves_the_newest());
        }
    }

    /// A terminator refuses a file with a certificate that has no suite.
    #[test]
    fn a_host_whose_certificate_has_no_suite_keeps_a_policy_from_being_rendered() {
        let mut tenants = Tenants::new();
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let params = CertificateParams::new(vec!["b.example".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        tenants.put("b.example", format!("{chain}{}", key.serialize_pem()));
        assert!(tenants.plan().report.problems.is_empty());
        let tls = json!({"suites": ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]});
        tenants.world.listener.spec.tls = serde_json::from_value(tls).unwrap();
        tenants.issue("a.example");
        let plan = tenants.plan();
        assert!(tenants.serves_the_newest(), "others are renewed");
        assert!(
            !tenants.text().contains("suites"),
            "the policy is that of before"
        );
        let problem = &plan.report.problems[0];
        assert_eq!(problem.reason, Reason::NoSuite);
        assert!(
            problem.message.starts_with("hosts[1] (b.example): "),
            "{}",
            problem.message
        );
        tenants.issue("b.example");
        assert!(tenants.plan().report.problems.is_empty());
        assert!(tenants.text().contains("suites"));
    }
}
