//! Session tickets of several processes with the same keys: a client resumes at any of them, as OpenSSL shows, and never for
//! another host, at another listener, or without a ticket of a key that is still there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mqtt_tls_config::{Config, Host, Pem, TICKET_PERIOD, TicketKey, Tickets};
use serde_json::Value;
use tests::clients::openssl::{SClient, is_resumed};
use tests::pki::Ca;
use tests::process::Process;
use tests::wait::eventually;
use tests::{ports, workdir};

use crate::fixture::{SOON, config, get, write};
use crate::program::start;

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// Two terminators for `localhost` and the host `a.example`, in processes of their own.
struct Replicas {
    keys: PathBuf,
    configs: Vec<Config>,
    processes: Vec<Process>,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// A key that has been used for this number of periods.
fn key(byte: u8, periods: u64) -> TicketKey {
    TicketKey::new(now() - periods * TICKET_PERIOD.as_secs(), [byte; 32])
}

impl Replicas {
    fn start(keys: &[TicketKey]) -> Self {
        let file = workdir::scratch("keys").join("ticket-keys");
        workdir::replace(&file, TicketKey::file(keys).expose());
        let ca = Ca::new("server CA");
        let configs: Vec<Config> = (0..2)
            .map(|_| {
                let leaf = ca.leaf().dns("localhost").issue();
                let mut config = config(&leaf, ports::free_addr());
                config.tls.tickets = Tickets::All;
                // Clients that keep their session wait for the server to close.
                config.timeouts.first_packet = Duration::from_secs(1);
                config.hosts = vec![Host {
                    pem: Some(Pem::new(ca.leaf().dns("a.example").issue().bundle())),
                    ..Host::new(vec!["a.example".to_owned()])
                }];
                config
            })
            .collect();
        let processes = configs.iter().map(|config| {
            let process = start(&write(config), &["--ticket-keys", file.to_str().unwrap()]);
            process.wait_for_line("serving", SOON);
            process
        });
        Self {
            processes: processes.collect(),
            keys: file,
            configs,
        }
    }

    fn addr(&self, replica: usize) -> SocketAddr {
        let config = &self.configs[replica];
        SocketAddr::new(config.host.unwrap(), config.port)
    }

    /// Keeps a new session with a replica in a file.
    fn session(&self, replica: usize, version: &str, name: &str) -> String {
        let file = workdir::scratch("session").join("session");
        let file = file.to_str().unwrap().to_owned();
        self.openssl(replica, version, name, &["-ign_eof", "-sess_out", &file]);
        file
    }

    /// Reports whether a replica resumes a session.
    fn resumes(&self, replica: usize, version: &str, name: &str, session: &str) -> bool {
        is_resumed(&self.openssl(replica, version, name, &["-sess_in", session]))
    }

    fn openssl(&self, replica: usize, version: &str, name: &str, options: &[&str]) -> String {
        let client = SClient::unverified(self.addr(replica), name);
        client.arg(version).args(options).run(b"").stdout
    }

