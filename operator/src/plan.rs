//! Decides everything: computes the wanted children, the problems and the time of the next reconciliation.
//!
//! Pure and total: no I/O, no clock except the time that the caller passes, and no failure. Invalid input becomes
//! problems, which become conditions, and "keep what runs". A plan leaves nothing to decide when it is applied.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod accepted;
pub mod backend;
pub mod bounds;
pub mod certificates;
pub mod checks;
pub mod children;
pub mod client_rules;
pub mod conditions;
pub mod config;
pub mod environment;
pub mod grants;
pub mod host_key;
pub mod hosts;
pub mod issued;
pub mod issuers;
pub mod listener;
pub mod names;
pub mod notices;
pub mod objects;
pub mod owned;
pub mod pod;
pub mod ports;
pub mod problem;
pub mod proof;
pub mod published;
pub mod reason;
pub mod references;
pub mod replica_set;
pub mod report;
pub mod source;
pub mod tickets;
pub mod trials;
pub mod world;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;

use certificates::previous::Previous;
use certificates::serving::{File, Serving};
use children::Files;
use config::Rendered;
use environment::Environment;
use host_key::HostKey;
use hosts::fit::{self, Yielding};
use hosts::{Choices, Decision, Input};
use names::Identity;
use objects::Objects;
use problem::Problem;
use report::{LOOK_AGAIN, Report};
use trials::stage::Trials;
use trials::tried::Tried;
use world::World;

/// Delay of a reconciliation after a certificate's date, so that the date has certainly passed.
const DATE_MARGIN: Duration = Duration::from_secs(1);

/// The wanted children and the report for the status. Not `Debug`: it holds key material.
pub struct Plan {
    /// The wanted children.
    pub objects: Objects,
    /// The report for the status.
    pub report: Report,
    /// What was served before, judged as far as needed.
    pub previous: Previous,
}

/// Plans one listener.
pub fn plan(world: &World, environment: &Environment, now: Timestamp) -> Plan {
    let (identity, previous) = before(world);
    let trials = Trials::advanced(world, &previous, environment.has_trials, now);
    let listener = match listener::parse(&world.listener, environment) {
        Ok(listener) => listener,
        Err(problems) => return unaccepted(world, (previous, &trials), now, problems),
    };
    let mut decision = hosts::decide(&Input {
        listener: &listener,
        world,
        environment,
        previous: &previous,
        trials: &trials,
        now,
    });
    let listener = listener.stopped_if(decision.is_suspended);
    let ports = ports::choose(&listener, world, &previous, now);
    let config = config::of(&listener, decision.take_brokers(), &ports.also, environment);
    let rendered = decision.rendered(&config, &previous, now);
    let is_rendered = rendered.is_some();
    let mut dates = decision.choices.dates.clone();
    // What keeps one host from being served as wanted must not let the certificates of all others expire.
    let config = rendered.or_else(|| instead(&mut decision, world, (&previous, &trials), now));
    dates.extend_from_slice(&decision.choices.dates);
    let ticket_keys = ticket_keys(world, &identity, config.as_ref(), now);
    let tried = Tried::of(&trials, &decision.choices);
    dates.extend(ports.due.filter(|_| is_rendered));
    dates.extend(
        [ticket_keys.as_ref().and_then(tickets::due), tried.due]
            .into_iter()
            .flatten(),
    );
    let files = config.as_ref().map(|config| Files {
        config,
        sources: decision.choices.sources(),
        authorities: published::certificates(&decision.choices, world),
        ticket_keys,
        tried: &tried,
    });
    let objects = children::build(
        &listener,
        world,
        files.as_ref(),
        &ports,
        environment,
        &mut decision.problems,
    );
    // Without a Secret to write, or with another owner's in its place, the current configuration stays.
    let written = objects.config_secret.present().and(config.as_ref());
    let report = Report {
        identity,
        problems: decision.problems,
        hosts: decision.status,
        planned: written.map(|config| serving(&decision.choices, config, now)),
        rendered: is_rendered,
        opening: ports.opening(listener.port),
        trials: tried.report.clone(),
        look_again: look_again(&dates, now),
        date: next(&dates, now),
    };
    Plan {
        objects,
        report,
        previous,
    }
}

/// Returns whose plan it is, and what was served before.
fn before(world: &World) -> (Identity, Previous) {
    let identity = Identity::of(&world.listener);
    let previous = Previous::read(&identity, &world.children);
    (identity, previous)
}

/// Plans the renewal of what is served, and nothing else.
pub fn renew(world: &World, now: Timestamp) -> Plan {
    let (_, previous) = before(world);
    let trials = Trials::frozen(world, &previous, now);
    unaccepted(world, (previous, &trials), now, Vec::new())
}

