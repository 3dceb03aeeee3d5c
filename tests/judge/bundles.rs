//! CA bundles: unusable authorities and ignored blocks.

use mqtt_tls_judge::authorities::judge;
use mqtt_tls_judge::finding::Reason;
use mqtt_tls_judge::pem::Part;
use tests::pki::Ca;

use crate::material::Verdict::{self, Fine, Never, Refused, Warns};
use crate::material::{assert_verdict, folder, leaf, openssl, relabelled, root, self_signed};

fn assert_bundle(what: &str, text: &str, verdict: Verdict) {
    let described =
        |error: mqtt_tls_judge::authorities::Error| (error.reason().name(), error.to_string());
    let judged = judge(Part::file(text)).map(|authorities| {
        let findings = authorities.findings().to_vec();
        (
            findings,
            authorities.strictly().map(drop).map_err(described),
        )
    });
    assert_verdict(what, judged.map_err(described), verdict);
}

fn authority(genpkey: &str) -> String {
    let folder = folder();
    openssl(&folder, &format!("genpkey {genpkey} -out key"));
    openssl(&folder, "req -x509 -key key -days 30 -subj /CN=devices")
}

#[test]
fn unusable_authorities_are_reported() {
    let (good, top) = (Ca::new("good").cert_pem(), root("root"));
    let device = leaf(&top, &[], |_| {}).chain.concat();
    let weak = authority("-algorithm RSA -pkeyopt rsa_keygen_bits:1024");
    let brainpool = authority("-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1");
    for (bad, words) in [
        (weak.as_str(), "has an RSA key of 1024 bits"),
        (brainpool.as_str(), "has an ECDSA key on a brainpool curve"),
        (
            device.as_str(),
            "of CN=edge in block 1 (CERTIFICATE, line 1 of the PEM) is not a CA",
        ),
    ] {
        let reason = Reason::UnusableAuthority;
        assert_bundle("alone", bad, Never(reason, words));
        assert_bundle(
            "beside a good one",
            &format!("{bad}{good}"),
            Warns(reason, words),
        );
    }
    assert_bundle("good", &good, Fine);
    let own = self_signed("-algorithm ED25519", "").chain.concat();
    assert_bundle(
        "a device by itself",
        &own,
        Warns(Reason::AuthorityIsLeaf, "only the one device"),
    );
}

#[test]
fn ignored_blocks_are_reported() {
    let (ca, other) = (Ca::new("good"), Ca::new("other").cert_pem());
    let good = ca.cert_pem();
    for label in ["X509 CERTIFICATE", "TRUSTED CERTIFICATE", "FOO"] {
        assert_bundle(label, &format!("{good}{}", relabelled(&other, label)), Fine);
        assert_bundle(label, &relabelled(&other, label), Fine);
    }
    let folder = folder();
    std::fs::write(folder.join("ca"), &other).unwrap();
    std::fs::write(folder.join("key"), ca.key_pem()).unwrap();
    let pkcs7 = openssl(&folder, "crl2pkcs7 -nocrl -certfile ca");
    let request = openssl(&folder, "req -new -key key -subj /CN=a");
    for (block, words) in [(pkcs7, "is PKCS#7; convert it"), (request, "(CSR)")] {
        let reason = Reason::BlockLeftOut;
        assert_bundle(words, &format!("{good}{block}"), Never(reason, words));
        assert_bundle(words, &block, Refused("NoCertificate", words));
    }
    let crl = format!("{good}{}", ca.crl(&[]));
    assert_bundle(
        "CRL",
        &crl,
        Warns(Reason::BlockLeftOut, "a revocation list"),
    );
    let distrusted = openssl(&folder, "x509 -in ca -trustout -addreject clientAuth");
    let words = "not trusted for clients";
    let beside = format!("{good}{distrusted}");
    assert_bundle("distrusted", &beside, Warns(Reason::BlockLeftOut, words));
    assert_bundle(
        "distrusted alone",
        &distrusted,
        Refused("NoCertificate", words),
    );
    let key = format!("{good}{}", ca.key_pem());
    assert_bundle("key", &key, Refused("PrivateKeyInBundle", "remove the key"));
    assert_bundle(
        "path",
        "/etc/ca.pem",
        Refused("NoCertificate", "this is a path"),
    );
}
