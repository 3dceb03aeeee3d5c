//! The control thread: it loads configurations, hands them to the accepting threads, answers on the
//! admin port, and ends it all.
//!
//! It must not touch a connection, and a configuration that fails in any part must leave everything as
//! it was.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::select_all;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::acceptor::{Acceptor, Command};
use crate::admin::{self, Board, ReloadError, Status};
use crate::load::{self, Loaded};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::sockets::{self, Sharing};
use crate::source::{Digest, Source};
use crate::state::State;
use crate::watch::Watch;
use mqtt_tls_judge::certificate::Certificate;
use mqtt_tls_program::error::chain;

/// What is asked of a running terminator.
pub(crate) enum Request {
    /// Look at the file now.
    Reload,
    /// End.
    Drain,
}

/// How a terminator ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Drained,
    /// An accepting thread ended by itself; the log says why.
    ThreadLost,
}

/// Everything that the control thread owns.
pub(crate) struct Control {
    pub(crate) source: Source,
    pub(crate) loaded: Loaded,
    pub(crate) acceptors: Vec<Acceptor>,
    pub(crate) metrics: Metrics,
    pub(crate) state: Arc<State>,
    pub(crate) board: Arc<Board>,
    pub(crate) admin: JoinHandle<()>,
    pub(crate) refused: Option<Refused>,
}

/// What was refused last, so that it is told once, and judged again only where time can change that.
pub(crate) struct Refused {
    digest: Option<Digest>,
    message: String,
    is_final: bool,
}

/// Why a configuration that was judged could not be put into effect.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Load(load::Error),
    #[error("failed to bind {which} to {address}")]
    Bind {
        which: &'static str,
        address: String,
        source: std::io::Error,
    },
}

impl Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Load(error) => error.reason(),
            Self::Bind { .. } => "unbindable",
        }
    }

    /// Whether the same text will be refused for ever: neither time nor another program can change it.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Load(load::Error::Content(_) | load::Error::Written(_))
        )
    }
}

