//! The control thread: loads configurations, hands them to the accepting threads, serves the admin port, and shuts
//! down.
//!
//! It must not touch a connection. A configuration that fails in any part must change nothing.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::select_all;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::acceptor::{Acceptor, Command};
use crate::admin::{self, Board, ReloadError, Status};
use crate::followed::Followed;
use crate::lists::Lists;
use crate::load::{self, Loaded};
use crate::metrics::Metrics;
use crate::reload::Reload;
use crate::settings::Settings;
use crate::sockets::{self, Bound, Sharing};
use crate::source::{Digest, Source};
use crate::state::State;
use crate::watch::Watch;
use crate::{ticket_file, trial_file};
use mqtt_tls_judge::certificate::Certificate;
use mqtt_tls_program::error::chain;

/// A request to a running terminator.
pub(crate) enum Request {
    /// Check the file now.
    Reload,
    /// Shut down gracefully.
    Drain,
}

/// How a terminator ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// On request.
    Drained,
    /// An accepting thread ended unexpectedly; the log says why.
    ThreadLost,
}

/// What the control thread owns.
pub(crate) struct Control {
    pub(crate) source: Source,
    pub(crate) ticket_keys: Option<Followed>,
    pub(crate) crls: Lists,
    pub(crate) trials: Option<Followed>,
    pub(crate) loaded: Loaded,
    pub(crate) acceptors: Vec<Acceptor>,
    pub(crate) metrics: Metrics,
    pub(crate) state: Arc<State>,
    pub(crate) board: Arc<Board>,
    pub(crate) admin: JoinHandle<()>,
    pub(crate) refused: Option<Refused>,
}

/// What was refused last, so that it is logged once, and judged again only where time can change the verdict.
pub(crate) struct Refused {
    digest: Option<Digest>,
    message: String,
    is_final: bool,
}

/// Why a configuration could not be put into effect.
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
    fn reason(&self) -> Reload {
        match self {
            Self::Load(error) => error.reason(),
            Self::Bind { .. } => Reload::Unbindable,
        }
    }

    /// Reports whether the same text will always be refused: neither time nor another program can change that.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Load(load::Error::Content(_) | load::Error::Written(_))
        )
    }
}

impl Control {
    /// Runs until it is asked to shut down, or a thread is lost.
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

    /// Reads all files, and puts what is new and good into effect. With `asked` the log says what came of it in any case.
    pub(crate) fn reload(&mut self, asked: bool) {
        let now = Timestamp::now();
        if let Some(file) = &mut self.ticket_keys {
            ticket_file::reload(file, &self.loaded.settings.tickets);
        }
        self.reload_configuration(asked, now);
        // Behind the configuration, which says whether there is to be a file of lists.
        self.crls.reload(&self.loaded.settings.crls, now);
        if asked {
            self.crls.ask_now();
        }
        if let Some(file) = &mut self.trials {
            trial_file::reload(file, &self.state.trials);
        }
    }

