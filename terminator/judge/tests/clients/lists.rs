//! Revocation lists made by OpenSSL: what they revoke, and what is refused. Lists made by rcgen are read as x509-parser reads
//! them.

use jiff::Timestamp;
use mqtt_tls_judge::authorities;
use mqtt_tls_judge::pem::Part;
use mqtt_tls_judge::revocation::crl::Crl;
use mqtt_tls_judge::revocation::error::{Error, Reason};
use mqtt_tls_judge::revocation::source::{Bounds, find, find_first};
use mqtt_tls_judge::revocation::{Certificate, Revocations, Status};
use proptest::prelude::*;
use rcgen::{
    CertificateRevocationListParams, CustomExtension, IsCa, KeyIdMethod, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::pki::{BOUNDS, Ca, der, load};

const DURING: &str = "2026-01-15T00:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// The content of a SEQUENCE of less than 256 bytes.
fn content(der: &[u8]) -> &[u8] {
    let header = if der[1] < 0x80 { 2 } else { 3 };
    &der[header..]
}

fn status(list: &Crl, ca: &Ca, serial: &[u8], is_ca: bool, time: &str) -> Status {
    let lists = Revocations::new(vec![list.clone()]).unwrap();
    let der = ca.der();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let certificate = Certificate {
        issuer: content(parsed.subject().as_raw()),
        issuer_spki: content(parsed.subject_pki.raw),
        serial,
        is_ca,
    };
    lists.status(certificate, at(time))
}

fn refused(source: &str, issuers: &[&Ca]) -> Error {
    load(source.as_bytes(), issuers).unwrap_err()
}

#[test]
fn what_a_list_has_is_revoked_and_the_rest_is_good() {
    let ca = Ca::root("factory");
    let long = "7FFEDCBA98765432100123456789ABCDEF012345";
    let pem = ca.list(&[("02", ""), ("FF", "keyCompromise"), (long, "superseded")]);
    let as_der = der(&pem);
    for source in [pem.as_bytes(), &as_der] {
        let list = load(source, &[&ca]).unwrap();
        assert_eq!((list.entries(), list.issuer()), (3, "CN=factory"));
        let status = |serial: &[u8]| status(&list, &ca, serial, false, DURING);
        let long: Vec<u8> = long
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        for serial in [&[2][..], &[0, 2], &[0, 0xFF], &long] {
            assert_eq!(status(serial), Status::Revoked, "{serial:x?}");
        }
        for serial in [&[3][..], &[0xFF], &[2, 0], &long[1..], &[1; 40], &[]] {
            assert_eq!(status(serial), Status::Good, "{serial:x?}");
        }
    }
}

#[test]
fn a_list_counts_within_its_time_and_revokes_at_any() {
    let ca = Ca::root("factory");
    let list = load(ca.list(&[("02", "")]).as_bytes(), &[&ca]).unwrap();
    let status = |serial, time| status(&list, &ca, &[serial], false, time);
    let (from, until) = (list.this_update(), list.next_update());
    assert_eq!(from.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(until.to_string(), "2026-02-01T00:00:00Z");
    assert_eq!(status(3, "2026-01-01T00:00:00Z"), Status::Good);
    assert_eq!(status(3, "2026-02-01T00:00:00Z"), Status::Good);
    assert_eq!(status(3, "2026-02-01T00:00:01Z"), Status::Outdated(until));
    assert_eq!(status(3, "2025-12-31T23:59:59Z"), Status::NotYetValid(from));
    assert_eq!(status(2, "2030-01-01T00:00:00Z"), Status::Revoked);
    let lists = Revocations::new(vec![list]).unwrap();
    assert_eq!(lists.dates().collect::<Vec<_>>(), [from, until]);
}

#[test]
fn one_current_list_of_several_suffices_and_each_revokes() {
    let ca = Ca::root("factory");
    let list = |entries, until| {
        let until = ["-crl_nextupdate", until];
        let pem = ca.list_with(entries, "authorityKeyIdentifier = keyid", &until);
        load(pem.as_bytes(), &[&ca]).unwrap()
    };
    let old = list(&[("02", "")], "20260110000000Z");
    let new = list(&[("03", "")], "20260301000000Z");
    let der = ca.der();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    for lists in [vec![old.clone(), new.clone()], vec![new, old]] {
        let lists = Revocations::new(lists).unwrap();
        let status = |serial, time| {
            let certificate = Certificate {
                issuer: content(parsed.subject().as_raw()),
                issuer_spki: content(parsed.subject_pki.raw),
                serial: &[serial],
                is_ca: false,
            };
            lists.status(certificate, at(time))
        };
        assert_eq!(status(2, DURING), Status::Revoked);
        assert_eq!(status(3, DURING), Status::Revoked);
        assert_eq!(status(4, DURING), Status::Good);
        let until = lists.dates().max().unwrap();
        assert_eq!(status(4, "2026-06-01T00:00:00Z"), Status::Outdated(until));
    }
}

#[test]
fn only_the_issuers_own_key_counts() {
    let (ca, other) = (Ca::root("factory"), Ca::root("factory"));
    let pem = other.list(&[("02", "")]);
    assert_eq!(refused(&pem, &[&ca]).reason(), Reason::SignatureMismatch);
    assert_eq!(
        refused(&pem, &[&Ca::root("office")]),
        Error::UnknownIssuer("CN=factory".to_owned())
    );
    assert_eq!(refused(&pem, &[]).reason(), Reason::UnknownIssuer);
    // With both, it is of the one that signed it, and says nothing about the other's certificates.
    let list = load(pem.as_bytes(), &[&ca, &other]).unwrap();
    assert_eq!(status(&list, &other, &[2], false, DURING), Status::Revoked);
    assert_eq!(status(&list, &ca, &[2], false, DURING), Status::Unlisted);
}

#[test]
fn the_authorities_of_a_bundle_are_issuers() {
    let (ca, other) = (Ca::root("factory"), Ca::root("office"));
    let bundle = [ca.issuer.pem(), other.issuer.pem()].concat();
    let authorities = authorities::judge(Part::object(&bundle)).unwrap();
    assert_eq!(authorities.issuers(), [ca.as_issuer(), other.as_issuer()]);
    let list = der(&ca.list(&[]));
    assert!(Crl::load(&list, authorities.issuers(), BOUNDS).is_ok());
}

#[test]
fn a_damaged_list_is_refused_wherever_it_is_damaged() {
    let ca = Ca::root("factory");
    let whole = der(&ca.list(&[("02", "keyCompromise")]));
    assert!(load(&whole, &[&ca]).is_ok());
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let is_loaded = Crl::load(&damaged, &[ca.as_issuer()], BOUNDS).is_ok();
        assert!(!is_loaded, "byte {at}");
        let is_loaded = Crl::load(&whole[..at], &[ca.as_issuer()], BOUNDS).is_ok();
        assert!(!is_loaded, "{at} bytes");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(Crl::load(&longer, &[ca.as_issuer()], BOUNDS).is_err());
}

#[test]
fn lists_that_are_understood_in_part_only_are_refused() {
    let ca = Ca::root("factory");
    let point = |what: &str| {
        format!(
            "issuingDistributionPoint = critical, @point\n[point]\nfullname = URI:http://a/\n{what}\n"
        )
    };
    for (extensions, expected) in [
        (
            "2.5.29.27 = critical, ASN1:INTEGER:1".to_owned(),
            Error::Delta("CN=factory".to_owned()),
        ),
        (
            point("indirectCRL = TRUE"),
            Error::Indirect("CN=factory".to_owned()),
        ),
        (
            point("onlysomereasons = keyCompromise"),
            Error::SomeReasons("CN=factory".to_owned()),
        ),
        (
            point("onlyAA = TRUE"),
            Error::AttributeCertificates("CN=factory".to_owned()),
        ),
        (
            "1.2.3.4 = critical, ASN1:NULL".to_owned(),
            Error::CriticalExtension {
                issuer: "CN=factory".to_owned(),
                oid: "1.2.3.4".to_owned(),
            },
        ),
    ] {
        let pem = ca.list_with(&[("02", "")], &extensions, &[]);
        let error = refused(&pem, &[&ca]);
        assert_eq!(error, expected, "{extensions}");
        assert_eq!(error.reason(), Reason::UnsupportedList);
    }
    let pem = ca.list_with(&[("02", "")], "1.2.3.4 = ASN1:NULL", &[]);
    assert!(load(pem.as_bytes(), &[&ca]).is_ok(), "it is not critical");
}

#[test]
fn a_list_about_one_kind_of_certificate_says_nothing_about_the_other() {
    let ca = Ca::root("factory");
    for (what, leaf, authority) in [
        ("onlyuser", Status::Good, Status::Unlisted),
        ("onlyCA", Status::Unlisted, Status::Good),
    ] {
        let extensions =
            format!("issuingDistributionPoint = critical, @point\n[point]\n{what} = TRUE\n");
        let pem = ca.list_with(&[], &extensions, &[]);
        let list = load(pem.as_bytes(), &[&ca]).unwrap();
        assert_eq!(status(&list, &ca, &[2], false, DURING), leaf);
        assert_eq!(status(&list, &ca, &[2], true, DURING), authority);
    }
}

#[test]
fn an_entry_on_hold_is_revoked_and_one_taken_back_is_not() {
    let ca = Ca::root("factory");
    let entries = [
        ("02", "certificateHold"),
        ("03", "removeFromCRL"),
        ("04", "CACompromise"),
    ];
    let list = load(ca.list(&entries).as_bytes(), &[&ca]).unwrap();
    let status = |serial| status(&list, &ca, &[serial], false, DURING);
    let expected = [Status::Revoked, Status::Good, Status::Revoked];
    assert_eq!([2, 3, 4].map(status), expected);
}

#[test]
fn a_ca_that_may_not_sign_lists_and_a_weak_signature_are_refused() {
    let ca = Ca::with_usages("factory", &[KeyUsagePurpose::KeyCertSign]);
    let error = refused(&ca.list(&[]), &[&ca]);
    assert_eq!(error, Error::IssuerCannotSign("CN=factory".to_owned()));
    let ca = Ca::root("factory");
    let pem = ca.list_with(&[], "authorityKeyIdentifier = keyid", &["-md", "sha1"]);
    let error = refused(&pem, &[&ca]);
    assert_eq!(error, Error::Algorithm("CN=factory".to_owned()));
}

#[test]
fn lists_are_bounded() {
    let ca = Ca::root("factory");
    let serials: Vec<String> = (1..=5).map(|number| format!("{number:02X}")).collect();
    let entries: Vec<_> = serials.iter().map(|serial| (&**serial, "")).collect();
    let pem = ca.list(&entries);
    let list = der(&pem);
    let bounds = |bytes, entries| Bounds { bytes, entries };
    let issuers = [ca.as_issuer()];
    let load = |bounds| Crl::load(&list, &issuers, bounds).map(|list| list.entries());
    assert_eq!(load(bounds(list.len(), 5)), Ok(5));
    let issuer = "CN=factory".to_owned();
    assert_eq!(
        load(bounds(list.len(), 4)),
        Err(Error::TooMany { issuer, most: 4 })
    );
    let too_large = Error::TooLarge(list.len() - 1);
    assert_eq!(load(bounds(list.len() - 1, 5)), Err(too_large));
    let found = find(pem.as_bytes(), bounds(pem.len() - 1, 5));
    assert_eq!(found.err(), Some(Error::TooLarge(pem.len() - 1)));
    let one = Crl::load(&list, &issuers, BOUNDS).unwrap();
    let many = Revocations::new(vec![one; 65]).map(|_| ());
    assert_eq!(many, Err(Error::TooManyLists(65)));
}

/// Who serves a list by HTTP may add a CA of the same name, and an empty list that it signed.
#[test]
fn a_namesake_beside_its_list_is_no_issuer() {
    let (ca, namesake) = (Ca::root("factory"), Ca::root("factory"));
    let text = [namesake.list(&[]), namesake.issuer.pem()].concat();
    let found = find(text.as_bytes(), BOUNDS).unwrap();
    let known = vec![ca.as_issuer()];
    assert_eq!(found.issuers(&known), []);
    let issuers = [known, found.issuers(&[ca.as_issuer()])].concat();
    let loaded = Crl::load(&found.lists[0], &issuers, BOUNDS);
    assert_eq!(loaded.unwrap_err().reason(), Reason::SignatureMismatch);
}

/// A device's certificate is no CA, so it vouches for none.
#[test]
fn a_leaf_vouches_for_no_issuer() {
    let ca = Ca::root("factory");
    let leaf = ca.below("device", |params| params.is_ca = IsCa::NoCa);
    let text = [ca.list(&[]), leaf.issuer.pem()].concat();
    let found = find(text.as_bytes(), BOUNDS).unwrap();
    assert_eq!(found.issuers(&[ca.as_issuer()]), []);
}

/// A list of January 2026 with a distribution point's name, or of another time.
fn part(ca: &Ca, name: &str, entries: &[(&str, &str)], arguments: &[&str]) -> Crl {
    let extensions = format!(
        "issuingDistributionPoint = critical, @point\n[point]\nfullname = URI:http://ca.example/{name}\n"
    );
    let pem = ca.list_with(entries, &extensions, arguments);
    load(pem.as_bytes(), &[ca]).unwrap()
}

/// A part that is withheld, or outdated, must not give its certificates back.
#[test]
fn each_part_of_a_list_is_needed() {
    let ca = Ca::root("factory");
    let of = |lists: &Revocations, serial: u8, time: &str| {
        let der = ca.der();
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        let certificate = Certificate {
            issuer: content(parsed.subject().as_raw()),
            issuer_spki: content(parsed.subject_pki.raw),
            serial: &[serial],
            is_ca: false,
        };
        lists.status(certificate, at(time))
    };
    let until = ["-crl_nextupdate", "20260110000000Z"];
    let (one, old) = (
        part(&ca, "1", &[("02", "")], &[]),
        part(&ca, "2", &[("03", "")], &until),
    );
    let both = Revocations::new(vec![one.clone(), old.clone()]).unwrap();
    assert_eq!(of(&both, 2, DURING), Status::Revoked);
    assert_eq!(of(&both, 3, DURING), Status::Revoked);
    assert_eq!(of(&both, 4, "2026-01-05T00:00:00Z"), Status::Good);
    // The second one is outdated, in whatever order.
    let outdated = Status::Outdated(old.next_update());
    assert_eq!(of(&both, 4, DURING), outdated);
    let swapped = Revocations::new(vec![old.clone(), one.clone()]).unwrap();
    assert_eq!(of(&swapped, 4, DURING), outdated);
    // A newer one of the same part takes its place, from whichever source.
    let from = ["-crl_lastupdate", "20260111000000Z"];
    let new = part(&ca, "2", &[], &from);
    for lists in [
        vec![new.clone(), old.clone(), one.clone()],
        vec![one.clone(), old.clone(), new],
    ] {
        let renewed = Revocations::new(lists).unwrap();
        assert_eq!(of(&renewed, 4, DURING), Status::Good);
        assert_eq!(of(&renewed, 3, DURING), Status::Revoked);
    }
    // A part that is not there may not exist, unless a source has failed.
    let alone = Revocations::new(vec![one.clone()]).unwrap();
    assert_eq!(of(&alone, 4, DURING), Status::Good);
    assert_eq!(of(&alone.partial(), 4, DURING), Status::Incomplete);
    // A current whole list suffices; an outdated one does not change what parts say.
    let whole = |arguments: &[&str]| {
        let pem = ca.list_with(&[], "authorityKeyIdentifier = keyid", arguments);
        load(pem.as_bytes(), &[&ca]).unwrap()
    };
    let lists = vec![one.clone(), old, whole(&[])];
    let lists = Revocations::new(lists).unwrap().partial();
    assert_eq!(of(&lists, 4, DURING), Status::Good);
    let lists = Revocations::new(vec![whole(&until), one]).unwrap();
    assert_eq!(of(&lists, 4, DURING), Status::Good);
}

#[test]
fn a_part_is_replaced_by_the_same_part_only() {
    let ca = Ca::root("factory");
    let (one, two) = (part(&ca, "1", &[], &[]), part(&ca, "2", &[], &[]));
    let may_replace = |one: &Crl, other: &Crl| one.may_replace(other, at(DURING));
    assert!(may_replace(&one, &one) && !may_replace(&one, &two));
    let whole = load(ca.list(&[]).as_bytes(), &[&ca]).unwrap();
    assert!(!may_replace(&whole, &one) && !may_replace(&one, &whole));
}

#[test]
fn a_list_is_replaced_by_a_newer_one_of_its_issuer_only() {
    let (ca, namesake) = (Ca::root("factory"), Ca::root("factory"));
    let list = |ca: &Ca, from: &str| {
        let from = ["-crl_lastupdate", from];
        let pem = ca.list_with(&[], "authorityKeyIdentifier = keyid", &from);
        load(pem.as_bytes(), &[ca]).unwrap()
    };
    let (old, new) = (list(&ca, "20260101000000Z"), list(&ca, "20260102000000Z"));
    let may_replace = |one: &Crl, other: &Crl| one.may_replace(other, at(DURING));
    assert!(may_replace(&new, &old) && may_replace(&new, &new));
    assert!(!may_replace(&old, &new));
    let other = list(&namesake, "20260103000000Z");
    assert!(!may_replace(&other, &old));
}

/// A CA whose clock was wrong must not lock its devices out, nor keep its next lists from being used.
#[test]
fn a_list_from_the_future_takes_no_place_and_gives_way() {
    let ca = Ca::root("factory");
    let list = |from: &str| {
        let from = ["-crl_lastupdate", from];
        let pem = ca.list_with(&[], "authorityKeyIdentifier = keyid", &from);
        load(pem.as_bytes(), &[&ca]).unwrap()
    };
    let (current, early) = (list("20260114000000Z"), list("20260120000000Z"));
    let later = list("20260121000000Z");
    let may_replace = |one: &Crl, other: &Crl| one.may_replace(other, at(DURING));
    assert!(!may_replace(&early, &current) && may_replace(&current, &early));
    assert!(may_replace(&later, &early) && !may_replace(&early, &later));
    assert!(early.may_replace(&current, at("2026-01-20T00:00:00Z")));
    // Nor as a part, from whichever source.
    let early = part(&ca, "1", &[], &["-crl_lastupdate", "20260120000000Z"]);
    let lists = Revocations::new(vec![part(&ca, "1", &[], &[]), early]).unwrap();
    let der = ca.der();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let certificate = Certificate {
        issuer: content(parsed.subject().as_raw()),
        issuer_spki: content(parsed.subject_pki.raw),
        serial: &[2],
        is_ca: false,
    };
    assert_eq!(lists.status(certificate, at(DURING)), Status::Good);
}

/// A list without nextUpdate would never be outdated.
#[test]
fn a_list_without_an_end_is_refused() {
    let ca = Ca::root("factory");
    let whole = der(&ca.list(&[]));
    // The second UTCTime of the list, 17 0d and 13 digits: its tag becomes that of another type.
    let times: Vec<usize> = whole
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| *pair == [0x17, 0x0D])
        .map(|(at, _)| at)
        .collect();
    let mut changed = whole.clone();
    changed[times[1]] = 0x04;
    let refused = Crl::load(&changed, &[ca.as_issuer()], BOUNDS).unwrap_err();
    assert_eq!(refused, Error::NotAList("nextUpdate"));
}

#[test]
fn a_renewed_issuer_with_the_same_key_may_sign() {
    let ca = Ca::root("factory");
    let before = Ca::with_key_of(&ca, "factory", &[KeyUsagePurpose::KeyCertSign]);
    let pem = ca.list(&[]);
    assert!(load(pem.as_bytes(), &[&before, &ca]).is_ok());
    let refused = load(pem.as_bytes(), &[&before]).unwrap_err();
    assert_eq!(refused.reason(), Reason::IssuerCannotSign);
}

#[test]
fn the_blocks_of_a_source_are_bounded() {
    let ca = Ca::root("factory");
    let list = ca.list(&[]);
    let many = find(list.repeat(65).as_bytes(), BOUNDS).err();
    assert_eq!(many, Some(Error::TooManyLists(65)));
    let text = [list, ca.issuer.pem().repeat(65)].concat();
    let many = find(text.as_bytes(), BOUNDS).err();
    assert_eq!(many, Some(Error::TooManyCertificates(64)));
}

/// Where too many must not disable the others, the first ones are used.
#[test]
fn the_first_blocks_of_a_source_can_be_used() {
    let ca = Ca::root("factory");
    let (list, certificate) = (ca.list(&[]), ca.issuer.pem());
    let text = [list.repeat(70), certificate.repeat(9)].concat();
    let found = find_first(text.as_bytes(), BOUNDS, 8).unwrap();
    assert_eq!((found.lists.len(), found.certificates().count()), (64, 8));
    let expected = [Error::TooManyCertificates(8), Error::TooManyLists(70)];
    assert_eq!(found.left_out, expected);
    let text = [list.repeat(64), certificate.repeat(8)].concat();
    assert_eq!(find_first(text.as_bytes(), BOUNDS, 8).unwrap().left_out, []);
}

/// Makes an element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

/// What no one has signed is not parsed if it is large: parsed, a name takes fifty times its size.
#[test]
fn a_long_name_and_a_large_certificate_are_left_alone() {
    let ca = Ca::root("factory");
    let bounds = Bounds {
        bytes: 64 << 20,
        entries: 1000,
    };
    // Attributes of nine bytes: SET, SEQUENCE, OID 2.5.4, and an empty string.
    let name = |bytes: usize| [0x31, 7, 0x30, 5, 6, 1, 0x55, 0x0C, 0].repeat(bytes / 9);
    let list = |name: &[u8]| {
        let algorithm = element(0x30, &[6, 1, 0x55]);
        let signed = [
            &algorithm[..],
            &element(0x30, name),
            &element(0x17, b"260101000000Z"),
            &element(0x17, b"260201000000Z"),
        ];
        let signed = element(0x30, &signed.concat());
        let whole = [&signed[..], &algorithm, &element(0x03, &[0; 9])].concat();
        element(0x30, &whole)
    };
    let load = |list: &[u8]| Crl::load(list, &[ca.as_issuer()], bounds).unwrap_err();
    assert_eq!(load(&list(&name(20 << 20))), Error::LongName);
    let Error::UnknownIssuer(shown) = load(&list(&name(4000))) else {
        panic!("a name of 4000 bytes is parsed");
    };
    assert!(shown.len() <= 253, "{shown}");
    // Even if a known CA has issued the certificate.
    let large = ca.below("large", |params| {
        let extension = CustomExtension::from_oid_content(&[1, 2, 3], vec![0; 0x10000]);
        params.custom_extensions.push(extension);
    });
    let text = [ca.list(&[]), large.issuer.pem()].concat();
    let found = find_first(text.as_bytes(), bounds, 8).unwrap();
    assert_eq!(found.left_out, [Error::LargeCertificate]);
    assert_eq!(found.issuers(&[ca.as_issuer()]), []);
}

#[test]
fn a_source_has_lists_and_issuers_among_other_blocks() {
    let (root, other) = (Ca::root("root"), Ca::root("office"));
    let ca = root.below("factory", |_| {});
    let below = ca.below("line", |_| {});
    let text = [
        "a line before\n",
        &ca.list(&[]),
        &below.issuer.pem(),
        &ca.issuer.pem(),
        &other.list(&[]),
    ]
    .concat();
    let found = find(text.as_bytes(), BOUNDS).unwrap();
    assert_eq!(found.lists.len(), 2);
    let known = [root.as_issuer()];
    assert_eq!(found.issuers(&known), [ca.as_issuer(), below.as_issuer()]);
    assert_eq!(found.issuers(&[other.as_issuer()]), []);
    for source in [
        &b""[..],
        b"<html>not found</html>",
        ca.issuer.pem().as_bytes(),
    ] {
        assert_eq!(find(source, BOUNDS).err(), Some(Error::NoList));
    }
    let cut = ca.list(&[]).replace("-----END", "");
    let error = find(cut.as_bytes(), BOUNDS).unwrap_err();
    assert_eq!(error.reason(), Reason::BrokenList);
    assert!(Crl::load(&ca.der(), &[ca.as_issuer()], BOUNDS).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_are_read_as_x509_parser_reads_them(
        serials in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..40),
        others in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..40),
    ) {
        let ca = Ca::root("factory");
        let revoked = |serial: &Vec<u8>| RevokedCertParams {
            serial_number: SerialNumber::from(serial.clone()),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: Some(date_time_ymd(2025, 1, 1)),
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2026, 2, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let made = params.signed_by(&*ca.issuer).unwrap();
        let ours = load(made.der(), &[&ca]).unwrap();
        let (_, theirs) = CertificateRevocationList::from_der(made.der()).unwrap();
        prop_assert_eq!(ours.entries(), theirs.iter_revoked_certificates().count());
        for entry in theirs.iter_revoked_certificates() {
            let found = status(&ours, &ca, entry.raw_serial(), false, DURING);
            prop_assert_eq!(found, Status::Revoked);
        }
        for serial in others {
            // As DER has it: no needless zeros, one before a set first bit.
            let start = serial.iter().position(|byte| *byte != 0).unwrap_or(serial.len() - 1);
            let mut serial = serial[start..].to_vec();
            if serial[0] >= 0x80 {
                serial.insert(0, 0);
            }
            let is_theirs = theirs.iter_revoked_certificates().any(|one| one.raw_serial() == serial);
            let found = status(&ours, &ca, &serial, false, DURING) == Status::Revoked;
            prop_assert_eq!(found, is_theirs);
        }
    }
}
