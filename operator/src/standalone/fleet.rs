//! The terminators of this process, one for each listener.
//!
//! It must keep the configurations, which hold private keys, in a folder that only this user can read.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use mqtt_tls_config::Backend;
use mqtt_tls_terminator::Terminator;
use tempfile::TempDir;
use tracing::{info, warn};

use super::folder::Folder;
use super::member::Member;
use crate::plan::environment::Environment;
use crate::plan::names::Name;

/// The terminators of this process.
pub struct Fleet {
    backend: Option<Backend>,
    drain_deadline: Duration,
    directory: TempDir,
    members: BTreeMap<Name, Member>,
    /// Number of members created; each has its own folder.
    count: u64,
    /// Whether the first reconciliation is complete.
    has_begun: bool,
    /// What the last reconciliation did.
    news: Vec<String>,
}

impl Fleet {
    /// Creates the folder for the configurations.
    ///
    /// # Errors
    ///
    /// The folder cannot be created.
    pub fn new(backend: Option<Backend>, drain_deadline: Duration) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("mqtt-tls-").tempdir()?;
        Ok(Self {
            backend,
            drain_deadline,
            directory,
            members: BTreeMap::new(),
            count: 0,
            has_begun: false,
            news: Vec::new(),
        })
    }

    /// Reconciles the terminators with the folder. Returns the time until the next reconciliation.
    pub fn reconcile(&mut self, folder: &Folder, now: Timestamp) -> Duration {
        let listeners = folder.listeners();
        let mut news = Vec::new();
        self.members.retain(|key, member| {
            let stays = listeners.contains_key(key);
            if !stays {
                info!(
                    listener = key.name,
                    "listener was removed; draining its terminator"
                );
                member.drain();
                let removed = "was removed; its open connections are drained";
                news.push(format!("listener {} {removed}", key.name));
            }
            stays
        });
        let mut look_again = Duration::MAX;
        for (key, listener) in listeners {
            if !self.members.contains_key(&key) {
                match self.member() {
                    Ok(member) => drop(self.members.insert(key.clone(), member)),
                    Err(error) => {
                        warn!(listener = key.name, %error, "failed to allocate a folder or port; retrying");
                        continue;
                    }
                }
            }
            let (backend, deadline) = (self.backend.clone(), self.drain_deadline);
            if let Some(member) = self.members.get_mut(&key) {
                member.keep_clear_of(listener.spec.port);
                let (admin, is_at_start) = (member.admin(), !self.has_begun);
                let environment = Environment::process(backend, deadline, admin, is_at_start);
                let world = member.world(&key, listener, folder);
                look_again = look_again.min(member.reconcile(&key, &world, &environment, now));
                let own = member.news().into_iter();
                news.extend(own.map(|line| format!("listener {}: {line}", key.name)));
            }
        }
        self.news = news;
        self.has_begun = true;
        look_again
    }

    /// Returns what the last reconciliation did, one line for each change.
    pub fn news(&self) -> &[String] {
        &self.news
    }

    /// Drains all terminators, each until its last connection or its deadline.
    pub async fn drain(self) {
        let mut terminators: Vec<Terminator> = self
            .members
            .into_values()
            .filter_map(Member::into_terminator)
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
        Member::new(directory)
    }
}
