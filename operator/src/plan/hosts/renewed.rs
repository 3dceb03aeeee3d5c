//! Chooses again what the previous configuration serves. It must not lose any of it.

use jiff::Timestamp;

use super::{Choices, ChosenHost};
use crate::plan::certificates::choose::{Choice, Chosen, choose};
use crate::plan::certificates::entry::Entry;
use crate::plan::certificates::lists::Pool;
use crate::plan::certificates::previous::Previous;
use crate::plan::checks;
use crate::plan::host_key::HostKey;
use crate::plan::trials::stage::Trials;
use crate::plan::world::World;

/// Chooses again what the previous configuration serves, from the same sources as far as they were read; `None` if any of
/// it would be lost.
pub fn renew(
    world: &World,
    (previous, trials): (&Previous, &Trials<'_>),
    now: Timestamp,
) -> Option<Choices> {
    let listener = renewed(previous.listener(), world, (previous, trials), now)?;
    let mut dates = listener.dates.clone();
    let mut hosts = Vec::with_capacity(previous.hosts().len());
    for before in previous.hosts() {
        let chosen = renewed(before, world, (previous, trials), now)?;
        dates.extend_from_slice(&chosen.dates);
        hosts.push(ChosenHost {
            alpn: before.alpn().cloned(),
            client_identity: before.client_identity().cloned(),
            ..kept(chosen, before.key().clone(), before)
        });
    }
    let mut choices = Choices {
        listener,
        hosts,
        dates,
        crls: Pool::default(),
    };
    choices.pool();
    trials.limit(choices.staged_mut());
    Some(choices)
}

pub(super) fn renewed(
    before: &Entry,
    world: &World,
    (previous, trials): (&Previous, &Trials<'_>),
    now: Timestamp,
) -> Option<Chosen> {
    let certificates = before.sources();
    let client_auth = before.authentication().ok()?;
    let choice = Choice {
        key: before.key(),
        certificates: &certificates,
        optional: &[],
        grace: checks::grace_of(&world.listener.spec),
        client_auth: &client_auth,
        tls: &previous.rest()?.tls,
        world,
        previous,
        trials,
        before: Some(before),
        is_at_start: false,
        now,
    };
    let chosen = choose(&choice);
    // A host of which all are gone has the listener's.
    let is_left = !chosen.served.is_empty() || before.key().name().is_some();
    let is_all = chosen.served.len() + chosen.gone.len() == certificates.len();
    (is_all && is_left && choice.has_client_auth(&chosen)).then_some(chosen)
}

/// Returns a host with the names and the backend that it had.
pub(super) fn kept(chosen: Chosen, key: HostKey, before: &Entry) -> ChosenHost {
    ChosenHost {
        alpn: None,
        client_identity: None,
        key,
        names: before.names().to_vec(),
        chosen,
        backend: before.backend().cloned(),
    }
}
