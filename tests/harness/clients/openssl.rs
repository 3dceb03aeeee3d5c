//! `openssl s_client`: a second TLS stack, with options for unusual client behaviour.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::pki::{Ca, Leaf};
use crate::process::{Finished, run};
use crate::{assets, workdir};

/// A call of `openssl s_client`.
#[must_use]
pub struct SClient {
    command: Command,
}

impl SClient {
    /// Connects to `addr` for the name `localhost` and trusts `ca`; a certificate that does not match is an error.
    pub fn new(addr: SocketAddr, ca: &Ca) -> Self {
        let file = workdir::scratch("ca").join("ca.crt");
        std::fs::write(&file, ca.cert_pem()).expect("the folder is writable");
        let mut command = assets::installed("openssl");
        command
            .args(["s_client", "-connect", &addr.to_string(), "-CAfile"])
            .arg(file);
        command.args(["-servername", "localhost", "-verify_hostname", "localhost"]);
        command.args(["-verify_return_error", "-nocommands"]);
        Self { command }
    }

    /// Connects to `addr` and requests a name (SNI); verifies nothing.
    pub fn unverified(addr: SocketAddr, name: &str) -> Self {
        let mut command = assets::installed("openssl");
        command.args(["s_client", "-connect", &addr.to_string(), "-nocommands"]);
        command.args(["-servername", name]);
        Self { command }
    }

    /// With a client certificate.
    pub fn identity(mut self, leaf: &Leaf) -> Self {
        let (cert, key) = leaf.files();
        self.command
            .arg("-cert")
            .arg(&cert)
            .arg("-cert_chain")
            .arg(&cert)
            .arg("-key")
            .arg(key);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Adds an argument, such as `-tls1_2` or `-brief`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// Reads until the server closes the connection. Otherwise the end of the input closes it, and the server's
    /// response may be lost.
    pub fn until_server_closes(self) -> Self {
        self.arg("-ign_eof")
    }

    /// Connects, sends `input`, and closes gracefully. Exit status 0 means that the handshake succeeded; the output
    /// shows what was negotiated.
    #[track_caller]
    pub fn run(self, input: &[u8]) -> Finished {
        run(self.command, input, Duration::from_secs(20))
    }
}

/// Reports whether the output shows a resumed session.
#[track_caller]
pub fn is_resumed(seen: &str) -> bool {
    let is_resumed = seen.contains("\nReused, ");
    assert!(is_resumed || seen.contains("\nNew, "), "{seen}");
    is_resumed
}
