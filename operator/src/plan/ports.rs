//! Chooses the ports while a listener's port changes, so that what serves goes on: the pods open the new port beside the
//! current one; then the Service leads to it; and the former one is closed once connections no longer come by it.
//!
//! It must not remember a time: the API server records when the operator last changed an object.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mqtt_tls_config::ALSO_LISTEN_MAX;

use super::certificates::previous::Previous;
use super::listener::Listener;
use super::names::MANAGER;
use super::owned::marks;
use super::pod::Pod;
use super::reason::{ConditionType, Reason};
use super::world::World;

/// How long after a change of the configuration the Service leads to a new port: pods open it within a second.
pub const OPENING: Duration = Duration::from_secs(5);

/// The same while pods are not marked with the configuration's version, as they are at once unless that fails: by itself,
/// a kubelet refreshes what a pod mounts after a minute or two.
pub const OPENING_UNMARKED: Duration = Duration::from_secs(120);

/// How long a former port stays open after the Service leads to another: nodes and load balancers follow with a delay.
pub const LINGERING: Duration = Duration::from_secs(60);

/// The ports of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The ports that pods listen on in addition to the spec's.
    pub also: Vec<u16>,
    /// The port of the Service.
    pub service: u16,
    /// When the next step is due, once the configuration has been written.
    pub due: Option<Timestamp>,
}

impl Ports {
    /// Describes the change while the Service does not lead to the wanted port yet.
    pub fn opening(&self, wanted: u16) -> Option<String> {
        let current = self.service;
        (current != wanted).then(|| {
            format!(
                "the pods open port {wanted} beside port {current}; the Service follows {} seconds later ({} if pods \
                 cannot be marked), unless a rollout is underway or a pod does not run the configuration: see Available \
                 and CertificateServed",
                OPENING.as_secs(),
                OPENING_UNMARKED.as_secs()
            )
        })
    }
}

/// Chooses the ports from those that are open and the one that the Service leads to.
pub fn choose(listener: &Listener, world: &World, previous: &Previous, now: Timestamp) -> Ports {
    let children = &world.children;
    let wanted = listener.port;
    let open = previous.ports();
    let service = children.service();
    let service = service.filter(|service| leads_to_pods(listener, service));
    // Of another port, someone else's edit, the pods know nothing.
    let current = service
        .and_then(target)
        .filter(|port| open.contains(port) && *port != wanted);
    let secret = children.config_secret();
    let is_ahead = |time: &Timestamp| *time > now;
    let secret = secret.map(|secret| &secret.metadata);
    let opening = if secret.is_some_and(|secret| are_marked(&world.pods, secret)) {
        OPENING
    } else {
        OPENING_UNMARKED
    };
    let opened = after(secret, opening).filter(is_ahead);
    let closed = after(service.map(|service| &service.metadata), LINGERING).filter(is_ahead);
    let is_rendered = open.first() == Some(&wanted);
    // What is written is not yet what pods have opened: they may refuse it, or be of a release that cannot read it.
    let must_wait = !is_rendered || opened.is_some() || is_contradicted(world) || is_rolling(world);
    let due = if current.is_some() {
        // Pods may be marked meanwhile, or answer otherwise.
        let soon = now.checked_add(OPENING).ok();
        opened.filter(|_| is_rendered).into_iter().chain(soon).min()
    } else {
        closed
    };
    let mut also: Vec<u16> = open
        .into_iter()
        .filter(|port| *port != wanted && (closed.is_some() || current == Some(*port)))
        .collect();
    also.sort_by_key(|port| current != Some(*port));
    also.truncate(ALSO_LISTEN_MAX);
    Ports {
        due: due.filter(|_| !also.is_empty()),
        also,
        service: current.filter(|_| must_wait).unwrap_or(wanted),
    }
}

/// Reports whether a pod has last answered that it does not run the configuration.
fn is_contradicted(world: &World) -> bool {
    let contrary = [Reason::ConfigurationRefused, Reason::NotServedYet].map(Reason::name);
    let status = world.listener.status.iter();
    let mut conditions = status.flat_map(|status| &status.conditions);
    conditions.any(|one| {
        one.type_ == ConditionType::CertificateServed.name() && contrary.contains(&&*one.reason)
    })
}

/// Reports whether pods of another template, and perhaps of another release, are left.
fn is_rolling(world: &World) -> bool {
    let deployment = world.children.deployment();
    let counted = deployment.and_then(|deployment| deployment.status.as_ref());
    counted.is_some_and(|status| status.replicas > status.updated_replicas)
}

/// Reports whether a Service leads to the listener's pods, with any owner.
fn leads_to_pods(listener: &Listener, service: &Service) -> bool {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| *selector == listener.identity.selector_labels())
}

/// Returns the pods' port that a Service leads to.
fn target(service: &Service) -> Option<u16> {
    let port = service.spec.as_ref()?.ports.as_ref()?.first()?;
    let target = match &port.target_port {
        Some(IntOrString::Int(target)) => *target,
        Some(IntOrString::String(_)) => return None,
        None => port.port,
    };
    u16::try_from(target).ok()
}

/// Reports whether all pods are marked with the config Secret's version.
fn are_marked(pods: &[Pod], secret: &ObjectMeta) -> bool {
    let marks = marks(pods);
    marks
        .iter()
        .all(|pod| pod.version.is_some() && pod.version == secret.resource_version)
}

/// Returns the time so long after the operator's last change of an object; `None` if it is unknown.
fn after(object: Option<&ObjectMeta>, delay: Duration) -> Option<Timestamp> {
    let entries = object?.managed_fields.iter().flatten();
    let ours = entries.filter(|entry| entry.manager.as_deref() == Some(MANAGER));
    let last = ours
        .filter_map(|entry| Some(entry.time.as_ref()?.0))
        .max()?;
    last.checked_add(delay).ok()
}
