//! Simulates trials of renewed certificates, and prints how often they are rolled back and what they cost until then.
//!
//!     cargo run --release -p tests --bin benchmark -- trials
//!
//! Each device connects once in a round, with a full handshake, and tries again until it is served. A step lasts until enough
//! connections with the candidate were served and nothing speaks against it. Nothing is measured, so a seed gives the same figures
//! everywhere. It must not judge the figures; the tests of the evidence do.

#[path = "../../operator/src/plan/trials/evidence.rs"]
#[allow(unreachable_pub, reason = "the file belongs to the operator's library")]
mod evidence;
mod fleet;

use crate::arguments::TrialsArguments;
use fleet::{Chance, End, Noise, Outcome, Setting};

/// Shares of the devices that do not take the candidate.
const BAD: [f64; 5] = [0.0, 0.003, 0.03, 0.1, 0.5];

/// Aborts for other reasons, and what they are called.
const NOISE: [(&str, Noise); 5] = [
    ("none", Noise::of(0.0, 0.0, 0.0)),
    ("0.5 % of devices' connections", Noise::of(0.005, 0.0, 0.0)),
    ("5 % of devices' connections", Noise::of(0.05, 0.0, 0.0)),
    ("5 % are scanners", Noise::of(0.0, 0.05, 0.0)),
    ("outages: 20 %, one round in 20", Noise::of(0.001, 0.0, 0.2)),
];

/// Number of handshakes with the candidate that a step needs.
const HANDSHAKES: u64 = 300;

/// Number of rounds that a trial may last.
const ROUNDS: u32 = 1000;

/// Simulates trials, and prints a table.
pub(crate) fn simulate(arguments: &TrialsArguments) {
    println!(
        "{} trials each, fleets of {} devices, seed {}; a device that aborted is set apart for {} rounds. Figures in pairs are the \
         median and the 95th percentile.\n",
        arguments.trials, arguments.devices, arguments.seed, arguments.apart
    );
    println!(
        "| do not take it | noise | rolled back | finished | wait | handshakes | with the candidate | rounds | shown in vain | failed in a row |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (name, noise) in NOISE {
        for bad in BAD {
            let setting = Setting {
                devices: arguments.devices,
                bad,
                noise,
                handshakes: [HANDSHAKES; 4],
                apart: arguments.apart,
                rounds: ROUNDS,
            };
            let mut chance = Chance::new(arguments.seed);
            let outcomes: Vec<_> = (0..arguments.trials)
                .map(|_| fleet::run(&setting, &mut chance))
                .collect();
            println!("| {} % | {name} | {} |", bad * 100.0, row(&outcomes));
        }
    }
}

/// The figures of a row.
fn row(outcomes: &[Outcome]) -> String {
    let ended = |end| {
        let number = outcomes.iter().filter(|outcome| outcome.end == end).count();
        format!("{:.1} %", real(number) * 100.0 / real(outcomes.len()))
    };
    let pair = |figure: fn(&Outcome) -> u64| {
        let mut figures: Vec<_> = outcomes.iter().map(figure).collect();
        figures.sort_unstable();
        let last = figures.len() - 1;
        format!("{}, {}", figures[last / 2], figures[last * 95 / 100])
    };
    let failed = outcomes.iter().map(|outcome| outcome.failed_in_a_row).max();
    [
        ended(End::RolledBack),
        ended(End::Finished),
        ended(End::Waits),
        pair(|outcome| outcome.handshakes),
        pair(|outcome| outcome.shown),
        pair(|outcome| u64::from(outcome.rounds)),
        pair(|outcome| u64::from(outcome.in_vain)),
        failed.unwrap_or(0).to_string(),
    ]
    .join(" | ")
}

/// A number of trials.
fn real(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
