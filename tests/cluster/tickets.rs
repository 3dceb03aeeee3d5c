//! A client that comes back resumes its session at each pod, also when the pods have changed their keys meanwhile, until they
//! have none any more that opens its ticket. OpenSSL shows it.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::{TICKET_PERIOD, TicketKey};
use serde_json::json;
use tests::clients::openssl::{SClient, is_resumed};
use tests::wait::eventually;
use tests::workdir;

use crate::canary;
use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST};

/// The config Secret, and its key with the file of ticket keys.
const SECRET: &str = "edge-mqtts";
const FILE: &str = "ticket-keys";

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

pub(crate) fn a_session_is_resumed_at_another_pod_and_over_a_rotation(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, "tickets");
    // OpenSSL waits for the tickets of TLS 1.3 until the server closes.
    edge.listener("  tls: {tickets: All}\n  timeouts: {firstPacket: 1s}");
    edge.wait("Ready", "True");
    let pods = edge.pods();
    assert_eq!(pods.len(), 2);
    let port = edge.address("edge").port();
    let pods: Vec<SocketAddr> = pods.iter().map(|pod| (pod.ip, port).into()).collect();
    let sessions = VERSIONS.map(|version| Session::begin(pods[0], version));
    for session in &sessions {
        // The kubelet may deliver the keys to one pod later than to the other.
        eventually(SOON, "the other pod resumes the session", || {
            session.is_resumed(pods[1]).then_some(())
        });
    }

    // The key before opens the tickets that it has sealed.
    rotate(&edge, &pods);
    for session in &sessions {
        let are_resumed = pods.iter().map(|pod| session.is_resumed(*pod));
        assert_eq!(are_resumed.collect::<Vec<_>>(), [true, true], "{session:?}");
    }
    rotate(&edge, &pods);
    for session in &sessions {
        // The kubelet may first deliver the file as it was before the operator added a key.
        eventually(SOON, "no pod has the session's key", || {
            let mut pods = pods.iter();
            (!pods.any(|pod| session.is_resumed(*pod))).then_some(())
        });
    }
    let later = Session::begin(pods[1], VERSIONS[1]);
    assert!(later.is_resumed(pods[0]), "there are new sessions");
    assert!(edge.pods().iter().all(|pod| pod.restarts == 0));
}

/// A session that OpenSSL keeps in a file.
#[derive(Debug)]
struct Session {
    version: &'static str,
    file: String,
    /// Which key has sealed its ticket.
    key: String,
}

impl Session {
    #[track_caller]
    fn begin(pod: SocketAddr, version: &'static str) -> Self {
        let file = workdir::scratch("session").join("session");
        let file = file.to_str().expect("the path is UTF-8").to_owned();
        let seen = openssl(pod, version, &["-ign_eof", "-sess_out", &file]);
        // A ticket begins with eight bytes that name its key.
        let ticket = seen.split("TLS session ticket:").nth(1);
        let line = ticket.and_then(|ticket| ticket.lines().nth(1));
        let key = line.and_then(|line| line.split(" - ").nth(1)?.get(..23));
        let key = key
            .unwrap_or_else(|| panic!("no ticket: {seen}"))
            .to_owned();
        Self { version, file, key }
    }

    /// Reports whether a pod resumes it.
    #[track_caller]
    fn is_resumed(&self, pod: SocketAddr) -> bool {
        is_resumed(&openssl(pod, self.version, &["-sess_in", &self.file]))
    }
}

/// Lets twelve hours pass for the keys, upon which the operator adds one, and waits until each pod seals with the next key.
#[track_caller]
fn rotate(edge: &Edge, pods: &[SocketAddr]) {
    let sealed_by = |pod: &SocketAddr| Session::begin(*pod, "-tls1_2").key;
    let before: Vec<String> = pods.iter().map(sealed_by).collect();
    let keys = keys(edge);
    let earlier =
        |key: &TicketKey| TicketKey::new(key.from - TICKET_PERIOD.as_secs(), *key.expose());
    let aged: Vec<TicketKey> = keys.iter().map(earlier).collect();
    let file = TicketKey::file(&aged);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {FILE: file.expose()},
    });
    edge.cluster.replace(&edge.namespace, &secret.to_string());
    eventually(SOON, "the operator has added a key", || {
        let after = self::keys(edge);
        let is_next = |key: &TicketKey| keys.iter().all(|old| old.expose() != key.expose());
        after.last().is_some_and(is_next).then_some(())
    });
    for (pod, before) in pods.iter().zip(before) {
        eventually(SOON, "the pod seals with the next key", || {
            (sealed_by(pod) != before).then_some(())
        });
    }
}

/// The keys in the config Secret.
#[track_caller]
fn keys(edge: &Edge) -> Vec<TicketKey> {
    let secret: Secret = edge.get("secret", SECRET);
    canary::remember_secret(&secret);
    let file = secret.data.and_then(|mut data| data.remove(FILE));
    let text = file.and_then(|file| String::from_utf8(file.0).ok());
    let keys = text.map(|text| TicketKey::parse(&text));
    keys.expect("it has the file").expect("it has keys")
}

fn openssl(addr: SocketAddr, version: &str, options: &[&str]) -> String {
    let client = SClient::unverified(addr, HOST);
    client.arg(version).args(options).run(b"").stdout
}
