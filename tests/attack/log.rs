//! Thousands of bad connections of each kind: how they are counted, and how much is logged.

use std::time::Instant;

use tests::attack::nuisance::Nuisance;

use crate::server::Server;

/// Maximum number of log lines for all connections: rate limited lines for each kind.
const LINES_MAX: usize = 100;
/// Maximum length of a line, in bytes.
const LINE_MAX: u64 = 2048;

/// Makes the connections, prints the results, and returns the faults.
pub(crate) fn measure(server: &Server, each: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    let mut faults = Vec::new();
    let start = server.process.mark();
    println!("{:<36} {:>10} {:>7} {:>7}", "", "connected", "lines", "s");
    for nuisance in Nuisance::all() {
        let before = server.figures().expect("it answers");
        let (mark, began) = (server.process.mark(), Instant::now());
        let connected = runtime.block_on(nuisance.throw_often(server.addr, each));
        let after = server.figures().expect("it answers");
        let outcomes = nuisance.outcomes.iter();
        let counted: f64 = outcomes
            .map(|outcome| after.outcome(outcome) - before.outcome(outcome))
            .sum();
        println!(
            "{:<36} {connected:>10} {:>7} {:>7.1}  {}",
            nuisance.name,
            server.process.mark() - mark,
            began.elapsed().as_secs_f64(),
            after.grown_since(&before).join(", ")
        );
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let short = connected as f64 - counted;
        if connected < each {
            faults.push(format!("{}: {connected} connected", nuisance.name));
        }
        if short > 0.5 {
            let outcomes = nuisance.outcomes.join(" or ");
            faults.push(format!(
                "{}: {counted} counted as {outcomes}",
                nuisance.name
            ));
        }
    }
    let lines = server.process.mark() - start;
    let written = std::fs::metadata(server.process.log_path()).map_or(0, |file| file.len());
    let longest = server.process.lines().iter().map(String::len).max();
    let longest = longest.unwrap_or_default() as u64;
    println!("{lines} lines, {written} bytes, the longest line {longest}");
    if lines > LINES_MAX {
        faults.push(format!("{lines} lines of log"));
    }
    if longest > LINE_MAX {
        faults.push(format!("a line of {longest} bytes"));
    }
    faults
}