/// Decides for what is served, with renewed certificates and CA certificates.
fn instead(
    decision: &mut Decision,
    world: &World,
    before: (&Previous, &Trials<'_>),
    now: Timestamp,
) -> Option<Rendered> {
    let renewed = renewed(world, before, now)?;
    fit::report(
        renewed.outgrown,
        &mut decision.problems,
        &mut decision.status,
    );
    decision.choices = renewed.choices;
    Some(renewed.config)
}

/// What is served, with renewed certificates and CA certificates.
struct Renewed {
    choices: Choices,
    config: Rendered,
    /// The problems of those that are too large to be renewed.
    outgrown: Vec<(HostKey, Problem)>,
}

/// Renders what is served again, with renewed certificates and CA certificates; `None` if nothing is served, or if it cannot
/// be kept as it is.
fn renewed(
    world: &World,
    (previous, trials): (&Previous, &Trials<'_>),
    now: Timestamp,
) -> Option<Renewed> {
    let mut choices = hosts::renew(world, (previous, trials), now)?;
    let rest = previous.rest()?;
    // The CA of one host may have changed, and that of another, which is to be the same, not yet.
    if choices.conflicts(rest) {
        choices.keep_authorities(previous);
    }
    let mut fitted = fit::fit(rest, &mut choices, previous, Yielding::All, now).ok()?;
    // What did not fit may have been put back in one of them only.
    if choices.conflicts(rest) {
        choices.keep_authorities(previous);
        fitted = fit::fit(rest, &mut choices, previous, Yielding::All, now).ok()?;
    }
    Some(Renewed {
        choices,
        config: fitted.rendered?,
        outgrown: fitted.outgrown,
    })
}

/// Returns the plan for an invalid listener: what runs stays, and its certificates and CA certificates are renewed.
fn unaccepted(
    world: &World,
    (previous, trials): (Previous, &Trials<'_>),
    now: Timestamp,
    mut problems: Vec<Problem>,
) -> Plan {
    let identity = Identity::of(&world.listener);
    let mut hosts = Vec::new();
    // The problems of an invalid listener are those of its spec.
    let written = renewed(world, (&previous, trials), now).map(|renewed| {
        fit::report(renewed.outgrown, &mut problems, &mut hosts);
        (renewed.choices, renewed.config)
    });
    let config = written.as_ref().map(|(_, config)| config);
    let keys = ticket_keys(world, &identity, config, now);
    let dates = written.as_ref().map(|(choices, _)| choices.dates.clone());
    let mut dates = dates.unwrap_or_default();
    dates.extend(keys.as_ref().and_then(tickets::due));
    let tried = written
        .as_ref()
        .map(|(choices, _)| Tried::of(trials, choices));
    let tried = tried.unwrap_or_default();
    dates.extend(tried.due);
    let report = Report {
        problems,
        trials: tried.report.clone(),
        hosts,
        planned: written
            .as_ref()
            .map(|(choices, config)| serving(choices, config, now)),
        rendered: written.is_some(),
        opening: None,
        look_again: look_again(&dates, now),
        date: next(&dates, now),
        identity,
    };
    let objects = written.as_ref().map(|(choices, config)| {
        let files = Files {
            config,
            sources: choices.sources(),
            authorities: None,
            ticket_keys: keys.clone(),
            tried: &tried,
        };
        children::renew(&report.identity, world, &files)
    });
    Plan {
        objects: objects.unwrap_or_default(),
        report,
        previous,
    }
}

/// Returns the session ticket keys beside a configuration, if there is one.
fn ticket_keys(
    world: &World,
    identity: &Identity,
    config: Option<&Rendered>,
    now: Timestamp,
) -> Option<ByteString> {
    tickets::choose(&tickets::Choice {
        tickets: config?.tickets,
        found: world.children.config_secret(),
        identity,
        randomness: world.randomness.as_ref(),
        now,
    })
}

/// Describes what pods with a configuration serve.
fn serving(choices: &Choices, config: &Rendered, now: Timestamp) -> Serving {
    let file = File {
        version: config.version.clone(),
        port: config.port,
        device_buffer: config.device_buffer,
    };
    Serving::planned(&choices.parts(), Some(file), now).with(choices.warnings(&config.inherited))
}

/// Returns the next of the dates.
fn next(dates: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    dates.iter().filter(|date| **date >= now).min().copied()
}

/// Returns the time until the next of the dates has passed, or the usual interval.
fn look_again(dates: &[Timestamp], now: Timestamp) -> Duration {
    let left = next(dates, now).map(|date| until_passed(date, now));
    left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN))
}

/// Returns the time until a date has certainly passed.
pub fn until_passed(date: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(date.duration_since(now)).unwrap_or_default();
    left.saturating_add(DATE_MARGIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use rcgen::{CertificateParams, KeyPair};
    use serde_json::json;

    use super::{Duration, Environment, World, names, plan};
    use crate::kinds::Child;

    fn secret(text: &str) -> Secret {
        let bytes = ByteString(text.as_bytes().to_vec());
        Secret {
            data: Some([("pem".to_owned(), bytes)].into()),
            ..Secret::default()
        }
    }

    /// Judging includes a handshake in memory, so it must not happen needlessly.
    #[test]
    fn the_previous_configuration_is_judged_only_if_needed() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["edge.example.com".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let pem = format!("{chain}{}", key.serialize_pem());
        let listener = json!({
            "metadata": {"name": "edge", "namespace": "iot", "uid": "u", "generation": 1},
            "spec": {"certificates": [{"secretRef": {"name": "edge-tls"}}],
                     "backend": {"address": {"host": "broker"}}},
        });
        let mut world = World::new(serde_json::from_value(listener).unwrap());
        let (image, domain) = ("image".to_owned(), "cluster.local".to_owned());
        let environment = Environment::cluster(image, domain, Duration::from_secs(30));
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let name = names::Name::new("iot", "edge-tls");
        world.secrets.insert(name.clone(), secret(&pem));
        let first = plan(&world, &environment, now);
        let config_secret = first.objects.config_secret.present().unwrap().clone();
        world
            .children
            .put(Child::Configuration, Arc::new(config_secret));
        assert_eq!(plan(&world, &environment, now).previous.judged(), 0);
        world.secrets.insert(name, secret("damaged"));
        let kept = plan(&world, &environment, now);
        assert_eq!(kept.previous.judged(), 1);
        let served = kept.report.planned.unwrap().certificates;
        assert_eq!(served, first.report.planned.unwrap().certificates);
    }
}
