//! Tests of trials: whatever happens to a Secret in whatever state of a trial, what serves is never worse than before, the status
//! explains, and the way back heals.
//!
//! All pairs of events are enumerated in each state, over pure plans. How terminators and the API server behave is tested elsewhere.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

#[path = "trials/beside.rs"]
mod beside;
#[path = "trials/edge.rs"]
mod edge;
#[path = "trials/expected.rs"]
mod expected;
#[path = "trials/secrets.rs"]
mod secrets;
#[path = "trials/states.rs"]
mod states;

#[path = "trials/ways.rs"]
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use edge::{Edge, Look, SECRETS};
use secrets::{Content, Is};
use states::State;

/// A certificate that expires too soon for the pairs; it has its own test.
const SHORT: &str = "b, short";

/// Says where a test has failed.
struct Here<'h>(&'h str, Vec<&'static str>);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(state, events) = self;
            let _ = writeln!(std::io::stderr(), "{state}: {}", events.join("; then "));
        }
    }
}

/// Where events have led.
struct Reached {
    edge: Edge,
    look: Look,
    content: &'static Content,
    events: Vec<&'static str>,
}

impl Reached {
    /// Lets an event happen, and asserts what must come of it.
    fn then(&self, state: &State, content: &'static Content) -> Self {
        let events = [&self.events[..], &[content.name]].concat();
        let here = Here(state.name, events);
        let mut edge = self.edge.clone();
        edge.pass(1);
        edge.put(content);
        let look = edge.plan();
        expected::assert_after(content, &self.look, &edge, &look);
        let events = here.1.clone();
        Self {
            edge,
            look,
            content,
            events,
        }
    }

    /// Returns what distinguishes its future from those of others.
    fn key(&self) -> String {
        let usable = match self.content.is {
            Is::Usable(_) => self.content.name,
            Is::Refused(_) => "",
        };
        format!("{usable} {}", self.edge.written())
    }
}

fn contents() -> impl Iterator<Item = &'static Content> {
    let contents = SECRETS.contents.iter();
    contents.filter(|content| content.name != SHORT)
}

/// Lets all pairs of events happen in a state. Plans are pure, so worlds are planned once that differ only in what the next event
/// replaces.
fn enumerate(state: &State) -> usize {
    let start = Reached {
        edge: state.edge.clone(),
        look: state.look.clone(),
        content: SECRETS.content("a"),
        events: Vec::new(),
    };
    let mut once = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for content in contents() {
        let reached = start.then(state, content);
        once.entry(reached.edge.written()).or_insert(reached);
    }
    let mut count = once.len();
    for first in once.into_values() {
        for content in contents() {
            count += 1;
            let reached = first.then(state, content);
            ends.entry(reached.key()).or_insert(reached);
        }
        ends.entry(first.key()).or_insert(first);
    }
    for Reached {
        edge,
        look,
        content,
        events,
    } in ends.values()
    {
        let _here = Here(state.name, events.clone());
        edge.assert_settled(look);
        ways::back(edge, look);
        ways::on(edge, look);
        ways::time(edge, look);
        ways::lost(edge, look);
        ways::upgraded(edge, look);
        ways::stop(content, edge, look);
        beside::all(content, edge, look);
        count += 1;
    }
    count
}

/// Enumerates the states with a candidate, or all others; two threads take half the time.
fn enumerate_all(has_candidate: bool) -> usize {
    let states = states::all();
    let states = states.iter();
    let states = states.filter(|state| state.look.candidate.is_some() == has_candidate);
    states.map(enumerate).sum()
}

#[test]
fn all_pairs_of_events_on_a_secret_are_survived_while_its_candidate_is_tried() {
    println!("{} worlds", enumerate_all(true));
}

#[test]
fn all_pairs_of_events_on_a_secret_are_survived_without_a_candidate() {
    println!("{} worlds", enumerate_all(false));
}

/// All of it is written.
#[test]
fn a_restart_of_the_operator_changes_nothing() {
    for state in states::all() {
        let _here = Here(state.name, vec!["restart"]);
        let mut edge = state.edge;
        edge.restart();
        edge.pass(1);
        let before = edge.written();
        let look = edge.plan();
        assert_eq!(edge.written(), before);
        assert_eq!(look.served.name, state.look.served.name);
    }
}

