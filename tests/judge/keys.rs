//! Keys are identified by their content, whatever their label, and unsupported kinds are named.

use mqtt_tls_judge::finding::Reason;
use mqtt_tls_judge::refusal::Refusal;
use tests::pki::{Ca, KeyKind};

use crate::material::Verdict::{Fine, Refused, Warns};
use crate::material::{assert_judged, folder, judge_text, openssl, relabelled, self_signed};

#[test]
fn a_key_is_identified_by_its_content() {
    let ca = Ca::new("root");
    for kind in KeyKind::ALL {
        let leaf = ca.leaf().dns("localhost").key(kind).issue();
        for &encoding in kind.encodings() {
            for label in [
                "PRIVATE KEY",
                "RSA PRIVATE KEY",
                "EC PRIVATE KEY",
                "ANY PRIVATE KEY",
                "ED25519 PRIVATE KEY",
                "KEY",
            ] {
                let key = relabelled(&leaf.key_as(encoding), label);
                let what = format!("{kind:?} {encoding:?} under {label}");
                assert_judged(&what, judge_text(&format!("{key}{}", leaf.chain_pem)), Fine);
            }
        }
    }
}

#[test]
fn a_certificate_is_identified_by_its_content() {
    let ca = Ca::new("root");
    let leaf = ca.intermediate("middle").leaf().dns("localhost").issue();
    for label in ["X509 CERTIFICATE", "TRUSTED CERTIFICATE", "CERT", "FOO"] {
        let chain = relabelled(&leaf.chain_pem, label);
        assert_judged(label, judge_text(&format!("{chain}{}", leaf.key_pem)), Fine);
    }
    // As `openssl x509 -trustout` writes it, with the trusted uses after the certificate.
    let folder = folder();
    std::fs::write(folder.join("cert"), &leaf.cert_pem).unwrap();
    let trusted = openssl(
        &folder,
        "x509 -in cert -trustout -addtrust serverAuth -setalias edge",
    );
    assert!(trusted.contains("BEGIN TRUSTED CERTIFICATE"));
    let rest = leaf.chain_pem.replace(&leaf.cert_pem, "");
    let judged = judge_text(&format!("{trusted}{rest}{}", leaf.key_pem)).unwrap();
    assert_eq!(judged.facts().fingerprint, leaf.fingerprint());
}

#[test]
fn blocks_besides_chain_and_key_are_reported() {
    let folder = folder();
    openssl(&folder, "ecparam -name prime256v1 -genkey -out key");
    openssl(
        &folder,
        "req -x509 -key key -out cert -days 9 -subj /CN=edge -addext subjectAltName=DNS:localhost \
         -addext basicConstraints=CA:FALSE",
    );
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let good = format!("{}{}", read("key"), read("cert"));
    assert!(good.contains("BEGIN EC PARAMETERS"));
    assert_judged("parameters of its own curve", judge_text(&good), Fine);
    let ca = Ca::new("root");
    let public = openssl(&folder, "pkey -in key -pubout");
    let request = openssl(&folder, "req -new -key key -subj /CN=a");
    for (block, words) in [
        (public, "a public key; the certificate already contains it"),
        (request, "a certificate signing request (CSR)"),
        (ca.crl(&[]), "a revocation list"),
        (
            "-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n".to_owned(),
            "Diffie-Hellman",
        ),
        (
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmI0E\n=aaaa\n-----END PGP PUBLIC KEY BLOCK-----\n"
                .to_owned(),
            "a PGP block",
        ),
    ] {
        let judged = judge_text(&format!("{block}{good}"));
        assert_judged(words, judged, Warns(Reason::BlockLeftOut, words));
    }
}

#[test]
fn unsupported_keys_are_named() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let ec = |curve: &str| format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve}");
    for (make, words) in [
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024".to_owned(),
            "an RSA key of 1024 bits",
        ),
        (
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048".to_owned(),
            "an RSA-PSS key",
        ),
        ("genpkey -algorithm ED448".to_owned(), "an Ed448 key"),
        ("genpkey -algorithm X25519".to_owned(), "an X25519 key"),
        (ec("brainpoolP256r1"), "an ECDSA key on a brainpool curve"),
        (ec("secp256k1"), "an ECDSA key on secp256k1"),
        (
            "ecparam -name secp224r1 -genkey -noout".to_owned(),
            "an ECDSA key on P-224",
        ),
    ] {
        let key = openssl(&folder(), &make);
        let judged = judge_text(&format!("{}{key}", leaf.chain_pem));
        assert_judged(&make, judged, Refused("UnusablePrivateKey", words));
        let judged = judge_text(&format!("{}{key}", leaf.chain_pem));
        let usable = "use RSA of at least 2048 bits, ECDSA P-256";
        assert_judged(&make, judged, Refused("UnusablePrivateKey", usable));
    }
    let damaged = leaf.key_pem.replacen("MIG", "MIH", 1);
    let judged = judge_text(&format!("{}{damaged}", leaf.chain_pem));
    assert_judged("damaged", judged, Refused("UnusablePrivateKey", "damaged"));
}

#[test]
fn dsa_and_openssh_keys_are_named() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let folder = folder();
    openssl(&folder, "dsaparam -out params 1024");
    let dsa = openssl(&folder, "gendsa params");
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n";
    for (key, words) in [(dsa.as_str(), "a DSA key"), (ssh, "ssh-keygen -p -m PKCS8")] {
        let judged = judge_text(&format!("{}{key}", leaf.chain_pem));
        let reason = if judged
            .as_ref()
            .is_err_and(|error| error.reason() == Refusal::NoPrivateKey)
        {
            "NoPrivateKey"
        } else {
            "UnusablePrivateKey"
        };
        assert_judged(words, judged, Refused(reason, words));
    }
}

#[test]
fn explicit_parameters_are_named() {
    let material = self_signed(
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
        "",
    );
    let judged = material.judged();
    assert_judged(
        "explicit",
        judged,
        Refused("UnusableCertificate", "explicit parameters"),
    );
}

/// Earlier releases ignored blocks under these labels; now that they are read, they must not break what was served.
#[test]
fn formerly_ignored_blocks_break_nothing() {
    let ca = Ca::new("root");
    let (good, other) = (
        ca.intermediate("middle").leaf().dns("localhost").issue(),
        ca.leaf().dns("localhost").issue(),
    );
    let middle = good.chain_pem.replace(&good.cert_pem, "");
    let served = |aside: &str| {
        let text = format!("{aside}{}{middle}{}", good.cert_pem, good.key_pem);
        let certificate = judge_text(&text).unwrap_or_else(|error| panic!("{error}: {aside}"));
        assert_eq!(certificate.facts().fingerprint, good.fingerprint());
        let named = certificate
            .findings()
            .iter()
            .any(|one| matches!(one.reason, Reason::BlockLeftOut | Reason::DuplicateLeftOut));
        assert!(named, "{:?}", certificate.findings());
    };
    for label in ["X509 CERTIFICATE", "TRUSTED CERTIFICATE", "FOO"] {
        served(&relabelled(&other.cert_pem, label));
        served(&relabelled(&ca.cert_pem(), label));
        served(&relabelled(&middle, label));
        served(&format!(
            "-----BEGIN {label}-----\nMIIB\n-----END {label}-----\n"
        ));
    }
    for label in ["ANY PRIVATE KEY", "DSA PRIVATE KEY", "FOO"] {
        served(&relabelled(&other.key_pem, label));
        served(&relabelled(&good.key_pem, label));
        served(&relabelled(&good.encrypted_key("password"), label));
    }
}
