//! What follows in the long run, from wherever events have led: the way back, the way on, the time, and the end of the certificate
//! before. Each leaves the listener alone, and works on a copy.

use mqtt_tls_operator::plan::trials::state::Phase;
use serde_json::json;

use crate::edge::{Edge, LONG, Look, SECRETS, STEP, STEPS, good, is_rolled_back};
use crate::expected::{assert_stopped, is_served};
use crate::secrets::{Content, Leaf};

/// Asserts that a certificate of the class that is served ends all trials.
pub(crate) fn back(edge: &Edge, look: &Look) {
    for leaf in SECRETS.good() {
        if leaf.class == look.served.class {
            let mut edge = edge.clone();
            edge.pass(1);
            let after = edge.with(leaf.name);
            is_served(leaf, &after);
        }
    }
}

/// Asserts that with a good certificate of another class, a trial comes to its end, if nothing aborts and whatever keeps it is taken
/// away.
pub(crate) fn on(edge: &Edge, look: &Look) {
    let mut edge = edge.clone();
    edge.old_pod(false);
    edge.pass(1);
    let leaf = other(look);
    let mut look = edge.with(leaf.name);
    if look.record.as_ref().is_some_and(is_rolled_back) {
        let id = look.record.as_ref().unwrap().id.clone();
        // It stays so by itself.
        edge.pass(LONG);
        look = edge.plan();
        assert_eq!(look.trial(), Some("RolledBack"));
        edge.pass(1);
        edge.ask("resume", &id);
        look = edge.plan();
    }
    let record = look.record.clone().expect("a trial");
    edge.hold(&record.id, false);
    for _ in STEPS {
        let Some(candidate) = look.candidate.clone() else {
            break;
        };
        assert_eq!(
            (candidate.leaf.name, &candidate.id),
            (leaf.name, &record.id)
        );
        edge.count(&candidate, good(3000));
        edge.pass(STEP);
        let after = edge.plan();
        assert_step(&look, &after);
        look = after;
    }
    is_served(leaf, &look);
}

/// Returns a certificate of the class that is tried, or of another one than that which is served.
fn other(look: &Look) -> &'static Leaf {
    let class = look.record.as_ref().map(|record| &record.class);
    let mut leaves = SECRETS.good().rev();
    leaves
        .find(|leaf| match class {
            Some(class) => leaf.class == *class,
            None => leaf.class != look.served.class,
        })
        .unwrap()
}

/// Asserts that no time alone gives a certificate of another class to clients but in steps.
pub(crate) fn time(edge: &Edge, look: &Look) {
    let mut edge = edge.clone();
    let mut look = look.clone();
    for _ in 0..=STEPS.len() {
        edge.pass(LONG);
        let after = edge.plan();
        assert_step(&look, &after);
        look = after;
    }
    if !edge.has_old_pod() {
        return;
    }
    // What has waited begins, or goes on where it was, and takes its time.
    edge.old_pod(false);
    let after = edge.plan();
    assert_step(&look, &after);
    assert_eq!(step(&after), step(&look).or(step(&after).map(|_| 0)));
    edge.pass(STEP);
    assert_eq!(step(&edge.plan()), step(&after));
}

/// Returns the step of a trial that is on.
fn step(look: &Look) -> Option<usize> {
    match look.record.as_ref()?.phase {
        Phase::Running { share, .. } => STEPS.iter().position(|step| step * 100 == share),
        Phase::RolledBack { .. } | Phase::Promoted => None,
    }
}

/// Asserts that all clients get a certificate of another class only after all were drawn for it, and that no step is left out.
fn assert_step(before: &Look, after: &Look) {
    let shown = before.candidate.as_ref();
    if after.served.class != before.served.class {
        let shown = shown.expect("a trial of what is served now");
        assert_eq!(
            (&shown.leaf.class, shown.percent),
            (&after.served.class, 100)
        );
    }
    if let Some(now) = &after.candidate {
        let place = |percent| STEPS.iter().position(|step| *step == percent).unwrap();
        let known = before.record.as_ref();
        let is_known = known.is_some_and(|record| record.id == now.id);
        let most = step(before).filter(|_| is_known).map_or(0, |step| step + 1);
        assert!(place(now.percent) <= most, "{} %", now.percent);
    }
}

/// Asserts that a config Secret that someone deletes is written again as it was.
pub(crate) fn lost(edge: &Edge, look: &Look) {
    let mut edge = edge.clone();
    edge.accept();
    edge.delete_config();
    let after = edge.plan();
    assert_eq!(after.served.name, look.served.name);
    assert_eq!(after.shown(), look.shown());
    assert_eq!(after.stands(), look.stands());
    assert_eq!(after.status.trials, look.status.trials);
    edge.assert_settled(&after);
}

/// Asserts that a trial stays where it is over an upgrade from a release that knows classes by other digests; and from one that writes
/// counts in another way, even if its step was due but for what was counted.
pub(crate) fn upgraded(edge: &Edge, look: &Look) {
    let mut other_class = edge.clone();
    other_class.upgrade(|trial| trial["class"] = "of another release".into());
    other_class.pass(1);
    let after = other_class.plan();
    assert_eq!(after.served.name, look.served.name);
    assert_eq!(after.shown(), look.shown());
    assert_eq!(after.stands(), look.stands());
    other_class.assert_settled(&after);

    let mut other_counts = edge.clone();
    other_counts.upgrade(|trial| trial["counted"]["shares"] = json!([[100, 1, 2, 3]]));
    other_counts.pass(LONG);
    let after = other_counts.plan();
    let id = |look: &Look| look.record.as_ref().map(|record| record.id.clone());
    let is_back = |look: &Look| look.record.as_ref().is_some_and(is_rolled_back);
    assert_eq!(after.served.name, look.served.name);
    assert_eq!(after.shown(), look.shown());
    assert_eq!((id(&after), step(&after)), (id(look), step(look)));
    assert_eq!(is_back(&after), is_back(look));
    other_counts.assert_settled(&after);
}

/// Asserts that the newest certificate is served once that before has expired.
pub(crate) fn stop(content: &Content, edge: &Edge, look: &Look) {
    let mut edge = edge.clone();
    edge.now = look.served.until;
    edge.pass(1);
    let after = edge.plan();
    assert_stopped(content, look, &edge, &after);
}
