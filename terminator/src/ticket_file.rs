//! The file of `--ticket-keys`, with the session ticket keys that all pods of a listener share.
//!
//! A file that cannot be used changes nothing: the last keys stay, or at first those of this process. It must not log a key.

use mqtt_tls_config::{TICKET_FILE_SIZE_MAX, TicketKey, TicketsError};
use tracing::{info, warn};

use crate::followed::{Change, Followed};
use crate::tls::tickets::Keys;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it is larger than {TICKET_FILE_SIZE_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Content(TicketsError),
}

/// Reads the file, and takes its keys if they are new.
pub(crate) fn reload(file: &mut Followed, keys: &Keys) {
    match file.look(parse) {
        Change::Nothing => {}
        Change::New(new) => {
            keys.share(&new);
            info!(keys = new.len(), "loaded shared session ticket keys");
        }
        // Without tickets, the operator writes no file.
        Change::Absent {
            was_there: false,
            error,
        } => {
            info!("no shared session ticket keys; using those of this process: {error}");
        }
        Change::Absent { error, .. } | Change::Refused(error) => {
            warn!("session ticket keys refused; keeping the current ones: {error}");
        }
    }
}

fn parse(text: &str) -> Result<Vec<TicketKey>, Error> {
    if text.len() as u64 > TICKET_FILE_SIZE_MAX {
        return Err(Error::TooLarge);
    }
    TicketKey::parse(text).map_err(Error::Content)
}
