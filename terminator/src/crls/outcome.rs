//! What came of reading a source of revocation lists: one of a fixed set, for metrics, `/status` and the reference.
//!
//! It must not hold what a source has sent.

use mqtt_tls_judge::revocation::error::{Error, Reason};

use crate::fetch;

/// What came of reading a source; one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A list that was there before is not there any more.
    Gone,
    /// A list is from the future, and another one is current.
    NotYetValid,
    /// All of its lists are used.
    Ok,
    /// A list is older than the one that is used.
    Older,
    /// A list is invalid.
    Refused(Reason),
    /// A URL did not bring it.
    Unfetched(fetch::error::Reason),
    /// The file cannot be read.
    Unreadable,
}

impl Outcome {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let own = [
            Self::Gone,
            Self::NotYetValid,
            Self::Ok,
            Self::Older,
            Self::Unreadable,
        ];
        let refused = Reason::ALL.map(Self::Refused).into_iter();
        // That an answer is too large is one of both.
        let unfetched = fetch::error::Reason::ALL.map(Self::Unfetched).into_iter();
        let unfetched =
            unfetched.filter(|one| *one != Self::Unfetched(fetch::error::Reason::TooLarge));
        own.into_iter().chain(refused).chain(unfetched)
    }

    /// Reports whether the source is good: nothing that it has should be used instead.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Self::NotYetValid | Self::Ok | Self::Older)
    }

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::NotYetValid => "not_yet_valid",
            Self::Ok => "ok",
            Self::Older => "older",
            Self::Refused(reason) => reason.name(),
            Self::Unfetched(reason) => reason.name(),
            Self::Unreadable => "unreadable",
        }
    }

    /// Returns the description for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Gone => {
                "the answer of a URL lacks a list that it had before; the one from before is kept"
            }
            Self::NotYetValid => {
                "a list is from the future, and the current one is kept until then; the source counts as good"
            }
            Self::Ok => "all lists of the source are used",
            Self::Older => {
                "a list is older than the one that is used, which is kept; the source counts as good"
            }
            Self::Unfetched(reason) => reason.meaning(),
            Self::Unreadable => "the file cannot be read",
            Self::Refused(reason) => match reason {
                Reason::BrokenList => "there is no list, or a damaged one",
                Reason::IssuerCannotSign => {
                    "the CA of a list may not sign lists (its key usage lacks cRLSign)"
                }
                Reason::SignatureMismatch => {
                    "the signature of a list does not fit the CA of that name, or is too weak"
                }
                Reason::TooLarge => "there are too many bytes, entries or lists",
                Reason::UnknownIssuer => {
                    "the issuer of a list is not among the CA certificates of `clientAuth`, nor issued by one of them"
                }
                Reason::UnsupportedList => {
                    "a list is a delta list, an indirect one, or otherwise not a complete list"
                }
            },
        }
    }
}

/// Why a source, or a list of it, is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            outcome: Outcome::Refused(error.reason()),
            message: error.to_string(),
        }
    }
}
