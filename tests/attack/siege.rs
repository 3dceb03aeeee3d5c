//! One attack: which clients are served meanwhile, what it costs, and the faults found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::attack::honest::{self, Honest, Served};
use tests::attack::{Attack, Kind, Origin, Seen};

use crate::server::{Figures, Server};

/// Time that an attacker keeps a socket open.
const HOLDS: Duration = Duration::from_secs(10);
/// Pause of slow honest clients.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two scrapes of the terminator.
const LOOK: Duration = Duration::from_millis(500);
/// Time after an attack in which everything recovers.
const REST: Duration = Duration::from_secs(5);
/// Time over which CPU usage is measured after that.
const AT_REST: Duration = Duration::from_secs(2);

/// Allowed growth of memory, in MiB: what the allocator keeps for the clients that waited at once, at most 8
/// KiB for each of 5,000.
const MEMORY_KEPT_MIB: f64 = 40.0;
const DESCRIPTORS_KEPT: f64 = 16.0;
/// Maximum CPU usage without clients, in cores.
const CPU_AT_REST: f64 = 0.05;
/// Maximum number of log lines for an attack.
const LINES_MAX: usize = 10;

pub(crate) struct Siege {
    pub(crate) kind: Kind,
    pub(crate) from: Origin,
    pub(crate) rate: u32,
    pub(crate) honest: u32,
    pub(crate) lasts: Duration,
}

/// Measurements of the terminator.
struct Cost {
    before: Figures,
    during: During,
    after: Figures,
    cpu_at_rest: f64,
    lines: usize,
    /// Connections at the backend.
    at_backend: u64,
}

/// Measurements during the attack.
#[derive(Default)]
struct During {
    most_mib: f64,
    most_descriptors: f64,
    /// At the end of the attack.
    cpu_seconds: f64,
    /// Number of scrapes without an answer.
    silences: usize,
}

impl Siege {
    /// Attacks, prints the results, and returns the faults.
    pub(crate) fn lay(&self, server: &Server) -> Vec<String> {
        let name = match self.from {
            Origin::One => format!("{} from one address", self.kind.name()),
            Origin::Many(count) => format!("{} from {count} addresses", self.kind.name()),
        };
        let mark = server.process.mark();
        let before = server.figures().expect("it answers before the attack");
        let honest = Honest {
            config: honest::trusting(&server.ca),
            target: server.addr,
            attackers: self.from,
            rate: self.honest,
            pause: PAUSE,
        };
        let backend = server.sink.connections();
        let (attackers, honest, during) = self.attack(server, honest);
        thread::sleep(REST);
        let after = server.figures().expect("it answers after the attack");
        let idle = Instant::now();
        thread::sleep(AT_REST);
        let rested = server.figures().expect("it answers after the attack");
        let cpu_at_rest =
            (rested.cpu_seconds() - after.cpu_seconds()) / idle.elapsed().as_secs_f64();
        let cost = Cost {
            before,
            during,
            after,
            cpu_at_rest,
            lines: server.process.mark() - mark,
            at_backend: server.sink.connections() - backend,
        };
        print(&name, &attackers, &honest, &cost);
        faults(&name, &honest, &cost)
    }

    fn attack(&self, server: &Server, honest: Honest) -> (Seen, Served, During) {
        let attack = Attack {
            config: Arc::clone(&honest.config),
            kind: self.kind,
            origin: self.from,
            rate: self.rate,
            lasts: self.lasts,
            holds: HOLDS,
        };
        let coming = honest.start();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(server, &is_over));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime starts");
            let attackers = runtime.block_on(attack.run(server.addr));
            // Clients in progress are served after the attack, or not at all.
            let honest = coming.stop();
            is_over.store(true, Ordering::Relaxed);
            (
                attackers,
                honest,
                watcher.join().expect("it does not panic"),
            )
        })
    }
}

/// Scrapes the terminator until the attack is over.
fn watch(server: &Server, is_over: &AtomicBool) -> During {
    let mut during = During::default();
    while !is_over.load(Ordering::Relaxed) {
        match server.figures() {
            Ok(figures) => {
                during.most_mib = during.most_mib.max(figures.resident_mib());
                during.most_descriptors = during.most_descriptors.max(figures.descriptors());
                during.cpu_seconds = figures.cpu_seconds();
            }
            Err(_) => during.silences += 1,
        }
        thread::sleep(LOOK);
    }
    during
}

fn print(name: &str, attackers: &Seen, honest: &Served, cost: &Cost) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    println!("{name}");
    println!("  honest      {honest}");
    println!(
        "  attackers   {} tried, {} connected, {} closed by the terminator",
        count(&attackers.tried),
        count(&attackers.connected),
        count(&attackers.ended),
    );
    println!("  backend     {} connections", cost.at_backend);
    println!(
        "  CPU         {:.1} s, {:.3} of a core at rest",
        cost.during.cpu_seconds - cost.before.cpu_seconds(),
        cost.cpu_at_rest
    );
    println!(
        "  memory      {:.1} MiB, at most {:.1}, after it {:.1}",
        cost.before.resident_mib(),
        cost.during.most_mib,
        cost.after.resident_mib()
    );
    println!(
        "  descriptors {}, at most {}, after it {}",
        cost.before.descriptors(),
        cost.during.most_descriptors,
        cost.after.descriptors()
    );
    println!("  log         {} lines", cost.lines);
    println!(
        "  counted     {}",
        cost.after
            .grown_since(&cost.before)
            .join("\n              ")
    );
}

fn faults(name: &str, honest: &Served, cost: &Cost) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |is_right: bool, what: String| {
        if !is_right {
            faults.push(format!("{name}: {what}"));
        }
    };
    let (before, after) = (&cost.before, &cost.after);
    check(honest.is_everyone(), format!("{honest}"));
    check(
        cost.at_backend <= honest.tried as u64,
        format!("{} connections at the backend", cost.at_backend),
    );
    check(
        after.resident_mib() < before.resident_mib() + MEMORY_KEPT_MIB,
        format!("{:.1} MiB stay", after.resident_mib()),
    );
    check(
        after.descriptors() < before.descriptors() + DESCRIPTORS_KEPT,
        format!("{} descriptors stay", after.descriptors()),
    );
    check(
        cost.cpu_at_rest < CPU_AT_REST,
        format!("{:.3} of a core at rest", cost.cpu_at_rest),
    );
    check(
        cost.lines <= LINES_MAX,
        format!("{} lines of log", cost.lines),
    );
    let silences = cost.during.silences;
    check(silences == 0, format!("no metrics {silences} times"));
    faults
}