    fn replace(&self, text: &str, line: &str) {
        let marks: Vec<usize> = self.processes.iter().map(Process::mark).collect();
        workdir::replace(&self.keys, text);
        for (process, mark) in self.processes.iter().zip(marks) {
            // In another folder than the configuration, the file is read every ten seconds.
            process.wait_for_line_after(mark, line, SOON);
        }
    }
}

#[test]
fn a_client_resumes_at_another_replica_and_over_a_rotation() {
    let replicas = Replicas::start(&[key(1, 1), key(2, 0)]);
    for config in &replicas.configs {
        let admin = SocketAddr::new(config.admin.host, config.admin.port);
        let (_, text) = get(admin, "/status");
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["ticketKeys"], "Shared");
    }
    let mut kept = Vec::new();
    for version in VERSIONS {
        for name in ["localhost", "a.example"] {
            let session = replicas.session(0, version, name);
            assert!(
                replicas.resumes(1, version, name, &session),
                "{version} {name}"
            );
            let other = if name == "localhost" {
                "a.example"
            } else {
                "localhost"
            };
            assert!(
                !replicas.resumes(1, version, other, &session),
                "{version} {name}"
            );
            kept.push((version, name, session));
        }
    }
    // The next key seals, and the one before opens.
    let next = [key(2, 1), key(3, 0)];
    replicas.replace(
        TicketKey::file(&next).expose(),
        "loaded shared session ticket keys",
    );
    for (version, name, session) in &kept {
        for replica in [0, 1] {
            assert!(
                replicas.resumes(replica, version, name, session),
                "{version} {name}"
            );
        }
    }
    // Without it, its tickets end.
    let other = [key(4, 0)];
    workdir::replace(&replicas.keys, TicketKey::file(&other).expose());
    let (version, name, session) = &kept[0];
    eventually(SOON, "the key is gone", || {
        let is_gone = |replica| !replicas.resumes(replica, version, name, session);
        (is_gone(0) && is_gone(1)).then_some(())
    });
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing() {
    let replicas = Replicas::start(&[key(1, 0)]);
    let session = replicas.session(0, "-tls1_2", "localhost");
    let secret = "0".repeat(63);
    let damaged = format!("mqtt-tls session ticket keys, version 1\n1 {secret}\n");
    replicas.replace(
        &damaged,
        "session ticket keys refused; keeping the current ones: line 2",
    );
    assert!(replicas.resumes(1, "-tls1_2", "localhost", &session));
    for process in &replicas.processes {
        assert!(
            !process.log().contains(&secret),
            "no part of a key is logged"
        );
    }
    std::fs::remove_file(&replicas.keys).unwrap();
    for process in &replicas.processes {
        process.wait_for_line("No such file", SOON);
    }
    assert!(replicas.resumes(1, "-tls1_2", "localhost", &session));
}

/// A file that does not exist at the start is no error: the operator writes none where no client gets tickets.
#[test]
fn processes_without_a_file_have_keys_of_their_own() {
    let replicas = Replicas::start(&[key(1, 0)]);
    let file = write(&replicas.configs[0]);
    drop(replicas.processes);
    let alone = |config: &Config| {
        let process = start(&write(config), &["--ticket-keys", "/nonexistent/keys"]);
        process.wait_for_line("serving", SOON);
        process
    };
    let replicas = Replicas {
        processes: replicas.configs.iter().map(alone).collect(),
        keys: file,
        configs: replicas.configs,
    };
    for version in VERSIONS {
        let session = replicas.session(0, version, "a.example");
        assert!(replicas.resumes(0, version, "a.example", &session));
        assert!(!replicas.resumes(1, version, "a.example", &session));
    }
    for process in &replicas.processes {
        process.wait_for_line(
            "no shared session ticket keys; using those of this process",
            SOON,
        );
        assert!(!process.log().contains("refused"), "nothing is wrong");
    }
}

/// Early data can be replayed (RFC 8446, section 8), so no ticket permits any.
#[test]
fn openssl_may_send_no_early_data() {
    let replicas = Replicas::start(&[key(1, 0)]);
    let shown = replicas.openssl(0, "-tls1_3", "localhost", &["-ign_eof"]);
    let line = shown.lines().find(|line| line.contains("Max Early Data"));
    assert_eq!(line.map(str::trim), Some("Max Early Data: 0"), "{shown}");
}

/// A session of TLS 1.2 that is resumed keeps its master secret, so its ticket must not be younger.
#[test]
fn a_ticket_of_tls_1_2_that_renews_another_has_its_begin() {
    let replicas = Replicas::start(&[key(1, 0)]);
    let session = workdir::scratch("session").join("session");
    let session = session.to_str().unwrap();
    let shown = |options: &[&str]| replicas.openssl(1, "-tls1_2", "localhost", options);
    let first = ticket(&shown(&["-sess_out", session]));
    let begun = u64::from_be_bytes(first[8..16].try_into().unwrap());
    eventually(SOON, "a second has passed", || {
        (now() > begun).then_some(())
    });
    let seen = shown(&["-sess_in", session]);
    assert!(is_resumed(&seen), "{seen}");
    let renewed = ticket(&seen);
    assert_ne!(renewed, first);
    assert_eq!(renewed[8..16], first[8..16]);
}

/// The first bytes of the ticket that OpenSSL shows.
fn ticket(seen: &str) -> Vec<u8> {
    let dump = seen.split_once("TLS session ticket:\n").unwrap().1;
    let lines = dump.lines().take(3);
    let bytes = lines.flat_map(|line| {
        let bytes = line.split_once(" - ").unwrap().1.split([' ', '-']);
        bytes
            .take(16)
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
    });
    bytes.collect()
}
