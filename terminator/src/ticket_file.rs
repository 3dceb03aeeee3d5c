//! The file with the session ticket keys that all pods of a listener share.
//!
//! A file that cannot be used changes nothing: the last keys stay, or at first those of this process. It must not log a key.

use std::path::Path;

use mqtt_tls_config::{TICKET_FILE_SIZE_MAX, TicketKey, TicketsError};
use mqtt_tls_program::error::chain;
use tracing::{info, warn};

use crate::source::{self, Digest, Source};
use crate::tls::tickets::Keys;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(source::Error),
    #[error("it is larger than {TICKET_FILE_SIZE_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Content(TicketsError),
}

/// The file, and what was read last.
pub(crate) struct TicketFile {
    source: Source,
    read: Option<Digest>,
    /// What was logged last, so that it is logged once.
    refused: Option<String>,
}

impl TicketFile {
    /// Names the file, which may not exist yet.
    pub(crate) fn new(beside: &Source, path: &Path) -> Self {
        Self {
            source: beside.beside(path),
            read: None,
            refused: None,
        }
    }

    /// Reads the file, and takes its keys if they are new.
    pub(crate) fn reload(&mut self, keys: &Keys) {
        match self.read() {
            Ok(None) => {}
            Ok(Some((digest, new))) => {
                keys.share(&new);
                info!(keys = new.len(), "loaded shared session ticket keys");
                self.read = Some(digest);
            }
            Err(error) => {
                let message = chain(&error);
                if self.refused.as_ref() != Some(&message) {
                    // Without tickets, the operator writes no file.
                    if error.is_absent() && self.read.is_none() {
                        info!(
                            "no shared session ticket keys; using those of this process: {message}"
                        );
                    } else {
                        warn!("session ticket keys refused; keeping the current ones: {message}");
                    }
                    self.refused = Some(message);
                }
                return;
            }
        }
        self.refused = None;
    }

    fn read(&self) -> Result<Option<(Digest, Vec<TicketKey>)>, Error> {
        let text = self.source.read().map_err(Error::Read)?;
        if self.read == Some(text.digest) {
            return Ok(None);
        }
        if text.text.len() as u64 > TICKET_FILE_SIZE_MAX {
            return Err(Error::TooLarge);
        }
        let keys = TicketKey::parse(&text.text).map_err(Error::Content)?;
        Ok(Some((text.digest, keys)))
    }
}

impl Error {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_absent())
    }
}
