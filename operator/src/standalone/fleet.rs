//! The terminators of this process, one for each listener: what `apply` and `status` are in a cluster.
//!
//! It must keep the configurations, which hold private keys, in a folder that only this user reads.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Backend;
use mqtt_tls_terminator::{StartError, Terminator};
use tempfile::TempDir;
use tracing::{info, warn};

use super::folder::{Folder, Key};
use crate::crd::{ADMIN_PORT, MqttTlsListener, MqttTlsListenerStatus};
use crate::plan::conditions::{self, Outcome};
use crate::plan::names::CONFIG_KEY;
use crate::plan::notices::notices;
use crate::plan::{Applied, Children, Objects, Place, Plan, Settings, Wanted, World, plan};

/// How long after the choice of another admin port the terminator is started again.
const RETRY: Duration = Duration::from_millis(100);

/// The terminators of this process.
pub struct Fleet {
    backend: Option<Backend>,
    drain_deadline: Duration,
    directory: TempDir,
    members: BTreeMap<Key, Member>,
    /// How many members there have been: each has a folder of its own.
    count: u64,
    /// Whether the folder has been looked at before.
    has_begun: bool,
}

/// One listener and its terminator.
struct Member {
    directory: PathBuf,
    admin: SocketAddr,
    config_secret: Option<Secret>,
    terminator: Option<Terminator>,
    /// As if the terminator were its one pod.
    deployment: Option<Deployment>,
    status: Option<MqttTlsListenerStatus>,
}

/// Why a configuration is not served.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the configuration cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error("{}", .0.chain())]
    Start(StartError),
}

impl Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Write(_) => "NotWritten",
            Self::Start(error) if error.is_port_taken() => "PortTaken",
            Self::Start(_) => "NotStarted",
        }
    }
}

impl Fleet {
    /// Makes the folder for the configurations.
    ///
    /// # Errors
    ///
    /// There is no place for it.
    pub fn new(backend: Option<Backend>, drain_deadline: Duration) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("mqtt-tls-").tempdir()?;
        Ok(Self {
            backend,
            drain_deadline,
            directory,
            members: BTreeMap::new(),
            count: 0,
            has_begun: false,
        })
    }

    /// Makes this process as the folder wants it. Says when to look again.
    pub fn reconcile(&mut self, folder: &Folder, now: Timestamp) -> Duration {
        let listeners = folder.listeners();
        self.members.retain(|key, member| {
            let stays = listeners.contains_key(key);
            if !stays {
                info!(
                    listener = key.1,
                    "the listener is gone; its terminator drains"
                );
                member.terminator.iter().for_each(Terminator::drain);
            }
            stays
        });
        let mut look_again = Duration::MAX;
        for (key, listener) in listeners {
            if !self.members.contains_key(&key) {
                match self.member() {
                    Ok(member) => drop(self.members.insert(key.clone(), member)),
                    Err(error) => {
                        warn!(listener = key.1, %error, "no folder or port for it");
                        continue;
                    }
                }
            }
            let settings = self.settings();
            if let Some(member) = self.members.get_mut(&key) {
                look_again =
                    look_again.min(member.reconcile(&key, listener, folder, settings, now));
            }
        }
        self.has_begun = true;
        look_again
    }

    /// Ends all terminators, each after its last connection or its deadline.
    pub async fn drain(self) {
        let mut terminators: Vec<Terminator> = self
            .members
            .into_values()
            .filter_map(|member| member.terminator)
            .collect();
        terminators.iter().for_each(Terminator::drain);
        for terminator in &mut terminators {
            terminator.ended().await;
        }
    }

    fn member(&mut self) -> io::Result<Member> {
        self.count += 1;
        let directory = self.directory.path().join(self.count.to_string());
        std::fs::create_dir(&directory)?;
        Ok(Member {
            directory,
            admin: free_admin()?,
            config_secret: None,
            terminator: None,
            deployment: None,
            status: None,
        })
    }

    fn settings(&self) -> Settings {
        Settings {
            terminator_image: String::new(),
            cluster_domain: String::new(),
            drain_deadline: self.drain_deadline,
            place: Place::Process {
                backend: self.backend.clone(),
                admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                is_at_start: !self.has_begun,
            },
        }
    }
}

/// The usual admin port, or any other if someone has that one.
fn free_admin() -> io::Result<SocketAddr> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT));
    TcpListener::bind(usual).map_or_else(|_| any_admin(), |bound| bound.local_addr())
}

fn any_admin() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

