//! Reads small revocation lists from Secrets and ConfigMaps, and keeps the last good ones beside the configuration.
//!
//! It must not write a list that no CA of its listener or host has signed, nor anything else that the object has: what is written
//! are lists, and certificates of their issuers.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::finding::{Finding, Grade, Reason as Found};
use mqtt_tls_judge::revocation::LISTS_MAX;
use mqtt_tls_judge::revocation::crl::{Crl, Issuer};
use mqtt_tls_judge::revocation::error::Error;
use mqtt_tls_judge::revocation::source::{Bounds, CERTIFICATES_MAX, find};

use super::authorities::{Wanted, bytes};
use super::pem::push;
use super::serving::Warning;
use crate::error::chain;
use crate::plan::host_key::HostKey;
use crate::plan::names::CRLS;
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;
use crate::plan::source::DataKey;
use crate::plan::world::World;

/// Maximum size of all lists together, in bytes of PEM; larger ones are fetched by the terminators.
pub const SIZE_MAX: usize = 256 * 1024;

/// Limits of a source. A list of this size has about so many entries.
const BOUNDS: Bounds = Bounds {
    bytes: SIZE_MAX,
    entries: 16 * 1024,
};

/// What a list begins with.
const BEGIN_LIST: &str = "BEGIN X509 CRL";

/// What stands before the name of a source.
const HEADER: &str = "# ";

/// Maximum number of lists of all sources together: terminators have as many again for what they fetch.
const COUNT_MAX: usize = LISTS_MAX / 2;

/// Maximum number of certificates beside the lists of a source; each is compared with each CA.
const BESIDE_MAX: usize = 4;

/// Errors in the lists of a source.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// There are too many certificates beside them.
    #[error(
        "there are {0} certificates beside the revocation lists; the maximum is {BESIDE_MAX}; keep those of CAs that issue the lists, and \
         that are not in caRef"
    )]
    Beside(usize),
    /// They cannot be used.
    #[error(transparent)]
    List(#[from] Error),
}

/// The lists of a source.
#[derive(Clone)]
pub struct Lists {
    /// The source.
    pub source: DataKey,
    /// Lists and certificates of their issuers, as PEM.
    text: String,
    /// The same.
    loaded: Vec<Crl>,
    /// The authorities with which they were verified.
    verified_by: Option<Authorities>,
    /// Issuers of lists that were left out, because they are not among the authorities.
    strangers: Vec<String>,
    /// Number of certificates.
    certificates: usize,
    /// When each of them is to be replaced.
    pub dates: Vec<Timestamp>,
    /// The warnings about lists that are outdated.
    pub warnings: Vec<Warning>,
}

/// Reads and verifies the lists of a source.
///
/// # Errors
///
/// A problem that names the object, the key, and what to do.
pub fn read(
    host: &HostKey,
    source: &DataKey,
    authorities: &Authorities,
    world: &World,
    now: Timestamp,
) -> Result<Lists, Problem> {
    let wanted = Wanted {
        field: host.field("clientAuth.revocation.crlRefs"),
        what: "the revocation lists",
        missing: Reason::CrlNotFound,
    };
    let bytes = bytes(source, &wanted, world)?;
    Lists::of(source, bytes, authorities, now).map_err(|error| {
        Problem::of_reference(Reason::UnusableCrl, format!("{source}: {}", chain(&error)))
    })
}

impl Lists {
    fn of(
        source: &DataKey,
        bytes: &[u8],
        authorities: &Authorities,
        now: Timestamp,
    ) -> Result<Self, Unusable> {
        let found = find(bytes, BOUNDS)?;
        let beside = found.certificates().count();
        if beside > BESIDE_MAX {
            return Err(Unusable::Beside(beside));
        }
        let known = authorities.issuers();
        let issuers = [known, &found.issuers(known)].concat();
        let mut lists = Self {
            verified_by: Some(authorities.clone()),
            ..Self::none(source)
        };
        for der in &found.lists {
            let list = match Crl::load(der, &issuers, BOUNDS) {
                Err(Error::UnknownIssuer(issuer)) => {
                    lists.strangers.push(issuer);
                    continue;
                }
                loaded => loaded?,
            };
            let until = list.next_update();
            if until.is_before(now) {
                let message = format!(
                    "the revocation list of {} was to be replaced by {until}; replace it with a newer one",
                    list.issuer()
                );
                let finding = Finding {
                    reason: Found::CrlOutdated,
                    grade: Grade::Warning,
                    message,
                };
                lists
                    .warnings
                    .push(Warning::of(&source.to_string(), &finding));
            }
            lists.dates.push(until.timestamp());
            push(&mut lists.text, "X509 CRL", der);
            lists.loaded.push(list);
        }
        // Terminators have the authorities themselves.
        let is_known = |der: &&[u8]| Issuer::of(der).is_some_and(|issuer| known.contains(&issuer));
        for der in found.certificates().filter(|der| !is_known(der)) {
            push(&mut lists.text, "CERTIFICATE", der);
            lists.certificates += 1;
        }
        Ok(lists)
    }

