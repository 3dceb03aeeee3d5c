//! Devices: programs that say in MQTT what a device says, on the TLS stacks that devices have, with the settings that
//! each stack has by itself (`tests/assets/devices`, `paho` and `mqtt-js`). They verify the server for `localhost`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::pki::{Ca, Leaf};
use crate::process::run;
use crate::{assets, workdir};

/// A TLS stack, or a library that brings one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Embedded Linux has it, as mosquitto's own clients do.
    OpenSsl,
    /// GnuTLS
    GnuTls,
    /// ESP-IDF, Zephyr and others have it. Version 2.28 has no TLS 1.3.
    MbedTls,
    /// Microcontrollers have it.
    WolfSsl,
    /// paho-mqtt for Python, on OpenSSL.
    Paho,
    /// MQTT.js for Node.js, on OpenSSL.
    MqttJs,
}

impl fmt::Display for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OpenSsl => "OpenSSL",
            Self::GnuTls => "GnuTLS",
            Self::MbedTls => "Mbed TLS",
            Self::WolfSsl => "wolfSSL",
            Self::Paho => "paho-mqtt",
            Self::MqttJs => "MQTT.js",
        })
    }
}

impl Stack {
    fn command(self) -> Command {
        let with_script = |mut program: Command, script: PathBuf| {
            program.arg(script);
            program
        };
        match self {
            Self::OpenSsl => Command::new(assets::device("openssl")),
            Self::GnuTls => Command::new(assets::device("gnutls")),
            Self::MbedTls => Command::new(assets::device("mbedtls")),
            Self::WolfSsl => Command::new(assets::device("wolfssl")),
            Self::Paho => with_script(
                Command::new(assets::paho("bin/python")),
                assets::paho("device.py"),
            ),
            Self::MqttJs => with_script(assets::installed("node"), assets::mqtt_js_device()),
        }
    }

    /// What it connects to. paho-mqtt sends as SNI, and verifies, what it connects to.
    fn host(self, addr: SocketAddr) -> String {
        if self == Self::Paho {
            "localhost".to_owned()
        } else {
            addr.ip().to_string()
        }
    }
}

/// What a device saw, in its last connection.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// Why it failed, in the stack's words, with its name; empty if it did not.
    pub error: String,
    /// Ends with `1.2` or `1.3`; empty when there was no handshake.
    pub version: String,
    /// The cipher suite, as the stack calls it.
    pub cipher: String,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The code in CONNACK; -1 when none came.
    pub connack: i32,
    /// How many PINGREQs were answered, over all connections. paho-mqtt sends none.
    pub pinged: usize,
    /// How many messages were acknowledged, over all connections.
    pub acked: usize,
    /// How many messages came back, over all connections.
    pub received: usize,
}

/// A call of a device.
#[must_use]
pub struct Device {
    command: Command,
}

impl Device {
    /// To `addr`, trusting `ca`.
    pub fn new(stack: Stack, addr: SocketAddr, ca: &Ca) -> Self {
        let file = workdir::scratch("ca").join("ca.crt");
        std::fs::write(&file, ca.cert_pem()).expect("the folder is ours");
        let mut command = stack.command();
        command
            .args([stack.host(addr), addr.port().to_string()])
            .arg(file);
        Self { command }
    }

    /// With a client certificate.
    pub fn identity(self, leaf: &Leaf) -> Self {
        let (cert, key) = leaf.files();
        let text = |path: PathBuf| path.into_os_string().into_string();
        let cert = text(cert).expect("the target folder's path is UTF-8");
        let key = text(key).expect("the target folder's path is UTF-8");
        self.option("cert", &cert).option("key", &key)
    }

    /// One TLS version only: `1.2` or `1.3`.
    pub fn version(self, version: &str) -> Self {
        self.option("version", version)
    }

    /// Subscribes, and waits until a message of so many bytes has come back.
    pub fn echo(self, bytes: usize) -> Self {
        self.option("echo", &bytes.to_string())
    }

    /// Connects twice; what is told is the second, which may resume the first one's session. paho-mqtt cannot.
    pub fn twice(self) -> Self {
        self.option("rounds", "2")
    }

    /// Another option of the devices in C; `device.h` lists them.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.command.arg(format!("{name}={value}"));
        self
    }

    /// Runs it to its end. A failure is no panic: it is in [`Seen::error`].
    #[track_caller]
    pub fn run(self) -> Seen {
        let finished = run(self.command, b"", Duration::from_secs(40));
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error} in a device's output: {finished:?}"))
    }
}
