//! The attacked terminator, as a separate process, and its metrics. It must not put load on it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tests::attack::sink::Sink;
use tests::pki::Ca;
use tests::process::Process;
use tests::{ports, programs, workdir};

const START: Duration = Duration::from_secs(20);
/// Timeout of a scrape. A probe of Kubernetes waits a second; this is longer because of the attack.
const ANSWER: Duration = Duration::from_secs(5);

/// A terminator that serves `localhost`, in front of a backend that answers all clients.
pub(crate) struct Server {
    pub(crate) ca: Ca,
    pub(crate) addr: SocketAddr,
    pub(crate) process: Process,
    pub(crate) sink: Sink,
    admin: SocketAddr,
}

impl Server {
    /// Starts it with the default configuration.
    pub(crate) fn start(program: Option<PathBuf>) -> Self {
        let ca = Ca::new("attack");
        let leaf = ca.leaf().dns("localhost").issue();
        let sink = Sink::start();
        let (addr, admin) = (ports::free_addr(), ports::free_addr());
        let indented: Vec<String> = leaf
            .bundle()
            .lines()
            .map(|line| format!("  {line}"))
            .collect();
        let text = format!(
            "host: {}\nport: {}\nbackend: {{host: {}, port: {}}}\nadmin: {{port: {}}}\npem: |\n{}\n",
            addr.ip(),
            addr.port(),
            sink.addr().ip(),
            sink.addr().port(),
            admin.port(),
            indented.join("\n"),
        );
        let file = workdir::scratch("attack").join("config.yaml");
        std::fs::write(&file, text).expect("the folder is writable");
        let program = program.unwrap_or_else(|| programs::terminator().to_owned());
        let mut command = Command::new(program);
        command.arg(file);
        let process = Process::spawn("terminator", command);
        process.wait_for_line("serving", START);
        Self {
            ca,
            addr,
            process,
            sink,
            admin,
        }
    }

    /// Scrapes its metrics.
    pub(crate) fn figures(&self) -> io::Result<Figures> {
        let mut stream = TcpStream::connect_timeout(&self.admin, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let values = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(Figures(values.collect()))
    }
}

/// All metrics at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.value("process_cpu_seconds_total")
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        self.value("process_resident_memory_bytes") / f64::from(1 << 20)
    }

    pub(crate) fn descriptors(&self) -> f64 {
        self.value("process_open_fds")
    }

    fn value(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Returns the number of handshakes with this outcome.
    pub(crate) fn outcome(&self, outcome: &str) -> f64 {
        let start = format!("mqtt_tls_handshakes_total{{outcome=\"{outcome}\"");
        let found = self.0.iter().filter(|(name, _)| name.starts_with(&start));
        found.map(|(_, value)| value).sum()
    }

    /// Returns the counters of connections and handshakes that have grown, and by how much.
    pub(crate) fn grown_since(&self, before: &Self) -> Vec<String> {
        let is_selected = |name: &str| {
            let what = ["handshakes_total", "refused_total", "ended_total"];
            what.iter().any(|what| name.contains(what))
        };
        let grown = self.0.iter().filter(|(name, _)| is_selected(name));
        let grown = grown.map(|(name, value)| (name, value - before.value(name)));
        grown
            .filter(|(_, by)| *by > 0.0)
            .map(|(name, by)| format!("{} {by}", name.trim_start_matches("mqtt_tls_")))
            .collect()
    }
}