#[test]
fn with_strategy_immediate_a_good_certificate_is_served_at_once_from_each_state() {
    for state in states::all() {
        for content in contents() {
            let _here = Here(state.name, vec![content.name]);
            let mut edge = state.edge.clone();
            edge.do_not_try();
            edge.pass(1);
            edge.put(content);
            let look = edge.plan();
            match content.is {
                Is::Usable(index) if SECRETS.leaves[index].is_valid(edge.now) => {
                    expected::is_served(&SECRETS.leaves[index], &look);
                }
                Is::Usable(_) | Is::Refused(_) => {
                    // The newest good one, which is that of a trial.
                    let candidate = state.look.candidate.as_ref().map(|one| one.leaf);
                    let newest = candidate.unwrap_or(state.look.served);
                    assert_eq!(look.served.name, newest.name);
                    assert!(look.candidate.is_none());
                }
            }
        }
    }
}

/// Someone skips a trial, and its certificate cannot be read at that time.
#[test]
fn what_is_skipped_while_its_secret_is_bad_is_served_when_it_is_good() {
    let (mut edge, look) = states::rolled_back(0);
    let id = look.record.unwrap().id;
    edge.with("deleted");
    edge.ask("skip", &id);
    let look = edge.plan();
    edge.assert_settled(&look);
    assert_eq!(
        (look.served.name, look.trial()),
        ("a", Some("TrialWaiting"))
    );
    for good in ["b", "b, renewed", "a", "a, renewed"] {
        let look = edge.clone().with(good);
        expected::is_served(SECRETS.leaf(good), &look);
    }
    edge.pass(1);
    let other = edge.clone().with("c");
    assert_eq!(
        (other.served.name, states::candidate(&other).percent),
        ("a", 1)
    );
    edge.ask("end", &id);
    let ended = edge.with("b");
    assert_eq!(
        (ended.served.name, ended.trial()),
        ("a", Some("RolledBack"))
    );
}

/// A configuration with as much text has no place for a candidate.
const TOO_MUCH: usize = 700 * 1024;

#[test]
fn a_trial_without_a_place_waits_and_goes_on_where_it_was() {
    let (mut edge, before) = states::running(1);
    edge.trust(TOO_MUCH);
    for seconds in [1, edge::LONG, edge::LONG] {
        edge.pass(seconds);
        let look = edge.plan();
        edge.assert_settled(&look);
        assert_eq!(
            (look.served.name, look.trial()),
            ("a", Some("TrialWaiting"))
        );
        assert!(look.candidate.is_none());
        let record = look.record.expect("it is remembered");
        assert_eq!(record.id, before.record.as_ref().unwrap().id);
    }
    edge.trust(0);
    let after = edge.plan();
    let (before, after) = (states::candidate(&before), states::candidate(&after));
    assert_eq!((&after.id, after.percent), (&before.id, before.percent));
}

/// No pod has accepted the file without the candidate yet.
#[test]
fn what_is_rolled_back_stays_so_when_the_config_secret_is_deleted_at_once() {
    let (mut edge, look) = states::running(1);
    edge.accept();
    edge.pass(1);
    edge.ask("end", &states::candidate(&look).id);
    assert_eq!(edge.plan().trial(), Some("RolledBack"));
    edge.delete_config();
    let look = edge.plan();
    assert_eq!((look.served.name, look.trial()), ("a", Some("RolledBack")));
    assert!(look.candidate.is_none());
    edge.assert_settled(&look);
}

/// They would be locked out.
#[test]
fn clients_that_cannot_verify_the_renewed_certificate_are_shown() {
    let (mut edge, _) = states::doubtful();
    edge.pass(5);
    let look = edge.plan();
    let unable = look.status.trials[0].unable.unwrap();
    assert_eq!((unable.connections, unable.devices), (5, 5));
    let message = &look.condition("Trial").unwrap().message;
    let words = "it is held, because 5 devices cannot verify its key (5 connections)";
    assert!(message.contains(words), "{message}");
    let (_, back) = states::rolled_back(0);
    assert_eq!(back.status.trials[0].unable.unwrap().connections, 3000);
    let (_, good) = states::running(1);
    assert_eq!(good.status.trials[0].unable, None);
}

