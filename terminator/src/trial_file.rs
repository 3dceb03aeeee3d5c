//! The file of `--trials`: which share of the clients gets the candidates of certificates, and which devices must not.
//!
//! Without the file there are no trials. One that cannot be used changes nothing.

use std::path::Path;

use mqtt_tls_config::{Trial, TrialsError};
use mqtt_tls_program::error::chain;
use tracing::{info, warn};

use crate::source::{self, Digest, Source};
use crate::trial::Trials;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(source::Error),
    #[error(transparent)]
    Content(TrialsError),
}

/// The file, and what was read last.
pub(crate) struct TrialFile {
    source: Source,
    read: Option<Digest>,
    /// What was logged last, so that it is logged once.
    refused: Option<String>,
}

impl TrialFile {
    /// Names the file, which may not exist yet.
    pub(crate) fn new(beside: &Source, path: &Path) -> Self {
        Self {
            source: beside.beside(path),
            read: None,
            refused: None,
        }
    }

    /// Reads the file, and follows its trials if they are new.
    pub(crate) fn reload(&mut self, trials: &Trials) {
        match self.read() {
            Ok(None) => {}
            Ok(Some((digest, new))) => {
                trials.follow(&new);
                let avoided: usize = new.iter().map(|trial| trial.avoided.len()).sum();
                info!(trials = new.len(), avoided, "loaded trials of certificates");
                self.read = Some(digest);
            }
            // Without a trial there is no file.
            Err(Error::Read(error)) if error.is_absent() => {
                if self.read.take().is_some() {
                    trials.follow(&[]);
                    info!("the file of trials is gone; all clients get the current certificates");
                }
            }
            Err(error) => {
                let message = chain(&error);
                if self.refused.as_ref() != Some(&message) {
                    warn!("trials of certificates refused; keeping the current ones: {message}");
                    self.refused = Some(message);
                }
                return;
            }
        }
        self.refused = None;
    }

    fn read(&self) -> Result<Option<(Digest, Vec<Trial>)>, Error> {
        let text = self.source.read().map_err(Error::Read)?;
        if self.read == Some(text.digest) {
            return Ok(None);
        }
        let trials = Trial::parse(&text.text).map_err(Error::Content)?;
        Ok(Some((text.digest, trials)))
    }
}
