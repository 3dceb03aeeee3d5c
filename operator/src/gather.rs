//! Reads everything that one reconciliation needs, and nothing else. It must not write.
//!
//! It reads from the API server and not from a cache: decisions must not rest on stale data, and Secrets must not
//! stay in memory for longer than a reconciliation.

mod children;
mod grants;
mod named;
mod pods;
mod replica_sets;

use kube::Client;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;

use crate::api::call::Error;
use crate::crd::MqttTlsListener;
use crate::error::chain;
use crate::kinds::{Child, Kind, Target};
use crate::plan::conditions::rollout::is_underway;
use crate::plan::conditions::unread::Failure;
use crate::plan::names::Identity;
use crate::plan::reason::ConditionType;
use crate::plan::tickets::Randomness;
use crate::plan::trials::seen::Seen as TrialsSeen;
use crate::plan::world::World;
use children::{certificates, children, configurations};
use grants::grants;
use named::{get, named};
use pods::pods;
use replica_sets::replica_sets;

/// What the watches know for the reads of a listener.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The kinds of rare children that it may own.
    pub owned: Vec<Kind>,
    /// The kinds that the cluster does not serve.
    pub unserved: Vec<Kind>,
    /// Whether the operator works on one namespace, and cannot read others.
    pub is_namespaced: bool,
}

/// The result of gathering.
pub enum Gathered {
    /// The listener and its related objects.
    World(Box<World>),
    /// The listener does not exist or is being deleted; the garbage collector deletes its children.
    Gone,
    /// The listener cannot be parsed.
    Malformed(Box<InvalidObject>),
    /// The listener exists, but a related object cannot be read; nothing is planned.
    Unread(Box<Unread>),
}

/// A listener with a related object that cannot be read.
pub struct Unread {
    /// The listener.
    pub listener: MqttTlsListener,
    /// The condition that depends on the object.
    pub about: ConditionType,
    /// Why the read failed.
    pub error: Error,
}

impl Unread {
    /// Describes the failure for the conditions, after so many consecutive failures.
    pub fn failure(&self, failures: u32) -> Failure {
        let (verb, target) = self.error.attempt();
        Failure {
            about: self.about,
            verb,
            target: target.clone(),
            message: chain(&self.error),
            is_forbidden: self.error.is_forbidden(),
            is_lasting: self.error.is_lasting(),
            failures,
        }
    }
}

/// Reads what a certificate is rendered from: the listener, what it references, and its configurations. `None` if the listener
/// does not exist, or cannot be parsed.
pub async fn gather_certificates(
    client: &Client,
    namespace: &str,
    name: &str,
    seen: &Seen,
) -> Result<Option<World>, Error> {
    let Found::Listener(listener) = find(client, namespace, name).await? else {
        return Ok(None);
    };
    let identity = Identity::of(&listener);
    let grants = grants(client, &listener, seen).await?;
    let allowed = (&*listener, &grants);
    let (secrets, config_maps, children) = futures::join!(
        named(client, Kind::Secret, allowed),
        named(client, Kind::ConfigMap, allowed),
        configurations(client, &identity),
    );
    let mut world = World::new(*listener);
    (world.secrets, world.config_maps, world.children) = (secrets?, config_maps?, children?);
    (world.grants, world.randomness) = (grants, randomness());
    Ok(Some(world))
}

/// Returns the kinds of rare children that a listener wants or may own.
fn rare(listener: &MqttTlsListener, owned: &[Kind]) -> Vec<Kind> {
    let spec = &listener.spec;
    let wanted = [
        (Kind::Certificate, spec.has_issuer()),
        (Kind::ConfigMap, spec.publishes_ca()),
    ];
    let wanted = wanted.into_iter().filter(|(_, is_wanted)| *is_wanted);
    let wanted = wanted.map(|(kind, _)| kind);
    wanted.chain(owned.iter().copied()).collect()
}

/// Returns random numbers. Without any, session ticket keys stay as they are.
fn randomness() -> Option<Randomness> {
    let mut random = Randomness::new([0; 64]);
    aws_lc_rs::rand::fill(&mut *random).ok()?;
    Some(random)
}

/// A listener that was looked for.
enum Found {
    Listener(Box<MqttTlsListener>),
    Malformed(Box<InvalidObject>),
    Gone,
}

async fn find(client: &Client, namespace: &str, name: &str) -> Result<Found, Error> {
    let target = Target::one(Kind::MqttTlsListener, name);
    let found: Option<DeserializeGuard<MqttTlsListener>> =
        get(client, &target, namespace, name).await?;
    Ok(match found {
        Some(DeserializeGuard(Err(invalid))) => Found::Malformed(Box::new(invalid)),
        Some(DeserializeGuard(Ok(listener))) if listener.metadata.deletion_timestamp.is_none() => {
            Found::Listener(Box::new(listener))
        }
        Some(DeserializeGuard(Ok(_))) | None => Found::Gone,
    })
}

/// Reads a listener and its related objects. Rare children are read only if the spec wants them, or if the listener may own some.
pub async fn gather(
    client: &Client,
    namespace: &str,
    name: &str,
    seen: &Seen,
) -> Result<Gathered, Error> {
    let listener = match find(client, namespace, name).await? {
        Found::Listener(listener) => *listener,
        Found::Malformed(invalid) => return Ok(Gathered::Malformed(invalid)),
        Found::Gone => return Ok(Gathered::Gone),
    };
    let identity = Identity::of(&listener);
    let rare = rare(&listener, &seen.owned);
    let certificates = async {
        if rare.contains(&Kind::Certificate) {
            certificates(client, &identity, seen).await
        } else {
            Ok(None)
        }
    };
    let grants = match grants(client, &listener, seen).await {
        Ok(grants) => grants,
        Err(error) => return Ok(unread(listener, (ConditionType::ResolvedRefs, error))),
    };
    let allowed = (&listener, &grants);
    let (secrets, config_maps, services, children, pods, certificates) = futures::join!(
        named(client, Kind::Secret, allowed),
        named(client, Kind::ConfigMap, allowed),
        named(client, Kind::Service, allowed),
        children(client, &identity, &rare),
        pods(client, &identity),
        certificates,
    );
    let named = secrets.and_then(|secrets| Ok((secrets, config_maps?, services?)));
    let named = named.map_err(|error| (ConditionType::ResolvedRefs, error));
    let made = children.and_then(|children| Ok((children, pods?, certificates?)));
    let made = made.map_err(|error| (ConditionType::Programmed, error));
    // Report the first error in this order, not the first in time: otherwise the status could change with each try,
    // and each change would trigger the next try at once.
    Ok(match named.and_then(|named| Ok((named, made?))) {
        Ok(((secrets, config_maps, services), (mut children, pods, certificates))) => {
            let has_cert_manager = certificates.is_some();
            for certificate in certificates.into_iter().flatten() {
                children.put(Child::Certificate, certificate);
            }
            let replica_sets = if children.deployment().is_some_and(is_underway) {
                replica_sets(client, &identity).await
            } else {
                Vec::new()
            };
            Gathered::World(Box::new(World {
                listener,
                secrets,
                config_maps,
                services,
                children,
                grants,
                has_cert_manager,
                replica_sets,
                pods,
                seen: TrialsSeen::default(),
                randomness: randomness(),
            }))
        }
        Err(failed) => unread(listener, failed),
    })
}

fn unread(listener: MqttTlsListener, (about, error): (ConditionType, Error)) -> Gathered {
    Gathered::Unread(Box::new(Unread {
        listener,
        about,
        error,
    }))
}
