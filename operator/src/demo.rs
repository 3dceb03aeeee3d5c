//! The command `demo`: a complete example on this machine, with this program only.
//!
//! It creates a CA and a certificate, writes a listener and a Secret to a folder, and starts an embedded broker, the
//! terminator by the same plan as in a cluster, and a client that publishes and receives over TLS. Apart from broker,
//! CA and client, it must use only code of the other commands.

mod broker;
mod client;
mod pki;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use mqtt_tls_config::Backend;
use tempfile::TempDir;

use crate::args::{Demo, Standalone};
use crate::error::chain;
use crate::screen::{complain, say};
use crate::shutdown::Shutdown;
use crate::standalone::{self, private::write_private};
use client::Proof;

/// Time to close connections at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Why the demo failed to start.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to start the embedded broker")]
    Broker(#[source] broker::Error),
    #[error("failed to use folder {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    #[error("failed to create the certificates")]
    Pki(#[source] rcgen::Error),
    #[error(
        "port {0} is in use; stop the program that listens there, or choose another port with --port or --any-port"
    )]
    PortTaken(u16),
    #[error("failed to set up signal handling")]
    Signals(#[source] io::Error),
}

/// Runs the demo until a signal or, with `--once`, until the message has arrived.
pub async fn run(arguments: &Demo) -> ExitCode {
    match show(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn show(arguments: &Demo) -> Result<bool, Error> {
    let shutdown = Shutdown::on_signals().map_err(Error::Signals)?;
    let port = free_port(arguments.port, arguments.any_port)?;
    let folder = Place::new(arguments.dir.as_deref())?;
    let written = |error| Error::Folder(folder.path().to_owned(), error);
    let pki = pki::Pki::new().map_err(Error::Pki)?;
    let manifests = Manifests::write(folder.path(), &pki, port).map_err(written)?;
    say(&format!(
        "1. created a CA, and a certificate for localhost: {}",
        manifests.ca.display()
    ));
    say(&format!(
        "2. wrote a listener and its Secret: {}",
        manifests.listener.display()
    ));
    let broker = broker::start().map_err(Error::Broker)?;
    say(&format!(
        "3. started an embedded MQTT broker, plaintext, on {broker}"
    ));
    let serve = Standalone {
        folder: folder.path().to_owned(),
        backend: Some(Backend {
            host: broker.ip().to_string(),
            port: broker.port(),
        }),
        drain_deadline: DRAIN,
    };
    let (end, ending) = Shutdown::by_hand();
    let report = |line: &str| say(line);
    let mut serving = tokio::spawn(async move { standalone::serve(&serve, ending, report).await });
    say(&format!(
        "4. planned the listener as in a cluster; serving it on port {port}"
    ));
    let proof = client::prove(port, &pki.ca_pem).await;
    let is_proved = print_result(&proof);
    if is_proved && !arguments.once {
        invite(port, &manifests);
        shutdown.clone().begun().await;
        say("stopping");
    }
    // The receiver may have ended already.
    let _ = end.send(1);
    tokio::select! {
        _ = &mut serving => {}
        () = shutdown.aborted() => {
            // Await the aborted task, which removes its folder with the private key.
            serving.abort();
            let _ = serving.await;
        }
    }
    Ok(is_proved)
}

fn print_result(proof: &Result<Proof, client::Error>) -> bool {
    match proof {
        Ok(proof) => {
            say(&format!(
                "5. it works: a client subscribed to topic {} over TLS, published to it, and received \"{}\" after \
                 {:.1} ms",
                proof.topic,
                proof.payload,
                proof.took.as_secs_f64() * 1000.0
            ));
            true
        }
        Err(error) => {
            complain(&format!("5. no message arrived over TLS: {}", chain(error)));
            complain("run it again with `--log info` to see the listener's log");
            false
        }
    }
}

fn invite(port: u16, manifests: &Manifests) {
    let ca = manifests.ca.display();
    say("\nTry it in two other terminals:\n");
    say(&format!(
        "  mosquitto_sub -h localhost -p {port} --cafile {ca} -t 'demo/#' -v"
    ));
    say(&format!(
        "  mosquitto_pub -h localhost -p {port} --cafile {ca} -t demo/hello -m 'hello, TLS'"
    ));
    say("\nThe folder is watched: change the files, and open connections stay open.");
    say("Press Ctrl+C to stop.");
}

/// Returns the port if it is free, or else another one if allowed.
fn free_port(port: u16, any: bool) -> Result<u16, Error> {
    let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if let Ok(free) = bind(port).and_then(|listener| listener.local_addr()) {
        // With port 0, the system has chosen one.
        return Ok(free.port());
    }
    if !any {
        return Err(Error::PortTaken(port));
    }
    let other = bind(0).and_then(|listener| listener.local_addr());
    let other = other.map_err(|_| Error::PortTaken(port))?.port();
    say(&format!(
        "0. port {port} is in use; using port {other} instead"
    ));
    Ok(other)
}

/// The folder of the manifests.
enum Place {
    Given(PathBuf),
    /// Removed at the end.
    Temporary(TempDir),
}

impl Place {
    fn new(given: Option<&Path>) -> Result<Self, Error> {
        if let Some(path) = given {
            let unusable = |error| Error::Folder(path.to_owned(), error);
            std::fs::create_dir_all(path).map_err(unusable)?;
            // The printed commands must work from any folder.
            return Ok(Self::Given(path.canonicalize().map_err(unusable)?));
        }
        let temporary = tempfile::Builder::new().prefix("mqtt-tls-demo-").tempdir();
        temporary
            .map(Self::Temporary)
            .map_err(|error| Error::Folder(std::env::temp_dir(), error))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

/// The files of the demo.
struct Manifests {
    ca: PathBuf,
    listener: PathBuf,
}

impl Manifests {
    fn write(folder: &Path, pki: &pki::Pki, port: u16) -> io::Result<Self> {
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, &pki.ca_pem)?;
        let secret = pki.secret_manifest();
        write_private(&folder.join("secret.yaml"), secret.expose().as_bytes())?;
        let listener = folder.join("listener.yaml");
        std::fs::write(&listener, manifest(port))?;
        Ok(Self { ca, listener })
    }
}

/// Returns the listener's manifest, as for a cluster except for the host: the broker has no password, so the
/// listener must be on the loopback interface.
fn manifest(port: u16) -> String {
    format!(
        "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\nmetadata:\n  name: demo\nspec:\n  \
         host: {host}\n  port: {port}\n  certificates:\n  - secretRef:\n      name: demo-tls\n  backend:\n    service:\n      \
         name: smart-mqtt\n      port: 1883\n",
        host = Ipv4Addr::LOCALHOST,
    )
}
