//! A source of revocation lists, and its last good ones: which of them stay when it is read again.
//!
//! It must not give back what a list has revoked for an older list, for one of another issuer, or for one from the future.

use std::sync::Arc;

use jiff::Timestamp;
use mqtt_tls_judge::revocation::crl::Crl;
use mqtt_tls_judge::revocation::error::{Error, Reason};

use super::{Content, Failure, Outcome, Source};

/// A source, and its last good lists.
pub(super) struct Kept {
    pub(super) source: Source,
    pub(super) lists: Vec<Arc<Crl>>,
    /// When it brought lists last.
    pub(super) loaded_at: Option<Timestamp>,
    /// Why it is not good; neither this nor `loaded_at` before it was read.
    pub(super) failure: Option<(Failure, Timestamp)>,
    /// Whether a reload has added it.
    is_added: bool,
}

impl Kept {
    pub(super) fn new(source: &Source, is_added: bool) -> Self {
        Self {
            source: source.clone(),
            lists: Vec::new(),
            loaded_at: None,
            failure: None,
            is_added,
        }
    }

    /// Reports whether its lists are missing: it has never brought any. One that a reload has added is read first.
    pub(super) fn is_missing(&self) -> bool {
        let is_awaited = self.is_added && self.failure.is_none();
        self.loaded_at.is_none() && !is_awaited
    }

    /// Reports whether it may be to bring what a source had that is removed.
    pub(super) fn may_succeed_another(&self) -> bool {
        self.is_added && self.loaded_at.is_none()
    }

    /// Takes new content, of which so many lists may be used. Returns what is wrong, of which the source may be good anyway.
    pub(super) fn take(
        &mut self,
        content: Content,
        room: usize,
        now: Timestamp,
    ) -> Option<Failure> {
        let has_lists = !content.lists.is_empty();
        let (mut lists, mut failures) = self.merged(content, now);
        if lists.len() > room {
            failures.insert(0, Error::TooManyLists(lists.len()).into());
            // What is used gives way to nothing that was not.
            lists.sort_by_key(|list| !self.lists.iter().any(|before| before.is_same(list)));
            lists.truncate(room);
        }
        // Of a source that has brought nothing yet, a damaged list is a missing one. That of a CA that is not trusted is not missed.
        let is_missed = |one: &Failure| {
            !one.outcome.is_good() && one.outcome != Outcome::Refused(Reason::UnknownIssuer)
        };
        let is_whole = self.loaded_at.is_some() || !failures.iter().any(is_missed);
        let has_brought = is_whole && (failures.is_empty() || has_lists && !lists.is_empty());
        self.lists = lists;
        let first = |outcome| failures.iter().find(|one| one.outcome == outcome).cloned();
        let older = first(Outcome::Older);
        // Someone on the way can send an old one again and again.
        if has_brought && older.is_none() {
            self.loaded_at = Some(now);
        }
        let bad = failures.iter().find(|one| !one.outcome.is_good()).cloned();
        self.failure = bad.clone().map(|failure| (failure, now));
        bad.or_else(|| first(Outcome::NotYetValid)).or(older)
    }

    /// Returns the lists that follow from new content, one of each issuer and part, and what is wrong with it. A list of before
    /// goes only if another takes its place, or if all of the file was understood and does not have it. A URL may be served by
    /// anyone: there it stays.
    fn merged(&self, content: Content, now: Timestamp) -> (Vec<Arc<Crl>>, Vec<Failure>) {
        let Content {
            lists,
            mut failures,
        } = content;
        let mut merged: Vec<Arc<Crl>> = Vec::with_capacity(lists.len());
        for list in lists {
            let mut before = self.lists.iter().filter(|before| before.is_same(&list));
            let list = match before.find(|before| !list.may_replace(before, now)) {
                Some(used) => {
                    failures.push(Failure::unused(&list, used, now));
                    Arc::clone(used)
                }
                None => list,
            };
            match merged.iter_mut().find(|one| one.is_same(&list)) {
                Some(one) => {
                    let (used, other) = if list.may_replace(one, now) {
                        let other = std::mem::replace(one, list);
                        (&*one, other)
                    } else {
                        (&*one, list)
                    };
                    // It is examined again until it is valid.
                    if other.is_early(now) && !used.is_early(now) {
                        failures.push(Failure::unused(&other, used, now));
                    }
                }
                None => merged.push(list),
            }
        }
        let is_whole = failures.iter().all(|one| one.outcome.is_good());
        let is_left_out = |before: &&Arc<Crl>| !merged.iter().any(|list| list.is_same(before));
        let left_out: Vec<_> = self.lists.iter().filter(is_left_out).cloned().collect();
        if let (Source::Url(_), Some(list)) = (&self.source, left_out.first())
            && is_whole
        {
            failures.push(Failure::gone(list));
        }
        if !is_whole || matches!(self.source, Source::Url(_)) {
            merged.extend(left_out);
        }
        (merged, failures)
    }
}

impl Failure {
    /// A list does not take the place of another.
    fn unused(list: &Crl, used: &Crl, now: Timestamp) -> Self {
        let (issuer, date) = (list.issuer(), list.this_update());
        if list.is_early(now) {
            return Self {
                outcome: Outcome::NotYetValid,
                message: format!(
                    "the revocation list of {issuer} is valid from {date} only; keeping the current one until then"
                ),
            };
        }
        Self {
            outcome: Outcome::Older,
            message: format!(
                "the revocation list of {issuer} is of {date}, and the one that is used is newer, of {}; keeping that",
                used.this_update()
            ),
        }
    }

    /// A URL does not have a list any more.
    fn gone(list: &Crl) -> Self {
        Self {
            outcome: Outcome::Gone,
            message: format!(
                "the revocation list of {} is not there any more; keeping the one from before until the terminator restarts",
                list.issuer()
            ),
        }
    }
}
