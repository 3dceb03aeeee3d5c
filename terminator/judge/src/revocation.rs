//! Revocation lists (CRLs, RFC 5280): which certificates their issuers have revoked.
//!
//! ```text
//! bytes ─▶ source (PEM or DER) ─▶ crl (verified: issuer's key, extensions) ─▶ serials, sorted ─▶ status of a certificate
//! ```
//!
//! A list is known by its issuer's name and key: one of another issuer with the same name never counts. It must not keep the
//! list's own bytes, nor read a clock. What an unknown status means is up to the caller.

pub mod crl;
mod entries;
pub mod error;
mod serials;
pub mod source;

use jiff::Timestamp;

use super::date::Date;
use crl::Crl;
use error::Error;

/// Maximum number of lists.
pub const LISTS_MAX: usize = 64;

/// Lists of all issuers.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    lists: Vec<Crl>,
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
    /// The newest list of its issuer was to be replaced by then.
    Outdated(Date),
    /// The list of its issuer is from the future.
    NotYetValid(Date),
}

impl Revocations {
    /// Makes a set of lists.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn new(lists: Vec<Crl>) -> Result<Self, Error> {
        if lists.len() > LISTS_MAX {
            return Err(Error::TooManyLists(lists.len()));
        }
        Ok(Self { lists })
    }

    /// Returns the lists.
    pub fn lists(&self) -> &[Crl] {
        &self.lists
    }

    /// Returns the status of a certificate at a time. If an issuer has several lists, as parts or because a newer one was
    /// added, each of them can revoke, and one current list suffices.
    pub fn status(&self, certificate: Certificate<'_>, now: Timestamp) -> Status {
        let mut status = Status::Unlisted;
        let applying = self.lists.iter().filter(|list| list.is_of(certificate));
        for list in applying {
            if list.has(certificate.serial) {
                return Status::Revoked;
            }
            if !list.covers(certificate.is_ca) {
                continue;
            }
            status = match (status, list.status(now)) {
                (Status::Good, _) | (_, Status::Good) => Status::Good,
                (Status::Outdated(one), Status::Outdated(other)) => {
                    Status::Outdated(one.max(other))
                }
                (_, other) => other,
            };
        }
        status
    }

    /// Returns the times at which a status may change.
    pub fn dates(&self) -> impl Iterator<Item = Date> {
        let dates = self.lists.iter();
        dates.flat_map(|list| [list.this_update(), list.next_update()])
    }
}