    /// Returns no lists of a source.
    pub fn none(source: &DataKey) -> Self {
        Self {
            source: source.clone(),
            text: String::new(),
            loaded: Vec::new(),
            verified_by: None,
            strangers: Vec::new(),
            certificates: 0,
            dates: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns the problem if all of them were left out: their issuers are not among the authorities.
    pub fn foreign(&self) -> Option<Problem> {
        let stranger = self.strangers.first().filter(|_| self.loaded.is_empty())?;
        let message = format!(
            "{}: {}",
            self.source,
            Error::UnknownIssuer(stranger.clone())
        );
        Some(Problem::of_reference(Reason::UnusableCrl, message))
    }

    /// Reports whether they are what these authorities have signed.
    fn are_of(&self, authorities: &Authorities) -> bool {
        let mut known = self.verified_by.iter();
        known.any(|known| authorities.is_same(known))
    }

    /// Checks whether it may take the place of the lists that its source had.
    ///
    /// # Errors
    ///
    /// One of them is older, as after a rollback: it would give back what was revoked since. Or it is from the future.
    pub fn instead_of(&self, before: &Self, now: Timestamp) -> Result<(), Problem> {
        if self.text == before.text {
            return Ok(());
        }
        let is_early = |list: &&Crl| list.this_update().is_after(now);
        if let Some(list) = self.loaded.iter().find(is_early) {
            let message = format!(
                "{}: the revocation list of {} is of {}, which is in the future; set the CA's clock right, and let it issue a new one",
                self.source,
                list.issuer(),
                list.this_update()
            );
            return Err(Problem::of_reference(Reason::UnusableCrl, message));
        }
        let older = self.loaded.iter().find_map(|list| {
            let mut known = before.loaded.iter().filter(|known| known.is_same(list));
            known
                .find(|known| !list.may_replace(known, now))
                .map(|known| (list, known))
        });
        let Some((list, known)) = older else {
            return Ok(());
        };
        let message = format!(
            "{}: the revocation list of {} is of {}, and the one that is in use is newer, of {}; let the CA issue a new one, or set \
             another key or name to go back on purpose",
            self.source,
            list.issuer(),
            list.this_update(),
            known.this_update()
        );
        Err(Problem::of_reference(Reason::UnusableCrl, message))
    }
}

/// The lists of all sources of a listener and its hosts.
#[derive(Clone, Default)]
pub struct Pool(Vec<Lists>);

impl Pool {
    /// Reads back what was written, for a listener in this namespace. The sources are named in it; what has none is ignored.
    pub fn read(secret: &Secret, namespace: &str) -> Self {
        let bytes = secret.data.as_ref().and_then(|data| data.get(CRLS));
        let text = bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
        let (mut pool, mut at) = (Vec::<Lists>::new(), 0);
        for line in text.into_iter().flat_map(str::lines) {
            match line
                .strip_prefix(HEADER)
                .map(serde_json::from_str::<DataKey>)
            {
                // What several CAs of different hosts have signed is written for each of them.
                Some(Ok(source)) => {
                    let source = source.seen_from(namespace);
                    let known = pool.iter().position(|one| one.source == source);
                    at = known.unwrap_or(pool.len());
                    if known.is_none() {
                        pool.push(Lists::none(&source));
                    }
                }
                // Someone edited it.
                Some(Err(_)) => {}
                None => {
                    if let Some(lists) = pool.get_mut(at) {
                        lists.text.push_str(line);
                        lists.text.push('\n');
                    }
                }
            }
        }
        Self(pool)
    }

    /// Returns what a source had, as far as these authorities have signed it.
    pub fn lists(
        &self,
        source: &DataKey,
        authorities: &Authorities,
        now: Timestamp,
    ) -> Option<Lists> {
        let mut known = self.0.iter().filter(|lists| lists.source == *source);
        known.find_map(|lists| {
            let lists = Lists::of(source, lists.text.as_bytes(), authorities, now).ok()?;
            (!lists.loaded.is_empty()).then_some(lists)
        })
    }

    /// Adds lists, if there are none of their source for the same authorities yet.
    pub fn add(&mut self, lists: Lists) {
        let is_known = |known: &Lists| {
            let own = lists.verified_by.as_ref();
            known.source == lists.source && own.is_none_or(|own| known.are_of(own))
        };
        if !self.0.iter().any(is_known) {
            self.0.push(lists);
        }
    }

    /// Returns what was read of a source for these authorities.
    pub fn read_for(&self, source: &DataKey, authorities: &Authorities) -> Option<&Lists> {
        let mut known = self.0.iter();
        known.find(|lists| lists.source == *source && lists.are_of(authorities))
    }

    /// Reports whether it has exactly these lists of their source, of which there are some.
    pub fn has(&self, lists: &Lists) -> bool {
        let mut known = self.0.iter();
        let is_same = |one: &Lists| one.source == lists.source && one.text == lists.text;
        !lists.loaded.is_empty() && known.any(is_same)
    }

    /// Reports whether there is anything of a source.
    pub fn knows(&self, source: &DataKey) -> bool {
        self.0.iter().any(|lists| lists.source == *source)
    }

    /// Returns the size of the text in bytes.
    pub fn size(&self) -> usize {
        self.text().map_or(0, |text| text.0.len())
    }

    /// Returns the text for the terminators; `None` without lists.
    pub fn text(&self) -> Option<ByteString> {
        if self.0.is_empty() {
            return None;
        }
        let mut text = String::new();
        for lists in &self.0 {
            // A source always serializes.
            let source = serde_json::to_string(&lists.source).unwrap_or_default();
            let _ = writeln!(text, "{HEADER}{source}");
            text.push_str(&lists.text);
        }
        Some(ByteString(text.into_bytes()))
    }

    /// Puts sources back to what another pool has of them until all fit, those that have grown most first, and returns the
    /// problems.
    ///
    /// # Errors
    ///
    /// None of them can be put back.
    pub fn fit(&mut self, before: &Self) -> Result<Vec<Problem>, Problem> {
        let mut problems = Vec::new();
        while let Some(excess) = self.excess() {
            let had = |lists: &Lists| before.0.iter().find(|known| known.source == lists.source);
            let growth = |lists: &Lists| {
                let before = had(lists).filter(|before| before.text != lists.text)?;
                Some(lists.text.len().saturating_sub(before.text.len()))
            };
            let grown = self
                .0
                .iter_mut()
                .filter_map(|lists| Some((growth(lists)?, lists)));
            let Some((_, lists)) = grown.max_by_key(|(grown, _)| *grown) else {
                return Err(Problem::of_reference(Reason::UnusableCrl, excess));
            };
            let message = format!("{}: {excess}", lists.source);
            let problem = Problem::of_reference(Reason::UnusableCrl, message);
            problems.push(problem.until_then("the previous list stays in use"));
            if let Some(before) = had(lists).cloned() {
                *lists = before;
            }
        }
        Ok(problems)
    }

    /// Returns what is wrong with the lists together.
    fn excess(&self) -> Option<String> {
        let size = self.size();
        let lists: usize = self
            .0
            .iter()
            .map(|lists| lists.text.matches(BEGIN_LIST).count())
            .sum();
        let certificates: usize = self.0.iter().map(|lists| lists.certificates).sum();
        let to_do = "let the terminators fetch large ones, by clientAuth.revocation.crlUrls";
        if size > SIZE_MAX {
            return Some(format!(
                "all revocation lists together have {size} bytes of PEM; the limit is {SIZE_MAX}; {to_do}"
            ));
        }
        if lists > COUNT_MAX {
            return Some(format!(
                "there are {lists} revocation lists; the limit is {COUNT_MAX}; {to_do}"
            ));
        }
        (certificates > CERTIFICATES_MAX).then(|| {
            format!(
                "there are {certificates} certificates beside the revocation lists; the limit is {CERTIFICATES_MAX}; keep those of \
                 CAs that are not in caRef"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use mqtt_tls_judge::authorities;
    use mqtt_tls_judge::pem::Part;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
        DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
        date_time_ymd,
    };

    use super::*;
    use crate::crd::CaKind;
    use crate::plan::names::Name;

    struct Ca(CertifiedIssuer<'static, KeyPair>);

    impl Ca {
        fn new() -> Self {
            Self::named("devices")
        }

        fn named(name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn authorities(&self) -> Authorities {
            authorities::judge(Part::object(&self.0.pem())).unwrap()
        }

        /// A list of so many certificates, as DER.
        fn list(&self, entries: u64) -> Vec<u8> {
            self.list_of(entries, 2026)
        }

        /// A list that was made at the beginning of a year.
        fn list_of(&self, entries: u64, made: i32) -> Vec<u8> {
            let revoked = (0..entries).map(|number| RevokedCertParams {
                serial_number: SerialNumber::from(number.to_be_bytes().repeat(2)),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            });
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(made, 1, 1),
                next_update: date_time_ymd(made.max(2026), 2, 1),
                crl_number: SerialNumber::from(1_u64),
                issuing_distribution_point: None,
                revoked_certs: revoked.collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&self.0).unwrap().der().to_vec()
        }
    }

    fn source(name: &str) -> DataKey {
        DataKey {
            kind: CaKind::ConfigMap,
            object: Name::new("iot", name),
            key: "ca.crl".to_owned(),
            is_foreign: false,
        }
    }

    fn during() -> Timestamp {
        "2026-01-15T00:00:00Z".parse().unwrap()
    }

    fn lists(name: &str, ca: &Ca, bytes: &[u8]) -> Result<Lists, Unusable> {
        Lists::of(&source(name), bytes, &ca.authorities(), during())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let ca = Ca::new();
        let mut pool = Pool::default();
        pool.add(lists("a", &ca, &ca.list(1)).unwrap());
        let of_b = lists("b", &ca, &ca.list(3)).unwrap();
        pool.add(of_b.clone());
        let text = pool.text().unwrap();
        let secret = Secret {
            data: Some([(CRLS.to_owned(), text.clone())].into()),
            ..Secret::default()
        };
        let read = Pool::read(&secret, "iot");
        assert_eq!(read.text(), Some(text));
        let again = read.lists(&source("b"), &ca.authorities(), during());
        assert_eq!(again.unwrap().text, of_b.text);
        let of_c = read.lists(&source("c"), &ca.authorities(), during());
        assert!(of_c.is_none());
        // Its CA is not trusted any more.
        let other = Ca::new().authorities();
        assert!(read.lists(&source("b"), &other, during()).is_none());
    }

    /// A Secret may have anything beside a list.
    #[test]
    fn nothing_but_lists_and_certificates_is_written() {
        let ca = Ca::new();
        let key = KeyPair::generate().unwrap().serialize_pem();
        let mut text = String::from("a comment\n");
        push(&mut text, "X509 CRL", &ca.list(0));
        text.push_str(&key);
        text.push_str(&ca.0.pem());
        let lists = lists("a", &ca, text.as_bytes()).unwrap();
        assert!(!lists.text.contains("PRIVATE"), "{}", lists.text);
        assert!(!lists.text.contains("comment"), "{}", lists.text);
        // The CA's own certificate is known.
        assert_eq!(lists.text.matches("BEGIN").count(), 1);
    }

    /// A list of a namesake is left out, as that of a CA that is not trusted any more; those beside it are used.
    #[test]
    fn lists_of_other_cas_are_left_out() {
        let (ca, namesake) = (Ca::new(), Ca::new());
        let mut text = String::new();
        push(&mut text, "X509 CRL", &namesake.list(0));
        let alone = lists("a", &ca, text.as_bytes());
        assert!(matches!(alone, Err(Unusable::List(Error::Signature(_)))));
        let other = Ca::named("others");
        let mut text = String::new();
        push(&mut text, "X509 CRL", &other.list(0));
        let foreign = lists("a", &ca, text.as_bytes()).unwrap().foreign();
        let message = foreign.unwrap().message;
        assert!(
            message.starts_with("ConfigMap a, key ca.crl: the issuer"),
            "{message}"
        );
        push(&mut text, "X509 CRL", &ca.list(2));
        let both = lists("a", &ca, text.as_bytes()).unwrap();
        assert_eq!((both.loaded.len(), both.foreign().is_some()), (1, false));
    }

    /// Hosts with other authorities take what is theirs of the same object, and all of it is read back.
    #[test]
    fn each_host_has_what_its_cas_have_signed() {
        let ca = Ca::new();
        let other = Ca::named("others");
        let mut text = String::new();
        push(&mut text, "X509 CRL", &ca.list(1));
        push(&mut text, "X509 CRL", &other.list(1));
        let mut pool = Pool::default();
        for ca in [&ca, &other, &ca] {
            pool.add(lists("a", ca, text.as_bytes()).unwrap());
        }
        assert_eq!(pool.0.len(), 2);
        let secret = Secret {
            data: Some([(CRLS.to_owned(), pool.text().unwrap())].into()),
            ..Secret::default()
        };
        let read = Pool::read(&secret, "iot");
        assert_eq!(read.0.len(), 1);
        for ca in [&ca, &other] {
            let own = read.lists(&source("a"), &ca.authorities(), during());
            assert_eq!(own.unwrap().loaded.len(), 1);
        }
    }

    #[test]
    fn an_outdated_list_is_warned_of() {
        let ca = Ca::new();
        let at = |now: &str| {
            let now = now.parse().unwrap();
            let lists = Lists::of(&source("a"), &ca.list(1), &ca.authorities(), now).unwrap();
            (lists.dates, lists.warnings.len())
        };
        let until: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        assert_eq!(at("2026-02-01T00:00:00Z"), (vec![until], 0));
        assert_eq!(at("2026-02-01T00:00:01Z"), (vec![until], 1));
    }

    #[test]
    fn of_lists_that_are_too_large_together_the_one_that_has_grown_most_stays_as_it_was() {
        let ca = Ca::new();
        let mut pool = Pool::default();
        pool.add(lists("a", &ca, &ca.list(4_000)).unwrap());
        assert!(pool.fit(&Pool::default()).unwrap().is_empty());
        let b = lists("b", &ca, &ca.list(3_500)).unwrap();
        pool.add(b.clone());
        let error = pool.clone().fit(&Pool::default()).unwrap_err();
        assert_eq!(error.reason, Reason::UnusableCrl);
        let mut before = Pool::default();
        let a = lists("a", &ca, &ca.list(1)).unwrap();
        before.add(a.clone());
        let problems = pool.fit(&before).unwrap();
        assert_eq!(problems.len(), 1);
        let message = &problems[0].message;
        assert!(
            message.starts_with("ConfigMap a, key ca.crl: all"),
            "{message}"
        );
        assert_eq!((&pool.0[0].text, &pool.0[1].text), (&a.text, &b.text));
    }

    /// As after a rollback of the object.
    #[test]
    fn an_older_list_does_not_replace_a_newer_one() {
        let ca = Ca::new();
        let of = |made: i32| lists("a", &ca, &ca.list_of(1, made)).unwrap();
        assert!(of(2026).instead_of(&of(2025), during()).is_ok());
        assert!(of(2026).instead_of(&of(2026), during()).is_ok());
        let problem = of(2025).instead_of(&of(2026), during()).unwrap_err();
        assert_eq!(problem.reason, Reason::UnusableCrl);
        let problem = of(2027).instead_of(&of(2026), during()).unwrap_err();
        assert!(
            problem.message.contains("in the future"),
            "{}",
            problem.message
        );
        // That of another CA is another list.
        let (other, own) = (Ca::new(), of(2026));
        let others = Lists::of(
            &source("a"),
            &other.list_of(1, 2025),
            &other.authorities(),
            during(),
        );
        assert!(others.unwrap().instead_of(&own, during()).is_ok());
    }
}
