//! The admin port under load: probes are answered, and clients are served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use mqtt_tls_config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::clients::tls::Connector;
use tests::pki::Ca;
use tests::process::Process;
use tests::programs;
use tests::wait::eventually;

use crate::fixture::{SOON, Scripted, config, write};

/// Maximum number of connections to the admin port (terminator/program/src/http.rs).
const CONNECTIONS_MAX: usize = 64;

/// Limit on file descriptors of the program: less than the number of connections to its admin port.
const DESCRIPTORS: usize = 600;

fn admin(config: &Config) -> SocketAddr {
    (config.admin.host, config.admin.port).into()
}

/// Starts the program with few file descriptors.
fn start(config: &Config) -> Process {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("ulimit -n {DESCRIPTORS} && exec \"$@\""),
            "sh",
        ])
        .arg(programs::terminator())
        .arg(write(config));
    let process = Process::spawn("terminator", command);
    process.wait_for_line("serving", SOON);
    process
}

fn descriptors(process: &Process) -> usize {
    let folder = format!("/proc/{}/fd", process.pid());
    std::fs::read_dir(folder).unwrap().count()
}

/// Returns its anonymous memory, in KiB.
fn memory(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.unwrap().parse().unwrap()
}

async fn serves(ca: &Ca, config: &Config, backend: &Scripted) {
    let addr = (config.host.unwrap(), config.port).into();
    let mut client = Connector::new(ca).open(addr).await.unwrap();
    let mut peer = backend.accept().await;
    client.send(b"up").await.unwrap();
    assert_eq!(peer.read_exact(2).await, b"up");
}

/// Sends a probe, with a timeout.
fn answers(config: &Config, path: &str) {
    let mut stream = TcpStream::connect(admin(config)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

/// Opens connections that send `text` and then nothing; checks that the program answers probes meanwhile.
fn occupy(config: &Config, count: usize, text: &[u8]) -> Vec<TcpStream> {
    let own = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: own.maximum,
        ..own
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let mut open = Vec::new();
    for index in 0..count {
        let mut stream = TcpStream::connect(admin(config)).unwrap();
        // The oldest are closed, some of them before they have sent everything.
        let _ = stream.write_all(text);
        open.push(stream);
        if index % 100 == 99 {
            answers(config, "/readyz");
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_disturb_neither_probes_nor_clients() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").issue();
    let backend = Scripted::start().await;
    let config = config(&leaf, backend.addr());
    let process = start(&config);
    serves(&ca, &config, &backend).await;
    let (descriptors_before, memory_before) = (descriptors(&process), memory(&process));
    let mut open = Vec::new();
    let head = [b"GET /metrics HTTP/1.1\r\nA: ", &*vec![b'a'; 12_000]].concat();
    for (count, text) in [(2500, b"".as_slice()), (1000, &*head)] {
        open.extend(occupy(&config, count, text));
        serves(&ca, &config, &backend).await;
        answers(&config, "/livez");
        let more = descriptors(&process).saturating_sub(descriptors_before);
        assert!(more < CONNECTIONS_MAX + 10, "{more} more descriptors");
        let more = memory(&process).saturating_sub(memory_before);
        assert!(more < 16 * 1024, "{more} KiB more memory");
    }
    // The others are closed without a new connection.
    eventually(SOON, "the others have ended", || {
        (descriptors(&process) < descriptors_before + 10).then_some(())
    });
}
