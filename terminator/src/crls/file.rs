//! The file of `--crls`: revocation lists, and certificates of their issuers, as PEM.
//!
//! A file that cannot be used changes nothing: its last good lists stay.

use std::path::Path;

use jiff::Timestamp;
use mqtt_tls_config::FILE_SIZE_MAX;
use mqtt_tls_judge::revocation::source::{Bounds, CERTIFICATES_MAX};
use mqtt_tls_program::error::chain;
use tracing::{info, warn};

use super::{Content, ENTRIES_MAX, Failure, Outcome, Pool, Source};
use crate::source::{self, Digest};

/// The file, and what was read last.
pub(crate) struct CrlFile {
    source: source::Source,
    /// What was read last, unless the file cannot be read now.
    read: Option<Digest>,
    /// Whether a list of it is from the future, so that the file is examined again.
    is_early: bool,
    /// Whether it was ever there.
    was_there: bool,
    /// Why it cannot be read, so that this is logged once.
    unreadable: Option<String>,
}

impl CrlFile {
    /// Names the file, which may not exist yet.
    pub(crate) fn new(beside: &source::Source, path: &Path) -> Self {
        Self {
            source: beside.beside(path),
            read: None,
            is_early: false,
            was_there: false,
            unreadable: None,
        }
    }

    /// Forgets the file, while no client is judged by it.
    pub(crate) fn forget(&mut self) {
        self.read = None;
        self.was_there = false;
        self.unreadable = None;
    }

    /// Reads the file, and takes its lists if they are new. With `again` also if they are not: their issuers may be known now.
    pub(crate) fn reload(&mut self, pool: &Pool, again: bool, now: Timestamp) {
        match self.source.read() {
            Ok(text) if self.read == Some(text.digest) && !again && !self.is_early => {}
            Ok(text) => {
                let is_known = self.read == Some(text.digest);
                let content = pool.examine(text.text.as_bytes(), bounds(), CERTIFICATES_MAX);
                let was_early = std::mem::replace(&mut self.is_early, false);
                match pool.replace(&Source::File, content, now) {
                    Ok(()) => info!(
                        lists = pool.lists().lists().len(),
                        "loaded revocation lists"
                    ),
                    Err(failure) => {
                        self.is_early = failure.outcome == Outcome::NotYetValid;
                        if !(is_known && was_early && self.is_early) {
                            warn(&failure);
                        }
                    }
                }
                self.read = Some(text.digest);
                self.was_there = true;
                self.unreadable = None;
            }
            Err(error) => {
                let message = chain(&error);
                if self.unreadable.as_ref() == Some(&message) {
                    return;
                }
                if error.is_absent() && !self.was_there {
                    // Without lists, the operator writes no file: nothing is missing.
                    info!("no revocation lists: {message}");
                    let _ = pool.replace(&Source::File, Content::default(), now);
                } else {
                    let failure = Failure {
                        outcome: Outcome::Unreadable,
                        message: message.clone(),
                    };
                    warn(&failure);
                    pool.fail(&Source::File, failure, now);
                }
                self.read = None;
                self.unreadable = Some(message);
            }
        }
    }
}

fn warn(failure: &Failure) {
    let (reason, message) = (failure.outcome.name(), &failure.message);
    warn!(
        reason,
        "revocation lists refused; keeping the last good ones: {message}"
    );
}

fn bounds() -> Bounds {
    Bounds {
        bytes: usize::try_from(FILE_SIZE_MAX).unwrap_or(usize::MAX),
        entries: ENTRIES_MAX,
    }
}
