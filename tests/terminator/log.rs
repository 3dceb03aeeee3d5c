//! The log: clients can neither flood nor forge it, and it blocks nothing if it is not read.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use mqtt_tls_config::Config;
use rustix::process::Signal;
use serde_json::Value;
use tests::clients::tls::Connector;
use tests::peers::MosquittoTls;
use tests::pki::Ca;
use tests::process::{Process, run};
use tests::wait::eventually;
use tests::{ports, programs, workdir};

use crate::fixture::{SOON, Scripted, config, get, write};
use crate::program::{exit_code, start};

/// Maximum length of a line, in bytes (terminator/program/src/log/lines.rs).
const LINE_MAX: usize = 8 * 1024;

fn listener(config: &Config) -> SocketAddr {
    (config.host.unwrap(), config.port).into()
}

fn admin(config: &Config) -> SocketAddr {
    (config.admin.host, config.admin.port).into()
}

/// Makes a ClientHello (RFC 8446, section 4.1.2) with this server name.
fn client_hello(server_name: &[u8]) -> Vec<u8> {
    let with_length = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length, bytes].concat()
    };
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes(), &*with_length(body)].concat();
    let name = [&[0], &*with_length(server_name)].concat();
    let extensions = [
        extension(0, &with_length(&name)),
        // Groups: X25519. Schemes: ecdsa_secp256r1_sha256. Versions: 1.3.
        extension(10, &with_length(&[0, 29])),
        extension(13, &with_length(&[4, 3])),
        extension(43, &[2, 3, 4]),
    ];
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        // TLS_AES_128_GCM_SHA256, no compression.
        &with_length(&[0x13, 1]),
        &[1, 0],
        &with_length(&extensions.concat()),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    let record = |bytes: &[u8]| [&[22, 3, 1], &*with_length(bytes)].concat();
    message.chunks(16_000).flat_map(record).collect()
}

/// Sends bytes to the listener, and waits for the end.
fn say(to: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    // A reset ends the connection as well as a FIN.
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

/// Returns invalid names, as devices and attackers send them.
fn bad_names() -> Vec<Vec<u8>> {
    let escapes = b"\x1b[2J\r\n\xff".repeat(16_900 / 7);
    vec![
        b"x!".to_vec(),
        b"192.0.2.1".to_vec(),
        b"mqtts://a:8883\nERROR forged".to_vec(),
        escapes,
    ]
}

#[test]
fn no_server_name_causes_a_line() {
    const ROUNDS: usize = 100;
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let config = config(&leaf, ports::free_addr());
    let process = start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    for _ in 0..ROUNDS {
        for name in bad_names() {
            say(listener(&config), &client_hello(&name));
        }
    }
    process.signal(Signal::TERM);
    assert_eq!(exit_code(&process), Some(0));
    // Wait for the last line.
    process.wait_for_line("drained", SOON);
    assert!(process.lines().len() < 20, "{}", process.log());
}

#[test]
fn lines_of_libraries_are_bounded_and_not_split() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    for format in ["text", "json"] {
        let config = config(&leaf, ports::free_addr());
        let arguments = ["--log", "info,rustls=warn", "--log-format", format];
        let process = start(&write(&config), &arguments);
        process.wait_for_line("serving", SOON);
        for name in bad_names() {
            say(listener(&config), &client_hello(&name));
        }
        process.signal(Signal::TERM);
        assert_eq!(exit_code(&process), Some(0));
        process.wait_for_line("drained", SOON);
        let lines = process.lines();
        let logged: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("Illegal SNI"))
            .collect();
        assert!(!logged.is_empty(), "{}", process.log());
        for line in lines {
            assert!(line.len() < LINE_MAX, "{} bytes", line.len());
            assert!(
                !line.starts_with("ERROR") && !line.contains('\u{1b}'),
                "{line}"
            );
            if format == "json" {
                serde_json::from_str::<Value>(&line).unwrap();
            }
        }
    }
}

/// The most common mistake with brokers that have both: the port of the wrong listener.
#[tokio::test]
async fn a_broker_that_expects_tls_is_reported_once() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").issue();
    let broker = MosquittoTls::start(&leaf);
    let config = config(&leaf, broker.tls());
    let process = start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    for _ in 0..3 {
        let mut client = Connector::new(&ca).open(listener(&config)).await.unwrap();
        client.read_to_end().await;
    }
    process.wait_for_line("plaintext MQTT", SOON);
    process.signal(Signal::TERM);
    assert_eq!(exit_code(&process), Some(0));
    let lines = process.lines();
    let named = lines.iter().filter(|line| line.contains("plaintext MQTT"));
    assert_eq!(named.count(), 1, "{}", process.log());
}

/// Starts a terminator whose standard error, or both outputs, is a pipe that is not read.
fn start_unread(config: &Config, redirection: &str) -> (Process, File) {
    let pipe = workdir::scratch("unread").join("pipe");
    let mut mkfifo = Command::new("mkfifo");
    mkfifo.arg(&pipe);
    run(mkfifo, b"", SOON).expect_success();
    // Open it for both directions, before the program opens it.
    let ours = File::options()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap())
        .open(&pipe)
        .unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("exec \"$@\" {redirection}"), "sh"])
        .arg(programs::terminator())
        .args(["--log", "debug", "--threads", "1"])
        .arg(write(config))
        .env("PIPE", &pipe);
    let process = Process::spawn("unread", command);
    process.wait_for_port(admin(config), SOON);
    (process, ours)
}

fn lines_dropped(config: &Config) -> u64 {
    let (_, text) = get(admin(config), "/metrics");
    let name = "mqtt_tls_log_lines_dropped_total ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().parse().unwrap()
}

async fn serves(ca: &Ca, config: &Config, backend: &Scripted) {
    let connector = Connector::new(ca);
    let connected = tokio::time::timeout(SOON, connector.open(listener(config))).await;
    let mut client = connected.expect("a handshake").unwrap();
    let mut peer = backend.accept().await;
    client.send(b"up").await.unwrap();
    assert_eq!(peer.read_exact(2).await, b"up");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_not_read_blocks_nothing() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").issue();
    for redirection in ["2>\"$PIPE\"", ">\"$PIPE\" 2>&1"] {
        let backend = Scripted::start().await;
        let config = config(&leaf, backend.addr());
        let (process, mut pipe) = start_unread(&config, redirection);
        eventually(SOON, "the pipe and the buffer are full", || {
            for _ in 0..200 {
                say(listener(&config), b"GET / HTTP/1.1\r\n\r\n");
            }
            (lines_dropped(&config) > 0).then_some(())
        });
        serves(&ca, &config, &backend).await;
        assert_eq!(get(admin(&config), "/livez").0, 200);
        // A reader gets the waiting lines, and later ones.
        let mut read = Vec::new();
        process.signal(Signal::HUP);
        eventually(SOON, "the log continues", || {
            let end = pipe.read_to_end(&mut read).unwrap_err();
            assert_eq!(end.kind(), ErrorKind::WouldBlock);
            process.signal(Signal::HUP);
            let text = String::from_utf8_lossy(&read);
            text.contains("configuration unchanged").then_some(())
        });
        eventually(SOON, "the pipe and the buffer are full again", || {
            let before = lines_dropped(&config);
            for _ in 0..200 {
                say(listener(&config), b"GET / HTTP/1.1\r\n\r\n");
            }
            (lines_dropped(&config) > before).then_some(())
        });
        process.signal(Signal::TERM);
        assert_eq!(exit_code(&process), Some(0));
    }
}