impl Member {
    /// Gather, plan, apply, status, as in a cluster.
    fn reconcile(
        &mut self,
        key: &Key,
        listener: &MqttTlsListener,
        folder: &Folder,
        mut settings: Settings,
        now: Timestamp,
    ) -> Duration {
        if self.admin.port() == listener.spec.port {
            // The listener's port is the user's choice; this one is ours.
            self.admin = any_admin().unwrap_or(self.admin);
        }
        if let Place::Process { admin, .. } = &mut settings.place {
            *admin = self.admin;
        }
        let world = self.world(key, listener, folder);
        let Plan { objects, report } = plan(&world, &settings, now);
        let applied = self.apply(objects.config_secret, objects.deployment);
        let outcome = match &applied {
            Ok(applied) => Outcome::Done(applied),
            Err(error) => Outcome::Failed {
                reason: error.reason(),
                message: error.to_string(),
                is_configured: !matches!(error, Error::Write(_)),
            },
        };
        let status = conditions::status(&world, &report, &outcome, now);
        let is_port_taken = matches!(&applied, Err(Error::Start(error)) if error.is_port_taken());
        self.tell(&key.1, status);
        // The admin port was free when it was chosen; if someone else has it by now, any other will do.
        if is_port_taken && TcpListener::bind(self.admin).is_err() {
            self.admin = free_admin().unwrap_or(self.admin);
            return RETRY;
        }
        report.look_again
    }

    fn world(&self, key: &Key, listener: &MqttTlsListener, folder: &Folder) -> World {
        let mut listener = listener.clone();
        let metadata = &mut listener.metadata;
        metadata.namespace = Some(key.0.clone());
        metadata.uid = Some(format!("{}/{}", key.0, key.1));
        listener.status.clone_from(&self.status);
        World {
            listener,
            secrets: folder.secrets(&key.0),
            config_maps: folder.config_maps(&key.0),
            backend: None,
            children: Children {
                config_secret: self.config_secret.clone(),
                deployment: self.deployment.clone(),
                ..Children::default()
            },
            pods: Vec::new(),
        }
    }

    /// Hands a new configuration to the terminator. What serves goes on if that fails.
    fn apply(
        &mut self,
        config_secret: Wanted<Secret>,
        deployment: Wanted<Deployment>,
    ) -> Result<Objects<Applied>, Error> {
        if let Wanted::Present(secret) = config_secret {
            let is_new = self
                .config_secret
                .as_ref()
                .is_none_or(|old| old.data != secret.data);
            if is_new {
                self.write(&secret)?;
                self.terminator.iter().for_each(Terminator::reload);
                self.config_secret = Some(*secret);
            }
            // One that lost a thread has ended by itself; the log says why.
            let has_ended = |one: &mut Terminator| one.ended().now_or_never().is_some();
            if self.terminator.as_mut().is_none_or(has_ended) {
                (self.terminator, self.deployment) = (None, None);
                let file = self.directory.join(CONFIG_KEY);
                self.terminator = Some(Terminator::start(&file, None).map_err(Error::Start)?);
            }
        }
        let deployment = match deployment {
            Wanted::Present(deployment) if self.terminator.is_some() => {
                let deployment = running(*deployment);
                self.deployment = Some(deployment.clone());
                Wanted::Present(Box::new(deployment))
            }
            Wanted::Present(_) | Wanted::Absent | Wanted::Kept => Wanted::Kept,
        };
        Ok(Objects {
            deployment,
            ..Objects::kept()
        })
    }

    /// Writes the configuration beside the old one and puts it in its place, so that nobody reads half.
    fn write(&self, secret: &Secret) -> io::Result<()> {
        let data = secret.data.as_ref().and_then(|data| data.get(CONFIG_KEY));
        let bytes = data.map(|bytes| bytes.0.as_slice()).unwrap_or_default();
        let new = self.directory.join("config.yaml.new");
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        std::fs::rename(new, self.directory.join(CONFIG_KEY))
    }

    /// Tells what changed.
    fn tell(&mut self, name: &str, status: MqttTlsListenerStatus) {
        if self.status.as_ref() == Some(&status) {
            return;
        }
        for notice in notices(self.status.as_ref(), &status) {
            if notice.is_warning {
                warn!(
                    listener = name,
                    reason = notice.reason,
                    "{}",
                    notice.message
                );
            } else {
                info!(
                    listener = name,
                    reason = notice.reason,
                    "{}",
                    notice.message
                );
            }
        }
        for condition in &status.conditions {
            info!(
                listener = name,
                "{}={} ({}): {}",
                condition.type_,
                condition.status,
                condition.reason,
                condition.message
            );
        }
        self.status = Some(status);
    }
}

/// The Deployment of which this process is the one pod.
fn running(mut deployment: Deployment) -> Deployment {
    let spec = deployment.spec.get_or_insert_default();
    spec.replicas = Some(1);
    deployment.status = Some(DeploymentStatus {
        replicas: Some(1),
        ready_replicas: Some(1),
        available_replicas: Some(1),
        ..DeploymentStatus::default()
    });
    deployment
}
