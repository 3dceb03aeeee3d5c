//! Each problem of a chain, with its reason and message.

use std::time::SystemTime;

use mqtt_tls_judge::certificate::{Error, judge};
use mqtt_tls_judge::finding::Reason;
use mqtt_tls_judge::pem::Part;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P521_SHA512,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tests::pki::DAY;

use crate::material::Verdict::{self, Fine, Never, Refused, Warns};
use crate::material::{
    Issuer, Material, assert_judged, below, block, by_openssl, ca_params, judge_text, leaf,
    leaf_params, new_key, root, self_signed, through,
};

/// Makes a chain with two certificates of one intermediate, which lead to two roots.
pub(crate) fn cross_signed() -> (Issuer, Issuer, Material) {
    let (old, new) = (root("old root"), root("new root"));
    let middle = below(&old, "middle", |_| {});
    let again = ca_params("middle").signed_by(middle.key(), &new).unwrap();
    let material = leaf(&middle, &[&middle.pem(), &again.pem()], |_| {});
    (old, new, material)
}

/// Makes a chain whose issuer has the right name but another key.
pub(crate) fn renewed_with_another_key() -> Material {
    let top = root("root");
    let (old, new) = (below(&top, "middle", |_| {}), below(&top, "middle", |_| {}));
    leaf(&old, &[&new.pem()], |_| {})
}

pub(crate) fn not_a_ca() -> Material {
    through(|params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    })
}

fn too_deep() -> Material {
    let top = below(&root("root"), "upper", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let middle = below(&top, "middle", |_| {});
    leaf(&middle, &[&middle.pem(), &top.pem()], |_| {})
}

fn elsewhere() -> Material {
    through(|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            excluded_subtrees: vec![],
        });
    })
}

fn forged() -> Material {
    let mut material = through(|_| {});
    let mut der = CertificateDer::from_pem_slice(material.chain[0].as_bytes())
        .unwrap()
        .to_vec();
    // A digit of the serial number, which is signed.
    let at = der.windows(2).position(|two| two == [2, 20]).unwrap() + 10;
    der[at] ^= 1;
    material.chain[0] = block("CERTIFICATE", &der);
    material
}

/// Makes a leaf with a negative serial number. This breaks its own signature, which is not checked.
fn negative() -> Material {
    let (key, mut params) = (new_key(), leaf_params());
    params.serial_number = Some(vec![0x7F; 20].into());
    let mut der = params.self_signed(&key).unwrap().der().to_vec();
    let at = der.windows(2).position(|two| two == [2, 20]).unwrap() + 2;
    der[at] = 0x80;
    Material::new(&[&block("CERTIFICATE", &der)], &key)
}

/// Makes what cert-manager puts into a Secret until the real certificate is issued.
fn temporary() -> Material {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
    let ca = Issuer::self_signed(ca_params("cert-manager.local"), key).unwrap();
    leaf(&ca, &[], |_| {})
}

/// Makes all kinds of chains that can never verify.
pub(crate) fn never() -> Vec<(&'static str, Material, Reason)> {
    vec![
        (
            "an issuer that is not a CA",
            not_a_ca(),
            Reason::IssuerNotCa,
        ),
        (
            "an issuer without basicConstraints",
            through(|params| {
                params.is_ca = IsCa::NoCa;
                params.key_usages = vec![];
            }),
            Reason::IssuerNotCa,
        ),
        (
            "an issuer with another key",
            renewed_with_another_key(),
            Reason::SignatureMismatch,
        ),
        ("a forged leaf", forged(), Reason::SignatureMismatch),
        ("a CA too many", too_deep(), Reason::PathTooLong),
        (
            "a name that is not permitted",
            elsewhere(),
            Reason::NameNotPermitted,
        ),
        (
            "a temporary certificate of cert-manager",
            temporary(),
            Reason::TemporaryCertificate,
        ),
    ]
}

