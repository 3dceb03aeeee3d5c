//! Decides everything: from what was read to the wanted children, the problems, and when to look again.
//!
//! Pure and total: no I/O, no clock but the one handed in, and no failure. Bad input becomes problems,
//! which become conditions, and "keep what runs". A plan leaves nothing to decide to whoever applies it.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod authorities;
pub mod bounds;
pub mod certificate;
pub mod checks;
pub mod conditions;
pub mod config;
pub mod config_secret;
pub mod deployment;
pub mod disruption;
pub mod listener;
pub mod names;
pub mod notices;
pub mod previous;
pub mod service;
pub mod unread;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use crate::crd::MqttTlsListener;
use certificate::Serving;
use config::Rendering;
use listener::Listener;
use names::{Identity, Ownership};
use previous::Previous;

/// When a listener is looked at again if nothing happens before: for events that were missed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// How long after a certificate's date the listener is looked at, so that the date is surely over.
const DATE_MARGIN: Duration = Duration::from_secs(1);

/// What holds for all listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image of the terminator.
    pub terminator_image: String,
    /// The cluster's DNS domain, without dots at its ends.
    pub cluster_domain: String,
    /// From SIGTERM to the end of a terminator's last connection.
    pub drain_deadline: Duration,
    /// Where the terminators run.
    pub place: Place,
}

/// Where the terminators run.
#[derive(Clone, Debug)]
pub enum Place {
    /// In pods.
    Cluster,
    /// In this process.
    Process {
        /// The broker, instead of the one that the listener names.
        backend: Option<mqtt_tls_config::Backend>,
        /// Where this listener's terminator answers probes.
        admin: SocketAddr,
        /// Whether this process begins: what it finds may have been served by an earlier release.
        is_at_start: bool,
    },
}

/// Everything that was read for one reconciliation. Not `Debug`: it holds Secrets.
#[derive(Clone)]
pub struct World {
    /// The listener itself.
    pub listener: MqttTlsListener,
    /// The Secrets that it names, by name; those that exist.
    pub secrets: BTreeMap<String, Secret>,
    /// The ConfigMaps that it names, by name; those that exist.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// The backend's Service, if it names one and that exists.
    pub backend: Option<Service>,
    /// The children that exist, whoever made them.
    pub children: Children,
    /// The listener's pods.
    pub pods: Vec<ObjectMeta>,
}

/// The children that exist, whoever made them.
#[derive(Clone, Default)]
pub struct Children {
    /// The Secret with the terminators' configuration.
    pub config_secret: Option<Secret>,
    /// The Service in front of the terminators.
    pub service: Option<Service>,
    /// How many pods may be disrupted at once.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// The terminators.
    pub deployment: Option<Deployment>,
}

/// What is to be done, and what is to be said. Not `Debug`: it holds key material.
pub struct Plan {
    /// The wanted children.
    pub objects: Objects<Prepared>,
    /// What is to be said.
    pub report: Report,
}

/// What is to be said about a listener.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose plan this is.
    pub identity: Identity,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is served by the planned configuration.
    pub planned: Serving,
    /// What is served by the one that is there, for as long as the planned one is not.
    pub before: Serving,
    /// Whether there is a configuration for the terminators.
    pub rendered: bool,
    /// When to look again if nothing happens before.
    pub look_again: Duration,
}

/// The children in a state: [`Prepared`] by the plan, [`Applied`] by the API server. Who handles them
/// takes this apart without `..`, so that a forgotten child does not compile.
pub struct Objects<State> {
    /// The Secret with the terminators' configuration.
    pub config_secret: Wanted<Secret>,
    /// The Service in front of the terminators.
    pub service: Wanted<Service>,
    /// How many pods may be disrupted at once.
    pub disruption_budget: Wanted<PodDisruptionBudget>,
    /// The terminators.
    pub deployment: Wanted<Deployment>,
    /// The pods that are to be told the configuration's version.
    pub pods: Vec<PodMark>,
    /// What has happened to them.
    pub state: PhantomData<State>,
}

impl<State> Objects<State> {
    /// Nothing is to be touched.
    pub fn kept() -> Self {
        Self {
            config_secret: Wanted::Kept,
            service: Wanted::Kept,
            disruption_budget: Wanted::Kept,
            deployment: Wanted::Kept,
            pods: Vec::new(),
            state: PhantomData,
        }
    }
}

/// The plan wants it so.
#[derive(Debug)]
pub enum Prepared {}

/// The API server has it so.
#[derive(Debug)]
pub enum Applied {}

/// What is wanted of one child.
#[derive(Clone)]
pub enum Wanted<K> {
    /// It is to be like this.
    Present(Box<K>),
    /// It is not to be there.
    Absent,
    /// It is not to be touched, whether it is there or not.
    Kept,
}

impl<K> Wanted<K> {
    /// The object, if it is to be there.
    pub fn present(&self) -> Option<&K> {
        match self {
            Self::Present(object) => Some(object),
            Self::Absent | Self::Kept => None,
        }
    }
}

/// A pod that mounts the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMark {
    /// The pod's name.
    pub name: String,
    /// The configuration's version that it was told last.
    pub version: Option<String>,
}

/// Something that is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The condition that it makes false.
    pub about: About,
    /// One word of a fixed set, in CamelCase.
    pub reason: &'static str,
    /// The object, the key, what is wrong, and what to do.
    pub message: String,
}

