//! Measures what listeners cost the operator, on a bare API server of its own for each build: no controllers, so
//! each request is the operator's. It must not be a test: no figure passes or fails.
//!
//! `cargo run --release -p tests --bin benchmark -- operator` takes a quarter of an hour. Requests and times are those of
//! the audit log; watches and the renewals of the Lease do not count. Memory is that of the process. Options:
//!
//! - `--operator NAME=PATH`, repeatable: compare these builds, instead of building one with cargo;
//! - `--listeners 5000`, `--shared 500`, `--rest 90`: the sizes, and the seconds at rest;
//! - `--json PATH`: write the figures as JSON, too.

mod cluster;
mod table;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::tests::process::Process;
use ::tests::programs;
use jiff::Timestamp;
use rustix::process::Signal;

use crate::arguments::{Build, OperatorArguments};
use cluster::{Cluster, memory};
use table::{Column, Figure};
use trace::{Request, Trace};

/// Listeners that are made one after the other.
const SINGLE: usize = 100;

/// How many seconds the operator must write nothing and read at most [`CALM_READS`] a second to count as settled. With
/// thousands of listeners, some are always looked at again.
const CALM_SECONDS: i64 = 8;

/// The goal for reads in a second at rest.
const CALM_READS: usize = 100;

/// Upper bound for anything; reaching it ends the program.
const LONG: Duration = Duration::from_secs(1800);

/// Measures each build, and prints a table.
pub(crate) fn measure(arguments: &OperatorArguments) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let mut builds = arguments.operators.clone();
    if builds.is_empty() {
        builds.push(Build {
            name: "operator".to_owned(),
            path: programs::operator().to_owned(),
        });
    }
    let columns: Vec<Column> = builds
        .iter()
        .map(|build| {
            eprintln!("measuring {}", build.name);
            let figures = runtime.block_on(measured(&build.path, arguments));
            Column {
                name: build.name.clone(),
                figures,
            }
        })
        .collect();
    let about = crate::machine::processor_and_kernel();
    print!("{}", table::markdown(&columns, &about));
    if let Some(path) = &arguments.json {
        write(path, &table::json(&columns, &about));
    }
}

fn write(path: &PathBuf, text: &str) {
    std::fs::write(path, text)
        .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
}

async fn measured(program: &Path, arguments: &OperatorArguments) -> Vec<Figure> {
    let cluster = Cluster::start(program).await;
    let mut trace = cluster.trace();
    let mut run = Run {
        operator: cluster.run_operator(program),
        figures: Vec::new(),
    };
    run.operator.wait_for_line("listed all listeners", LONG);
    run.single(&cluster, &mut trace).await;
    run.shared(&cluster, &mut trace, arguments.shared).await;
    run.many(&cluster, &mut trace, arguments.listeners).await;
    run.restart(&cluster, &mut trace, program).await;
    run.rest(&mut trace, arguments.rest).await;
    run.figures
}

/// One build's operator, and its figures so far.
struct Run {
    operator: Process,
    figures: Vec<Figure>,
}

impl Run {
    fn add(&mut self, name: &str, unit: &'static str, goal: Option<f64>, value: f64) {
        eprintln!("{name}, {unit}: {value:.1}");
        self.figures.push(Figure {
            name: name.to_owned(),
            unit,
            goal,
            value,
        });
    }

    fn add_memory(&mut self, when: &str, goal: Option<f64>) {
        let (resident, proportional) = memory(self.operator.pid());
        self.add(&format!("memory {when}, RSS"), "MiB", goal, resident);
        self.add(&format!("memory {when}, PSS"), "MiB", goal, proportional);
    }

