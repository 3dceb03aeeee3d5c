//! Parses and validates the configuration file, and decides whether it may replace the active configuration.
//!
//! It must not change the active configuration.

use std::path::Path;

use jiff::Timestamp;
use mqtt_tls_config::Config;
use zeroize::Zeroizing;

use crate::settings::{self, Judgement, Settings, Warning};
use crate::source;
use mqtt_tls_judge::finding::Reason;

/// Errors in loading a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can be parsed, but has invalid content.
    #[error("{0}")]
    Content(settings::Problems),
    /// The file cannot be read.
    #[error("failed to read the configuration")]
    Read(#[source] source::Error),
    /// An expired or not yet valid certificate would replace valid ones.
    #[error("keeping the current configuration: {0}")]
    Worse(Warning),
    /// The file cannot be parsed.
    #[error("{0}")]
    Written(mqtt_tls_config::Problems),
}

impl Error {
    /// Returns the reason, one of a fixed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Content(problems) => problems
                .iter()
                .next()
                .map_or("unusable", settings::Problem::reason),
            Self::Read(_) => "unreadable",
            Self::Worse(warning) if warning.finding.reason == Reason::Expired => "expired",
            Self::Worse(_) => "not_yet_valid",
            Self::Written(_) => "malformed",
        }
    }
}

/// A loaded configuration, with its text to detect changes.
pub(crate) struct Loaded {
    pub(crate) text: Zeroizing<String>,
    pub(crate) settings: Settings,
}

/// Loads the text at startup: accepts what earlier releases served.
pub(crate) fn first(text: Zeroizing<String>) -> Result<Loaded, Error> {
    let settings = prepare(&text, Judgement::AtStart)?;
    Ok(Loaded { text, settings })
}

/// Loads the text as a replacement for the active configuration.
pub(crate) fn again(
    text: &Zeroizing<String>,
    before: &Settings,
    now: Timestamp,
) -> Result<Loaded, Error> {
    let settings = prepare(text, Judgement::InPlaceOf(before))?;
    settings.may_replace(before, now).map_err(Error::Worse)?;
    Ok(Loaded {
        text: text.clone(),
        settings,
    })
}

/// Reads and validates a file as a new configuration.
///
/// # Errors
///
/// Returns all problems of the file.
pub fn check(path: &Path) -> Result<Settings, Error> {
    let text = source::read(path).map_err(Error::Read)?;
    prepare(&text, Judgement::Strict)
}

fn prepare(text: &str, judgement: Judgement<'_>) -> Result<Settings, Error> {
    let config = Config::parse(text).map_err(Error::Written)?;
    Settings::prepare(&config, judgement).map_err(Error::Content)
}
