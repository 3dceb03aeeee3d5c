//! The command `demo`: everything on this machine, with nothing but this program.
//!
//! A CA and a certificate, a listener and a Secret in a folder, an embedded broker, the same plan as in a
//! cluster, the terminator, and a client that publishes and receives through TLS. It must use nothing
//! that the other commands do not use, beside broker, CA and client.

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

/// How long open connections have at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the embedded broker did not start")]
    Broker(#[source] broker::Error),
    #[error("the folder {} cannot be used", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    #[error("the certificates cannot be made")]
    Pki(#[source] rcgen::Error),
    #[error(
        "port {0} is taken; end what listens there, name another with --port, or take any with --any-port"
    )]
    PortTaken(u16),
    #[error("signals cannot be handled")]
    Signals(#[source] io::Error),
}

/// Shows it all, and serves until a signal or, with `--once`, until the proof is there.
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
        "1. made a CA, and a certificate for localhost: {}",
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
    let mut serving = tokio::spawn(async move { standalone::serve(&serve, ending).await });
    say(&format!(
        "4. planned the listener as in a cluster, and serve it on port {port}"
    ));
    let proof = client::prove(port, &pki.ca_pem).await;
    let is_proved = tell(&proof);
    if is_proved && !arguments.once {
        invite(port, &manifests);
        shutdown.clone().begun().await;
        say("ending");
    }
    // Nobody may be listening any more.
    let _ = end.send(1);
    tokio::select! {
        _ = &mut serving => {}
        () = shutdown.aborted() => {
            // Its folder, with the key, goes with it.
            serving.abort();
            let _ = serving.await;
        }
    }
    Ok(is_proved)
}

fn tell(proof: &Result<Proof, client::Error>) -> bool {
    match proof {
        Ok(proof) => {
            say(&format!(
                "5. proved it: a client subscribed and published through TLS to the topic {}, and got \
                 \"{}\" back after {:.1} ms",
                proof.topic,
                proof.payload,
                proof.took.as_secs_f64() * 1000.0
            ));
            true
        }
        Err(error) => {
            complain(&format!("5. no message came through TLS: {}", chain(error)));
            complain("run it again with `--log info` to see what the listener says");
            false
        }
    }
}

fn invite(port: u16, manifests: &Manifests) {
    let ca = manifests.ca.display();
    say("\nTry it yourself, in two other terminals:\n");
    say(&format!(
        "  mosquitto_sub -h localhost -p {port} --cafile {ca} -t 'demo/#' -v"
    ));
    say(&format!(
        "  mosquitto_pub -h localhost -p {port} --cafile {ca} -t demo/hello -m 'hello, TLS'"
    ));
    say("\nChange the files, and see that open connections stay: the folder is watched.");
    say("Ctrl+C ends it.");
}

/// The port, if it is free, or another one if any will do.
fn free_port(port: u16, any: bool) -> Result<u16, Error> {
    let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if let Ok(listener) = bind(port) {
        drop(listener);
        return Ok(port);
    }
    if !any {
        return Err(Error::PortTaken(port));
    }
    let other = bind(0).and_then(|listener| listener.local_addr());
    let other = other.map_err(|_| Error::PortTaken(port))?.port();
    say(&format!(
        "0. port {port} is taken, so this takes port {other}"
    ));
    Ok(other)
}

/// Where the manifests are.
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
            // The commands on the screen are to work from any folder.
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

/// The files of the demonstration.
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

/// The listener, as one would apply it to a cluster but for its host: the broker asks for no password, so
/// nobody else may reach it.
fn manifest(port: u16) -> String {
    format!(
        "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\nmetadata:\n  name: demo\nspec:\n  \
         host: {host}\n  port: {port}\n  certificates:\n  - secretRef:\n      name: demo-tls\n  backend:\n    service:\n      \
         name: smart-mqtt\n      port: 1883\n",
        host = Ipv4Addr::LOCALHOST,
    )
}
