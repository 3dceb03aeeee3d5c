//! `mosquitto_pub` and `mosquitto_sub`, in plaintext or over TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::mqtt::Version;
use crate::pki::{Ca, Leaf};
use crate::process::{Finished, Process, run};
use crate::{assets, workdir};

/// How long a client may take for what should take milliseconds.
const SOON: Duration = Duration::from_secs(20);

/// Where to connect, and with what credentials.
#[derive(Clone, Debug)]
pub struct Endpoint {
    host: String,
    port: u16,
    args: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// OpenSSL's own settings: `--tls-version tlsv1.2` of mosquitto's clients is the lowest version, not the only one.
const ONE_VERSION: &str =
    "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = versions\n[versions]\n";

impl Endpoint {
    /// Without TLS.
    pub fn plain(addr: SocketAddr) -> Self {
        Self {
            host: addr.ip().to_string(),
            port: addr.port(),
            args: vec![],
            environment: vec![],
        }
    }

    /// Over TLS to `localhost` at this port; the server's certificate must have that name.
    pub fn tls(port: u16, ca: &Ca) -> Self {
        let file = workdir::scratch("ca").join("ca.crt");
        std::fs::write(&file, ca.cert_pem()).expect("the folder is ours");
        let endpoint = Self {
            host: "localhost".to_owned(),
            port,
            args: vec![],
            environment: vec![],
        };
        endpoint.arg("--cafile").arg(path(file))
    }

    /// Connects to another host name or address.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// With a client certificate.
    #[must_use]
    pub fn identity(self, leaf: &Leaf) -> Self {
        let (cert, key) = leaf.files();
        self.arg("--cert")
            .arg(path(cert))
            .arg("--key")
            .arg(path(key))
    }

    /// One TLS version only: `tlsv1.2` or `tlsv1.3`.
    #[must_use]
    pub fn tls_version(mut self, version: &str) -> Self {
        let name = version.replace("tlsv", "TLSv");
        let file = workdir::scratch("openssl").join("openssl.cnf");
        let text = format!("{ONE_VERSION}MinProtocol = {name}\nMaxProtocol = {name}\n");
        std::fs::write(&file, text).expect("the folder is ours");
        self.environment.push(("OPENSSL_CONF", path(file)));
        self.arg("--tls-version").arg(version)
    }

    /// Another argument of both programs, such as `-u` and then a user's name.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Begins a subscription here.
    pub fn subscribe(&self, topic: &str) -> Subscribe {
        Subscribe(Call::new(self, "mosquitto_sub", topic))
    }

    /// Begins a publication here.
    pub fn publish(&self, topic: &str) -> Publish {
        Publish(Call::new(self, "mosquitto_pub", topic))
    }
}

/// A publication; [`Publish::send`] does it.
#[must_use]
#[derive(Clone, Debug)]
pub struct Publish(Call);

impl Publish {
    /// As [`Endpoint::publish`].
    pub fn new(at: &Endpoint, topic: &str) -> Self {
        at.publish(topic)
    }

    /// MQTT version; 3.1.1 if not said.
    pub fn version(mut self, version: Version) -> Self {
        self.0.version = version;
        self
    }

    /// Quality of service; 0 if not said.
    pub fn qos(mut self, qos: u8) -> Self {
        self.0.qos = qos;
        self
    }

    /// The client ID; one of its own if not said.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.0.id);
        self
    }

    /// The message.
    pub fn payload(self, payload: &str) -> Self {
        self.arg("-m").arg(payload)
    }

    /// Another argument of `mosquitto_pub`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.0.more.push(arg.to_owned());
        self
    }

    /// Runs `mosquitto_pub` to its end.
    #[track_caller]
    pub fn send(self) -> Finished {
        run(self.0.command(), b"", SOON)
    }

    /// Publishes one message per line, over one connection (`mosquitto_pub -l`).
    #[track_caller]
    pub fn send_lines(self, lines: &[String]) -> Finished {
        run(
            self.arg("-l").0.command(),
            (lines.join("\n") + "\n").as_bytes(),
            3 * SOON,
        )
    }
}

