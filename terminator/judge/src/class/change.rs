//! How two classes differ, and how that is shown. It must not decide what follows from it.

use std::fmt;

/// Maximum number of names, roots or algorithms in a text.
pub(super) const LISTED_MAX: usize = 3;

/// A difference between two classes. Texts are escaped and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another authority issued the leaf. Both texts are equal if it has the same name and another key.
    Issuer {
        /// Its name before.
        before: String,
        /// Its name now.
        now: String,
    },
    /// The chain ends at another authority. Both texts are equal if it has the same name and another key.
    Root {
        /// Its name before.
        before: String,
        /// Its name now.
        now: String,
    },
    /// The leaf's key is of another kind or size.
    Key {
        /// Its kind before.
        before: String,
        /// Its kind now.
        now: String,
    },
    /// Signatures are of other algorithms.
    Signature {
        /// The algorithms before.
        before: String,
        /// The algorithms now.
        now: String,
    },
    /// The chain has another number of certificates.
    ChainLength {
        /// Their number before.
        before: usize,
        /// Their number now.
        now: usize,
    },
    /// The chain has grown by more than [`CHAIN_GROWTH_MAX`](super::CHAIN_GROWTH_MAX).
    ChainSize {
        /// Its size before, in bytes.
        before: usize,
        /// Its size now, in bytes.
        now: usize,
    },
    /// The leaf's key, or an issuer, may not be used any more for something that clients check.
    UsesLost {
        /// What it may not be used for.
        uses: Vec<String>,
    },
    /// There are critical extensions that there were not: a client that does not know one refuses the chain.
    CriticalAdded {
        /// Their names.
        extensions: Vec<String>,
    },
    /// The leaf is no longer for names that it was for. A common name is among them if it is lost as such.
    NamesLost {
        /// The first of them, at most 3.
        names: Vec<String>,
        /// Their number.
        count: usize,
    },
}

/// Lists the first of some texts; `count` is how many there are.
pub(super) fn listed(texts: &[String], count: usize, separator: &str) -> String {
    let shown = texts[..texts.len().min(LISTED_MAX)].join(separator);
    match count {
        0 => "none".to_owned(),
        count if count > LISTED_MAX => format!("{shown} and {} more", count - LISTED_MAX),
        _ => shown,
    }
}

fn authority(f: &mut fmt::Formatter<'_>, what: &str, before: &str, now: &str) -> fmt::Result {
    if before == now {
        return write!(f, "{what} {now} with another key");
    }
    write!(f, "{what} {now} instead of {before}")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        match self {
            Self::Issuer { before, now } => authority(f, "issuer", before, now),
            Self::Root { before, now } => authority(f, "root", before, now),
            Self::Key { before, now } => write!(f, "key {now} instead of {before}"),
            Self::Signature { before, now } => write!(f, "signature {now} instead of {before}"),
            Self::ChainLength { before, now } => {
                let s = plural(*now);
                write!(f, "chain of {now} certificate{s} instead of {before}")
            }
            Self::ChainSize { before, now } => {
                write!(f, "chain of {now} bytes instead of {before}")
            }
            Self::UsesLost { uses } => {
                let (s, uses) = (plural(uses.len()), listed(uses, uses.len(), ", "));
                write!(f, "use{s} {uses} missing")
            }
            Self::CriticalAdded { extensions } => {
                let (s, count) = (plural(extensions.len()), extensions.len());
                let extensions = listed(extensions, count, ", ");
                write!(f, "critical extension{s} {extensions} added")
            }
            Self::NamesLost { names, count } => {
                let (s, names) = (plural(*count), listed(names, *count, ", "));
                write!(f, "name{s} {names} missing")
            }
        }
    }
}