    /// New listeners, one after the other, each in a namespace of its own.
    async fn single(&mut self, cluster: &Cluster, trace: &mut Trace) {
        let from = trace.read();
        let mut namespaces = Vec::new();
        for _ in 0..SINGLE {
            let namespace = cluster.namespace("single").await;
            cluster
                .put_secrets(&namespace, &["edge-tls".to_owned()])
                .await;
            let names = [("edge".to_owned(), "edge-tls".to_owned())];
            cluster.put_listeners(&namespace, &names).await;
            let is_status = |one: &Request| one.resource == STATUS && one.namespace == namespace;
            until(trace, |trace| trace.counted(from).any(is_status)).await;
            namespaces.push(namespace);
        }
        settled(trace, from).await;
        let (mut first, mut all, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        for namespace in &namespaces {
            let of = || {
                let requests = trace.requests[from..].iter();
                requests.filter(|one| one.namespace == *namespace)
            };
            let made =
                of().find(|one| !one.is_operator && one.resource == LISTENERS && one.is_write());
            let made = made.expect("the listener was made");
            let own: Vec<&Request> = of().filter(|one| one.counts()).collect();
            let status = own.iter().position(|one| one.resource == STATUS);
            first.push(as_number(status.map_or(own.len(), |status| status + 1)));
            all.push(as_number(own.len()));
            let deployed = own
                .iter()
                .find(|one| one.resource == "deployments" && one.is_write());
            let deployed = deployed.expect("the Deployment was made");
            waits.push(seconds(made.begun, deployed.ended) * 1000.0);
        }
        let name = "calls from a new listener to its first status";
        self.add(name, "median", Some(14.0), percentile(&mut first, 50));
        self.add(
            "calls for a new listener in all",
            "median",
            None,
            percentile(&mut all, 50),
        );
        self.add(
            "apply → Deployment, p50",
            "ms",
            None,
            percentile(&mut waits, 50),
        );
        self.add(
            "apply → Deployment, p99",
            "ms",
            Some(150.0),
            percentile(&mut waits, 99),
        );
    }

    /// One Secret of many listeners, renewed.
    async fn shared(&mut self, cluster: &Cluster, trace: &mut Trace, count: usize) {
        let namespace = cluster.namespace("shared").await;
        let secret = ["shared-tls".to_owned()];
        cluster.put_secrets(&namespace, &secret).await;
        let names: Vec<_> = (0..count)
            .map(|number| (format!("edge-{number}"), secret[0].clone()))
            .collect();
        let from = trace.read();
        cluster.put_listeners(&namespace, &names).await;
        settled(trace, from).await;
        let from = trace.read();
        cluster.put_secrets(&namespace, &secret).await;
        settled(trace, from).await;
        let renewed = trace.requests[from..].iter();
        let renewed = renewed.filter(|one| !one.is_operator && one.name == secret[0]);
        let renewed = renewed.map(|one| one.begun).next().expect("it was renewed");
        let configs = trace.counted(from);
        let configs = configs.filter(|one| one.resource == "secrets" && one.is_write());
        let ends: Vec<Timestamp> = configs.map(|one| one.ended).collect();
        assert_eq!(ends.len(), count, "each config Secret is written once");
        let last = ends.into_iter().max().unwrap_or(renewed);
        let name =
            format!("{count} listeners on one renewed Secret, last config Secret written after");
        self.add(&name, "s", Some(4.0), seconds(renewed, last));
        let calls = trace.counted(from).filter(|one| one.namespace == namespace);
        let calls = as_number(calls.count()) / as_number(count);
        self.add("calls for it", "each", None, calls);
    }

    /// Many listeners at once.
    async fn many(&mut self, cluster: &Cluster, trace: &mut Trace, count: usize) {
        let namespace = cluster.namespace("many").await;
        let names: Vec<_> = (0..count)
            .map(|number| (format!("edge-{number}"), format!("edge-{number}-tls")))
            .collect();
        let secrets: Vec<_> = names.iter().map(|(_, secret)| secret.clone()).collect();
        cluster.put_secrets(&namespace, &secrets).await;
        let (from, begun) = (trace.read(), Timestamp::now());
        cluster.put_listeners(&namespace, &names).await;
        let made = seconds(begun, Timestamp::now());
        // A busy machine may be calm for a while before that.
        let have_status = |trace: &Trace| {
            let written = trace.counted(from).filter(|one| one.resource == STATUS);
            written.map(|one| &one.name).collect::<BTreeSet<_>>().len() >= count
        };
        until(trace, have_status).await;
        let settled = settled(trace, from).await;
        let name = format!("{count} listeners made at once, until made");
        self.add(&name, "s", None, made);
        let name = format!("{count} listeners made at once, until settled");
        self.add(&name, "s", None, seconds(begun, settled));
        self.add_memory("then", Some(64.0));
    }

    /// A restart with all these listeners. SIGTERM, as a rollout would.
    async fn restart(&mut self, cluster: &Cluster, trace: &mut Trace, program: &Path) {
        self.operator.signal(Signal::TERM);
        self.operator.wait_exit(LONG);
        let (from, begun) = (trace.read(), Timestamp::now());
        self.operator = cluster.run_operator(program);
        self.operator.wait_for_line("listed all listeners", LONG);
        settled(trace, from).await;
        // Without a busy second it has settled as soon as it has read what it reads at the start.
        let idle = || trace.counted(from).next().map(|one| one.ended);
        let busy = last_busy(trace, from).or_else(idle);
        let took = seconds(begun, busy.unwrap_or(begun));
        self.add("restart, until settled", "s", Some(25.0), took);
        for (name, verb) in [("restart, objects read", "get"), ("restart, lists", "list")] {
            let reads = trace.counted(from).filter(|one| one.verb == verb);
            self.add(name, "calls", None, as_number(reads.count()));
        }
        let writes = trace.counted(from).filter(|one| one.is_write());
        self.add(
            "restart, writes",
            "calls",
            Some(0.0),
            as_number(writes.count()),
        );
        let name = "restart, most reads in a second";
        self.add(name, "calls", None, most_reads(trace.counted(from)));
        self.add_memory("after a restart", Some(64.0));
    }

    /// Nothing changes.
    async fn rest(&mut self, trace: &mut Trace, duration: u64) {
        let from = trace.read();
        tokio::time::sleep(Duration::from_secs(duration)).await;
        trace.read();
        let writes = trace.counted(from).filter(|one| one.is_write());
        let name = format!("{duration} s at rest, writes");
        self.add(&name, "calls", Some(0.0), as_number(writes.count()));
        let name = format!("{duration} s at rest, most reads in a second");
        self.add(&name, "calls", Some(100.0), most_reads(trace.counted(from)));
        self.add_memory("at rest", Some(64.0));
    }
}

const LISTENERS: &str = "mqtttlslisteners";
const STATUS: &str = "mqtttlslisteners/status";

/// Waits until the requests so far are as they should be.
async fn until(trace: &mut Trace, is_so: impl Fn(&Trace) -> bool) {
    let begun = Instant::now();
    loop {
        trace.read();
        if is_so(trace) {
            return;
        }
        assert!(begun.elapsed() < LONG, "the operator does not get on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the operator has settled, and returns when it had.
async fn settled(trace: &mut Trace, from: usize) -> Timestamp {
    let (begun, clock) = (Timestamp::now(), Instant::now());
    loop {
        assert!(clock.elapsed() < LONG, "the operator does not settle");
        tokio::time::sleep(Duration::from_millis(250)).await;
        trace.read();
        let busy = last_busy(trace, from).unwrap_or(begun);
        if Timestamp::now().duration_since(busy.max(begun)).as_secs() >= CALM_SECONDS {
            return busy;
        }
    }
}

/// Returns the end of the last write, or of the last request in a second with many reads.
fn last_busy(trace: &Trace, from: usize) -> Option<Timestamp> {
    let reads = reads_by_second(trace.counted(from));
    let is_busy = |one: &&Request| {
        one.is_write() || reads.get(&one.begun.as_second()).copied() > Some(CALM_READS)
    };
    let busy = trace.counted(from).filter(is_busy);
    busy.map(|one| one.ended).max()
}

fn reads_by_second<'r>(requests: impl Iterator<Item = &'r Request>) -> BTreeMap<i64, usize> {
    let mut seconds = BTreeMap::new();
    for one in requests.filter(|one| !one.is_write()) {
        *seconds.entry(one.begun.as_second()).or_default() += 1;
    }
    seconds
}

/// Returns the highest number of reads within one second of the clock.
fn most_reads<'r>(requests: impl Iterator<Item = &'r Request>) -> f64 {
    let seconds = reads_by_second(requests);
    as_number(seconds.into_values().max().unwrap_or_default())
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    let rank = (figures.len() * percent).div_ceil(100);
    figures[rank.max(1) - 1]
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn as_number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_figures_themselves() {
        let mut figures: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (percent, figure) in [(1, 1.0), (50, 50.0), (99, 99.0), (100, 100.0)] {
            let found: f64 = percentile(&mut figures, percent);
            assert!((found - figure).abs() < f64::EPSILON, "{percent}: {found}");
        }
        assert!((percentile(&mut [7.0], 50) - 7.0).abs() < f64::EPSILON);
    }
}
