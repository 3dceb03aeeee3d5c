//! Revocation lists (CRLs, RFC 5280): which certificates their issuers have revoked.
//!
//! ```text
//! bytes ─▶ source (PEM or DER) ─▶ crl (verified: issuer's key, extensions) ─▶ serials, sorted ─▶ status of a certificate
//! ```
//!
//! A list is known by its issuer's name and key: one of another issuer with the same name never counts. A list with a
//! distribution point's name is a part: a certificate may be in any of them, so all are needed. It must not keep the list's own
//! bytes, nor read a clock. What an unknown status means is up to the caller.

pub mod crl;
mod entries;
pub mod error;
mod serials;
pub mod source;

use std::sync::Arc;

use jiff::Timestamp;

use super::date::Date;
use crl::Crl;
use error::Error;

/// Maximum number of lists.
pub const LISTS_MAX: usize = 64;

/// Lists of all issuers. Without any, they are complete.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    lists: Vec<Arc<Crl>>,
    /// Whether lists may be missing.
    are_partial: bool,
}

/// A certificate, as lists name it.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'c> {
    /// Name of the issuer, DER without the outer tag and length.
    pub issuer: &'c [u8],
    /// Key of the issuer (SubjectPublicKeyInfo), DER without the outer tag and length.
    pub issuer_spki: &'c [u8],
    /// Serial number: the content of the INTEGER.
    pub serial: &'c [u8],
    /// Whether it is a CA.
    pub is_ca: bool,
}

/// Status of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A current list of its issuer does not have it.
    Good,
    /// A list of its issuer has it.
    Revoked,
    /// No list of its issuer applies.
    Unlisted,
    /// The newest list of its issuer, or of a part of it, was to be replaced by then.
    Outdated(Date),
    /// Lists are missing, so not each part that is needed may be there.
    Incomplete,
    /// Lists are missing, and none of its issuer applies.
    Missing,
    /// The list of its issuer is from the future.
    NotYetValid(Date),
}

impl Revocations {
    /// Makes a set of lists.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn new<L: Into<Arc<Crl>>>(lists: Vec<L>) -> Result<Self, Error> {
        if lists.len() > LISTS_MAX {
            return Err(Error::TooManyLists(lists.len()));
        }
        Ok(Self {
            lists: lists.into_iter().map(Into::into).collect(),
            are_partial: false,
        })
    }

    /// Says that lists are missing, because a source has not brought any yet.
    #[must_use]
    pub fn partial(self) -> Self {
        Self {
            are_partial: true,
            ..self
        }
    }

    /// Reports whether lists are missing.
    pub fn are_partial(&self) -> bool {
        self.are_partial
    }

    /// Returns the lists.
    pub fn lists(&self) -> &[Arc<Crl>] {
        &self.lists
    }

    /// Returns the status of a certificate at a time. If an issuer has several lists, as parts or because a newer one was
    /// added, each of them can revoke. One current whole list suffices for a good one; of parts, the newest of each must be
    /// current, and none may be missing.
    pub fn status(&self, certificate: Certificate<'_>, now: Timestamp) -> Status {
        let mut whole = None;
        let mut parts: Vec<&Crl> = Vec::new();
        let applying = self.lists.iter().filter(|list| list.is_of(certificate));
        for list in applying {
            if list.has(certificate.serial) {
                return Status::Revoked;
            }
            if !list.covers(certificate.is_ca) {
                continue;
            }
            if !list.is_part() {
                whole = Some(better(whole, list.status(now)));
                continue;
            }
            match parts.iter_mut().find(|part| part.is_same(list)) {
                Some(part) if list.may_replace(part, now) => *part = list,
                Some(_) => {}
                None => parts.push(list),
            }
        }
        if whole == Some(Status::Good) {
            return Status::Good;
        }
        let outdated = parts.iter().map(|part| part.status(now));
        let worst = outdated
            .filter(|status| *status != Status::Good)
            .reduce(worse);
        match (whole, worst) {
            (Some(whole), _) if parts.is_empty() => whole,
            (_, Some(worst)) => worst,
            (None, None) if parts.is_empty() && self.are_partial => Status::Missing,
            _ if self.are_partial => Status::Incomplete,
            (None, None) if parts.is_empty() => Status::Unlisted,
            (_, None) => Status::Good,
        }
    }

    /// Returns the times at which a status may change.
    pub fn dates(&self) -> impl Iterator<Item = Date> {
        let dates = self.lists.iter();
        dates.flat_map(|list| [list.this_update(), list.next_update()])
    }
}

/// Returns the better status of two whole lists, of which one suffices.
fn better(one: Option<Status>, other: Status) -> Status {
    match (one, other) {
        (Some(Status::Good), _) | (_, Status::Good) => Status::Good,
        (Some(Status::Outdated(one)), Status::Outdated(other)) => Status::Outdated(one.max(other)),
        (_, other) => other,
    }
}

/// Returns the status of two parts that are not current: what was outdated first.
fn worse(one: Status, other: Status) -> Status {
    match (one, other) {
        (Status::Outdated(one), Status::Outdated(other)) => Status::Outdated(one.min(other)),
        (Status::Outdated(_), _) => one,
        (_, other) => other,
    }
}