/// What this release does not know as a reason, another one may have known.
#[test]
fn what_another_release_has_rolled_back_stays_so_if_the_class_is_the_same_now() {
    let (mut edge, look) = states::rolled_back(1);
    let record = look.record.unwrap();
    let (tried, same) = (SECRETS.leaf("b"), SECRETS.leaf("a, renewed"));
    edge.edit_trials(|text| text.replace(&tried.chain_digest(), &same.chain_digest()));
    edge.pass(1);
    let look = edge.with(same.name);
    assert_eq!((look.served.name, look.trial()), ("a", Some("RolledBack")));
    assert_eq!(look.record.as_ref().unwrap().id, record.id);
    edge.assert_settled(&look);
    edge.pass(1);
    edge.ask("skip", &record.id);
    expected::is_served(same, &edge.plan());
}

#[test]
fn what_another_release_tries_goes_on_if_the_class_is_the_same_now() {
    let (mut edge, look) = states::running(1);
    let before = states::candidate(&look);
    let (tried, same) = (SECRETS.leaf("b"), SECRETS.leaf("a, renewed"));
    edge.edit_trials(|text| text.replace(&tried.chain_digest(), &same.chain_digest()));
    edge.pass(1);
    for content in [same.name, "deleted", same.name] {
        let look = edge.with(content);
        let candidate = states::candidate(&look);
        assert_eq!((look.served.name, candidate.leaf.name), ("a", same.name));
        assert_eq!(
            (&candidate.id, candidate.percent),
            (&before.id, before.percent)
        );
        edge.assert_settled(&look);
        edge.pass(1);
    }
    let mut look = edge.plan();
    for _ in 0..2 {
        look = states::go_on(&mut edge, &look);
    }
    expected::is_served(same, &look);
}

/// One trial for both: it would count what the other has not seen.
#[test]
fn a_secret_that_is_tried_can_become_that_of_a_host_as_well() {
    let (mut edge, before) = states::running(1);
    let id = &states::candidate(&before).id;
    edge.add_host();
    edge.pass(1);
    let look = edge.plan();
    edge.assert_settled(&look);
    let (served, candidate) = edge.of_host();
    let candidate = candidate.expect("a candidate");
    assert_eq!((served.name, candidate.leaf.name), ("a", "b"));
    assert_eq!((&candidate.id, &states::candidate(&look).id), (id, id));
    assert_eq!(look.status.trials.len(), 1);
    // Somewhere there is a place for one candidate, and not for two.
    let mut found = BTreeSet::new();
    for size in (1104..1130).map(|size| size * 512) {
        let mut edge = edge.clone();
        edge.trust(size);
        let look = edge.plan();
        let of_host = edge.of_host().1.is_some();
        assert_eq!(look.candidate.is_some(), of_host, "{size} bytes");
        let expected = if of_host {
            "TrialRunning"
        } else {
            "TrialWaiting"
        };
        assert_eq!(look.trial(), Some(expected));
        found.insert(of_host);
    }
    assert_eq!(found.len(), 2);
}

/// Devices can be prepared for it meanwhile.
#[test]
fn the_ca_of_a_certificate_stays_published_when_it_is_rolled_back() {
    let mut edge = Edge::new();
    edge.publish();
    edge.with("a");
    assert_eq!(edge.published(), 1);
    edge.pass(1);
    let look = edge.with("b");
    assert_eq!(edge.published(), 2);
    edge.ask("end", &states::candidate(&look).id);
    assert_eq!(edge.plan().trial(), Some("RolledBack"));
    assert_eq!(edge.published(), 2);
    edge.with("a, renewed");
    assert_eq!(edge.published(), 1);
}

/// While the certificate before is valid, one that is not must not be tried in its place, nor served.
#[test]
fn a_candidate_that_expires_is_taken_back() {
    let mut edge = Edge::new();
    edge.with("a");
    edge.pass(1);
    let look = edge.with(SHORT);
    let short = states::candidate(&look).leaf;
    edge.now = short.until;
    edge.pass(1);
    for content in contents().chain([SECRETS.content(SHORT)]) {
        let _here = Here("it has expired", vec![content.name]);
        let mut edge = edge.clone();
        edge.put(content);
        let look = edge.plan();
        edge.assert_settled(&look);
        assert!(look.served.is_valid(edge.now), "{}", look.served.name);
        assert_eq!(look.served.class, SECRETS.leaf("a").class);
        if let Some(candidate) = look.candidate {
            assert!(candidate.leaf.is_valid(edge.now), "{}", candidate.leaf.name);
        }
    }
    let look = edge.plan();
    let valid = look.condition("CertificateValid").unwrap();
    assert_eq!((&*valid.status, &*valid.reason), ("False", "Expired"));
}
