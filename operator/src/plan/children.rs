//! Builds the wanted children, with one builder per kind. A builder must not look at existing objects.

mod config_secret;
mod deployment;
mod disruption;
mod pod;
mod service;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Pem;

use super::environment::Environment;
use super::listener::Listener;
use super::names::{Identity, Ownership};
use super::objects::{Objects, Wanted};
use super::owned::{Claim, marks, unwritable};
use super::ports::Ports;
use super::problem::Problem;
use super::source::Sources;
use super::world::World;

/// Builds the wanted children. An existing child of another owner is a problem, and is kept.
pub fn build(
    listener: &Listener,
    world: &World,
    rendered: Option<(&Pem, Sources)>,
    ports: &Ports,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Objects {
    let identity = &listener.identity;
    let configured: Option<&Secret> = world.children.get();
    let is_configured =
        configured.is_some_and(|secret| identity.ownership(&secret.metadata) == Ownership::Ours);
    let mut claim = Claim {
        identity,
        found: &world.children,
        takes_over: rendered.is_some() || is_configured,
        problems,
    };
    let mut config_secret = claim.wanted(match rendered {
        Some((config, sources)) => Wanted::new(config_secret::build(identity, config, &sources)),
        None => Wanted::Kept,
    });
    if let (Some(_), Some(problem)) = (config_secret.present(), configured.and_then(unwritable)) {
        config_secret = Wanted::Kept;
        claim.problems.push(problem);
    }
    // Pods of an earlier listener with its configuration might accept clients that this one refuses.
    claim.takes_over = config_secret.present().is_some() || is_configured;
    // Without a configuration, pods could not start; with that of another owner or an earlier listener, they
    // might accept clients that this one refuses. An existing Deployment always follows the spec.
    let has_pods = world.children.get::<Deployment>().is_some();
    let deployment = if config_secret.present().is_some() || has_pods {
        Wanted::new(deployment::build(listener, environment))
    } else {
        Wanted::Kept
    };
    Objects {
        config_secret,
        service: claim.wanted(Wanted::new(service::build(listener, ports.service))),
        disruption_budget: claim.wanted(match disruption::build(listener) {
            Some(budget) => Wanted::new(budget),
            None => Wanted::Absent,
        }),
        deployment: claim.wanted(deployment),
        pods: marks(&world.pods),
    }
}

/// Builds the children of a listener whose spec is invalid: a renewed configuration, and nothing else. The current
/// config Secret is the listener's own.
pub fn renew(identity: &Identity, world: &World, config: &Pem, sources: &Sources) -> Objects {
    Objects {
        config_secret: Wanted::new(config_secret::build(identity, config, sources)),
        pods: marks(&world.pods),
        ..Objects::default()
    }
}
