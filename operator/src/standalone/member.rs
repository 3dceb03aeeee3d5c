//! One listener and its terminator: the counterpart of `apply` and `status` in a cluster.
//!
//! It must keep the configuration, which holds private keys, in a file that only this user can read.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_terminator::{Files, StartError, Terminator};
use tracing::{info, warn};

use super::folder::Folder;
use super::private::write_private;
use crate::crd::{ADMIN_PORT, MqttTlsListener, MqttTlsListenerStatus};
use crate::kinds::Child;
use crate::plan::conditions;
use crate::plan::conditions::judged::{Judged, Outcome};
use crate::plan::environment::Environment;
use crate::plan::names::{CONFIG_KEY, CRLS, Name};
use crate::plan::notices::notices;
use crate::plan::objects::{Applied, Children, Wanted};
use crate::plan::reason::Reason;
use crate::plan::world::World;
use crate::plan::{Plan, plan};

/// Delay of the next start after choosing another admin port.
const RETRY: Duration = Duration::from_millis(100);

/// One listener and its terminator.
pub(super) struct Member {
    directory: PathBuf,
    admin: SocketAddr,
    /// The config Secret, and the Deployment whose only pod is the terminator.
    children: Children,
    terminator: Option<Terminator>,
    status: Option<MqttTlsListenerStatus>,
    /// What the last changes did, for people.
    news: Vec<String>,
}

/// Why a configuration is not served.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to write the configuration: {0}")]
    Write(#[from] io::Error),
    #[error("{}", .0.chain())]
    Start(StartError),
}

impl Error {
    fn reason(&self) -> Reason {
        match self {
            Self::Write(_) => Reason::NotWritten,
            Self::Start(error) if error.is_port_taken() => Reason::PortTaken,
            Self::Start(_) => Reason::NotStarted,
        }
    }
}

