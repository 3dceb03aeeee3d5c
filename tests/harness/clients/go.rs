//! The TLS client on Go's crypto/tls (`tests/assets/go-client`).

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::pki::{Ca, Leaf};
use crate::process::run;
use crate::{assets, workdir};

/// What it observed. `main.go` documents each field.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// Go's error; empty on success.
    pub error: String,
    /// `TLS 1.2` or `TLS 1.3`
    pub version: String,
    /// The cipher suite's name.
    pub cipher: String,
    /// The key exchange: `X25519MLKEM768`, `X25519`, `CurveP256`, …
    pub curve: String,
    /// The protocol agreed on by ALPN.
    pub alpn: String,
    /// SHA-256 of the server's certificate, lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Number of certificates that the server sent.
    pub chain_length: usize,
    /// Whether the (last) handshake resumed a session.
    pub resumed: bool,
    /// The code in CONNACK.
    pub connack: u8,
    /// Number of PINGRESPs.
    pub pinged: usize,
    /// Number of acknowledged messages.
    pub acked: usize,
    /// How the server closed its direction: `close_notify`, `fin`, or an error's text.
    pub peer_close: String,
}

/// A call of the client.
#[must_use]
pub struct GoClient {
    command: Command,
}

impl GoClient {
    /// A handshake only; [`GoClient::run`] returns what was negotiated.
    pub fn handshake(addr: SocketAddr, ca: &Ca) -> Self {
        Self::new("handshake", addr, ca)
    }

    /// CONNECT, PINGREQ, `count` messages at QoS 1 to `topic`, and the end that [`GoClient::close`] selects.
    pub fn mqtt(addr: SocketAddr, ca: &Ca, topic: &str, count: usize) -> Self {
        let client = Self::new("mqtt", addr, ca);
        client
            .arg("-topic", topic)
            .arg("-count", &count.to_string())
            .arg("-id", topic)
    }

    fn new(mode: &str, addr: SocketAddr, ca: &Ca) -> Self {
        let file = workdir::scratch("ca").join("ca.crt");
        std::fs::write(&file, ca.cert_pem()).expect("the folder is writable");
        let mut command = Command::new(assets::go_client());
        command
            .args([mode, "-addr", &addr.to_string(), "-ca"])
            .arg(file);
        Self { command }
    }

    /// With a client certificate.
    pub fn identity(mut self, leaf: &Leaf) -> Self {
        let (cert, key) = leaf.files();
        self.command.arg("-cert").arg(cert).arg("-key").arg(key);
        self
    }

    /// The name for SNI and for the verification of the certificate; `localhost` by default.
    pub fn server_name(self, name: &str) -> Self {
        self.arg("-name", name)
    }

    /// The lowest and highest TLS version: `1.0` to `1.3`.
    pub fn versions(self, min: &str, max: &str) -> Self {
        self.arg("-min", min).arg("-max", max)
    }

    /// The key exchanges to offer, comma-separated: `X25519MLKEM768,X25519,P256,P384,P521`.
    pub fn curves(self, curves: &str) -> Self {
        self.arg("-curves", curves)
    }

    /// The protocols to offer by ALPN, comma-separated.
    pub fn alpn(self, protocols: &str) -> Self {
        self.arg("-alpn", protocols)
    }

    /// Two connections with one session cache; reports the second.
    pub fn twice(self) -> Self {
        self.arg("-again", "true")
    }

    /// How to end: `notify` (DISCONNECT, close_notify, and wait for the server's), `fin`, `reset`.
    pub fn close(self, how: &str) -> Self {
        self.arg("-close", how)
    }

    fn arg(mut self, name: &str, value: &str) -> Self {
        self.command.arg(format!("{name}={value}"));
        self
    }

    /// Runs it to its end. A failed handshake does not panic: it is in [`Seen::error`].
    #[track_caller]
    pub fn run(self) -> Seen {
        let finished = run(self.command, b"", Duration::from_secs(30)).expect_success();
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| {
            panic!("{error} in the Go client's output: {}", finished.stdout)
        })
    }
}
