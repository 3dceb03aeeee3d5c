//! The pool of revocation lists, of all sources and for all hosts: which lists count now.
//!
//! A source that fails keeps its last good lists, and makes the pool incomplete until it is good again. Lists outlive reloads
//! of the configuration, and new ones need no new settings: a client is judged by the lists of the moment.
//!
//! It must not read a source, nor give back what a list has revoked for an older list, or for one of another issuer.

pub(crate) mod file;
mod outcome;
mod shown;
pub(crate) mod urls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use mqtt_tls_judge::revocation::crl::{Crl, Issuer};
use mqtt_tls_judge::revocation::error::Error;
use mqtt_tls_judge::revocation::source::{Bounds, find};
use mqtt_tls_judge::revocation::{LISTS_MAX, Revocations};
use tokio::sync::watch;

pub(crate) use outcome::{Failure, Outcome};
pub(crate) use shown::{Shown, Warning};

/// Maximum number of entries of a list; each takes 21 bytes.
pub(crate) const ENTRIES_MAX: usize = 2_000_000;

/// Where lists come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The file of `--crls`.
    File,
    /// A URL in `crls`.
    Url(String),
}

impl Source {
    /// Kinds of sources, as metrics have them.
    pub(crate) const KINDS: [&'static str; 2] = ["file", "url"];

    fn kind(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Url(_) => "url",
        }
    }
}

/// What a source has: lists that were verified, and why others were not.
#[derive(Debug, Default)]
pub(crate) struct Content {
    lists: Vec<Arc<Crl>>,
    failures: Vec<Failure>,
}

/// The pool.
pub(crate) struct Pool {
    current: RwLock<Arc<Revocations>>,
    /// How often what counts has changed.
    generation: watch::Sender<u64>,
    book: Mutex<Book>,
}

/// What is known of the sources.
struct Book {
    issuers: Arc<[Issuer]>,
    sources: Vec<Kept>,
    /// By kind of source and outcome.
    loads: BTreeMap<(&'static str, &'static str), u64>,
}

/// A source, and its last good lists.
struct Kept {
    source: Source,
    lists: Vec<Arc<Crl>>,
    /// When it was read last, with success.
    loaded_at: Option<Timestamp>,
    /// Why it is not good; neither this nor `loaded_at` before it was read.
    failure: Option<(Failure, Timestamp)>,
}

impl Kept {
    fn is_good(&self) -> bool {
        self.loaded_at.is_some() && self.failure.is_none()
    }
}

