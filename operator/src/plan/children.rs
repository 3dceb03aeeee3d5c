//! Builds the wanted children, with one builder per kind. A builder must not look at existing objects.

mod authorities;
mod config_secret;
mod deployment;
mod disruption;
pub mod pod;
mod service;

pub use config_secret::{Accepted, Files, accepted_secret};

use super::accepted;
use super::environment::Environment;
use super::issued;
use super::listener::Listener;
use super::names::{Identity, Ownership};
use super::objects::{Objects, Wanted};
use super::owned::{Claim, marks, unwritable};
use super::ports::Ports;
use super::problem::Problem;
use super::world::World;
use crate::kinds::Child;

/// Builds the wanted children. An existing child of another owner is a problem, and is kept.
pub fn build(
    listener: &Listener,
    world: &World,
    files: Option<&Files<'_>>,
    ports: &Ports,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Objects {
    let identity = &listener.identity;
    let found = &world.children;
    let configured = found.config_secret();
    let is_configured =
        configured.is_some_and(|secret| identity.ownership(&secret.metadata) == Ownership::Ours);
    let mut claim = Claim {
        identity,
        takes_over: files.is_some() || is_configured,
        problems,
    };
    let config_secret = match files {
        Some(files) => Wanted::new(config_secret::build(identity, files)),
        None => Wanted::Kept,
    };
    let mut config_secret = claim.wanted(configured, config_secret);
    let unwritable = configured.and_then(|found| unwritable(found, Child::Configuration));
    if let (Some(_), Some(problem)) = (config_secret.present(), unwritable) {
        config_secret = Wanted::Kept;
        claim.problems.push(problem);
    }
    // Pods of an earlier listener with its configuration might accept clients that this one refuses.
    claim.takes_over = config_secret.present().is_some() || is_configured;
    let accepted_secret = match files {
        Some(files) if config_secret.present().is_some() => {
            accepted::beside(files, found, &mut claim)
        }
        _ => Wanted::Kept,
    };
    // Without a configuration, pods could not start; with that of another owner or an earlier listener, they
    // might accept clients that this one refuses. An existing Deployment always follows the spec.
    let has_pods = found.deployment().is_some();
    let deployment = if config_secret.present().is_some() || has_pods {
        Wanted::new(deployment::build(listener, environment))
    } else {
        Wanted::Kept
    };
    Objects {
        config_secret,
        accepted_secret,
        service: claim.wanted(
            found.service(),
            Wanted::new(service::build(listener, ports.service)),
        ),
        disruption_budget: claim.wanted(
            found.disruption_budget(),
            match disruption::build(listener) {
                Some(budget) => Wanted::new(budget),
                None => Wanted::Absent,
            },
        ),
        deployment: claim.wanted(found.deployment(), deployment),
        authorities: claim.wanted(found.authorities(), authorities::wanted(listener, files)),
        certificates: issued::children(
            &listener.issued,
            world,
            files.map(|one| &one.sources),
            &mut claim,
        )
        .into_iter()
        .collect(),
        pods: marks(&world.pods),
    }
}

/// Builds the children of a listener whose spec is invalid: a renewed configuration, and nothing else. The current
/// config Secret is the listener's own.
pub fn renew(identity: &Identity, world: &World, files: &Files<'_>) -> Objects {
    let mut claim = Claim {
        identity,
        takes_over: true,
        // Those of an invalid listener are those of its spec.
        problems: &mut Vec::new(),
    };
    Objects {
        config_secret: Wanted::new(config_secret::build(identity, files)),
        accepted_secret: accepted::beside(files, &world.children, &mut claim),
        pods: marks(&world.pods),
        ..Objects::default()
    }
}
