//! Notices when a file or a folder may have changed.
//!
//! It must watch the folder and not the file: Kubernetes updates a mounted file by swapping the symbolic link `..data`
//! beside it, and editors rename a new file over the old one. A watch follows the folder that it was set on, not the
//! path, so [`GLANCE`] is how often it checks whether the path leads to another folder, and watches that one. Because a
//! watch can fail or miss an event, a change is assumed every [`POLL`].

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

/// Interval of checks for another folder at the path, or for changes without an event.
const GLANCE: Duration = Duration::from_secs(1);

/// Interval at which a change is assumed without any sign of one.
const POLL: Duration = Duration::from_secs(10);

/// How long events must pause before a change is reported, so that a file is read once and whole.
const QUIET: Duration = Duration::from_millis(50);

/// Maximum number of pauses to wait for; after that a change is reported anyway.
const QUIET_MAX: usize = 20;

/// A watch on a path, until it is dropped.
pub struct Watch {
    /// The watched file or folder.
    path: PathBuf,
    /// The folder whose events are received.
    folder: PathBuf,
    sender: mpsc::Sender<()>,
    events: mpsc::Receiver<()>,
    watched: Option<Watched>,
    /// The path's metadata at the last check.
    looks: Option<Looks>,
    /// Whether there was an event that was not reported yet.
    is_pending: bool,
    /// When a change was last reported.
    reported: Instant,
    /// Whether the failure to watch was logged.
    has_warned: bool,
}

/// A watched folder.
struct Watched {
    _watcher: RecommendedWatcher,
    identity: Identity,
    /// Whether the folder itself was removed or moved. A new one in its place may have the same inode.
    is_gone: Arc<AtomicBool>,
}

/// Device and inode.
type Identity = (u64, u64);

/// Metadata that differs if the file was replaced or written to: identity, size, mtime and ctime.
type Looks = (Identity, u64, (i64, i64), (i64, i64));

impl Watch {
    /// Watches a file through its folder.
    pub fn file(path: &Path) -> Self {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Self::new(path, folder)
    }

    /// Watches the entries of a folder, without subfolders.
    pub fn folder(path: &Path) -> Self {
        Self::new(path, path)
    }

    fn new(path: &Path, folder: &Path) -> Self {
        let (sender, events) = mpsc::channel(1);
        let mut watch = Self {
            path: path.to_owned(),
            // Events have absolute paths.
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            sender,
            events,
            watched: None,
            looks: None,
            is_pending: false,
            reported: Instant::now(),
            has_warned: false,
        };
        watch.renew();
        watch.has_changed();
        watch
    }

    /// Waits until there may be a change. Cancel safe.
    pub async fn next(&mut self) {
        loop {
            if timeout(GLANCE, self.events.recv()).await.is_ok() {
                self.is_pending = true;
                self.settle().await;
            }
            // Both must run: each records the current state.
            let (renewed, changed) = (self.renew(), self.has_changed());
            if self.is_pending || renewed || changed || self.reported.elapsed() >= POLL {
                self.is_pending = false;
                self.reported = Instant::now();
                return;
            }
        }
    }

    /// Waits for a pause in the events.
    async fn settle(&mut self) {
        for _ in 0..QUIET_MAX {
            if timeout(QUIET, self.events.recv()).await.is_err() {
                return;
            }
        }
    }

    /// Watches the folder that is at the path now, if it is another one; returns whether the watch changed.
    fn renew(&mut self) -> bool {
        let Ok(found) = fs::metadata(&self.folder) else {
            // Reading the file reports this error.
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
                    warn!(%error, %folder, "failed to watch the folder; checking for changes every {POLL:?}");
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
        let notify = move |event: notify::Result<notify::Event>| {
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
            // A full channel already announces a change.
            let _ = sender.try_send(());
        };
        let mut watcher = notify::recommended_watcher(notify)?;
        watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
        Ok(Watched {
            _watcher: watcher,
            identity,
            is_gone,
        })
    }

    /// Reports whether the path leads to another file, or the file was written to.
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
