//! The verdict about a client: purpose, revocation and rules, with the alert for each refusal; and the same verdict as rustls'
//! verifier where it has one.

use std::sync::Arc;
use std::time::Duration;

use mqtt_tls_judge::client::{Clients, Depth, Purpose, Reason, Refusal, Revocation, WhenUnknown};
use mqtt_tls_judge::identity::Field;
use mqtt_tls_judge::identity::rules::{Matching, Rule, Rules};
use mqtt_tls_judge::provider::provider;
use mqtt_tls_judge::revocation::Revocations;
use rcgen::ExtendedKeyUsagePurpose::{self, Any, ClientAuth, CodeSigning, ServerAuth};
use rcgen::{CertificateParams, DnType, SerialNumber, date_time_ymd};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, RootCertStore};

use super::pki::{Ca, load};

/// 2026-01-15.
fn during() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_768_435_200))
}

/// 2026-03-01, after the lists' time.
fn after() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_772_323_200))
}

fn none() -> Revocations {
    Revocations::default()
}

fn clients(roots: &[&Ca]) -> Clients {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.der()).unwrap();
    }
    Clients {
        roots: Arc::new(store),
        purpose: Purpose::Client,
        revocation: None,
        rules: None,
    }
}

/// Clients that are judged by lists, and the lists.
#[derive(Clone)]
struct Listed(Clients, Revocations);

impl Listed {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        self.0.judge(leaf, sent, &self.1, now)
    }

    fn revocation(&mut self) -> &mut Revocation {
        self.0.revocation.as_mut().unwrap()
    }
}

fn with_lists(root: &Ca, lists: &[(&Ca, &[(&str, &str)])], depth: Depth) -> Listed {
    let lists = lists.iter().map(|(ca, entries)| {
        let pem = ca.list(entries);
        load(pem.as_bytes(), &[ca]).unwrap()
    });
    let clients = Clients {
        revocation: Some(Revocation {
            depth,
            when_outdated: WhenUnknown::Refuse,
            when_unlisted: WhenUnknown::Refuse,
        }),
        ..clients(&[root])
    };
    Listed(clients, Revocations::new(lists.collect()).unwrap())
}

fn purposes(purposes: &[ExtendedKeyUsagePurpose]) -> impl FnOnce(&mut CertificateParams) + use<> {
    let purposes = purposes.to_vec();
    move |params| params.extended_key_usages = purposes
}

#[test]
fn reasons_are_sorted() {
    let names = Reason::ALL.map(Reason::name);
    assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
}

#[test]
fn a_certificate_for_servers_is_refused_for_its_purpose_and_accepted_on_request() {
    let ca = Ca::root("factory");
    let strict = clients(&[&ca]);
    let lenient = Clients {
        purpose: Purpose::ClientOrServer,
        ..strict.clone()
    };
    for (leaf, by_strict, by_lenient) in [
        (vec![], Ok(()), Ok(())),
        (vec![ClientAuth], Ok(()), Ok(())),
        (vec![ServerAuth, ClientAuth], Ok(()), Ok(())),
        (vec![ServerAuth], Err(Refusal::Purpose), Ok(())),
        (
            vec![CodeSigning],
            Err(Refusal::Purpose),
            Err(Refusal::Purpose),
        ),
        (vec![Any], Err(Refusal::Purpose), Err(Refusal::Purpose)),
    ] {
        let certificate = ca.leaf(2, purposes(&leaf));
        assert_eq!(
            strict.judge(&certificate, &[], &none(), during()),
            by_strict,
            "{leaf:?}"
        );
        assert_eq!(
            lenient.judge(&certificate, &[], &none(), during()),
            by_lenient,
            "{leaf:?}"
        );
    }
    // Also where the CA below the root is for servers only, as those of public CAs.
    let below = ca.below("servers", purposes(&[ServerAuth]));
    let certificate = below.leaf(2, purposes(&[ServerAuth]));
    let sent = [below.der()];
    assert_eq!(
        strict.judge(&certificate, &sent, &none(), during()),
        Err(Refusal::Purpose)
    );
    assert_eq!(
        lenient.judge(&certificate, &sent, &none(), during()),
        Ok(())
    );
}

