//! Other texts in the place of PEM, and their encodings.

use mqtt_tls_judge::certificate::judge;
use mqtt_tls_judge::pem::Part;
use mqtt_tls_program::error::chain;
use mqtt_tls_terminator::load;
use tests::pki::Ca;
use tests::workdir;

use crate::material::Verdict::{Fine, Refused};
use crate::material::{assert_judged, folder, judge_text, openssl};

#[test]
fn texts_in_the_place_of_pem_are_recognized() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let base64: String = leaf
        .bundle()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let quoted = format!("\"{}\"", leaf.bundle().replace('\n', "\\n"));
    let folder = folder();
    std::fs::write(folder.join("cert"), &leaf.cert_pem).unwrap();
    std::fs::write(folder.join("key"), &leaf.key_pem).unwrap();
    let pkcs7 = openssl(&folder, "crl2pkcs7 -nocrl -certfile cert");
    let request = openssl(&folder, "req -new -key key -subj /CN=edge");
    for (text, words) in [
        (
            pkcs7.as_str(),
            "block 1 (PKCS7, line 1 of the PEM) is PKCS#7; convert it with `openssl pkcs7 -print_certs",
        ),
        (request.as_str(), "is a certificate signing request (CSR)"),
        (base64.as_str(), "this is base64 without markers"),
        (
            "/etc/ssl/certs/edge.pem",
            "this is a path; put the PEM text itself here",
        ),
        ("${EDGE_PEM}", "this is a placeholder"),
        (quoted.as_str(), "this is a quoted string with `\\n`"),
        ("https://ca.example/edge.pem", "this is a URL"),
        ("{\"pem\": 1}", "this is JSON"),
        ("", "add the chain here, leaf first"),
        ("words", "add the chain here, leaf first"),
    ] {
        let judged = judge_text(text);
        let shown = judged
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            !shown.contains(&base64[..20]),
            "the message shows the text: {shown}"
        );
        assert_judged(words, judged, Refused("NoCertificate", words));
    }
}

#[test]
fn bad_line_ends_are_reported_and_yaml_only_for_files() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let text = leaf.bundle().replace('\n', "\r");
    let error = judge(&[Part::key("tls.crt", &text)]).unwrap_err();
    assert_eq!(error.reason().name(), "BrokenPem");
    let error = error.to_string();
    assert!(
        error.contains("line 1 of tls.crt ends in CR alone"),
        "{error}"
    );
    assert!(!error.contains("YAML"), "{error}");
    assert_judged(
        "folded",
        judge_text(&leaf.bundle().replace('\n', " ")),
        Refused("BrokenPem", "(in YAML: `pem: |`, not `pem: >`)"),
    );
    assert_judged(
        "CRLF",
        judge_text(&leaf.bundle().replace('\n', "\r\n")),
        Fine,
    );
}

/// Returns the error of `check` for a file; empty if it is valid.
fn checked(bytes: &[u8]) -> String {
    let file = workdir::scratch("judge").join("config.yaml");
    std::fs::write(&file, bytes).unwrap();
    let error = load::check(&file, None).err();
    error.map(|error| chain(&error)).unwrap_or_default()
}

#[test]
fn a_file_may_have_any_bytes_between_its_blocks_only() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let bundle = format!("friendlyName: M?ller\n{}", leaf.bundle()).replace('\n', "\n  ");
    let file = format!("port: 8883\npem: |\n  {bundle}\n");
    let with = |from: &str, to: &[u8]| {
        let at = file.find(from).unwrap();
        [
            &file.as_bytes()[..at],
            to,
            &file.as_bytes()[at + from.len()..],
        ]
        .concat()
    };
    assert_eq!(checked(&with("?", b"\xFC")), "");
    let error = checked(&with("MII", b"MI\xFC"));
    assert!(
        error.contains("line 5 has a byte that is not UTF-8"),
        "{error}"
    );
    let units = file.encode_utf16().flat_map(u16::to_le_bytes);
    let error = checked(&units.collect::<Vec<u8>>());
    assert!(error.contains("it is UTF-16; save it as UTF-8"), "{error}");
    let error = checked(&leaf.cert_der);
    assert!(error.contains("openssl x509 -inform DER"), "{error}");
    let error = checked(&leaf.key_der);
    assert!(error.contains("openssl pkey -inform DER"), "{error}");
}
