//! The pool of revocation lists, of all sources and for all hosts: which lists count now.
//!
//! A source that fails keeps its last good lists; their dates say how long they are good. The pool is incomplete only while a
//! source has never brought any. Lists outlive reloads of the configuration, and new ones need no new settings: a client is
//! judged by the lists of the moment.
//!
//! It must not read a source, nor give back what a list has revoked for an older list, or for one of another issuer.

pub(crate) mod file;
mod kept;
mod outcome;
mod shown;
pub(crate) mod urls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use mqtt_tls_judge::revocation::crl::{Crl, Issuer};
use mqtt_tls_judge::revocation::source::{Bounds, find_first};
use mqtt_tls_judge::revocation::{LISTS_MAX, Revocations};
use tokio::sync::watch;

use kept::Kept;
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
    /// Sources that were removed, whose lists count until each new source has brought its own.
    leaving: Vec<Kept>,
    /// Whether the sources were set once.
    was_set: bool,
    /// By kind of source and outcome.
    loads: BTreeMap<(&'static str, &'static str), u64>,
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
                leaving: Vec::new(),
                was_set: false,
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

    /// Sets whose lists are verified, and where lists come from, as new settings have it. Sources that stay keep their lists; those
    /// of sources that go stay until each new one has brought its own, while clients are judged by them. Returns whether sources
    /// must be read again: lists of an issuer that is new may have been refused.
    pub(crate) fn expect(&self, issuers: Vec<Issuer>, sources: &[Source], is_judged: bool) -> bool {
        let mut book = self.lock();
        let has_changed = *book.issuers != *issuers;
        if has_changed {
            book.issuers = issuers.into();
        }
        let is_reload = std::mem::replace(&mut book.was_set, true);
        let mut before = std::mem::take(&mut book.sources);
        before.append(&mut book.leaving);
        for source in sources {
            let known = before.iter().position(|kept| kept.source == *source);
            book.sources.push(match known {
                Some(index) => before.remove(index),
                None => Kept::new(source, is_reload),
            });
        }
        before.retain(|kept| is_judged && !kept.lists.is_empty());
        book.leaving = before;
        self.publish(book);
        has_changed
    }

    /// Parses and verifies what a source has, with at most so many certificates beside its lists. This may take seconds, and
    /// locks nothing.
    pub(crate) fn examine(&self, bytes: &[u8], bounds: Bounds, certificates: usize) -> Content {
        let known = Arc::clone(&self.lock().issuers);
        let mut content = Content::default();
        let found = match find_first(bytes, bounds, certificates) {
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
            .failures
            .extend(found.left_out.into_iter().map(Failure::from));
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
        let others = book.sources.iter().map(|kept| kept.lists.len());
        let others = others.sum::<usize>() - book.sources[index].lists.len();
        let room = LISTS_MAX.saturating_sub(others);
        let failure = book.sources[index].take(content, room, now);
        let outcome = failure.as_ref().map_or(Outcome::Ok, |one| one.outcome);
        book.count(source, outcome);
        self.publish(book);
        failure.map_or(Ok(()), Err)
    }

    /// Says that a source could not be read. Its lists stay.
    pub(crate) fn fail(&self, source: &Source, failure: Failure, now: Timestamp) {
        let mut book = self.lock();
        book.count(source, failure.outcome);
        if let Some(index) = book.place(source) {
            book.sources[index].failure = Some((failure, now));
            self.publish(book);
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
    fn publish(&self, mut book: MutexGuard<'_, Book>) {
        if !book.sources.iter().any(Kept::may_succeed_another) {
            book.leaving.clear();
        }
        let is_whole = !book.sources.iter().any(Kept::is_missing);
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
        // They were counted.
        let revocations = Revocations::new(lists).unwrap_or_default();
        let revocations = if is_whole {
            revocations
        } else {
            revocations.partial()
        };
        let revocations = Arc::new(revocations);
        let replaced = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, revocations)
        };
        self.generation.send_modify(|generation| *generation += 1);
        drop(book);
        // Wiping a large list takes long: no one waits for it.
        drop((before, replaced));
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

    /// Returns the lists that count. Those of sources that are removed give way to the others.
    fn lists(&self) -> Vec<Arc<Crl>> {
        let sources = self.sources.iter().chain(&self.leaving);
        let lists = sources.flat_map(|kept| &kept.lists).take(LISTS_MAX);
        lists.map(Arc::clone).collect()
    }

    fn count(&mut self, source: &Source, outcome: Outcome) {
        *self
            .loads
            .entry((source.kind(), outcome.name()))
            .or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mqtt_tls_judge::revocation::crl::Issuer;
    use mqtt_tls_judge::revocation::source::Bounds;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
        CrlDistributionPoint, CrlIssuingDistributionPoint, DnType, IsCa, KeyIdMethod, KeyPair,
        KeyUsagePurpose, SerialNumber, date_time_ymd,
    };

    use super::{Content, Failure, Outcome, Pool, Source};

    const BOUNDS: Bounds = Bounds {
        bytes: 1 << 16,
        entries: 10,
    };

    fn now() -> Timestamp {
        "2026-01-10T00:00:00Z".parse().unwrap()
    }

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
            self.made(day, None)
        }

        /// A part of one.
        fn part(&self, day: u8, number: u8) -> String {
            let point = CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint {
                    uris: vec![format!("http://ca.example/{number}")],
                },
                scope: None,
            };
            self.made(day, Some(point))
        }

        fn made(&self, day: u8, point: Option<CrlIssuingDistributionPoint>) -> String {
            CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 1, day),
                next_update: date_time_ymd(2026, 2, 1),
                crl_number: SerialNumber::from(1_u64),
                issuing_distribution_point: point,
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
        let content = pool.examine(text.as_bytes(), BOUNDS, 8);
        let replaced = pool.replace(source, content, now());
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

    fn fail(pool: &Pool, source: &Source) {
        let failure = Failure {
            outcome: Outcome::Unreadable,
            message: "it is gone".to_owned(),
        };
        pool.fail(source, failure, now());
    }

    #[test]
    fn lists_are_missing_until_each_source_of_the_start_has_brought_some() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        assert!(!pool.lists().are_partial() && pool.shown().is_none());
        let (one, other) = (url("1"), url("2"));
        assert!(pool.expect(vec![ca.issuer()], &[one.clone(), other.clone()], true));
        assert!(pool.lists().are_partial());
        take(&pool, &one, &ca.list(1)).unwrap();
        // What is refused is none, and what came from another source does not replace it.
        for text in ["no list", &Ca::new("b").list(1)] {
            take(&pool, &other, text).unwrap_err();
            assert!(pool.lists().are_partial(), "{text}");
        }
        let before = pool.generation();
        take(&pool, &other, &ca.list(2)).unwrap();
        assert!(!pool.lists().are_partial());
        assert_eq!(pool.generation(), before + 1);
        // A source that is not expected any more brings nothing.
        assert!(!pool.expect(vec![ca.issuer()], std::slice::from_ref(&other), true));
        assert_eq!(days(&pool), ["02"]);
        take(&pool, &one, &ca.list(3)).unwrap();
        assert_eq!(days(&pool), ["02"]);
    }

    /// A reload must not refuse clients before it is known whether the new source is good.
    #[test]
    fn a_source_that_a_reload_adds_is_missing_once_it_has_failed() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        let (one, added) = (url("1"), url("2"));
        pool.expect(vec![ca.issuer()], std::slice::from_ref(&one), true);
        take(&pool, &one, &ca.list(1)).unwrap();
        pool.expect(vec![ca.issuer()], &[one.clone(), added.clone()], true);
        assert!(!pool.lists().are_partial());
        fail(&pool, &added);
        assert!(pool.lists().are_partial());
        take(&pool, &added, &ca.list(1)).unwrap();
        assert!(!pool.lists().are_partial());
    }

    /// With another token in its query, or by HTTPS, a URL is another source.
    #[test]
    fn the_lists_of_a_source_that_goes_stay_until_the_new_one_has_its_own() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        let (before, after) = (url("1"), url("2"));
        let expect = |source: &Source, is_judged| {
            pool.expect(vec![ca.issuer()], std::slice::from_ref(source), is_judged);
        };
        expect(&before, true);
        take(&pool, &before, &ca.list(1)).unwrap();
        expect(&after, true);
        fail(&pool, &after);
        assert_eq!(days(&pool), ["01"]);
        let sources = pool.shown().unwrap().sources;
        let names: Vec<_> = sources.iter().map(|source| &*source.source).collect();
        assert_eq!(names, ["crls[0]", "removed[0]"]);
        // What comes back is as it was.
        expect(&before, true);
        assert_eq!(days(&pool), ["01"]);
        assert!(!pool.lists().are_partial());
        expect(&after, true);
        take(&pool, &after, &ca.list(2)).unwrap();
        assert_eq!(days(&pool), ["02"]);
        // If no client is judged by lists, none stays.
        expect(&before, false);
        assert_eq!(days(&pool), [""; 0]);
    }

    /// What was fetched before is good until its date.
    #[test]
    fn a_source_that_fails_keeps_its_lists_and_misses_none() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        let source = url("1");
        pool.expect(vec![ca.issuer()], std::slice::from_ref(&source), true);
        take(&pool, &source, &ca.list(2)).unwrap();
        let before = pool.generation();
        fail(&pool, &source);
        take(&pool, &source, "no list").unwrap_err();
        take(&pool, &source, &Ca::new("removed").list(1)).unwrap_err();
        assert_eq!(
            (days(&pool), pool.generation()),
            (vec!["02".to_owned()], before)
        );
        assert!(!pool.lists().are_partial());
        fail(&pool, &source);
        let warnings = pool.warnings(now());
        assert_eq!(
            (&*warnings[0].key, warnings[0].reason),
            ("crls[0]", "unreadable")
        );
        let shown = format!("{:?}", pool.shown());
        assert!(!shown.contains("secret"), "{shown}");
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
            true,
        );
        take(&pool, &source, &ca.list(2)).unwrap();
        assert_eq!(take(&pool, &source, &other.list(3)), Err(Outcome::Gone));
        assert!(!pool.lists().are_partial());
        assert_eq!(days(&pool), ["03", "02"]);
        // Nor does a list that is there many times.
        let many = other.list(3).repeat(64);
        assert_eq!(take(&pool, &source, &many), Err(Outcome::Gone));
        assert_eq!(days(&pool), ["03", "02"]);
        let both = ca.list(1) + &other.list(3);
        assert_eq!(take(&pool, &source, &both), Err(Outcome::Older));
        assert_eq!(days(&pool), ["02", "03"]);
        let nothing = pool.replace(&source, Content::default(), now());
        assert_eq!(
            nothing.map_err(|failure| failure.outcome),
            Err(Outcome::Gone)
        );
        assert_eq!(days(&pool), ["02", "03"]);
    }

    /// A CA whose clock was wrong puts its list right.
    #[test]
    fn a_list_from_the_future_takes_no_place_and_gives_way() {
        let ca = Ca::new("a");
        for source in [url("1"), Source::File] {
            let pool = Pool::default();
            pool.expect(vec![ca.issuer()], std::slice::from_ref(&source), true);
            take(&pool, &source, &ca.list(2)).unwrap();
            assert_eq!(
                take(&pool, &source, &ca.list(20)),
                Err(Outcome::NotYetValid)
            );
            assert_eq!(days(&pool), ["02"]);
            let both = [ca.list(20), ca.list(3)];
            for both in [both.concat(), [&*both[1], &both[0]].concat()] {
                assert_eq!(take(&pool, &source, &both), Err(Outcome::NotYetValid));
                assert_eq!(days(&pool), ["03"]);
            }
            assert!(pool.warnings(now()).is_empty());
            let content = pool.examine(ca.list(20).as_bytes(), BOUNDS, 8);
            let later = "2026-01-20T00:00:00Z".parse().unwrap();
            pool.replace(&source, content, later).unwrap();
            assert_eq!(days(&pool), ["20"]);
            take(&pool, &source, &ca.list(4)).unwrap();
            assert_eq!(days(&pool), ["04"], "the other one is early again");
        }
    }

    #[test]
    fn what_changes_nothing_is_no_new_generation() {
        let pool = Pool::default();
        pool.expect(Vec::new(), &[], true);
        pool.expect(Vec::new(), &[], true);
        assert_eq!(pool.generation(), 0);
    }

    /// The first ones are used, and none that was used before gives way.
    #[test]
    fn the_lists_of_all_sources_are_bounded() {
        let ca = Ca::new("a");
        let pool = Pool::default();
        let (one, other) = (url("1"), url("2"));
        pool.expect(vec![ca.issuer()], &[one.clone(), other.clone()], true);
        let parts = |day, numbers: std::ops::Range<u8>| -> String {
            numbers.map(|number| ca.part(day, number)).collect()
        };
        take(&pool, &one, &parts(2, 0..60)).unwrap();
        take(&pool, &other, &ca.part(3, 100)).unwrap();
        let refused = take(&pool, &other, &parts(4, 60..65)).unwrap_err();
        assert_eq!(refused.name(), "TooLarge");
        assert!(!pool.lists().are_partial());
        let all = days(&pool);
        assert_eq!(all[60..], ["03", "04", "04", "04"]);
        let many = parts(4, 0..70);
        assert_eq!(take(&pool, &one, &many).unwrap_err().name(), "TooLarge");
        assert_eq!(days(&pool)[..60], [(); 60].map(|()| "04"));
        assert_eq!(days(&pool).len(), 64);
    }

    #[test]
    fn outcomes_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Outcome::all().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::all().count());
    }
}