/// The condition that a problem makes false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The spec.
    Accepted,
    /// The objects that it names.
    ResolvedRefs,
    /// The certificates' dates and keys.
    CertificateValid,
    /// The children.
    Programmed,
}

/// Decides what is to be done about one listener.
pub fn plan(world: &World, settings: &Settings, now: Timestamp) -> Plan {
    let identity = Identity::of(&world.listener);
    let listener = match listener::parse(&world.listener, settings) {
        Ok(listener) => listener,
        Err(problems) => return unaccepted(identity, world, problems, now),
    };
    let mut rendering = config::render(&listener, world, settings, now);
    let mut problems = std::mem::take(&mut rendering.problems);
    let objects = objects(&listener, world, &rendering, settings, &mut problems);
    let before = Serving::before(&rendering.before, now);
    let planned = match objects.config_secret {
        Wanted::Present(_) => Serving::planned(&rendering.served, &rendering.ca_warnings, now),
        // There is nothing to write, or someone else's object is in the way.
        Wanted::Absent | Wanted::Kept => before.clone(),
    };
    let report = Report {
        identity,
        problems,
        planned,
        before,
        rendered: rendering.config.is_some(),
        look_again: look_again(&rendering.dates, now),
    };
    Plan { objects, report }
}

/// The plan for a listener that makes no sense: what runs goes on as it is.
fn unaccepted(identity: Identity, world: &World, problems: Vec<Problem>, now: Timestamp) -> Plan {
    let previous = Previous::read(&identity, world.children.config_secret.as_ref());
    let before = Serving::before(&previous.certificates, now);
    let report = Report {
        identity,
        problems,
        planned: before.clone(),
        before,
        rendered: false,
        look_again: LOOK_AGAIN,
    };
    Plan {
        objects: Objects::kept(),
        report,
    }
}

/// The wanted children. Each that exists and belongs to someone else is a problem, and is kept.
fn objects(
    listener: &Listener,
    world: &World,
    rendering: &Rendering,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> Objects<Prepared> {
    let children = &world.children;
    let identity = &listener.identity;
    let config_secret = match &rendering.config {
        Some(config) => present(config_secret::build(listener, config, rendering)),
        None => Wanted::Kept,
    };
    let config_secret = ours(
        config_secret,
        children.config_secret.as_ref(),
        identity,
        problems,
    );
    // Pods without a configuration could not start, and with someone else's, or an earlier listener's, they
    // might let in whom this one does not. Where there are pods already, they follow the spec.
    let deployment = if config_secret.present().is_some() || children.deployment.is_some() {
        present(deployment::build(listener, settings))
    } else {
        Wanted::Kept
    };
    let disruption_budget = match disruption::build(listener) {
        Some(budget) => present(budget),
        None => Wanted::Absent,
    };
    let service = present(service::build(listener));
    Objects {
        config_secret,
        service: ours(service, children.service.as_ref(), identity, problems),
        disruption_budget: ours(
            disruption_budget,
            children.disruption_budget.as_ref(),
            identity,
            problems,
        ),
        deployment: ours(deployment, children.deployment.as_ref(), identity, problems),
        pods: pods(&world.pods),
        state: PhantomData,
    }
}

fn present<K>(object: K) -> Wanted<K> {
    Wanted::Present(Box::new(object))
}

/// Leaves alone what exists and belongs to someone else.
fn ours<K: Resource<DynamicType = ()>>(
    wanted: Wanted<K>,
    observed: Option<&K>,
    identity: &Identity,
    problems: &mut Vec<Problem>,
) -> Wanted<K> {
    let Some(observed) = observed else {
        return wanted;
    };
    let (kind, name) = (K::kind(&()), observed.name_any());
    let (reason, message) = match identity.ownership(observed.meta()) {
        Ownership::Ours => return wanted,
        Ownership::Predecessors => (
            "PredecessorRemains",
            format!(
                "{kind} {name} belongs to an earlier listener of this name and is about to be \
                 collected; if it stays, delete it"
            ),
        ),
        Ownership::Foreign => (
            "NameTaken",
            format!(
                "{kind} {name} exists and does not belong to this listener, so it is left alone; delete \
                 it, or give the listener another name"
            ),
        ),
    };
    // An object that is not wanted is none of ours to complain about.
    if matches!(wanted, Wanted::Present(_)) {
        problems.push(Problem {
            about: About::Programmed,
            reason,
            message,
        });
    }
    Wanted::Kept
}

/// The pods that are there to stay.
fn pods(pods: &[ObjectMeta]) -> Vec<PodMark> {
    let mut marks: Vec<PodMark> = pods
        .iter()
        .filter(|pod| pod.deletion_timestamp.is_none())
        .filter_map(|pod| {
            let annotations = pod.annotations.as_ref();
            let version = annotations
                .and_then(|all| all.get(names::CONFIG_VERSION))
                .cloned();
            Some(PodMark {
                name: pod.name.clone()?,
                version,
            })
        })
        .collect();
    marks.sort_by(|one, other| one.name.cmp(&other.name));
    marks
}

/// When the next of the dates is over, or at the usual time.
fn look_again(dates: &[Timestamp], now: Timestamp) -> Duration {
    dates
        .iter()
        .filter(|date| **date >= now)
        .filter_map(|date| Duration::try_from(date.duration_since(now)).ok())
        .map(|left| left.saturating_add(DATE_MARGIN))
        .fold(LOOK_AGAIN, Duration::min)
}
