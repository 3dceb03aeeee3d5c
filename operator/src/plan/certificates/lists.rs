//! Reads small revocation lists from Secrets and ConfigMaps, and keeps the last good ones beside the configuration.
//!
//! It must not write a list that no CA of its listener or host has signed, nor anything else that the object has: what is written
//! are lists, and certificates of their issuers.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::finding::{Finding, Grade, Reason as Found};
use mqtt_tls_judge::revocation::crl::Crl;
use mqtt_tls_judge::revocation::error::Error;
use mqtt_tls_judge::revocation::source::{Bounds, find};

use super::authorities::{Wanted, bytes};
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

/// Characters of a line of PEM (RFC 7468, section 2).
const LINE: usize = 64;

/// What stands before the name of a source.
const HEADER: &str = "# ";

/// The lists of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists {
    /// The source.
    pub source: DataKey,
    /// Lists and certificates of their issuers, as PEM.
    text: String,
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
    ) -> Result<Self, Error> {
        let found = find(bytes, BOUNDS)?;
        let known = authorities.issuers();
        let issuers = [known, &found.issuers(known)].concat();
        let mut lists = Self {
            source: source.clone(),
            text: String::new(),
            dates: Vec::new(),
            warnings: Vec::new(),
        };
        for der in &found.lists {
            let list = Crl::load(der, &issuers, BOUNDS)?;
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
        }
        for der in found.certificates() {
            push(&mut lists.text, "CERTIFICATE", der);
        }
        Ok(lists)
    }
}

/// Adds a PEM block.
fn push(text: &mut String, label: &str, der: &[u8]) {
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    let _ = writeln!(text, "-----BEGIN {label}-----");
    while !rest.is_empty() {
        // Base64 has one byte a character.
        let (line, others) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = others;
    }
    let _ = writeln!(text, "-----END {label}-----");
}

/// The lists of all sources of a listener and its hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool(Vec<Lists>);

impl Pool {
    /// Reads back what was written. The sources are named in it; what has none is ignored.
    pub fn read(secret: &Secret) -> Self {
        let bytes = secret.data.as_ref().and_then(|data| data.get(CRLS));
        let text = bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
        let mut pool: Vec<Lists> = Vec::new();
        for line in text.into_iter().flat_map(str::lines) {
            match line.strip_prefix(HEADER).map(serde_json::from_str) {
                Some(Ok(source)) => pool.push(Lists {
                    source,
                    text: String::new(),
                    dates: Vec::new(),
                    warnings: Vec::new(),
                }),
                Some(Err(_)) => return Self::default(),
                None => {
                    if let Some(lists) = pool.last_mut() {
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
        let lists = self.0.iter().find(|lists| lists.source == *source)?;
        Lists::of(source, lists.text.as_bytes(), authorities, now).ok()
    }

    /// Adds lists, if their source has none yet.
    pub fn add(&mut self, lists: Lists) {
        if !self.0.iter().any(|known| known.source == lists.source) {
            self.0.push(lists);
        }
    }

    /// Returns the lists of sources, or what another pool has of them.
    #[must_use]
    pub fn of(&self, sources: &[&DataKey], before: &Self) -> Self {
        let mut pool = Self::default();
        for source in sources {
            let mut known = self.0.iter().chain(&before.0);
            if let Some(lists) = known.find(|lists| lists.source == **source) {
                pool.add(lists.clone());
            }
        }
        pool
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

    /// Returns what is wrong with the lists together: they are too large.
    pub fn excess(&self) -> Option<Problem> {
        let size = self.size();
        let largest = self.0.iter().max_by_key(|lists| lists.text.len())?;
        (size > SIZE_MAX).then(|| {
            let message = format!(
                "all revocation lists together have {size} bytes of PEM; the limit is {SIZE_MAX}; let the terminators fetch the \
                 largest, {} ({} bytes), by clientAuth.revocation.crlUrls",
                largest.source,
                largest.text.len()
            );
            Problem::of_reference(Reason::UnusableCrl, message)
        })
    }

    /// Returns the lists of another pool from the same sources; `None` if it lacks one.
    pub fn as_in(&self, before: &Self) -> Option<Self> {
        let lists = self.0.iter().map(|lists| {
            let mut known = before.0.iter();
            known.find(|known| known.source == lists.source).cloned()
        });
        lists.collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
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
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(DnType::CommonName, "devices");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn authorities(&self) -> Authorities {
            authorities::judge(Part::object(&self.0.pem())).unwrap()
        }

        /// A list of so many certificates, as DER.
        fn list(&self, entries: u64) -> Vec<u8> {
            let revoked = (0..entries).map(|number| RevokedCertParams {
                serial_number: SerialNumber::from(number.to_be_bytes().repeat(2)),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            });
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 1, 1),
                next_update: date_time_ymd(2026, 2, 1),
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
        }
    }

    fn during() -> Timestamp {
        "2026-01-15T00:00:00Z".parse().unwrap()
    }

    fn lists(name: &str, ca: &Ca, bytes: &[u8]) -> Result<Lists, Error> {
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
        let read = Pool::read(&secret);
        assert_eq!(read.text(), Some(text));
        let again = read.lists(&source("b"), &ca.authorities(), during());
        assert_eq!(again, Some(of_b));
        assert_eq!(read.lists(&source("c"), &ca.authorities(), during()), None);
        // Its CA is not trusted any more.
        let other = Ca::new().authorities();
        assert_eq!(read.lists(&source("b"), &other, during()), None);
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
        assert_eq!(lists.text.matches("BEGIN").count(), 2);
    }

    #[test]
    fn a_list_of_another_ca_is_refused() {
        let (ca, namesake) = (Ca::new(), Ca::new());
        let map = ConfigMap {
            binary_data: Some([("ca.crl".to_owned(), ByteString(namesake.list(0)))].into()),
            ..ConfigMap::default()
        };
        let mut world = World::new(
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "edge"}, "spec": {"certificates": [], "backend": {}},
            }))
            .unwrap(),
        );
        let read = |world: &World| {
            let host = HostKey::LISTENER;
            read(&host, &source("a"), &ca.authorities(), world, during())
        };
        assert_eq!(read(&world).unwrap_err().reason, Reason::CrlNotFound);
        world.config_maps.insert(Name::new("iot", "a"), map);
        let problem = read(&world).unwrap_err();
        assert_eq!(problem.reason, Reason::UnusableCrl);
        assert!(
            problem.message.starts_with("ConfigMap a, key ca.crl: "),
            "{}",
            problem.message
        );
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
    fn lists_that_are_too_large_together_are_named_and_those_of_before_stay() {
        let ca = Ca::new();
        let before = lists("a", &ca, &ca.list(1)).unwrap();
        let mut pool = Pool::default();
        pool.add(lists("a", &ca, &ca.list(4_000)).unwrap());
        assert_eq!(pool.excess(), None);
        pool.add(lists("b", &ca, &ca.list(3_500)).unwrap());
        let problem = pool.excess().unwrap();
        assert!(
            problem.message.contains("ConfigMap a, key ca.crl"),
            "{}",
            problem.message
        );
        let mut known = Pool::default();
        known.add(before);
        assert_eq!(pool.as_in(&known), None, "one is new");
        known.add(lists("b", &ca, &ca.list(2)).unwrap());
        assert_eq!(pool.as_in(&known), Some(known));
    }
}