    /// Reads the configuration file, and puts it into effect if it is new and good.
    fn reload_configuration(&mut self, asked: bool, now: Timestamp) {
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
                self.metrics.reloaded(Reload::Reverted);
            } else if asked {
                info!("configuration unchanged");
                self.metrics.reloaded(Reload::Unchanged);
            }
            return;
        }
        let is_known =
            |refused: &Refused| refused.is_final && refused.digest.as_ref() == Some(&text.digest);
        if !asked && self.refused.as_ref().is_some_and(is_known) {
            return;
        }
        let taken_over = load::again(&text, &self.loaded.settings, now)
            .map_err(Error::Load)
            .and_then(|loaded| self.take_over(loaded, now));
        if let Err(error) = taken_over {
            self.refuse(Some(text.digest), &error, asked, now);
        }
    }

    /// Puts a configuration into effect: first everything that can fail, then everything that cannot.
    fn take_over(&mut self, loaded: Loaded, now: Timestamp) -> Result<(), Error> {
        let (old, new) = (&self.loaded.settings, &loaded.settings);
        let opened = self.bind(old, new)?;
        let admin = if old.admin == new.admin {
            None
        } else {
            Some(bind_admin(old, new)?)
        };
        if let Some(listener) = admin {
            self.admin.abort();
            self.admin = tokio::spawn(admin::serve(listener, Arc::clone(&self.board)));
        }
        // Clients that the new settings accept need the lists of their issuers.
        self.crls.expect(new, now);
        let settings = Arc::new(new.clone());
        let places = settings.places();
        let is_moved = places != old.places();
        for (acceptor, opened) in self.acceptors.iter().zip(opened) {
            // `run` notices a lost thread.
            let _ = acceptor
                .commands
                .send(Command::Settings(Arc::clone(&settings)));
            if is_moved {
                let places = places.clone();
                let _ = acceptor.commands.send(Command::Listen { opened, places });
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

    /// Binds sockets for each thread to the places that are new; the others stay open without a gap.
    fn bind(&self, old: &Settings, new: &Settings) -> Result<Vec<Bound>, Error> {
        let open = old.places();
        let ports: Vec<u16> = open.iter().map(|place| place.port).collect();
        let added = new
            .places()
            .into_iter()
            .filter(|place| !open.contains(place));
        sockets::bind_all(added, self.acceptors.len(), &ports).map_err(|(place, source)| {
            Error::Bind {
                which: "the listener",
                address: place.to_string(),
                source,
            }
        })
    }

    /// Changes nothing, and reports why: once, and whenever it is asked for.
    fn refuse(&mut self, digest: Option<Digest>, error: &Error, asked: bool, now: Timestamp) {
        let message = chain(error);
        let is_known = self
            .refused
            .as_ref()
            .is_some_and(|refused| refused.digest == digest && refused.message == message);
        let reason = error.reason();
        if asked || !is_known {
            error!(
                reason = reason.name(),
                "new configuration refused; keeping the current one: {message}"
            );
        }
        if is_known {
            return;
        }
        self.metrics.reloaded(reason);
        let last_error = ReloadError {
            reason: reason.name(),
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

    /// Publishes the active configuration: log, `/status` and metrics.
    pub(crate) fn announce(&self, now: Timestamp) {
        let settings = &self.loaded.settings;
        self.metrics.reloaded(Reload::Ok);
        self.metrics
            .allowing(self.state.room.connections(&settings.limits));
        self.metrics.serving(settings);
        self.state.trials.expect(settings.hosts.trials());
        let generation = self
            .board
            .update(|status| status.configuration.generation + 1);
        let status = Status::of(settings, listen(settings), generation, now);
        self.board.announce(Arc::new(settings.clone()), status);
        let listener = settings.hosts.listener();
        let default = listener.certificates.first().map(Certificate::facts);
        info!(
            generation,
            version = settings.version,
            listen = listen(settings),
            backend = %listener.target.backend,
            certificate = default.map(|facts| facts.name()),
            not_after = default.map(|facts| facts.not_after.to_string()),
            fingerprint = default.map(|facts| facts.fingerprint.as_str()),
            "serving"
        );
        for warning in settings.warnings(now) {
            warn!(reason = warning.finding.reason.name(), "{warning}");
        }
        for advice in settings.advice() {
            warn!(reason = advice.reason, "{advice}");
        }
        for warning in settings.list_warnings(now) {
            warn!(reason = warning.reason, "{warning}");
        }
    }

    /// Shuts down gracefully.
    async fn drain(self) -> Ended {
        let within = self.loaded.settings.drain_deadline;
        self.board
            .update(|status| status.waiting_for = vec!["draining"]);
        info!(
            connections = self.state.open.load(Ordering::Relaxed),
            deadline_seconds = within.as_secs_f64(),
            "draining"
        );
        for acceptor in &self.acceptors {
            let _ = acceptor.commands.send(Command::Drain(within));
        }
        for acceptor in self.acceptors {
            // The sender is dropped and never used.
            let _ = acceptor.ended.await;
        }
        self.admin.abort();
        info!("drained");
        Ended::Drained
    }
}

/// Binds the admin port of new settings.
fn bind_admin(old: &Settings, new: &Settings) -> Result<TcpListener, Error> {
    let sharing = Sharing::between(&[old.admin.port()], new.admin.port());
    admin::bind(new.admin, sharing).map_err(|source| Error::Bind {
        which: "the admin port",
        address: new.admin.to_string(),
        source,
    })
}

/// Formats the addresses that settings listen on, that of `port` first.
pub(crate) fn listen(settings: &Settings) -> String {
    let places = settings.places().into_iter();
    let places: Vec<String> = places.map(|place| place.to_string()).collect();
    places.join(", ")
}