#[test]
fn the_purpose_is_the_reason_only_if_there_is_no_other() {
    let (ca, other) = (Ca::root("factory"), Ca::root("office"));
    let clients = with_lists(&ca, &[(&ca, &[("02", "")])], Depth::Leaf);
    let judge = |leaf: &CertificateDer<'_>| clients.judge(leaf, &[], during());
    let server = || purposes(&[ServerAuth]);
    assert_eq!(judge(&other.leaf(3, server())), Err(Refusal::UnknownIssuer));
    assert_eq!(judge(&ca.leaf(2, server())), Err(Refusal::Revoked));
    assert_eq!(judge(&ca.leaf(3, server())), Err(Refusal::Purpose));
}

#[test]
fn a_revoked_certificate_is_refused_and_the_list_of_a_namesake_is_not_asked() {
    let (ca, namesake) = (Ca::root("factory"), Ca::root("factory"));
    let own = with_lists(&ca, &[(&ca, &[("02", "")])], Depth::Leaf);
    let judge = |clients: &Listed, serial| clients.judge(&ca.leaf(serial, |_| ()), &[], during());
    assert_eq!(judge(&own, 2), Err(Refusal::Revoked));
    assert_eq!(judge(&own, 3), Ok(()));
    let theirs = with_lists(&ca, &[(&namesake, &[("02", "")])], Depth::Leaf);
    assert_eq!(judge(&theirs, 2), Err(Refusal::Unlisted));
    let mut lenient = theirs;
    lenient.revocation().when_unlisted = WhenUnknown::Accept;
    assert_eq!(judge(&lenient, 2), Ok(()));
}

#[test]
fn an_outdated_list_refuses_or_not_and_goes_on_revoking() {
    let ca = Ca::root("factory");
    let mut clients = with_lists(&ca, &[(&ca, &[("02", "")])], Depth::Leaf);
    let (revoked, good) = (ca.leaf(2, |_| ()), ca.leaf(3, |_| ()));
    assert_eq!(
        clients.judge(&good, &[], after()),
        Err(Refusal::OutdatedList)
    );
    clients.revocation().when_outdated = WhenUnknown::Accept;
    assert_eq!(clients.judge(&good, &[], after()), Ok(()));
    assert_eq!(clients.judge(&revoked, &[], after()), Err(Refusal::Revoked));
}

/// Without the rest, a certificate that nothing applies to may be on a list that is missing.
#[test]
fn a_list_that_is_missing_counts_as_outdated_and_as_none() {
    let (ca, other) = (Ca::root("factory"), Ca::root("office"));
    let Listed(mut clients, lists) = with_lists(&ca, &[(&ca, &[("02", "")])], Depth::Leaf);
    let elsewhere = with_lists(&ca, &[(&other, &[])], Depth::Leaf).1.partial();
    let partial = lists.partial();
    let judge = |clients: &Clients, lists: &Revocations, serial| {
        clients.judge(&ca.leaf(serial, |_| ()), &[], lists, during())
    };
    assert_eq!(judge(&clients, &partial, 3), Ok(()), "its list is whole");
    assert_eq!(judge(&clients, &partial, 2), Err(Refusal::Revoked));
    let refused = judge(&clients, &elsewhere, 3);
    assert_eq!(refused, Err(Refusal::OutdatedList));
    // What refuses while nothing is missing does so while something is.
    clients.revocation.as_mut().unwrap().when_outdated = WhenUnknown::Accept;
    assert_eq!(judge(&clients, &elsewhere, 3), Err(Refusal::Unlisted));
    clients.revocation.as_mut().unwrap().when_unlisted = WhenUnknown::Accept;
    assert_eq!(judge(&clients, &elsewhere, 3), Ok(()));
    clients.revocation.as_mut().unwrap().when_outdated = WhenUnknown::Refuse;
    let refused = judge(&clients, &elsewhere, 3);
    assert_eq!(refused, Err(Refusal::OutdatedList));
}