/// A subscription; [`Subscriber::start`] runs it.
#[must_use]
#[derive(Clone, Debug)]
pub struct Subscribe(Call);

impl Subscribe {
    /// MQTT version; 3.1.1 if not said.
    pub fn version(mut self, version: Version) -> Self {
        self.0.version = version;
        self
    }

    /// Quality of service; 0 if not said.
    pub fn qos(mut self, qos: u8) -> Self {
        self.0.qos = qos;
        self
    }

    /// The client ID; one of its own if not said.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.0.id);
        self
    }

    /// Another argument of `mosquitto_sub`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.0.more.push(arg.to_owned());
        self
    }
}

/// A running `mosquitto_sub`, whose subscription the broker has acknowledged.
#[derive(Debug)]
pub struct Subscriber {
    process: Process,
    read: usize,
}

/// What stands before each message in the output, to tell messages from `mosquitto_sub -d`'s own lines.
const MESSAGE: &str = "message: ";

impl Subscriber {
    /// Starts it, and waits for the SUBACK.
    #[track_caller]
    pub fn start(subscribe: &Subscribe) -> Self {
        let process = Self::launch(subscribe);
        process.wait_for_line("received SUBACK", SOON);
        Self { process, read: 0 }
    }

    /// Starts it without waiting: for connections that are to be refused.
    #[track_caller]
    pub fn launch(subscribe: &Subscribe) -> Process {
        let mut command = subscribe.0.command();
        command.args(["-d", "-F", &format!("{MESSAGE}%t %p")]);
        // Into a pipe it would print when its buffer is full; now line by line.
        let mut unbuffered = Command::new("stdbuf");
        unbuffered
            .arg("-oL")
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        Process::spawn("mosquitto_sub", unbuffered)
    }

    /// The next message, as `TOPIC PAYLOAD`. Panics when none comes within 20 seconds.
    #[track_caller]
    pub fn next_message(&mut self) -> String {
        self.next_message_within(SOON)
    }

    /// [`Subscriber::next_message`] with another deadline.
    #[track_caller]
    pub fn next_message_within(&mut self, within: Duration) -> String {
        let read = self.read;
        let what = format!("message {} arrives", read + 1);
        let message = self
            .process
            .wait_until(&what, within, || self.messages().get(read).cloned());
        self.read += 1;
        message
    }

    /// All messages so far, as `TOPIC PAYLOAD`.
    pub fn messages(&self) -> Vec<String> {
        let lines = self.process.lines();
        lines
            .iter()
            .filter_map(|line| line.strip_prefix(MESSAGE))
            .map(str::to_owned)
            .collect()
    }

    /// The running program.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

#[derive(Clone, Debug)]
struct Call {
    at: Endpoint,
    program: &'static str,
    topic: String,
    version: Version,
    qos: u8,
    id: String,
    more: Vec<String>,
}

impl Call {
    fn new(at: &Endpoint, program: &'static str, topic: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        Self {
            at: at.clone(),
            program,
            topic: topic.to_owned(),
            version: Version::V311,
            qos: 0,
            // MQTT 3.1 allows 23 characters.
            id: format!(
                "c{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            ),
            more: vec![],
        }
    }

    fn command(&self) -> Command {
        let mut command = assets::installed(self.program);
        command.args(["-h", &self.at.host, "-p", &self.at.port.to_string()]);
        command.args([
            "-V",
            self.version.mosquitto_name(),
            "-q",
            &self.qos.to_string(),
        ]);
        command
            .args(["-t", &self.topic, "-i", &self.id])
            .args(&self.at.args)
            .envs(self.at.environment.iter().cloned())
            .args(&self.more);
        command
    }
}

fn path(path: PathBuf) -> String {
    path.into_os_string()
        .into_string()
        .expect("the target folder's path is UTF-8")
}
