//! Parses and validates the configuration file, and decides whether it may replace the active configuration.
//!
//! It must not change the active configuration.

use std::path::Path;

use jiff::Timestamp;
use mqtt_tls_config::Config;

use crate::lists::Lists;
use crate::reload::Reload;
use crate::settings::{self, Judgement, Settings, Warning};
use crate::source::{self, Digest, Source, Text};
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
    pub fn reason(&self) -> Reload {
        match self {
            Self::Content(problems) => problems
                .iter()
                .next()
                .map_or(Reload::Malformed, settings::Problem::reason),
            Self::Read(_) => Reload::Unreadable,
            Self::Worse(warning) if warning.finding.reason == Reason::Expired => Reload::Expired,
            Self::Worse(_) => Reload::NotYetValid,
            Self::Written(_) => Reload::Malformed,
        }
    }
}

/// A configuration that can run, and the digest of the text that it was made from.
pub(crate) struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) settings: Settings,
}

/// Judges a file's text at the start: what an earlier release served is served.
pub(crate) fn first(text: &Text) -> Result<Loaded, Error> {
    let settings = prepare(&text.text, Judgement::AtStart)?;
    let digest = text.digest;
    Ok(Loaded { digest, settings })
}

/// Judges a file's text that may replace the active configuration.
pub(crate) fn again(text: &Text, before: &Settings, now: Timestamp) -> Result<Loaded, Error> {
    let settings = prepare(&text.text, Judgement::InPlaceOf(before))?;
    settings.may_replace(before, now).map_err(Error::Worse)?;
    let digest = text.digest;
    Ok(Loaded { digest, settings })
}

/// Reads and validates a file as a new configuration, and then a file with revocation lists, whose failures are among the
/// [warnings](Settings::list_warnings).
///
/// # Errors
///
/// Returns all problems of the file.
pub fn check(path: &Path, crls: Option<&Path>) -> Result<Settings, Error> {
    let source = Source::new(path).map_err(Error::Read)?;
    let text = source.read().map_err(Error::Read)?;
    let settings = prepare(&text.text, Judgement::Strict)?;
    Lists::first(&source, crls, &settings, Timestamp::now());
    Ok(settings)
}

fn prepare(text: &str, judgement: Judgement<'_>) -> Result<Settings, Error> {
    let config = Config::parse(text).map_err(Error::Written)?;
    Settings::prepare(&config, judgement).map_err(Error::Content)
}
