//! What must come of an event on the Secret, whatever happened before: what serves is never worse, and the status explains.
//!
//! It is a second, shorter description of what `plan` does at such an event. It must not share code with `plan`.

use crate::edge::{Edge, Look, SECRET, SECRETS, is_rolled_back};
use crate::secrets::{Content, Is, Leaf};

/// Asserts it.
pub(crate) fn assert_after(content: &Content, before: &Look, edge: &Edge, after: &Look) {
    let usable = match content.is {
        Is::Usable(index) => Some(&SECRETS.leaves[index]).filter(|leaf| leaf.is_valid(edge.now)),
        Is::Refused(_) => None,
    };
    let served = after.served;
    assert!(served.is_valid(edge.now), "{}", served.name);
    match usable {
        Some(leaf) if leaf.class == before.served.class => is_served(leaf, after),
        Some(leaf) => is_tried(leaf, before, edge, after),
        None => stays(content, before, edge, after),
    }
}

/// A certificate of the class that is served takes its place, and nothing is left of a trial.
pub(crate) fn is_served(leaf: &Leaf, after: &Look) {
    assert_eq!(after.served.name, leaf.name);
    assert!(after.candidate.is_none(), "a candidate");
    assert!(after.record.is_none(), "{:?}", after.record);
    assert_eq!(after.trial(), None);
    assert!(after.status.trials.is_empty());
    assert_good(after);
}

fn assert_good(after: &Look) {
    for type_ in ["Accepted", "ResolvedRefs", "CertificateValid"] {
        let found = after.condition(type_).unwrap();
        assert_eq!(
            (&*found.status, &*found.reason),
            ("True", type_),
            "{}",
            found.message
        );
    }
}

/// A certificate of another class is beside the one that is served, or waits.
fn is_tried(leaf: &Leaf, before: &Look, edge: &Edge, after: &Look) {
    assert_eq!(after.served.name, before.served.name);
    assert_good(after);
    let known = before.record.as_ref();
    let known = known.filter(|record| record.class == leaf.class);
    let record = after.record.as_ref();
    if let Some(known) = known {
        let record = record.expect("the trial goes on");
        assert_eq!((&record.id, record.phase), (&known.id, known.phase));
    }
    let is_back = known.is_some_and(is_rolled_back);
    let shown = after.candidate.as_ref();
    assert_eq!(shown.is_some(), !is_back && !edge.has_old_pod());
    if let (Some(shown), Some(record)) = (shown, record) {
        assert_eq!((shown.leaf.name, &shown.id), (leaf.name, &record.id));
        assert_eq!(record.class, leaf.class);
    }
    let of_same = known.and_then(|_| before.trial());
    let expected = match of_same {
        _ if is_back => "RolledBack",
        _ if edge.has_old_pod() => "TrialWaiting",
        Some("TrialHeld") => "TrialHeld",
        _ => "TrialRunning",
    };
    assert_eq!(after.trial(), Some(expected));
    let status = &after.status.trials[0];
    assert_eq!(status.id.as_ref(), record.map(|record| &record.id));
    assert!(!status.changes.is_empty(), "it is said how it differs");
}

/// A bad Secret changes nothing but the status.
fn stays(content: &Content, before: &Look, edge: &Edge, after: &Look) {
    assert_eq!(after.served.name, before.served.name);
    assert_eq!(after.shown(), before.shown());
    assert_eq!(after.stands(), before.stands());
    let (type_, reason) = match content.is {
        Is::Refused(reason) => ("ResolvedRefs", reason),
        Is::Usable(index) if SECRETS.leaves[index].until < edge.now => {
            ("CertificateValid", "Expired")
        }
        Is::Usable(_) => ("CertificateValid", "NotYetValid"),
    };
    let found = after.condition(type_).unwrap();
    assert_eq!(
        (&*found.status, &*found.reason),
        ("False", reason),
        "{}",
        found.message
    );
    for part in [SECRET, "the previous certificate stays in use"] {
        assert!(found.message.contains(part), "{part}: {}", found.message);
    }
    if type_ == "CertificateValid" {
        let until = format!("valid until {}", after.status.certificates[0].not_after);
        assert!(found.message.contains(&until), "{until}: {}", found.message);
    }
    let expected = match &after.record {
        None => None,
        Some(record) if is_rolled_back(record) => Some("RolledBack"),
        Some(_) if after.candidate.is_none() => Some("TrialWaiting"),
        Some(_) => before.trial(),
    };
    assert_eq!(after.trial(), expected);
}

/// Asserts what comes of an event after the certificate that is served has expired: the newest one is served, and nothing is tried.
pub(crate) fn assert_stopped(content: &Content, before: &Look, edge: &Edge, after: &Look) {
    assert!(!before.served.is_valid(edge.now), "{}", before.served.name);
    let usable = match content.is {
        Is::Usable(index) => Some(&SECRETS.leaves[index]),
        Is::Refused(_) => None,
    };
    let candidate = before.candidate.as_ref().map(|one| one.leaf);
    let mut newest = [usable, candidate].into_iter().flatten();
    if let Some(newest) = newest.find(|leaf| leaf.is_valid(edge.now)) {
        assert_eq!(after.served.name, newest.name);
    } else {
        let valid = after.condition("CertificateValid").unwrap();
        assert_eq!(valid.status, "False", "{}", valid.message);
    }
    assert!(after.candidate.is_none() && after.record.is_none());
    assert_eq!(after.trial(), None);
}
