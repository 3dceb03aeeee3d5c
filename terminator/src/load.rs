//! From the file's text to settings, and the decision whether they may take the place of those that
//! run.
//!
//! It must not change what runs: a bad file, or a worse certificate, changes nothing.

use std::path::Path;

use jiff::Timestamp;
use mqtt_tls_config::Config;

use crate::settings::{self, Judgement, Settings, Warning};
use crate::source::{self, Digest, Source, Text};
use mqtt_tls_judge::finding::Reason;

/// Why a file does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is written cannot be run.
    #[error("{0}")]
    Content(settings::Problems),
    /// The file could not be read.
    #[error("failed to read the configuration")]
    Read(#[source] source::Error),
    /// A certificate outside of its dates would replace valid ones.
    #[error("keeping the current configuration: {0}")]
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

/// A configuration that can run, and the digest of the text that it was made from.
pub(crate) struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) settings: Settings,
}

/// Judges a file's text at the start: what an earlier release served is served.
pub(crate) fn first(text: Text) -> Result<Loaded, Error> {
    let settings = prepare(&text.text, Judgement::AtStart)?;
    let digest = text.digest;
    Ok(Loaded { digest, settings })
}

/// Judges a file's text that may replace the active configuration.
pub(crate) fn again(text: Text, before: &Settings, now: Timestamp) -> Result<Loaded, Error> {
    let settings = prepare(&text.text, Judgement::InPlaceOf(before))?;
    settings.may_replace(before, now).map_err(Error::Worse)?;
    let digest = text.digest;
    Ok(Loaded { digest, settings })
}

/// Reads and judges a file as the terminator would if it were new.
///
/// # Errors
///
/// All that keeps it from running.
pub fn check(path: &Path) -> Result<Settings, Error> {
    let source = Source::new(path).map_err(Error::Read)?;
    let text = source.read().map_err(Error::Read)?;
    prepare(&text.text, Judgement::Strict)
}

fn prepare(text: &str, judgement: Judgement<'_>) -> Result<Settings, Error> {
    let config = Config::parse(text).map_err(Error::Written)?;
    Settings::prepare(&config, judgement).map_err(Error::Content)
}
