//! What a connection costs the server, beside what it costs nginx: CPU time for a handshake, CPU time for
//! a GiB in each direction, and memory for an idle connection.
//!
//! `cargo run --release -p tests --bin benchmark [-- FACTOR]`. Both servers run with one worker and the
//! same P-256 certificate, one after the other in each round; CPU time is the server's own, from
//! /proc/PID/stat, since wall time on a shared machine tells little. nginx is taken from the path
//! (Debian: nginx-light, libnginx-mod-stream) and left out, with a line that says so, if it is not there.
//!
//! It must not be a test: no figure passes or fails.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that cannot be made ends the program, and its output is its result"
)]

mod load;
mod server;

use tests::pki::Ca;

use crate::load::{Backend, Load};
use crate::server::Server;

/// Rounds; each gives a figure, and the least is told beside all, as noise only adds.
const ROUNDS: usize = 3;
const HANDSHAKES: u32 = 2000;
const IDLE: u32 = 2000;
const BULK_MIB: u32 = 512;

/// What was measured of one server, round by round.
#[derive(Default)]
struct Figures {
    full_us: Vec<f64>,
    resumed_us: Vec<f64>,
    up_ms: Vec<f64>,
    down_ms: Vec<f64>,
    idle_bytes: Vec<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let ca = Ca::new("benchmark");
    let leaf = ca.leaf().dns("localhost").issue();
    let backend = Backend::start().await;
    let names: Vec<_> = Server::available();
    let mut figures: Vec<Figures> = names.iter().map(|_| Figures::default()).collect();
    for _ in 0..ROUNDS {
        for (name, figures) in names.iter().zip(&mut figures) {
            let server = Server::start(name, &leaf, backend.addr());
            round(&server, &Load::new(&ca, server.addr()), figures).await;
        }
    }
    for (name, figures) in names.iter().zip(&figures) {
        println!("{name}");
        tell("full handshake, CPU µs", &figures.full_us);
        tell("resumed handshake, CPU µs", &figures.resumed_us);
        tell("to the backend, CPU ms per GiB", &figures.up_ms);
        tell("to the client, CPU ms per GiB", &figures.down_ms);
        tell("idle connection, bytes", &figures.idle_bytes);
    }
}

async fn round(server: &Server, load: &Load, figures: &mut Figures) {
    // Once for everything that is made at the first use.
    load.handshakes(50, false).await;
    let each = |seconds: f64, count: u32, unit: f64| seconds * unit / f64::from(count);

    let before = server.cpu_seconds();
    load.handshakes(HANDSHAKES, false).await;
    figures
        .full_us
        .push(each(server.cpu_seconds() - before, HANDSHAKES, 1e6));

    let before = server.cpu_seconds();
    load.handshakes(HANDSHAKES, true).await;
    figures
        .resumed_us
        .push(each(server.cpu_seconds() - before, HANDSHAKES, 1e6));

    let gib = |seconds: f64| seconds * 1e3 * 1024.0 / f64::from(BULK_MIB);
    let before = server.cpu_seconds();
    load.send_mib(BULK_MIB).await;
    figures.up_ms.push(gib(server.cpu_seconds() - before));

    let before = server.cpu_seconds();
    load.receive_mib(BULK_MIB).await;
    figures.down_ms.push(gib(server.cpu_seconds() - before));

    let before = server.resident_bytes();
    let idle = load.idle(IDLE).await;
    figures
        .idle_bytes
        .push((server.resident_bytes() - before) / f64::from(IDLE));
    drop(idle);
}

fn tell(what: &str, figures: &[f64]) {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let all: Vec<String> = figures
        .iter()
        .map(|figure| format!("{figure:.0}"))
        .collect();
    println!("  {what:<32} {least:>8.0}   ({})", all.join(", "));
}
