//! The configuration's file: read within bounds, and watched.
//!
//! It must watch the directory and not the file: Kubernetes changes a mounted file by swapping the
//! symbolic link `..data` beside it, and editors rename a new file over the old one. A watch can fail or
//! miss something, so the file is looked at every [`POLL`] as well.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mqtt_tls_config::FILE_SIZE_MAX;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::warn;
use zeroize::Zeroizing;

use crate::judge::text;

/// How often the file is looked at without being told.
const POLL: Duration = Duration::from_secs(10);

/// How long it must be quiet before a changed file is read, so that it is read once and whole.
const QUIET: Duration = Duration::from_millis(50);

/// How long changes may go on before the file is read anyhow.
const QUIET_MAX: usize = 20;

/// Why the file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or must not be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is larger than [`FILE_SIZE_MAX`].
    #[error("{path} has more than {FILE_SIZE_MAX} bytes; this is no configuration")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the file's text, which holds keys and is wiped when dropped.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len().min(FILE_SIZE_MAX);
    // Full size at once: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(size).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(FILE_SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    text::from_bytes(bytes)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Tells when the file may have changed.
pub(crate) struct Changes {
    events: mpsc::Receiver<()>,
    // Watches as long as it lives.
    _watcher: Option<RecommendedWatcher>,
}

impl Changes {
    /// Watches the file's directory. Without a watch, as when the system has no more of them, there is
    /// still the poll.
    pub(crate) fn watch(path: &Path) -> Self {
        let (sender, events) = mpsc::channel(1);
        let watcher = Self::watcher(path, sender);
        if let Err(error) = &watcher {
            warn!(%error, "the directory cannot be watched; changes are noticed within {POLL:?}");
        }
        Self {
            events,
            _watcher: watcher.ok(),
        }
    }

    fn watcher(path: &Path, sender: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let is_read = event.is_ok_and(|event| event.kind.is_access());
                if !is_read {
                    // Full means that a change is announced already.
                    let _ = sender.try_send(());
                }
            })?;
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }

    /// Waits until it is worth looking at the file. Safe to drop and to call again.
    pub(crate) async fn next(&mut self) {
        match timeout(POLL, self.events.recv()).await {
            Ok(Some(())) => {}
            // No watch: nothing but the poll.
            Ok(None) => return sleep(POLL).await,
            Err(_) => return,
        }
        for _ in 0..QUIET_MAX {
            if timeout(QUIET, self.events.recv()).await.is_err() {
                return;
            }
        }
    }
}
