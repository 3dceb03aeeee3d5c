//! Reads everything that one reconciliation is about, and nothing else. It must not write.
//!
//! All of it is read from the API server and not from a cache: what is decided rests on it, and Secrets
//! are not to be held in memory for longer than that.

mod children;
mod named;
mod pods;

use kube::Client;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;

use crate::api::call::Error;
use crate::crd::MqttTlsListener;
use crate::error::chain;
use crate::kinds::{Kind, Target};
use crate::plan::conditions::unread::Failure;
use crate::plan::names::Identity;
use crate::plan::reason::ConditionType;
use crate::plan::world::World;
use children::children;
use named::{get, named};
use pods::pods;

/// What was found.
pub enum Gathered {
    /// The listener and all around it.
    World(Box<World>),
    /// There is no such listener, or it is about to go: the garbage collector takes its children.
    Gone,
    /// It is there, and it does not read as a listener.
    Malformed(Box<InvalidObject>),
    /// It is there, and not all that it takes to judge it can be read: then nothing is planned.
    Unread(Box<Unread>),
}

/// A listener around which something cannot be read.
pub struct Unread {
    /// The listener itself.
    pub listener: MqttTlsListener,
    /// The condition that depends on it.
    pub about: ConditionType,
    /// Why not.
    pub error: Error,
}

impl Unread {
    /// What there is to judge it by, after so many failures in a row.
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

/// Reads the world of one listener.
pub async fn gather(client: &Client, namespace: &str, name: &str) -> Result<Gathered, Error> {
    let target = Target::one(Kind::MqttTlsListener, name);
    let found: Option<DeserializeGuard<MqttTlsListener>> =
        get(client, &target, namespace, name).await?;
    let listener = match found {
        None => return Ok(Gathered::Gone),
        Some(DeserializeGuard(Err(invalid))) => return Ok(Gathered::Malformed(Box::new(invalid))),
        Some(DeserializeGuard(Ok(listener))) => listener,
    };
    if listener.metadata.deletion_timestamp.is_some() {
        return Ok(Gathered::Gone);
    }
    let identity = Identity::of(&listener);
    let (secrets, config_maps, services, children, pods) = futures::join!(
        named(client, Kind::Secret, &listener),
        named(client, Kind::ConfigMap, &listener),
        named(client, Kind::Service, &listener),
        children(client, &identity),
        pods(client, &identity),
    );
    let named = secrets.and_then(|secrets| Ok((secrets, config_maps?, services?)));
    let named = named.map_err(|error| (ConditionType::ResolvedRefs, error));
    let made = children.and_then(|children| Ok((children, pods?)));
    let made = made.map_err(|error| (ConditionType::Programmed, error));
    // Reported is the first in this order, and not what failed first: the status would change with each try, and
    // call for the next one at once.
    Ok(match named.and_then(|named| Ok((named, made?))) {
        Ok(((secrets, config_maps, services), (children, pods))) => {
            Gathered::World(Box::new(World {
                listener,
                secrets,
                config_maps,
                services,
                children,
                pods,
            }))
        }
        Err((about, error)) => Gathered::Unread(Box::new(Unread {
            listener,
            about,
            error,
        })),
    })
}