impl Default for Pool {
    /// Without sources.
    fn default() -> Self {
        let kinds = Source::KINDS.into_iter();
        let loads = kinds.flat_map(|kind| Outcome::all().map(move |one| ((kind, one.name()), 0)));
        Self {
            current: RwLock::default(),
            generation: watch::Sender::new(0),
            book: Mutex::new(Book {
                issuers: Arc::new([]),
                sources: Vec::new(),
                loads: loads.collect(),
            }),
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pool").field(&self.lists()).finish()
    }
}

impl Pool {
    /// Returns the lists that count now.
    pub(crate) fn lists(&self) -> Arc<Revocations> {
        // The lists are consistent even if a holder panicked.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Returns a number that changes whenever lists do, or whether any are missing.
    pub(crate) fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Returns the same, to wait for changes.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Sets whose lists are verified, and where lists come from, as new settings have it. Sources that stay keep their lists.
    /// Returns whether sources must be read again: lists of an issuer that is new may have been refused.
    pub(crate) fn expect(&self, issuers: Vec<Issuer>, sources: &[Source]) -> bool {
        let mut book = self.lock();
        let has_changed = *book.issuers != *issuers;
        if has_changed {
            book.issuers = issuers.into();
        }
        let mut before = std::mem::take(&mut book.sources);
        for source in sources {
            let known = before.iter().position(|kept| kept.source == *source);
            book.sources.push(match known {
                Some(index) => before.swap_remove(index),
                None => Kept {
                    source: source.clone(),
                    lists: Vec::new(),
                    loaded_at: None,
                    failure: None,
                },
            });
        }
        self.publish(&book);
        has_changed
    }

    /// Parses and verifies what a source has. This may take seconds, and locks nothing.
    pub(crate) fn examine(&self, bytes: &[u8], bounds: Bounds) -> Content {
        let known = Arc::clone(&self.lock().issuers);
        let mut content = Content::default();
        let found = match find(bytes, bounds) {
            Ok(found) => found,
            Err(error) => {
                content.failures.push(error.into());
                return content;
            }
        };
        let issuers = [&known[..], &found.issuers(&known)].concat();
        for list in &found.lists {
            match Crl::load(list, &issuers, bounds) {
                Ok(list) => content.lists.push(Arc::new(list)),
                Err(error) => content.failures.push(error.into()),
            }
        }
        content
    }

    /// Replaces the lists of a source, as far as each may be. Returns what is wrong, of which the source may be good anyway.
    pub(crate) fn replace(
        &self,
        source: &Source,
        content: Content,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut book = self.lock();
        let Some(index) = book.place(source) else {
            return Ok(());
        };
        let others = book.lists().len() - book.sources[index].lists.len();
        let kept = &mut book.sources[index];
        let (lists, mut failures) = kept.merged(content);
        if others + lists.len() > LISTS_MAX {
            failures.insert(0, Error::TooManyLists(others + lists.len()).into());
        } else {
            kept.lists = lists;
            kept.loaded_at = Some(now);
        }
        let is_bad = |failure: &&Failure| failure.outcome != Outcome::Older;
        kept.failure = failures.iter().find(is_bad).map(|one| (one.clone(), now));
        let failure = kept.failure.clone().map(|(failure, _)| failure);
        let failure = failure.or_else(|| failures.into_iter().next());
        let outcome = failure.as_ref().map_or(Outcome::Ok, |one| one.outcome);
        book.count(source, outcome);
        self.publish(&book);
        failure.map_or(Ok(()), Err)
    }

    /// Says that a source could not be read. Its lists stay.
    pub(crate) fn fail(&self, source: &Source, failure: Failure, now: Timestamp) {
        let mut book = self.lock();
        book.count(source, failure.outcome);
        if let Some(index) = book.place(source) {
            book.sources[index].failure = Some((failure, now));
            self.publish(&book);
        }
    }

    /// Returns how often sources of a kind were read, by outcome.
    pub(crate) fn loads(&self) -> Vec<((&'static str, &'static str), u64)> {
        let book = self.lock();
        book.loads
            .iter()
            .map(|(labels, count)| (*labels, *count))
            .collect()
    }

    /// Lets the lists of all sources count, if that changes anything.
    fn publish(&self, book: &Book) {
        let is_whole = book.sources.iter().all(Kept::is_good);
        let lists = book.lists();
        let before = self.lists();
        let are_same = before.lists().len() == lists.len()
            && before
                .lists()
                .iter()
                .zip(&lists)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        if are_same && before.are_partial() != is_whole {
            return;
        }
        // Each source's lists were counted.
        let revocations = Revocations::new(lists).unwrap_or_default();
        let revocations = if is_whole {
            revocations
        } else {
            revocations.partial()
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(revocations);
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // Each change is whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn place(&self, source: &Source) -> Option<usize> {
        self.sources.iter().position(|kept| kept.source == *source)
    }

    fn lists(&self) -> Vec<Arc<Crl>> {
        let lists = self.sources.iter().flat_map(|kept| &kept.lists);
        lists.map(Arc::clone).collect()
    }

    fn count(&mut self, source: &Source, outcome: Outcome) {
        *self
            .loads
            .entry((source.kind(), outcome.name()))
            .or_default() += 1;
    }
}

impl Kept {
    /// Returns the lists that follow from new content, and what is wrong with it. A list of before goes only if another takes
    /// its place, or if all of the file was understood and does not have it. A URL may be served by anyone: there it stays.
    fn merged(&self, content: Content) -> (Vec<Arc<Crl>>, Vec<Failure>) {
        let Content {
            lists,
            mut failures,
        } = content;
        let mut merged: Vec<Arc<Crl>> = Vec::with_capacity(lists.len());
        for list in lists {
            let mut before = self.lists.iter().filter(|before| before.is_same(&list));
            match before.find(|before| !list.may_replace(before)) {
                Some(newer) => {
                    failures.push(Failure {
                        outcome: Outcome::Older,
                        message: format!(
                            "the revocation list of {} is of {}, and the one that is used is newer, of {}; keeping that",
                            list.issuer(),
                            list.this_update(),
                            newer.this_update()
                        ),
                    });
                    merged.push(Arc::clone(newer));
                }
                None => merged.push(list),
            }
        }
        let is_whole = failures.iter().all(|one| one.outcome == Outcome::Older);
        let is_left_out = |before: &&Arc<Crl>| !merged.iter().any(|list| list.is_same(before));
        let left_out: Vec<_> = self.lists.iter().filter(is_left_out).cloned().collect();
        if let (Source::Url(_), Some(list)) = (&self.source, left_out.first())
            && is_whole
        {
            failures.push(Failure {
                outcome: Outcome::Gone,
                message: format!(
                    "the revocation list of {} is not there any more; keeping the one from before",
                    list.issuer()
                ),
            });
        }
        if !is_whole || matches!(self.source, Source::Url(_)) {
            merged.extend(left_out);
        }
        (merged, failures)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mqtt_tls_judge::revocation::crl::Issuer;
    use mqtt_tls_judge::revocation::source::Bounds;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
        DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
    };

    use super::{Content, Failure, Outcome, Pool, Source};

    const BOUNDS: Bounds = Bounds {
        bytes: 1 << 16,
        entries: 10,
    };

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    struct Ca(CertifiedIssuer<'static, KeyPair>);

    impl Ca {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate().unwrap();
            Self(CertifiedIssuer::self_signed(params, key).unwrap())
        }

        fn issuer(&self) -> Issuer {
            Issuer::of(self.0.der()).unwrap()
        }

        /// A list of a day in January.
        fn list(&self, day: u8) -> String {
            CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 1, day),
                next_update: date_time_ymd(2026, 2, 1),
                crl_number: SerialNumber::from(1_u64),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            }
            .signed_by(&self.0)
            .unwrap()
            .pem()
            .unwrap()
        }
    }

