//! Tells when a file or a folder may have changed.
//!
//! It must watch the folder and not the file: Kubernetes changes a mounted file by swapping the symbolic link
//! `..data` beside it, and editors rename a new file over the old one. A watch follows what it was set on, not
//! the path: so each [`GLANCE`] it is looked whether another folder is there now (it was moved away and made
//! again, or a link in its path leads elsewhere), and then that one is watched. A watch can also fail or miss
//! something, so that each [`POLL`] counts as a change.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

/// How often it is looked whether the path leads somewhere else, or to something that has changed untold.
const GLANCE: Duration = Duration::from_secs(1);

/// How often a change is assumed without being told.
const POLL: Duration = Duration::from_secs(10);

/// How long it must be quiet before a change is told, so that a file is read once and whole.
const QUIET: Duration = Duration::from_millis(50);

/// How long changes may go on before they are told anyhow.
const QUIET_MAX: usize = 20;

/// Watches a path for as long as it lives.
pub struct Watch {
    /// What is watched: a file, or a folder.
    path: PathBuf,
    /// The folder that tells of it.
    folder: PathBuf,
    sender: mpsc::Sender<()>,
    events: mpsc::Receiver<()>,
    watched: Option<Watched>,
    /// How the path looked.
    looks: Option<Looks>,
    /// Something has happened that was not told yet.
    is_pending: bool,
    told: Instant,
    /// Whether it was said that there is no watch.
    has_warned: bool,
}

/// A folder that is watched.
struct Watched {
    _watcher: RecommendedWatcher,
    identity: Identity,
    /// The folder itself was removed or moved. One that is made in its place may have the same number.
    is_gone: Arc<AtomicBool>,
}

/// Which folder it is: the device and the number on it.
type Identity = (u64, u64);

/// What differs when a file is another or has been written to.
type Looks = (Identity, u64, (i64, i64), (i64, i64));

impl Watch {
    /// Watches a file by way of its folder.
    pub fn file(path: &Path) -> Self {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Self::new(path, folder)
    }

    /// Watches what is directly in a folder.
    pub fn folder(path: &Path) -> Self {
        Self::new(path, path)
    }

    fn new(path: &Path, folder: &Path) -> Self {
        let (sender, events) = mpsc::channel(1);
        let mut watch = Self {
            path: path.to_owned(),
            // As events name it.
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            sender,
            events,
            watched: None,
            looks: None,
            is_pending: false,
            told: Instant::now(),
            has_warned: false,
        };
        watch.renew();
        watch.has_changed();
        watch
    }

    /// Waits until it is worth looking. Safe to drop and to call again.
    pub async fn next(&mut self) {
        loop {
            if timeout(GLANCE, self.events.recv()).await.is_ok() {
                self.is_pending = true;
                self.settle().await;
            }
            // Both in any case: they note what is there now.
            let (renewed, changed) = (self.renew(), self.has_changed());
            if self.is_pending || renewed || changed || self.told.elapsed() >= POLL {
                self.is_pending = false;
                self.told = Instant::now();
                return;
            }
        }
    }

    /// Waits for the end of what goes on.
    async fn settle(&mut self) {
        for _ in 0..QUIET_MAX {
            if timeout(QUIET, self.events.recv()).await.is_err() {
                return;
            }
        }
    }

    /// Sets a watch on the folder that is there now, if that is another; whether it did.
    fn renew(&mut self) -> bool {
        let Ok(found) = fs::metadata(&self.folder) else {
            // Whoever reads says so.
            return self.watched.take().is_some();
        };
        let identity = identity(&found);
        let is_current = self.watched.as_ref().is_some_and(|watched| {
            watched.identity == identity && !watched.is_gone.load(Ordering::Relaxed)
        });
        if is_current {
            return false;
        }
        match self.set(identity) {
            Ok(watched) => {
                self.watched = Some(watched);
                self.has_warned = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_warned, true) {
                    let folder = self.folder.display();
                    warn!(%error, %folder, "the folder cannot be watched; changes are noticed within {POLL:?}");
                }
                self.watched.take().is_some()
            }
        }
    }

    fn set(&self, identity: Identity) -> notify::Result<Watched> {
        let is_gone = Arc::new(AtomicBool::new(false));
        let (sender, gone, folder) = (
            self.sender.clone(),
            Arc::clone(&is_gone),
            self.folder.clone(),
        );
        let tell = move |event: notify::Result<notify::Event>| {
            if let Ok(event) = &event {
                if event.kind.is_access() {
                    return;
                }
                let has_left = matches!(
                    event.kind,
                    EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
                );
                if has_left && event.paths.contains(&folder) {
                    gone.store(true, Ordering::Relaxed);
                }
            }
            // Full means that a change is announced already.
            let _ = sender.try_send(());
        };
        let mut watcher = notify::recommended_watcher(tell)?;
        watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
        Ok(Watched {
            _watcher: watcher,
            identity,
            is_gone,
        })
    }

    /// Whether the path leads to something else, or to something that was written to.
    fn has_changed(&mut self) -> bool {
        let looks = fs::metadata(&self.path).ok().map(|found| {
            (
                identity(&found),
                found.size(),
                (found.mtime(), found.mtime_nsec()),
                (found.ctime(), found.ctime_nsec()),
            )
        });
        std::mem::replace(&mut self.looks, looks) != looks
    }
}

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}
