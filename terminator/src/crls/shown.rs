//! What `/status`, the log and `check` show of the pool.
//!
//! It must not show the query of a URL, which may have a token.

use jiff::Timestamp;
use mqtt_tls_judge::revocation::Status;
use mqtt_tls_judge::revocation::crl::Crl;
use serde::Serialize;

use super::{Pool, Source};
use crate::crls::kept::Kept;

/// The pool of revocation lists.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Whether each source has brought lists, now or before; otherwise lists are missing.
    pub complete: bool,
    /// How often what counts has changed.
    pub generation: u64,
    /// The sources.
    pub sources: Vec<ShownSource>,
}

/// Where lists come from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownSource {
    /// `file`, or the key of the configuration, such as `crls[0]`; `removed[0]` if it is not in it any more, and its lists count
    /// until each new source has brought its own.
    pub source: String,
    /// The URL, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it brought lists last.
    pub loaded_at: Option<Timestamp>,
    /// Why it is not good.
    pub error: Option<ShownError>,
    /// Its last good lists.
    pub lists: Vec<ShownList>,
}

/// Why a source is not good.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownError {
    /// One of a fixed set.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
    /// When it was found.
    pub at: Timestamp,
}

/// A revocation list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownList {
    /// Its issuer.
    pub issuer: String,
    /// When it was made.
    pub this_update: String,
    /// When it is to be replaced.
    pub next_update: String,
    /// The same in seconds since 1970.
    #[serde(skip)]
    pub(crate) next_update_seconds: i64,
    /// The number of revoked certificates.
    pub entries: usize,
    /// Whether it is a part of a larger list.
    pub part: bool,
}

/// A warning about a source or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `--crls`, or a key of the configuration.
    pub key: String,
    /// One of a fixed set.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether a source, or a list of it, cannot be used.
    pub is_error: bool,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Pool {
    /// Returns what is shown; `None` without sources.
    pub(crate) fn shown(&self) -> Option<Shown> {
        let book = self.lock();
        let sources: Vec<_> = book
            .numbered()
            .map(|(name, kept)| kept.shown(name))
            .collect();
        let complete = !book.sources.iter().any(Kept::is_missing);
        (!sources.is_empty()).then_some(Shown {
            complete,
            generation: self.generation(),
            sources,
        })
    }

    /// Returns the warnings at a time.
    pub(crate) fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let book = self.lock();
        book.numbered()
            .flat_map(|(name, kept)| kept.warnings(&name, now))
            .collect()
    }
}

impl super::Book {
    /// Returns the sources with their names: URLs are numbered as in the configuration, and those that are removed by themselves.
    fn numbered(&self) -> impl Iterator<Item = (String, &Kept)> {
        let mut urls = 0..;
        let removed = self.leaving.iter().enumerate();
        let removed = removed.map(|(index, kept)| (format!("removed[{index}]"), kept));
        let sources = self.sources.iter().map(move |kept| {
            let name = match kept.source {
                Source::File => "file".to_owned(),
                Source::Url(_) => format!("crls[{}]", urls.next().unwrap_or_default()),
            };
            (name, kept)
        });
        sources.chain(removed)
    }
}

impl Kept {
    fn shown(&self, source: String) -> ShownSource {
        let without_query = |url: &String| url.split('?').next().unwrap_or_default().to_owned();
        ShownSource {
            source,
            url: match &self.source {
                Source::File => None,
                Source::Url(url) => Some(without_query(url)),
            },
            loaded_at: self.loaded_at,
            error: self.failure.as_ref().map(|(failure, at)| ShownError {
                reason: failure.outcome.name(),
                message: failure.message.clone(),
                at: *at,
            }),
            lists: self.lists.iter().map(|list| ShownList::of(list)).collect(),
        }
    }

    fn warnings(&self, name: &str, now: Timestamp) -> Vec<Warning> {
        let key = match self.source {
            Source::File => "--crls",
            Source::Url(_) => name,
        };
        let warning = |reason, message| Warning {
            key: key.to_owned(),
            reason,
            message,
            is_error: false,
        };
        let failure = self.failure.iter();
        let mut warnings: Vec<Warning> = failure
            .map(|(failure, _)| Warning {
                is_error: true,
                ..warning(failure.outcome.name(), failure.message.clone())
            })
            .collect();
        warnings.extend(self.lists.iter().filter_map(|list| {
            let (reason, what) = match list.status(now) {
                Status::Outdated(date) => ("outdated", format!("was to be replaced by {date}")),
                Status::NotYetValid(date) => {
                    ("not_yet_valid", format!("is valid from {date} only"))
                }
                _ => return None,
            };
            let message = format!(
                "the revocation list of {} {what}; issue a new one",
                list.issuer()
            );
            Some(warning(reason, message))
        }));
        warnings
    }
}

impl ShownList {
    fn of(list: &Crl) -> Self {
        Self {
            issuer: list.issuer().to_owned(),
            this_update: list.this_update().to_string(),
            next_update: list.next_update().to_string(),
            next_update_seconds: list.next_update().as_second(),
            entries: list.entries(),
            part: list.is_part(),
        }
    }
}