/// Makes a leaf whose dates have no seconds. This breaks its own signature, which is not checked.
pub(crate) fn without_seconds() -> Material {
    let (key, mut params) = (new_key(), leaf_params());
    // Until 2050 dates are in UTCTime.
    params.not_after = (SystemTime::now() + 90 * DAY).into();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let mut shorter = Vec::new();
    let mut at = 0;
    let mut dates = 0;
    while at < der.len() {
        if der[at..].starts_with(&[0x17, 13]) {
            shorter.extend([0x17, 11]);
            shorter.extend(&der[at + 2..at + 12]);
            shorter.push(b'Z');
            (at, dates) = (at + 15, dates + 1);
        } else if der[at..].starts_with(&[0x30, 0x1E, 0x17, 13]) {
            shorter.extend([0x30, 0x1A]);
            at += 2;
        } else {
            shorter.push(der[at]);
            at += 1;
        }
    }
    assert_eq!(dates, 2);
    // The lengths of the certificate and of its signed part, both in two bytes.
    for at in [2, 6] {
        assert_eq!(shorter[at - 1], 0x82);
        let length = u16::from_be_bytes([shorter[at], shorter[at + 1]]) - 4;
        shorter[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    Material::new(&[&block("CERTIFICATE", &shorter)], &key)
}

type Row = (&'static str, Material, Verdict);

fn of_issuers() -> Vec<Row> {
    let ends = |from: i64, until: i64| {
        let day = |days: i64| {
            let time = DAY * u32::try_from(days.abs()).unwrap();
            if days < 0 {
                SystemTime::now() - time
            } else {
                SystemTime::now() + time
            }
        };
        through(|params| {
            params.not_before = day(from).into();
            params.not_after = day(until).into();
        })
    };
    vec![
        (
            "an expired issuer",
            ends(-20, -2),
            Warns(
                Reason::IssuerExpired,
                "of CN=middle in block 2 (CERTIFICATE, line",
            ),
        ),
        (
            "an issuer that expires soon",
            ends(-300, 9),
            Warns(Reason::IssuerExpiresSoon, "expires on"),
        ),
        (
            "an issuer that is not valid yet",
            ends(2, 100),
            Warns(Reason::IssuerNotYetValid, "is not valid before"),
        ),
        (
            "an issuer by its usage only",
            through(|params| params.is_ca = IsCa::NoCa),
            Warns(Reason::IssuerNotCa, "many clients reject it"),
        ),
        (
            "an issuer that may not sign",
            through(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            Warns(Reason::IssuerCannotSign, "keyCertSign"),
        ),
        (
            "an issuer for clients only",
            through(|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            Warns(Reason::WrongPurpose, "of CN=middle in block 2"),
        ),
    ]
}

fn of_leaves() -> Vec<Row> {
    let top = root("root");
    let only = |change: fn(&mut CertificateParams)| leaf(&top, &[], change);
    vec![
        (
            "a leaf for clients only",
            only(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            Warns(Reason::WrongPurpose, "of CN=edge is not for servers"),
        ),
        (
            "a leaf that may not sign",
            only(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
            Warns(Reason::WrongKeyUsage, "digitalSignature"),
        ),
        (
            "a leaf without names",
            only(|params| params.subject_alt_names.clear()),
            Warns(Reason::NoNames, "subjectAltName=DNS:"),
        ),
        (
            "a leaf that must be stapled",
            only(|params| {
                let oid = [1, 3, 6, 1, 5, 5, 7, 1, 24];
                let feature = CustomExtension::from_oid_content(&oid, vec![0x30, 3, 2, 1, 5]);
                params.custom_extensions.push(feature);
            }),
            Warns(Reason::StapleRequired, "without must-staple"),
        ),
        (
            "an address among the names",
            only(|params| {
                let name = rcgen::SanType::DnsName("192.0.2.1".try_into().unwrap());
                params.subject_alt_names.push(name);
            }),
            Warns(Reason::OddNames, "under `IP:`"),
        ),
        (
            "a URL among the names",
            only(|params| {
                let name = rcgen::SanType::DnsName("mqtts://a:8883".try_into().unwrap());
                params.subject_alt_names.push(name);
            }),
            Warns(Reason::OddNames, "neither scheme nor port"),
        ),
        (
            "a negative serial number",
            negative(),
            Warns(Reason::ClientsRefuse, "negative serial number"),
        ),
        (
            "a leaf that is a CA",
            only(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Warns(Reason::LeafIsCa, "CA:FALSE"),
        ),
        (
            "dates without seconds",
            without_seconds(),
            Warns(Reason::OddDates, "without seconds"),
        ),
    ]
}

fn of_algorithms() -> Vec<Row> {
    let extensions = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";
    let rsa = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    vec![
        (
            "SHA-1",
            by_openssl(rsa, "-sha1 -extfile ext", extensions),
            Warns(Reason::WeakSignature, "signed with SHA-1"),
        ),
        (
            "MD5",
            by_openssl(rsa, "-md5 -extfile ext", extensions),
            Warns(Reason::WeakSignature, "signed with MD5"),
        ),
        (
            "a short issuer",
            by_openssl(
                "-algorithm RSA -pkeyopt rsa_keygen_bits:1024",
                "-extfile ext",
                extensions,
            ),
            Warns(Reason::WeakKey, "an RSA key of 1024 bits"),
        ),
        (
            "an issuer on a curve of its own",
            by_openssl(
                "-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1",
                "-extfile ext",
                extensions,
            ),
            Warns(Reason::WeakKey, "brainpool"),
        ),
    ]
}

#[test]
fn chains_that_can_never_verify_are_refused_if_new() {
    for (what, material, reason) in never() {
        let word = match reason {
            Reason::IssuerNotCa => "is not a CA",
            Reason::SignatureMismatch => "does not match the key of block 2",
            Reason::PathTooLong => "pathLenConstraint",
            Reason::TemporaryCertificate => "a temporary one of cert-manager",
            _ => "name constraints",
        };
        assert_judged(what, material.judged(), Never(reason, word));
    }
}

#[test]
fn chains_that_many_clients_reject_get_a_warning() {
    let all = [of_issuers(), of_leaves(), of_algorithms()];
    for (what, material, verdict) in all.into_iter().flatten() {
        assert_judged(what, material.judged(), verdict);
    }
}

#[test]
fn good_chains_have_no_findings() {
    let top = root("root");
    let middle = below(&top, "middle", |_| {});
    let upper = below(&middle, "lower", |_| {});
    for (what, material) in [
        ("a leaf alone", leaf(&top, &[], |_| {})),
        (
            "by a CA with the name of cert-manager's",
            leaf(&root("cert-manager.local"), &[], |_| {}),
        ),
        ("with its root", leaf(&top, &[&top.pem()], |_| {})),
        (
            "two CAs and the root",
            leaf(&upper, &[&upper.pem(), &middle.pem(), &top.pem()], |_| {}),
        ),
        ("cross-signed", cross_signed().2),
        ("signed by itself", self_signed("-algorithm ED25519", "")),
        (
            "without an end",
            leaf(&top, &[], |params| {
                params.not_after = rcgen::date_time_ymd(9999, 12, 31);
            }),
        ),
    ] {
        assert_judged(what, material.judged(), Fine);
    }
}

#[test]
fn duplicate_and_unused_blocks_are_ignored_and_reported() {
    let top = root("root");
    let good = leaf(&top, &[&top.pem()], |_| {});
    let (cert, key) = (&good.chain[0], &good.key);
    let twice = format!("{cert}{}", good.pem());
    assert_judged(
        "the leaf twice",
        judge_text(&twice),
        Warns(Reason::DuplicateLeftOut, " is a duplicate of block 1"),
    );
    let twice = format!("{}{key}", good.pem());
    let words = "is a duplicate of block 3";
    assert_judged(
        "the key twice",
        judge_text(&twice),
        Warns(Reason::DuplicateLeftOut, words),
    );
    // A certificate with the issuer's name but not its key is ignored if there is one with both.
    let (old, new) = (below(&top, "middle", |_| {}), below(&top, "middle", |_| {}));
    let both = leaf(&old, &[&new.pem(), &old.pem()], |_| {});
    let judged = both.judged();
    assert_judged(
        "both keys of an issuer",
        judged,
        Warns(Reason::BlockLeftOut, "in block 2 (CERTIFICATE, line"),
    );
}

#[test]
fn an_unrelated_certificate_is_out_of_order() {
    let (top, other) = (root("root"), root("other"));
    let material = leaf(&top, &[&other.pem()], |_| {});
    let words = "did not issue the one before it";
    assert_judged(
        "unrelated",
        material.judged(),
        Refused("ChainOutOfOrder", words),
    );
    let material = leaf(&top, &[], |_| {});
    let behind = format!("{}{}", top.pem(), material.pem());
    let words = "belongs to the certificate in block 2";
    assert_judged(
        "root first",
        judge_text(&behind),
        Refused("ChainOutOfOrder", words),
    );
}

#[test]
fn version_1_is_reported_with_advice() {
    let material = by_openssl("-algorithm ED25519", "", "");
    let words = "it is X.509 version 1, which has no names; issue it with extensions";
    assert_judged(
        "version 1",
        material.judged(),
        Refused("UnusableCertificate", words),
    );
}

#[test]
fn a_block_is_named_with_its_key() {
    let material = not_a_ca();
    let (chain, key) = (material.chain.concat(), &material.key);
    let parts = [Part::key("tls.crt", &chain), Part::key("tls.key", key)];
    let error = judge(&parts).unwrap().strictly().unwrap_err();
    let line = material.chain[0].lines().count() + 1;
    let place = format!("block 2 (CERTIFICATE, line {line} of tls.crt)");
    assert!(error.to_string().contains(&place), "{error}");
    let parts = [
        Part::key("tls.crt", &chain),
        Part::key("tls.key", "/etc/tls.key"),
    ];
    let error = judge(&parts).unwrap_err().to_string();
    assert!(
        error.contains("no private key in tls.key: this is a path"),
        "{error}"
    );
}

#[test]
fn a_certificate_without_a_subject_is_called_by_its_names() {
    let named = |names: &[&str]| {
        let material = leaf(&root("root"), &[], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.subject_alt_names = names
                .iter()
                .map(|&name| rcgen::SanType::DnsName(name.try_into().unwrap()))
                .collect();
        });
        material.judged().unwrap().facts().name()
    };
    assert_eq!(named(&["a.example"]), "a.example");
    let many = named(&["a.example", "b.example", "c.example", "d.example"]);
    assert_eq!(many, "a.example, b.example, c.example and 1 more");
    assert!(named(&[]).starts_with("serial "));
    let (mut one, other) = (leaf(&root("root"), &[], |_| {}), new_key());
    one.key = other.serialize_pem();
    assert!(matches!(one.judged(), Err(Error::KeyMismatch(name)) if name == "CN=edge"));
}

#[test]
fn hidden_characters_in_a_subject_are_escaped() {
    let material = leaf(&root("root"), &[], |params| {
        let name = "edge\nE\u{202e}VIL\u{1b}[2J";
        params.distinguished_name.push(DnType::CommonName, name);
        let long = "x".repeat(3000);
        params
            .distinguished_name
            .push(DnType::OrganizationName, long);
    });
    let certificate = material.judged().unwrap();
    let subject = &certificate.facts().subject;
    let shown = "edge\\nE\\u{202e}VIL\\u{1b}[2J";
    assert!(subject.contains(shown) && subject.len() <= 253, "{subject}");
}

#[test]
fn the_last_second_of_the_year_9999_is_shown() {
    let material = leaf(&root("root"), &[], |params| {
        params.not_after =
            rcgen::date_time_ymd(9999, 12, 31) + std::time::Duration::from_secs(24 * 3600 - 1);
    });
    let certificate = material.judged().unwrap();
    let until = certificate.facts().not_after;
    assert_eq!(until.to_string(), "9999-12-31T23:59:59Z");
    assert_eq!(until.as_second(), 253_402_300_799);
}
