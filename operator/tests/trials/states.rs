//! The states in which an event may meet a trial, each reached as it is in a cluster. It must not know the events.

use mqtt_tls_operator::plan::trials::evidence::{Arm, OfShare};

use crate::edge::{Candidate, Edge, Look, STEP, STEPS, good, is_rolled_back};

/// A state of a trial.
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) edge: Edge,
    pub(crate) look: Look,
}

type Reach = fn() -> (Edge, Look);

/// Returns all of them.
pub(crate) fn all() -> Vec<State> {
    let states: [(&str, Reach); 14] = [
        ("no trial", none),
        ("at step 0", || running(0)),
        ("at step 1", || running(1)),
        ("at the last step", || running(2)),
        ("held", held),
        ("doubtful", doubtful),
        ("rolled back", || rolled_back(0)),
        ("rolled back at the last step", || rolled_back(2)),
        ("ended", ended),
        ("resumed", resumed),
        ("promoted", promoted),
        ("skipped", skipped),
        ("waits for an old pod", waits),
        ("stopped by an old pod", stopped),
    ];
    states
        .into_iter()
        .map(|(name, reach)| {
            let (edge, look) = reach();
            State { name, edge, look }
        })
        .collect()
}

fn none() -> (Edge, Look) {
    let mut edge = Edge::new();
    let look = edge.with("a");
    assert_eq!(look.served.name, "a");
    (edge, look)
}

/// Reaches a step.
pub(crate) fn running(step: usize) -> (Edge, Look) {
    let (mut edge, _) = none();
    let mut look = edge.with("b");
    for _ in 0..step {
        look = go_on(&mut edge, &look);
    }
    assert_eq!(candidate(&look).percent, STEPS[step]);
    (edge, look)
}

pub(crate) fn candidate(look: &Look) -> &Candidate {
    look.candidate.as_ref().expect("a candidate")
}

/// Lets a step end well.
pub(crate) fn go_on(edge: &mut Edge, look: &Look) -> Look {
    edge.count(candidate(look), good(3000));
    edge.pass(STEP);
    edge.plan()
}

fn held() -> (Edge, Look) {
    let (mut edge, look) = running(1);
    edge.hold(&candidate(&look).id, true);
    let look = edge.plan();
    assert_eq!(look.trial(), Some("TrialHeld"));
    (edge, look)
}

pub(crate) fn doubtful() -> (Edge, Look) {
    let (mut edge, look) = running(1);
    let unable = OfShare {
        unable: 5,
        unable_devices: 5,
        ..OfShare::default()
    };
    edge.count(candidate(&look), unable);
    let look = edge.plan();
    assert_eq!(look.trial(), Some("TrialHeld"));
    (edge, look)
}

pub(crate) fn rolled_back(step: usize) -> (Edge, Look) {
    let (mut edge, look) = running(step);
    let bad = OfShare {
        unable: 3000,
        unable_devices: 3000,
        candidate: Arm {
            aborted: 100,
            confirmed: 100,
            ..Arm::default()
        },
        ..OfShare::default()
    };
    edge.count(candidate(&look), bad);
    let look = edge.plan();
    assert_eq!(look.trial(), Some("RolledBack"));
    (edge, look)
}

/// The annotation stays.
fn ended() -> (Edge, Look) {
    let (mut edge, look) = running(1);
    edge.ask("end", &candidate(&look).id);
    let look = edge.plan();
    assert!(look.record.as_ref().is_some_and(is_rolled_back));
    (edge, look)
}

/// As above.
fn resumed() -> (Edge, Look) {
    let (mut edge, look) = rolled_back(1);
    edge.pass(1);
    edge.ask("resume", &look.record.unwrap().id);
    let look = edge.plan();
    assert_eq!(candidate(&look).percent, STEPS[0]);
    (edge, look)
}

fn promoted() -> (Edge, Look) {
    let (mut edge, look) = running(2);
    let look = go_on(&mut edge, &look);
    assert_eq!(look.served.name, "b");
    (edge, look)
}

/// As above.
fn skipped() -> (Edge, Look) {
    let (mut edge, look) = running(0);
    edge.ask("skip", &candidate(&look).id);
    let look = edge.plan();
    assert_eq!(look.served.name, "b");
    (edge, look)
}

fn waits() -> (Edge, Look) {
    let (mut edge, _) = none();
    edge.old_pod(true);
    let look = edge.with("b");
    assert_eq!(look.trial(), Some("TrialWaiting"));
    (edge, look)
}

fn stopped() -> (Edge, Look) {
    let (mut edge, _) = running(1);
    edge.old_pod(true);
    let look = edge.plan();
    assert!(look.candidate.is_none() && look.record.is_some());
    (edge, look)
}
