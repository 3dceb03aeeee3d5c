//! One attempt to get the lists of a URL, and what the log says of it: once when it changes. It must not decide when it is made.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use mqtt_tls_judge::escape;
use mqtt_tls_judge::revocation::error::Reason;
use mqtt_tls_judge::revocation::source::Bounds;
use mqtt_tls_program::error::chain;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use super::Url;
use crate::crls::{Content, ENTRIES_MAX, Failure, Outcome, Pool, Source};
use crate::fetch::error::Error;
use crate::fetch::{self, Answer, Body, Limits, Validators};

/// Maximum size of what a URL answers, in bytes: more than a million serial numbers in DER.
const SIZE_MAX: usize = 64 * 1024 * 1024;

/// Maximum length of what is said of a failed GET, in bytes.
const MESSAGE_MAX: usize = 500;

/// Limits of a GET.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    head: Duration::from_secs(10),
    body: Duration::from_secs(120),
    size: SIZE_MAX,
};

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Lists, or those of before.
    Good,
    /// Nothing.
    Nothing,
    /// Something that is refused.
    Refused,
}

/// A URL that is asked again and again.
pub(super) struct Asking {
    pub(super) url: Url,
    source: Source,
    pool: Arc<Pool>,
    turn: Arc<Semaphore>,
    known: Known,
    /// What was logged last; `None` before the first attempt.
    logged: Option<Result<(), Outcome>>,
}

/// What is known of the last answer, if it was good.
#[derive(Default)]
struct Known {
    validators: Validators,
    digest: Option<Vec<u8>>,
}

impl Asking {
    pub(super) fn new(url: Url, pool: &Arc<Pool>, turn: &Arc<Semaphore>) -> Self {
        Self {
            source: Source::Url(url.written.url.clone()),
            url,
            pool: Arc::clone(pool),
            turn: Arc::clone(turn),
            known: Known::default(),
            logged: None,
        }
    }

    /// Returns the time from now at which the first of the lists becomes outdated, in seconds, unless that was long ago.
    pub(super) fn until(&self) -> Option<i64> {
        let now = Timestamp::now().as_second();
        let refresh = i64::try_from(self.url.written.refresh.as_secs()).unwrap_or(i64::MAX);
        let dates = self.pool.next_updates(&self.source).into_iter();
        let left = dates.map(|date| date.saturating_sub(now));
        left.filter(|left| *left >= -refresh).min()
    }

    /// Gets the lists, and hands them to the pool.
    pub(super) async fn attempt(&mut self) -> Came {
        // After a failure, what was good before is examined once more.
        let known = std::mem::take(&mut self.known);
        let (Url { place, client, .. }, turn) = (&self.url, &self.turn);
        let got = fetch::get(place, client.as_ref(), &known.validators, LIMITS, turn).await;
        let now = Timestamp::now();
        match got {
            Err(error) => {
                let failure = Failure::from(error);
                self.note(Err(&failure));
                self.pool.fail(&self.source, failure, now);
                Came::Nothing
            }
            Ok(Answer::Unchanged) => {
                self.known = known;
                self.is_unchanged(now)
            }
            Ok(Answer::Body(body)) => self.examine(body, known, now).await,
        }
    }

    fn is_unchanged(&mut self, now: Timestamp) -> Came {
        self.pool.confirm(&self.source, now);
        debug!(url = self.url.place.shown(), "revocation lists unchanged");
        Came::Good
    }

    /// Takes the lists in an answer.
    async fn examine(&mut self, body: Body, known: Known, now: Timestamp) -> Came {
        let Body {
            bytes,
            validators,
            turn,
        } = body;
        let size = bytes.len();
        let (pool, before) = (Arc::clone(&self.pool), known.digest);
        // It takes seconds for a million entries.
        let examined = spawn_blocking(move || {
            let digest = digest(&SHA256, &bytes).as_ref().to_vec();
            let is_same = before.as_ref() == Some(&digest);
            let content = (!is_same).then(|| pool.examine(&bytes, BOUNDS, CERTIFICATES_MAX));
            // The next answer is read after that.
            drop((bytes, turn));
            (content, digest)
        });
        let Ok((content, digest)) = examined.await else {
            return self.refuse(Failure::unexamined(), now);
        };
        let known = Known {
            validators,
            digest: Some(digest),
        };
        let Some(content) = content else {
            self.known = known;
            return self.is_unchanged(now);
        };
        let lists = content.lists.len();
        match self.replace(content, now) {
            Err(failure) if !failure.outcome.is_good() => {
                self.note(Err(&failure));
                Came::Refused
            }
            came => {
                // A list from the future is examined again, and the same older one does not count as new.
                if came.is_ok() {
                    self.known = known;
                }
                self.note(came.as_ref().map(|()| (lists, size)));
                Came::Good
            }
        }
    }

    fn replace(&self, content: Content, now: Timestamp) -> Result<(), Failure> {
        self.pool.replace(&self.source, content, now)
    }

    fn refuse(&mut self, failure: Failure, now: Timestamp) -> Came {
        self.note(Err(&failure));
        self.pool.fail(&self.source, failure, now);
        Came::Refused
    }

    /// Logs what came of an attempt: new lists, and the first of equal failures.
    fn note(&mut self, came: Result<(usize, usize), &Failure>) {
        let url = self.url.place.shown();
        match came {
            Ok((lists, bytes)) => info!(url, lists, bytes, "loaded revocation lists"),
            Err(failure) if self.logged == Some(Err(failure.outcome)) => {
                debug!(url, "failed to load revocation lists: {}", failure.message);
            }
            Err(failure) => warn!(
                url,
                reason = failure.outcome.name(),
                "failed to load revocation lists; keeping the last good ones, and retrying: {}",
                failure.message
            ),
        }
        self.logged = Some(came.map(drop).map_err(|failure| failure.outcome));
    }
}

/// Maximum number of certificates beside the lists of a URL, which anyone may serve.
const CERTIFICATES_MAX: usize = 8;

/// Limits of lists.
const BOUNDS: Bounds = Bounds {
    bytes: SIZE_MAX,
    entries: ENTRIES_MAX,
};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            outcome: Outcome::Unfetched(error.reason()),
            // A library may quote the server's certificate, with all of its names.
            message: escape::escaped(&chain(&error), MESSAGE_MAX),
        }
    }
}

impl Failure {
    /// Parsing panicked, or the process ends.
    fn unexamined() -> Self {
        Self {
            outcome: Outcome::Refused(Reason::BrokenList),
            message: "the lists could not be parsed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Failure, MESSAGE_MAX};

    #[test]
    fn what_a_library_quotes_of_the_server_is_bounded_and_escaped() {
        let names = "a.example\n".repeat(1000);
        let failure = Failure::from(Error::Tls(std::io::Error::other(names)));
        assert!(failure.message.len() <= MESSAGE_MAX);
        let is_start = |start| failure.message.starts_with(start);
        assert!(is_start("the TLS handshake failed: a.example\\na.example"));
    }
}
