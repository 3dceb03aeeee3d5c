//! The brokers behind the terminator: a real smart-mqtt, and mosquitto where smart-mqtt's own faults would look like
//! the terminator's. Both listen in plaintext on loopback, without authentication.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::mqtt::{self, Version};
use crate::process::{Process, run};
use crate::wait::eventually_ok;
use crate::{assets, ports, workdir};

/// Upper bound for a start: a JVM on a busy machine is slow.
const START: Duration = Duration::from_secs(60);

/// A real smart-mqtt broker.
pub struct SmartMqtt(Broker);

impl SmartMqtt {
    /// The broker that all tests of this binary share. Do not stop it, and use unique topics and client IDs.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<SmartMqtt> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a separate broker, which the test may stop and start again.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts a separate broker that authenticates its clients by a plugin (`tests/assets/smart-mqtt-users`).
    #[track_caller]
    pub fn start_with_users() -> Self {
        let folder = workdir::scratch("smart-mqtt-users");
        let source = folder.join("Users.java");
        let text = include_str!("../assets/smart-mqtt-users/Users.java");
        std::fs::write(&source, text).expect("the folder is writable");
        let mut compiler = assets::installed("javac");
        let jars = assets::smart_mqtt_jars().join("*");
        compiler.arg("-cp").arg(jars).arg(&source);
        run(compiler, b"", START).expect_success();
        let services = folder.join("META-INF/services");
        std::fs::create_dir_all(&services).expect("the folder is writable");
        let service = services.join("org.smartboot.mqtt.broker.plugin.Plugin");
        std::fs::write(service, "Users\n").expect("the folder is writable");
        Self::start_with(Some(folder))
    }

    /// Starts a broker with the plugins in a folder of classes.
    #[track_caller]
    fn start_with(plugins: Option<PathBuf>) -> Self {
        // Resolved here, so that a missing part is reported at the first start.
        let jars = assets::smart_mqtt_jars();
        let classes = std::iter::once(jars.join("*")).chain(plugins);
        let classes = std::env::join_paths(classes).expect("no folder has a colon");
        let command = move |addr: SocketAddr| {
            let mut command = assets::installed("java");
            // Without the second export, connections break at random. The small heap is for machines with two cores and
            // many tests. For one processor: see `deploy/samples/smart-mqtt.yaml`.
            command
                .args(["--add-exports", "java.base/sun.nio.ch=ALL-UNNAMED"])
                .args(["--add-exports", "java.base/jdk.internal.ref=ALL-UNNAMED"])
                .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
                .args(["-XX:ActiveProcessorCount=1", "-Dbroker.pushThreadNum=2"])
                .arg(format!("-Dbroker.host={}", addr.ip()))
                .arg(format!("-Dbroker.port={}", addr.port()))
                .arg("-cp")
                .arg(&classes)
                .arg("org.smartboot.mqtt.broker.Bootstrap")
                // It searches for plugins and keeps its data in the current folder.
                .current_dir(workdir::scratch("smart-mqtt"));
            command
        };
        Self(Broker::start("smart-mqtt", Box::new(command)))
    }
}

/// A mosquitto broker.
pub struct Mosquitto(Broker);

impl Mosquitto {
    /// The broker that all tests of this binary share. Do not stop it, and use unique topics and client IDs.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Mosquitto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a separate broker, which the test may stop and start again.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Like [`Mosquitto::start`], with additional lines in its configuration file.
    #[track_caller]
    pub fn start_with(lines: &str) -> Self {
        let file = workdir::scratch("mosquitto").join("mosquitto.conf");
        let lines = lines.to_owned();
        let command = move |addr: SocketAddr| {
            // As root, mosquitto would switch to a user who cannot read our folders.
            let config = format!(
                "listener {} {}\nallow_anonymous true\nuser root\nlog_dest stderr\nlog_type all\n{lines}\n",
                addr.port(),
                addr.ip()
            );
            std::fs::write(&file, config).expect("the folder is writable");
            let mut command = assets::installed("mosquitto");
            command.arg("-c").arg(&file);
            command
        };
        Self(Broker::start("mosquitto", Box::new(command)))
    }
}

/// What both brokers have in common.
pub struct Broker {
    name: &'static str,
    addr: SocketAddr,
    command: Box<dyn Fn(SocketAddr) -> Command + Send + Sync>,
    process: Option<Process>,
}