#[test]
fn a_revoked_ca_counts_if_the_whole_chain_is_looked_up() {
    let root = Ca::root("factory");
    let below = root.below("line", |params| {
        params.serial_number = Some(SerialNumber::from(vec![9]));
    });
    let leaf = below.leaf(2, |_| ());
    let sent = [below.der()];
    let revoked: &[(&str, &str)] = &[("09", "")];
    let judge = |lists: &[(&Ca, &[(&str, &str)])], depth| {
        with_lists(&root, lists, depth).judge(&leaf, &sent, during())
    };
    let both = [(&root, revoked), (&below, &[][..])];
    assert_eq!(judge(&both, Depth::Chain), Err(Refusal::Revoked));
    assert_eq!(judge(&both, Depth::Leaf), Ok(()));
    let good = [(&root, &[][..]), (&below, &[][..])];
    assert_eq!(judge(&good, Depth::Chain), Ok(()));
    assert_eq!(judge(&good[1..], Depth::Chain), Err(Refusal::Unlisted));
    // The root's list says nothing about what the CA below issued.
    let both = [(&root, &[("02", "")][..]), (&below, &[][..])];
    assert_eq!(judge(&both, Depth::Chain), Ok(()));
}

#[test]
fn a_rule_must_match_and_refuses_with_access_denied() {
    let ca = Ca::root("factory");
    let rule = Rule::new(Field::CommonName, Matching::Prefix, "pump-").unwrap();
    let clients = Clients {
        rules: Some(Rules::new(vec![rule]).unwrap()),
        ..clients(&[&ca])
    };
    let named = |name: &str| {
        let name = name.to_owned();
        ca.leaf(2, |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
        })
    };
    assert_eq!(
        clients.judge(&named("pump-7"), &[], &none(), during()),
        Ok(())
    );
    let refused = clients.judge(&named("valve-7"), &[], &none(), during());
    assert_eq!(refused, Err(Refusal::NoRuleMatches));
}

#[test]
fn each_refusal_has_its_alert() {
    for (refusal, alert) in [
        (Refusal::BadSignature, AlertDescription::DecryptError),
        (Refusal::Expired, AlertDescription::CertificateExpired),
        (Refusal::NoRuleMatches, AlertDescription::AccessDenied),
        (Refusal::NotYetValid, AlertDescription::CertificateExpired),
        (Refusal::OutdatedList, AlertDescription::CertificateUnknown),
        (Refusal::Purpose, AlertDescription::UnsupportedCertificate),
        (Refusal::Revoked, AlertDescription::CertificateRevoked),
        (Refusal::UnknownIssuer, AlertDescription::UnknownCA),
        (Refusal::Unlisted, AlertDescription::CertificateUnknown),
        (Refusal::Unreadable, AlertDescription::BadCertificate),
    ] {
        assert_eq!(AlertDescription::from(refusal.into_tls()), alert);
    }
}

#[test]
fn without_lists_and_rules_the_verdict_is_that_of_rustls() {
    let (ca, namesake) = (Ca::root("factory"), Ca::root("factory"));
    let below = ca.below("line", |_| ());
    let clients = clients(&[&ca]);
    let theirs = WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), provider());
    let theirs = theirs.build().unwrap();
    let mut damaged = ca.leaf(2, |_| ()).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    for (leaf, sent, expected) in [
        (ca.leaf(2, |_| ()), vec![], Ok(())),
        (below.leaf(2, |_| ()), vec![below.der()], Ok(())),
        (below.leaf(2, |_| ()), vec![], Err(Refusal::UnknownIssuer)),
        (namesake.leaf(2, |_| ()), vec![], Err(Refusal::BadSignature)),
        (damaged.into(), vec![], Err(Refusal::BadSignature)),
        (
            ca.leaf(2, purposes(&[ServerAuth])),
            vec![],
            Err(Refusal::Purpose),
        ),
        (
            ca.leaf(2, |params| params.not_after = date_time_ymd(2026, 1, 1)),
            vec![],
            Err(Refusal::Expired),
        ),
        (
            ca.leaf(2, |params| params.not_before = date_time_ymd(2026, 2, 1)),
            vec![],
            Err(Refusal::NotYetValid),
        ),
        (
            ca.der(),
            vec![],
            Err(Refusal::Other(webpki::Error::CaUsedAsEndEntity)),
        ),
        (vec![0x30, 0].into(), vec![], Err(Refusal::Unreadable)),
    ] {
        let ours = clients.judge(&leaf, &sent, &none(), during());
        assert_eq!(ours, expected);
        let theirs = theirs.verify_client_cert(&leaf, &sent, during());
        assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Err(ours), Err(theirs)) = (ours, theirs) {
            let ours = AlertDescription::from(ours.into_tls());
            let rustls::Error::InvalidCertificate(theirs) = theirs else {
                panic!("{theirs:?}");
            };
            assert_eq!(ours, AlertDescription::from(theirs));
        }
    }
}
