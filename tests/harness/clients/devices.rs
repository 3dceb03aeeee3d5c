//! Devices: programs that use MQTT as a device does, on common TLS stacks with their default settings
//! (`tests/assets/devices`, `paho` and `mqtt-js`). They verify the server for `localhost`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::pki::{Ca, Leaf};
use crate::process::run;
use crate::{assets, workdir};

/// A TLS stack, or an MQTT library with its TLS stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Common on embedded Linux, and in mosquitto's clients.
    OpenSsl,
    /// GnuTLS
    GnuTls,
    /// Used by ESP-IDF, Zephyr and others. Version 2.28 has no TLS 1.3.
    MbedTls,
    /// Common on microcontrollers.
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

    /// The host to connect to. paho-mqtt uses it as SNI and for verification.
    fn host(self, addr: SocketAddr) -> String {
        if self == Self::Paho {
            "localhost".to_owned()
        } else {
            addr.ip().to_string()
        }
    }
}

/// What a device observed in its last connection.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// The stack's error with the stack's name; empty on success.
    pub error: String,
    /// Ends with `1.2` or `1.3`; empty without a handshake.
    pub version: String,
    /// The stack's name of the cipher suite.
    pub cipher: String,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The code in CONNACK; -1 without one.
    pub connack: i32,
    /// Number of PINGRESPs over all connections. paho-mqtt sends no PINGREQ.
    pub pinged: usize,
    /// Number of acknowledged messages over all connections.
    pub acked: usize,
    /// Number of messages received over all connections.
    pub received: usize,
}

/// A call of a device.
#[must_use]
pub struct Device {
    command: Command,
}

impl Device {
    /// A device that connects to `addr` and trusts `ca`.
    pub fn new(stack: Stack, addr: SocketAddr, ca: &Ca) -> Self {
        let file = workdir::scratch("ca").join("ca.crt");
        std::fs::write(&file, ca.cert_pem()).expect("the folder is writable");
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

    /// Subscribes, and waits until its own message of this many bytes arrives.
    pub fn echo(self, bytes: usize) -> Self {
        self.option("echo", &bytes.to_string())
    }

    /// Connects twice and reports the second connection, which may resume the session. paho-mqtt cannot.
    pub fn twice(self) -> Self {
        self.option("rounds", "2")
    }

    /// Another option of the devices in C; `device.h` lists them.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.command.arg(format!("{name}={value}"));
        self
    }

    /// Runs it to its end. A failure does not panic: it is in [`Seen::error`].
    #[track_caller]
    pub fn run(self) -> Seen {
        let finished = run(self.command, b"", Duration::from_secs(40));
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error} in a device's output: {finished:?}"))
    }
}
