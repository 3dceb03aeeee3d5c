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

/// Upper bound for what should take milliseconds.
const SOON: Duration = Duration::from_secs(20);

/// Where to connect, and with what credentials.
#[derive(Clone, Debug)]
pub struct Endpoint {
    host: String,
    port: u16,
    args: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// OpenSSL's configuration: `--tls-version tlsv1.2` of mosquitto's clients sets only the lowest version.
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
        std::fs::write(&file, ca.cert_pem()).expect("the folder is writable");
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
        std::fs::write(&file, text).expect("the folder is writable");
        self.environment.push(("OPENSSL_CONF", path(file)));
        self.arg("--tls-version").arg(version)
    }

    /// Adds an argument for both programs, such as `-u` and then a user's name.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Prepares a subscription at this endpoint.
    pub fn subscribe(&self, topic: &str) -> Subscribe {
        Subscribe(Call::new(self, "mosquitto_sub", topic))
    }

    /// Prepares a publication at this endpoint.
    pub fn publish(&self, topic: &str) -> Publish {
        Publish(Call::new(self, "mosquitto_pub", topic))
    }
}

/// A publication; [`Publish::send`] runs it.
#[must_use]
#[derive(Clone, Debug)]
pub struct Publish(Call);

impl Publish {
    /// Same as [`Endpoint::publish`].
    pub fn new(at: &Endpoint, topic: &str) -> Self {
        at.publish(topic)
    }

    /// MQTT version; 3.1.1 by default.
    pub fn version(mut self, version: Version) -> Self {
        self.0.version = version;
        self
    }

    /// Quality of service; 0 by default.
    pub fn qos(mut self, qos: u8) -> Self {
        self.0.qos = qos;
        self
    }

    /// The client ID; a unique one by default.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.0.id);
        self
    }

    /// The message.
    pub fn payload(self, payload: &str) -> Self {
        self.arg("-m").arg(payload)
    }

    /// Adds an argument of `mosquitto_pub`.
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
    /// MQTT version; 3.1.1 by default.
    pub fn version(mut self, version: Version) -> Self {
        self.0.version = version;
        self
    }

    /// Quality of service; 0 by default.
    pub fn qos(mut self, qos: u8) -> Self {
        self.0.qos = qos;
        self
    }

    /// The client ID; a unique one by default.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.0.id);
        self
    }

    /// Adds an argument of `mosquitto_sub`.
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

/// Prefix of each message in the output, to distinguish messages from the debug lines of `mosquitto_sub -d`.
const MESSAGE: &str = "message: ";

impl Subscriber {
    /// Starts it, and waits for the SUBACK.
    #[track_caller]
    pub fn start(subscribe: &Subscribe) -> Self {
        let process = Self::launch(subscribe);
        process.wait_for_line("received SUBACK", SOON);
        Self { process, read: 0 }
    }

    /// Starts it without waiting, for connections that should be refused.
    #[track_caller]
    pub fn launch(subscribe: &Subscribe) -> Process {
        let mut command = subscribe.0.command();
        command.args(["-d", "-F", &format!("{MESSAGE}%t %p")]);
        // Line by line: into a pipe it would print only when its buffer is full.
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

    /// Waits for the next message and returns it as `TOPIC PAYLOAD`. Panics after 20 seconds.
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