    fn url(path: &str) -> Source {
        Source::Url(format!("http://ca.example/{path}?token=secret"))
    }

    /// Lets a source have this text.
    fn take(pool: &Pool, source: &Source, text: &str) -> Result<(), Outcome> {
        let content = pool.examine(text.as_bytes(), BOUNDS);
        let replaced = pool.replace(source, content, NOW);
        replaced.map_err(|failure| failure.outcome)
    }

    /// The days on which the lists were made.
    fn days(pool: &Pool) -> Vec<String> {
        let lists = pool.lists();
        let days = lists
            .lists()
            .iter()
            .map(|list| list.this_update().to_string());
        days.map(|date| date[8..10].to_owned()).collect()
    }

    #[test]
    fn lists_may_be_missing_until_each_source_was_read() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        assert!(!pool.lists().are_partial() && pool.shown().is_none());
        let (one, other) = (url("1"), url("2"));
        assert!(pool.expect(vec![ca.issuer()], &[one.clone(), other.clone()]));
        assert!(pool.lists().are_partial());
        take(&pool, &one, &ca.list(1)).unwrap();
        assert!(pool.lists().are_partial());
        let before = pool.generation();
        take(&pool, &other, &ca.list(2)).unwrap();
        assert!(!pool.lists().are_partial());
        assert_eq!(pool.generation(), before + 1);
        // What stays keeps its lists, and what goes takes them along.
        assert!(!pool.expect(vec![ca.issuer()], &[other.clone(), url("3")]));
        assert_eq!(days(&pool), ["02"]);
        assert!(pool.lists().are_partial());
        pool.expect(vec![ca.issuer()], std::slice::from_ref(&other));
        assert!(!pool.lists().are_partial());
        // A source that is not expected any more brings nothing.
        take(&pool, &one, &ca.list(3)).unwrap();
        assert_eq!(days(&pool), ["02"]);
    }

    #[test]
    fn a_source_that_fails_keeps_its_lists() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        let source = url("1");
        pool.expect(vec![ca.issuer()], std::slice::from_ref(&source));
        take(&pool, &source, &ca.list(2)).unwrap();
        let before = pool.generation();
        let failure = Failure {
            outcome: Outcome::Unreadable,
            message: "it is gone".to_owned(),
        };
        pool.fail(&source, failure, NOW);
        assert_eq!(
            (days(&pool), pool.generation()),
            (vec!["02".to_owned()], before + 1)
        );
        assert!(pool.lists().are_partial());
        let warnings = pool.warnings(NOW);
        assert_eq!(
            (&*warnings[0].key, warnings[0].reason),
            ("crls[0]", "unreadable")
        );
        let shown = format!("{:?}", pool.shown());
        assert!(!shown.contains("secret"), "{shown}");
        take(&pool, &source, &ca.list(2)).unwrap();
        assert!(!pool.lists().are_partial());
    }

    /// A URL may be served by anyone: neither another list nor none takes the place of one, and an older one is not used.
    #[test]
    fn a_url_gives_nothing_back() {
        let (ca, other) = (Ca::new("a"), Ca::new("b"));
        let pool = Pool::default();
        let source = url("1");
        pool.expect(
            vec![ca.issuer(), other.issuer()],
            std::slice::from_ref(&source),
        );
        take(&pool, &source, &ca.list(2)).unwrap();
        assert_eq!(take(&pool, &source, &other.list(3)), Err(Outcome::Gone));
        assert!(pool.lists().are_partial());
        assert_eq!(days(&pool), ["03", "02"]);
        let both = ca.list(1) + &other.list(3);
        assert_eq!(take(&pool, &source, &both), Err(Outcome::Older));
        assert!(!pool.lists().are_partial(), "the newer one is used");
        assert_eq!(days(&pool), ["02", "03"]);
        let nothing = pool.replace(&source, Content::default(), NOW);
        assert_eq!(
            nothing.map_err(|failure| failure.outcome),
            Err(Outcome::Gone)
        );
        assert_eq!(days(&pool), ["02", "03"]);
    }

    #[test]
    fn what_changes_nothing_is_no_new_generation() {
        let pool = Pool::default();
        pool.expect(Vec::new(), &[]);
        pool.expect(Vec::new(), &[]);
        assert_eq!(pool.generation(), 0);
    }

    #[test]
    fn the_lists_of_all_sources_are_bounded() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        let (one, other) = (url("1"), url("2"));
        pool.expect(vec![ca.issuer()], &[one.clone(), other.clone()]);
        take(&pool, &one, &ca.list(2).repeat(60)).unwrap();
        let refused = take(&pool, &other, &ca.list(3).repeat(5)).unwrap_err();
        assert_eq!(refused.name(), "TooLarge");
        assert_eq!(days(&pool).len(), 60);
        assert!(pool.lists().are_partial());
    }

    #[test]
    fn outcomes_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Outcome::all().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::all().count());
    }
}
