//! The operator's program without a cluster: `demo`, and `standalone`, which serves manifests in a folder.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use tests::broker::Mosquitto;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::tls::Connector;
use tests::pki::{Ca, Leaf};
use tests::process::{Process, run};
use tests::wait::eventually_async;
use tests::{ports, programs, workdir};

/// Timeout for steps that should be fast; exceeding it is a failure, not a measurement.
const SOON: Duration = Duration::from_secs(30);

fn operator(args: &[&str]) -> Command {
    let mut command = Command::new(programs::operator());
    command.args(args);
    command
}

#[test]
fn the_demo_proves_the_path_and_ends() {
    let port = ports::free_port().to_string();
    let finished = run(operator(&["demo", "--once", "--port", &port]), b"", SOON).expect_success();
    assert!(
        finished
            .stdout
            .contains("5. it works: a client subscribed to topic")
    );
}

#[test]
fn the_demo_reports_a_port_in_use_and_can_choose_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let finished = run(operator(&["demo", "--once", "--port", &port]), b"", SOON);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains(&format!("port {port} is in use")),
        "{}",
        finished.stderr
    );
    let another = operator(&["demo", "--once", "--port", &port, "--any-port"]);
    run(another, b"", SOON).expect_success();
}

#[test]
fn the_demo_chooses_a_port() {
    let finished = run(operator(&["demo", "--once", "--port", "0"]), b"", SOON).expect_success();
    assert!(finished.stdout.contains("it works"), "{}", finished.stdout);
}

#[test]
fn the_demo_reports_what_a_change_of_its_folder_did() {
    let folder = workdir::scratch("demo");
    let path = folder.to_str().unwrap();
    let demo = Process::spawn("demo", operator(&["demo", "--port", "0", "--dir", path]));
    demo.wait_for_line("Press Ctrl+C", SOON);
    let listener = folder.join("listener.yaml");
    let manifest = std::fs::read_to_string(&listener).unwrap();
    let changed = format!("{manifest}  limits:\n    connections: 5\n");
    std::fs::write(&listener, &changed).unwrap();
    demo.wait_for_line("listener demo: took over the new configuration", SOON);
    std::fs::write(&listener, changed.replace("demo-tls", "missing")).unwrap();
    demo.wait_for_line("listener demo: SecretNotFound: ", SOON);
    std::fs::write(&listener, &changed).unwrap();
    demo.wait_for_line("listener demo: ResolvedRefs: ", SOON);
    std::fs::remove_file(&listener).unwrap();
    demo.wait_for_line("listener demo was removed", SOON);
    demo.signal(Signal::INT);
    assert_eq!(demo.wait_exit(SOON).code(), Some(0));
}

#[test]
fn the_demos_lines_for_mosquitto_work() {
    let port = ports::free_port();
    let demo = Process::spawn("demo", operator(&["demo", "--port", &port.to_string()]));
    let line = demo.wait_for_line("mosquitto_pub -h localhost", SOON);
    assert!(line.contains(&format!("-p {port} --cafile ")), "{line}");
    let words: Vec<&str> = line.split_whitespace().collect();
    let cafile = words.iter().position(|word| *word == "--cafile").unwrap();
    let folder = Path::new(words[cafile + 1]).parent().unwrap().to_owned();
    let mut publish = tests::assets::installed("mosquitto_pub");
    publish.args([
        "-h",
        "localhost",
        "-p",
        words[4],
        "--cafile",
        words[cafile + 1],
    ]);
    publish.args(["-t", "demo/hello", "-m", "hello", "-q", "1"]);
    run(publish, b"", SOON).expect_success();
    // Its broker has no passwords, so it must not listen on all addresses.
    let elsewhere = TcpStream::connect(("127.0.0.2", port));
    assert!(elsewhere.is_err(), "the demo can be reached from elsewhere");
    demo.signal(Signal::INT);
    assert_eq!(demo.wait_exit(SOON).code(), Some(0));
    assert!(!folder.exists(), "the demo leaves its folder behind");
}

/// A folder with manifests.
struct Folder(PathBuf);

impl Folder {
    /// Makes a folder with a listener `edge` and its Secret.
    fn new(leaf: &Leaf, port: u16, broker: SocketAddr) -> Self {
        let folder = Self(workdir::scratch("standalone"));
        folder.write_listener(port, broker, "");
        folder.write_secret(leaf);
        folder
    }

    fn write_listener(&self, port: u16, broker: SocketAddr, more: &str) {
        self.write(
            "listener.yaml",
            &format!(
                "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\n\
                 metadata: {{name: edge}}\nspec:\n  port: {port}\n  \
                 certificates: [{{secretRef: {{name: edge-tls}}}}]\n  \
                 backend: {{address: {{host: {}, port: {}}}}}\n{more}",
                broker.ip(),
                broker.port()
            ),
        );
    }

