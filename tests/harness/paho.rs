//! Clients of paho-mqtt (Python), many in one process, that connect, publish and end (`tests/assets/paho/ends.py`).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::pki::Ca;
use crate::process::Process;
use crate::{assets, workdir};

/// Upper bound for many clients on a busy machine.
const SENT: Duration = Duration::from_secs(120);

/// How the clients end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PahoEnd {
    /// `disconnect()`: DISCONNECT, then a bare FIN.
    Disconnect,
    /// SIGKILL after everything was written to the sockets.
    Kill,
}

/// The actions of one client.
#[derive(Clone, Debug, Serialize)]
pub struct PahoClient {
    /// Its client ID.
    pub id: String,
    /// The topic of its messages.
    pub topic: String,
    /// The topic of its will.
    pub will: String,
    /// Number of messages to publish at QoS 0.
    pub count: usize,
    /// Size of each message in bytes.
    pub size: usize,
}

/// A running process of such clients.
pub struct Paho {
    process: Process,
    end: PahoEnd,
}

impl Paho {
    /// Starts it, and returns at once.
    #[track_caller]
    pub fn start(addr: SocketAddr, ca: &Ca, end: PahoEnd, clients: &[PahoClient]) -> Self {
        let file = workdir::scratch("ca").join("ca.crt");
        std::fs::write(&file, ca.cert_pem()).expect("the folder is writable");
        let order = serde_json::json!({
            "host": addr.ip(), "port": addr.port(), "ca": file, "end": end, "clients": clients,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/paho/ends.py");
        let mut command = Command::new(assets::paho("bin/python"));
        command.arg(script).arg(order.to_string());
        Self {
            process: Process::spawn("paho", command),
            end,
        }
    }

    /// Waits until everything is sent, and until the process has ended, which it kills for [`PahoEnd::Kill`].
    #[track_caller]
    pub fn finish(self) {
        self.process.wait_for_line("sent", SENT);
        match self.end {
            PahoEnd::Disconnect => {
                let status = self.process.wait_exit(SENT);
                assert!(status.success(), "{status}\n{}", self.process.log());
            }
            PahoEnd::Kill => self.process.kill(),
        }
    }
}
