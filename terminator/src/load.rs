//! From the file's text to settings, and the decision whether they may take the place of those that
//! run.
//!
//! It must not change what runs: a bad file, or a worse certificate, changes nothing.

use std::path::Path;

use jiff::Timestamp;
use mqtt_tls_config::Config;
use zeroize::Zeroizing;

use crate::settings::{self, Judgement, Settings, Warning};
use crate::source;
use mqtt_tls_judge::finding::Reason;

/// Why a file does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is written cannot be run.
    #[error("{0}")]
    Content(settings::Problems),
    /// The file could not be read.
    #[error("the configuration cannot be read")]
    Read(#[source] source::Error),
    /// A certificate outside of its dates would replace valid ones.
    #[error("what runs is better and stays: {0}")]
    Worse(Warning),
    /// The file is not as it must be written.
    #[error("{0}")]
    Written(mqtt_tls_config::Problems),
}

impl Error {
    /// The kind of error, one of a fixed set.
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

/// What was loaded: the text, by which a change is told, and what it means.
pub(crate) struct Loaded {
    pub(crate) text: Zeroizing<String>,
    pub(crate) settings: Settings,
}

/// Judges a file's text as at the start: what an earlier release served is served.
pub(crate) fn first(text: Zeroizing<String>) -> Result<Loaded, Error> {
    let settings = prepare(&text, Judgement::AtStart)?;
    Ok(Loaded { text, settings })
}

/// Judges a file's text that may take the place of what runs.
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

/// Reads and judges a file as the terminator would if it were new.
///
/// # Errors
///
/// All that keeps it from running.
pub fn check(path: &Path) -> Result<Settings, Error> {
    let text = source::read(path).map_err(Error::Read)?;
    prepare(&text, Judgement::Strict)
}

fn prepare(text: &str, judgement: Judgement<'_>) -> Result<Settings, Error> {
    let config = Config::parse(text).map_err(Error::Written)?;
    Settings::prepare(&config, judgement).map_err(Error::Content)
}