    fn write_secret(&self, leaf: &Leaf) {
        let text = leaf.bundle().replace('\r', "");
        let indented: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
        self.write(
            "secret.yaml",
            &format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: edge-tls}}\nstringData:\n  pem: |\n{}\n",
                indented.join("\n")
            ),
        );
    }

    fn write(&self, name: &str, text: &str) {
        let new = self.0.join(".new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, self.0.join(name)).unwrap();
    }

    fn serve(&self) -> Process {
        let mut command = operator(&["standalone"]);
        command.arg(&self.0);
        Process::spawn("standalone", command)
    }
}

/// Waits until this leaf is served.
async fn is_served(ca: &Ca, leaf: &Leaf, addr: SocketAddr) {
    let connector = Connector::new(ca);
    let look = || async {
        let client = connector.connect(addr).await.ok()?;
        (client.server_cert() == leaf.cert_der).then_some(())
    };
    eventually_async(SOON, "the certificate is served", look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_served_to_mosquitto_and_watched() {
    let broker = Mosquitto::shared();
    let ca = Ca::new("root");
    let leaf = || ca.leaf().dns("localhost").issue();
    let (first, second) = (leaf(), leaf());
    let port = ports::free_port();
    let addr = ([127, 0, 0, 1], port).into();
    let folder = Folder::new(&first, port, broker.addr());
    let process = folder.serve();
    is_served(&ca, &first, addr).await;

    let at = Endpoint::tls(port, &ca);
    let mut subscriber = Subscriber::start(&at.subscribe("standalone").qos(1));
    at.publish("standalone")
        .qos(1)
        .payload("one")
        .send()
        .expect_success();
    assert_eq!(subscriber.next_message(), "standalone one");

    // An invalid Secret changes nothing, and is reported.
    folder.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: edge-tls}\nstringData: {pem: nothing}\n",
    );
    process.wait_for_line("NoCertificate", SOON);
    is_served(&ca, &first, addr).await;

    folder.write_secret(&second);
    is_served(&ca, &second, addr).await;
    at.publish("standalone")
        .qos(1)
        .payload("two")
        .send()
        .expect_success();
    assert_eq!(subscriber.next_message(), "standalone two");

    // An unknown field is reported, and without a CA the listener keeps serving, which is reported too.
    let auth =
        "  clientAuth: {mode: Require, caRef: {kind: Secret, name: device-ca}}\n  porrt: 1\n";
    folder.write_listener(port, broker.addr(), auth);
    process.wait_for_line("spec.porrt is unknown and has no effect", SOON);
    process.wait_for_line("Ready=False (CaNotFound)", SOON);
    is_served(&ca, &second, addr).await;
    let log = process.log();
    let since = log.rsplit("spec.porrt").next().unwrap();
    assert!(!since.contains("NoTerminators"), "{since}");

    process.signal(Signal::TERM);
    assert_eq!(process.wait_exit(SOON).code(), Some(0));
}

/// Output of `kubectl get -o yaml`, saved by an editor with a byte order mark and with wrapped base64, and a second
/// document that is invalid.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_served_and_an_invalid_document_is_reported() {
    let broker = Mosquitto::shared();
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let port = ports::free_port();
    let folder = Folder(workdir::scratch("standalone"));
    let encoded = STANDARD.encode(leaf.bundle());
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let list = format!(
        "\u{feff}apiVersion: v1\nkind: List\nitems:\n\
         - apiVersion: mqtt.smartboot.tech/v1alpha1\n  kind: MqttTlsListener\n  metadata: {{name: edge}}\n  \
         spec:\n    port: {port}\n    certificates: [{{secretRef: {{name: edge-tls}}}}]\n    \
         backend: {{address: {{host: {}, port: {}}}}}\n    timeouts: {{handshake: 1m30s}}\n\
         - apiVersion: v1\n  kind: Secret\n  metadata: {{name: edge-tls}}\n  data:\n    pem: |\n      {}\n\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: other}}\ndata: {{pem: no base64}}\n",
        broker.addr().ip(),
        broker.addr().port(),
        lines.join("\n      "),
    );
    folder.write("list.yaml", &list);
    let process = folder.serve();
    is_served(&ca, &leaf, ([127, 0, 0, 1], port).into()).await;
    let line = process.wait_for_line(", Secret other: data.pem", SOON);
    assert!(
        line.contains("list.yaml: invalid document 2 (line "),
        "{line}"
    );
    assert!(
        line.contains("data.pem: base64 must not contain spaces"),
        "{line}"
    );
    process.signal(Signal::TERM);
    assert_eq!(process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn a_missing_folder_is_named() {
    let finished = run(operator(&["standalone", "/nonexistent/folder"]), b"", SOON);
    assert_eq!(finished.status.code(), Some(69));
    assert!(
        finished.stderr.contains("/nonexistent/folder"),
        "{}",
        finished.stderr
    );
}