impl Broker {
    #[track_caller]
    fn start(
        name: &'static str,
        command: Box<dyn Fn(SocketAddr) -> Command + Send + Sync>,
    ) -> Self {
        let mut broker = Self {
            name,
            addr: ports::free_addr(),
            command,
            process: None,
        };
        broker.start_again();
        broker
    }

    /// Its address, which stays the same after a restart.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of [`Broker::addr`].
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The running program. Panics while it is stopped.
    #[track_caller]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the broker was stopped")
    }

    /// Stops it: connections break, and new ones are refused.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// Starts it again on the same port, and waits until it delivers a message.
    #[track_caller]
    pub fn start_again(&mut self) {
        let process = Process::spawn(self.name, (self.command)(self.addr));
        process.wait_for_port(self.addr, START);
        process.wait_until("a CONNECT is answered", START, || ping(self.addr).ok());
        // The first SUBSCRIBE on a cold JVM takes up to two seconds; wait for it here.
        eventually_ok(START, "the broker delivers a message", || {
            pass_message(self.addr)
        });
        self.process = Some(process);
    }
}

impl std::ops::Deref for SmartMqtt {
    type Target = Broker;
    fn deref(&self) -> &Broker {
        &self.0
    }
}

impl std::ops::DerefMut for SmartMqtt {
    fn deref_mut(&mut self) -> &mut Broker {
        &mut self.0
    }
}

impl std::ops::Deref for Mosquitto {
    type Target = Broker;
    fn deref(&self) -> &Broker {
        &self.0
    }
}

impl std::ops::DerefMut for Mosquitto {
    fn deref_mut(&mut self) -> &mut Broker {
        &mut self.0
    }
}

/// Checks that a plaintext broker at `addr` accepts CONNECT.
pub fn ping(addr: SocketAddr) -> io::Result<()> {
    let mut stream = connect(addr, "ping")?;
    stream.write_all(&mqtt::DISCONNECT)
}

fn connect(addr: SocketAddr, client_id: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(&mqtt::connect(Version::V311, client_id))?;
    let connack = mqtt::read_packet(&mut stream)?;
    if connack.accepts() {
        Ok(stream)
    } else {
        Err(io::Error::other(format!("{connack:?}")))
    }
}

fn pass_message(addr: SocketAddr) -> io::Result<()> {
    const TOPIC: &str = "harness/warm-up";
    let mut stream = connect(addr, "warm-up")?;
    stream.write_all(&mqtt::subscribe(Version::V311, 1, TOPIC, 0))?;
    while mqtt::read_packet(&mut stream)?.head != mqtt::SUBACK {}
    stream.write_all(&mqtt::publish(Version::V311, TOPIC, 0, 0, b"x"))?;
    while mqtt::read_packet(&mut stream)?.topic() != Some(TOPIC) {}
    stream.write_all(&mqtt::DISCONNECT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::mosquitto::{Endpoint, Publish, Subscriber};

    fn passes_a_message(broker: &Broker) {
        let at = Endpoint::plain(broker.addr());
        for version in Version::ALL {
            let topic = format!("self-test/{version:?}");
            // smart-mqtt loses messages that are published while their topic is being created.
            Publish::new(&at, &topic)
                .version(version)
                .payload("first")
                .send()
                .expect_success();
            let mut subscriber = Subscriber::start(&at.subscribe(&topic).version(version).qos(1));
            Publish::new(&at, &topic)
                .version(version)
                .qos(1)
                .payload("hello")
                .send()
                .expect_success();
            assert_eq!(subscriber.next_message(), format!("{topic} hello"));
        }
    }

    #[test]
    fn smart_mqtt_passes_a_message() {
        passes_a_message(SmartMqtt::shared());
    }

    #[test]
    fn mosquitto_passes_a_message() {
        passes_a_message(Mosquitto::shared());
    }

    #[test]
    fn mosquitto_restarts_on_its_port() {
        let mut broker = Mosquitto::start();
        broker.stop();
        let refused = ping(broker.addr()).expect_err("nothing listens there");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        broker.start_again();
        passes_a_message(&broker);
    }

    #[test]
    fn smart_mqtt_restarts_on_its_port() {
        let mut broker = SmartMqtt::start();
        broker.stop();
        broker.start_again();
        ping(broker.addr()).expect("the broker is ready");
    }
}
