//! Clients cannot flood the log, and each kind of bad connection has its own outcome. The program `attack`
//! makes 10,000 connections of each kind; this test makes fewer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tests::attack::nuisance::Nuisance;
use tests::attack::sink::Sink;
use tests::pki::Ca;

use crate::fixture::{SOON, config, get, write};
use crate::program;

/// Number of connections of each kind.
const EACH: u64 = 300;
/// Maximum number of lines for all kinds together: the start, and rate limited lines on each kind.
const LINES_MAX: usize = 40;
/// Maximum length of a line, in bytes.
const LINE_MAX: usize = 2048;

/// Returns the number of handshakes with each outcome, for all versions.
fn outcomes(admin: SocketAddr) -> BTreeMap<String, u64> {
    let mut outcomes = BTreeMap::new();
    let (_, text) = get(admin, "/metrics");
    for line in text.lines() {
        let found = line.strip_prefix("mqtt_tls_handshakes_total{outcome=\"");
        let Some((outcome, rest)) = found.and_then(|line| line.split_once('"')) else {
            continue;
        };
        let value: u64 = rest.rsplit(' ').next().unwrap().parse().unwrap();
        *outcomes.entry(outcome.to_owned()).or_default() += value;
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_bad_connections_leave_a_handful_of_lines_and_are_counted() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let config = config(&leaf, Sink::start().addr());
    let process = program::start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    let addr = (config.host.unwrap(), config.port).into();
    let admin = (config.admin.host, config.admin.port).into();
    let mut wrong = Vec::new();
    let mut before = outcomes(admin);
    for nuisance in Nuisance::all() {
        let name = nuisance.name;
        let mark = process.mark();
        assert_eq!(nuisance.throw_often(addr, EACH).await, EACH, "{name}");
        let after = outcomes(admin);
        let grown: BTreeMap<&str, u64> = after
            .iter()
            .map(|(outcome, count)| (outcome.as_str(), count - before.get(outcome).unwrap_or(&0)))
            .filter(|(_, by)| *by > 0)
            .collect();
        let lines = process.mark() - mark;
        let is_known = grown
            .keys()
            .all(|outcome| nuisance.outcomes.contains(outcome));
        if !is_known || grown.values().sum::<u64>() != EACH || lines > LINES_MAX {
            wrong.push(format!("{name}: {grown:?}, {lines} lines"));
        }
        before = after;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let lines = process.lines();
    assert!(lines.len() <= LINES_MAX, "{}", process.log());
    for line in lines {
        assert!(line.len() <= LINE_MAX, "{line}");
    }
}
