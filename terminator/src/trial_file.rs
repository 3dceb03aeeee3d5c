//! The file of `--trials`: which share of the clients gets the candidates of certificates, and which devices must not.
//!
//! Without the file there are no trials. One that cannot be used changes nothing.

use mqtt_tls_config::Trial;
use tracing::{info, warn};

use crate::followed::{Change, Followed};
use crate::trial::Trials;

/// Reads the file, and follows its trials if they are new.
pub(crate) fn reload(file: &mut Followed, trials: &Trials) {
    match file.look(Trial::parse) {
        // Without a trial there is no file.
        Change::Nothing
        | Change::Absent {
            was_there: false, ..
        } => {}
        Change::New(new) => {
            trials.follow(&new);
            let avoided: usize = new.iter().map(|trial| trial.avoided.len()).sum();
            info!(trials = new.len(), avoided, "loaded trials of certificates");
        }
        Change::Absent {
            was_there: true, ..
        } => {
            trials.follow(&[]);
            info!("the file of trials is gone; all clients get the current certificates");
        }
        Change::Refused(error) => {
            warn!("trials of certificates refused; keeping the current ones: {error}");
        }
    }
}