impl Member {
    /// Creates a member with its own folder and admin port.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub(super) fn new(directory: PathBuf) -> io::Result<Self> {
        Ok(Self {
            directory,
            admin: free_admin()?,
            children: Children::default(),
            terminator: None,
            status: None,
            news: Vec::new(),
        })
    }

    /// Returns the address of its terminator's admin port.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Moves the admin port if the listener needs it.
    pub(super) fn keep_clear_of(&mut self, port: u16) {
        if self.admin.port() == port {
            self.admin = any_admin().unwrap_or(self.admin);
        }
    }

    /// Takes what the changes since the last call did.
    pub(super) fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Drains its connections.
    pub(super) fn drain(&self) {
        self.terminator.iter().for_each(Terminator::drain);
    }

    pub(super) fn into_terminator(self) -> Option<Terminator> {
        self.terminator
    }

    /// Plan, apply, status, as in a cluster.
    pub(super) fn reconcile(
        &mut self,
        key: &Name,
        world: &World,
        environment: &Environment,
        now: Timestamp,
    ) -> Duration {
        let Plan {
            objects,
            report,
            previous,
        } = plan(world, environment, now);
        let applied = self.apply(objects.config_secret, objects.deployment);
        let outcome = match &applied {
            Ok(applied) => Outcome::Done(applied),
            Err(error) => Outcome::Failed {
                reason: error.reason(),
                message: error.to_string(),
                is_configured: !matches!(error, Error::Write(_)),
            },
        };
        let judged = Judged::new(world, &report, &previous, &outcome, now);
        let status = conditions::status(&judged);
        let is_port_taken = matches!(&applied, Err(Error::Start(error)) if error.is_port_taken());
        self.log_changes(&key.name, status);
        // The admin port was free when it was chosen; if it is in use now, choose another.
        if is_port_taken && TcpListener::bind(self.admin).is_err() {
            self.admin = free_admin().unwrap_or(self.admin);
            return RETRY;
        }
        report.look_again
    }

    /// Returns the world of its listener.
    pub(super) fn world(&self, key: &Name, listener: &MqttTlsListener, folder: &Folder) -> World {
        let Name { namespace, name } = key;
        let mut listener = listener.clone();
        let metadata = &mut listener.metadata;
        metadata.namespace = Some(namespace.clone());
        metadata.uid = Some(format!("{namespace}/{name}"));
        listener.status.clone_from(&self.status);
        let secrets = folder.secrets(namespace).into_iter();
        let config_maps = folder.config_maps(namespace).into_iter();
        World {
            secrets: secrets
                .map(|(name, secret)| (Name::new(namespace, &name), secret))
                .collect(),
            config_maps: config_maps
                .map(|(name, map)| (Name::new(namespace, &name), map))
                .collect(),
            children: self.children.clone(),
            ..World::new(listener)
        }
    }

    /// Applies a new configuration to the terminator, which keeps the current one on failure.
    fn apply(
        &mut self,
        config_secret: Wanted<Secret>,
        deployment: Wanted<Deployment>,
    ) -> Result<Applied, Error> {
        if let Wanted::Present(secret) = config_secret {
            let old = self.children.config_secret();
            let is_new = old.is_none_or(|old| old.data != secret.data);
            if is_new {
                self.write(&secret)?;
                self.terminator.iter().for_each(Terminator::reload);
                let news = "took over the new configuration; open connections stay open";
                self.news.push(news.to_owned());
                self.children.put(Child::Configuration, secret);
            }
            // A terminator that lost a thread has ended; its log contains the reason.
            let has_ended = |one: &mut Terminator| one.ended().now_or_never().is_some();
            if self.terminator.as_mut().is_none_or(has_ended) {
                self.terminator = None;
                self.children.remove(Child::Deployment);
                let (file, crls) = (self.directory.join(CONFIG_KEY), self.directory.join(CRLS));
                let files = Files {
                    crls: Some(&crls),
                    ..Files::from(file.as_path())
                };
                self.terminator = Some(Terminator::start(files, None).map_err(Error::Start)?);
            }
        }
        if let (Wanted::Present(deployment), true) = (deployment, self.terminator.is_some()) {
            let deployment = running(&deployment);
            self.children.put(Child::Deployment, Arc::new(deployment));
        }
        Ok(Applied {
            marked: BTreeMap::new(),
            children: self.children.clone(),
        })
    }

    /// Writes the revocation lists, if there are any, and the configuration, each to a new file that is renamed, so that a reader
    /// never sees a partial one.
    fn write(&self, secret: &Secret) -> io::Result<()> {
        let data = secret.data.as_ref();
        let found = |key| data.and_then(|data| data.get(key));
        for key in [CRLS, CONFIG_KEY] {
            if let Some(bytes) = found(key) {
                let new = self.directory.join(format!("{key}.new"));
                write_private(&new, &bytes.0)?;
                std::fs::rename(new, self.directory.join(key))?;
            }
        }
        if found(CRLS).is_some() {
            return Ok(());
        }
        // Behind the configuration that has no use for it any more.
        match std::fs::remove_file(self.directory.join(CRLS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Logs the changes of the status.
    fn log_changes(&mut self, name: &str, status: MqttTlsListenerStatus) {
        if self.status.as_ref() == Some(&status) {
            return;
        }
        for notice in notices(self.status.as_ref(), &status) {
            self.news
                .push(format!("{}: {}", notice.reason, notice.message));
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

/// Returns the default admin port, or another one if it is in use.
fn free_admin() -> io::Result<SocketAddr> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT));
    TcpListener::bind(usual).map_or_else(|_| any_admin(), |bound| bound.local_addr())
}

fn any_admin() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Returns the Deployment whose only pod is this process.
fn running(deployment: &Deployment) -> Deployment {
    let mut deployment = deployment.clone();
    let spec = deployment.spec.get_or_insert_default();
    spec.replicas = Some(1);
    deployment.status = Some(DeploymentStatus {
        replicas: Some(1),
        ready_replicas: Some(1),
        available_replicas: Some(1),
        updated_replicas: Some(1),
        ..DeploymentStatus::default()
    });
    deployment
}