impl Control {
    /// Serves until asked to end.
    pub(crate) async fn run(
        mut self,
        mut changes: Watch,
        mut requests: mpsc::UnboundedReceiver<Request>,
    ) -> Ended {
        loop {
            let lost = select_all(
                self.acceptors
                    .iter_mut()
                    .map(|acceptor| &mut acceptor.ended),
            );
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Reload) => self.reload(true),
                    Some(Request::Drain) | None => return self.drain().await,
                },
                () = changes.next() => self.reload(false),
                _ = lost => {
                    error!("an accepting thread ended unexpectedly");
                    return Ended::ThreadLost;
                }
            }
        }
    }

    /// Looks at the file, and takes over what is in it if that is new and good. `asked` is whether
    /// someone waits for a word on it.
    fn reload(&mut self, asked: bool) {
        let now = Timestamp::now();
        let text = match self.source.read() {
            Ok(text) => text,
            Err(error) => {
                let error = Error::Load(load::Error::Read(error));
                return self.refuse(None, &error, asked, now);
            }
        };
        if text.digest == self.loaded.digest {
            if self.refused.take().is_some() {
                info!("configuration file matches the active configuration again");
                self.board
                    .update(|status| status.configuration.last_error = None);
                self.metrics.reloaded("reverted", true);
            } else if asked {
                info!("configuration unchanged");
                self.metrics.reloaded("unchanged", true);
            }
            return;
        }
        let is_known =
            |refused: &Refused| refused.is_final && refused.digest.as_ref() == Some(&text.digest);
        if !asked && self.refused.as_ref().is_some_and(is_known) {
            return;
        }
        let digest = text.digest.clone();
        let taken_over = load::again(text, &self.loaded.settings, now)
            .map_err(Error::Load)
            .and_then(|loaded| self.take_over(loaded, now));
        if let Err(error) = taken_over {
            self.refuse(Some(digest), &error, asked, now);
        }
    }

    /// Puts a configuration into effect: first all that can fail, then all that cannot.
    fn take_over(&mut self, loaded: Loaded, now: Timestamp) -> Result<(), Error> {
        let (old, new) = (&self.loaded.settings, &loaded.settings);
        let listeners = self.rebind(old, new)?;
        let admin = if old.admin == new.admin {
            None
        } else {
            Some(bind_admin(old, new)?)
        };
        if let Some(listener) = admin {
            self.admin.abort();
            self.admin = tokio::spawn(admin::serve(listener, Arc::clone(&self.board)));
        }
        let settings = Arc::new(new.clone());
        let mut listeners = listeners.into_iter();
        for acceptor in &self.acceptors {
            // A thread that is gone is noticed by the loop above.
            let _ = acceptor
                .commands
                .send(Command::Settings(Arc::clone(&settings)));
            if let Some(listener) = listeners.next() {
                let _ = acceptor.commands.send(Command::Listen(listener));
            }
        }
        if !settings.journal {
            self.state.journal.clear();
        }
        self.loaded = loaded;
        self.refused = None;
        self.announce(now);
        Ok(())
    }

    /// New sockets, if the address has changed.
    fn rebind(&self, old: &Settings, new: &Settings) -> Result<Vec<TcpListener>, Error> {
        if (old.host, old.port) == (new.host, new.port) {
            return Ok(Vec::new());
        }
        let sharing = Sharing::between(old.port, new.port);
        sockets::bind(new.host, new.port, self.acceptors.len(), sharing).map_err(|source| {
            Error::Bind {
                which: "the listener",
                address: listen(new),
                source,
            }
        })
    }

    /// Leaves everything as it is, and says why: once, and to whoever asks.
    fn refuse(&mut self, digest: Option<Digest>, error: &Error, asked: bool, now: Timestamp) {
        let message = chain(error);
        let is_known = self
            .refused
            .as_ref()
            .is_some_and(|refused| refused.digest == digest && refused.message == message);
        let reason = error.reason();
        if asked || !is_known {
            error!(
                reason,
                "new configuration refused; keeping the current one: {message}"
            );
        }
        if is_known {
            return;
        }
        self.metrics.reloaded(reason, false);
        let last_error = ReloadError {
            reason,
            message: message.clone(),
            at: now,
        };
        self.board
            .update(|status| status.configuration.last_error = Some(last_error));
        self.refused = Some(Refused {
            digest,
            message,
            is_final: error.is_final(),
        });
    }

    /// Tells everyone what runs from now on.
    pub(crate) fn announce(&self, now: Timestamp) {
        let settings = &self.loaded.settings;
        self.metrics.reloaded("ok", true);
        self.metrics
            .allowing(self.state.room.connections(&settings.limits));
        self.metrics
            .serving(settings.certificates.iter().map(Certificate::facts));
        self.metrics.warnings.about(settings);
        let generation = self.board.update(|status| {
            let generation = status.configuration.generation + 1;
            *status = Status::of(settings, listen(settings), generation, now);
            generation
        });
        let default = settings.certificates.first().map(Certificate::facts);
        info!(
            generation,
            version = settings.version,
            listen = listen(settings),
            backend = %settings.backend,
            certificate = default.map(|facts| facts.name()),
            not_after = default.map(|facts| facts.not_after.to_string()),
            fingerprint = default.map(|facts| facts.fingerprint.as_str()),
            "serving"
        );
        for warning in settings.warnings(now) {
            warn!(reason = warning.finding.reason.name(), "{warning}");
        }
    }

    async fn drain(self) -> Ended {
        let within = self.loaded.settings.drain_deadline;
        self.board
            .update(|status| status.waiting_for = vec!["the end: it is draining"]);
        info!(
            connections = self.state.open.load(Ordering::Relaxed),
            ?within,
            "draining"
        );
        for acceptor in &self.acceptors {
            let _ = acceptor.commands.send(Command::Drain(within));
        }
        for acceptor in self.acceptors {
            // The sender is dropped, never used: its end is the message.
            let _ = acceptor.ended.await;
        }
        self.admin.abort();
        info!("ended");
        Ended::Drained
    }
}

/// Binds the admin port of new settings.
fn bind_admin(old: &Settings, new: &Settings) -> Result<TcpListener, Error> {
    let sharing = Sharing::between(old.admin.port(), new.admin.port());
    admin::bind(new.admin, sharing).map_err(|source| Error::Bind {
        which: "the admin port",
        address: new.admin.to_string(),
        source,
    })
}

/// Where settings listen, in words.
pub(crate) fn listen(settings: &Settings) -> String {
    match settings.host {
        Some(IpAddr::V6(host)) => format!("[{host}]:{}", settings.port),
        Some(IpAddr::V4(host)) => format!("{host}:{}", settings.port),
        None => format!("*:{}", settings.port),
    }
}
