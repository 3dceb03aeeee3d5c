//! The servers that are measured: ours and nginx, each with one worker, and what the kernel knows of
//! them. It must not load them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::pki::Leaf;
use tests::process::Process;
use tests::{ports, workdir};

const START: Duration = Duration::from_secs(10);
/// Clock ticks a second in /proc (proc(5)); 100 on every Linux of the last twenty years.
const TICKS: f64 = 100.0;

/// A running server.
pub(crate) struct Server {
    process: Process,
    addr: SocketAddr,
}

impl Server {
    /// Ours, and nginx if it is installed.
    pub(crate) fn available() -> Vec<&'static str> {
        let nginx = Command::new("nginx").arg("-v").output().is_ok();
        if nginx {
            return vec!["terminator", "nginx"];
        }
        println!("nginx is not installed, and not compared with");
        vec!["terminator"]
    }

    pub(crate) fn start(name: &str, leaf: &Leaf, backend: SocketAddr) -> Self {
        let addr = ports::free_addr();
        let folder = workdir::scratch(name);
        let (file, command) = if name == "nginx" {
            nginx(&folder, leaf, addr, backend)
        } else {
            terminator(&folder, leaf, addr, backend)
        };
        std::fs::write(folder.join(file.0), file.1).expect("the folder is ours");
        let process = Process::spawn(name, command);
        process.wait_for_port(addr, START);
        Self { process, addr }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// CPU time so far, of user and system.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = read(self.process.pid(), "stat");
        // Behind the name, which may hold anything, fields count from 3 (proc(5)).
        let fields = stat.rsplit(')').next().expect("rsplit yields one at least");
        let ticks = |number: usize| -> f64 {
            fields
                .split_whitespace()
                .nth(number - 3)
                .and_then(|text| text.parse().ok())
                .expect("a number")
        };
        (ticks(14) + ticks(15)) / TICKS
    }

    /// Memory that belongs to it alone, in bytes.
    pub(crate) fn resident_bytes(&self) -> f64 {
        let status = read(self.process.pid(), "status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line
            .and_then(|line| line.split_whitespace().next())
            .and_then(|kib| kib.parse::<f64>().ok());
        kib.expect("Linux tells it") * 1024.0
    }
}

fn read(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the server runs")
}

type File = (&'static str, String);

fn terminator(
    folder: &Path,
    leaf: &Leaf,
    addr: SocketAddr,
    backend: SocketAddr,
) -> (File, Command) {
    let indented: Vec<String> = leaf
        .bundle()
        .lines()
        .map(|line| format!("  {line}"))
        .collect();
    let text = format!(
        "host: {}\nport: {}\nbackend: {{host: {}, port: {}}}\nadmin: {{port: {}}}\ntls: {{tickets: All}}\npem: |\n{}\n",
        addr.ip(),
        addr.port(),
        backend.ip(),
        backend.port(),
        ports::free_port(),
        indented.join("\n"),
    );
    let mut command = Command::new(tests::programs::terminator());
    command
        .args(["--threads", "1"])
        .arg(folder.join("config.yaml"));
    (("config.yaml", text), command)
}

/// One process without a master, so that its figures are those of the worker.
fn nginx(folder: &Path, leaf: &Leaf, addr: SocketAddr, backend: SocketAddr) -> (File, Command) {
    let (cert, key) = leaf.write_to(folder);
    let text = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off; master_process off; pid {pid}; error_log stderr warn;\n\
         worker_rlimit_nofile 65536;\n\
         events {{ worker_connections 32768; }}\n\
         stream {{\n  server {{\n    listen {addr} ssl backlog=4096 so_keepalive=on;\n    tcp_nodelay on;\n\
             ssl_certificate {cert}; ssl_certificate_key {key};\n    ssl_protocols TLSv1.2 TLSv1.3;\n\
             ssl_session_tickets on; ssl_ecdh_curve X25519;\n    proxy_pass {backend};\n  }}\n}}\n",
        pid = folder.join("pid").display(),
        cert = cert.display(),
        key = key.display(),
    );
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"));
    (("nginx.conf", text), command)
}
