//! What people put where PEM belongs, and in which encodings.

use mqtt_tls_judge::certificate::judge;
use mqtt_tls_judge::pem::Part;
use mqtt_tls_program::error::chain;
use mqtt_tls_terminator::load;
use tests::pki::Ca;
use tests::workdir;

use crate::material::Verdict::{Fine, Refused};
use crate::material::{assert_judged, folder, judge_text, openssl};

#[test]
fn what_stands_in_place_of_pem_is_told() {
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
            "block 1 (PKCS7, line 1 of the PEM) is a PKCS7; convert it: `openssl pkcs7 -print_certs",
        ),
        (request.as_str(), "is a request for a certificate (CSR)"),
        (base64.as_str(), "this is base64 without markers"),
        (
            "/etc/ssl/certs/edge.pem",
            "this is a path; the text itself belongs here",
        ),
        ("${EDGE_PEM}", "this is a placeholder"),
        (quoted.as_str(), "this is a quoted string with `\\n`"),
        ("https://ca.example/edge.pem", "this is a URL"),
        ("{\"pem\": 1}", "this is JSON"),
        ("", "put the chain here, leaf first"),
        ("words", "put the chain here, leaf first"),
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
fn line_ends_are_told_and_yaml_is_for_files() {
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

/// What `check` says of a file of these bytes; nothing if it can be served.
fn checked(bytes: &[u8]) -> String {
    let file = workdir::scratch("judge").join("config.yaml");
    std::fs::write(&file, bytes).unwrap();
    let error = load::check(&file).err();
    error.map(|error| chain(&error)).unwrap_or_default()
}

#[test]
fn a_file_may_have_any_bytes_between_its_blocks_and_no_others_elsewhere() {
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
    let told = checked(&with("MII", b"MI\xFC"));
    assert!(
        told.contains("line 5 holds a byte that is not UTF-8"),
        "{told}"
    );
    let units = file.encode_utf16().flat_map(u16::to_le_bytes);
    let told = checked(&units.collect::<Vec<u8>>());
    assert!(told.contains("it is UTF-16: save it as UTF-8"), "{told}");
    let told = checked(&leaf.cert_der);
    assert!(told.contains("openssl x509 -inform DER"), "{told}");
    let told = checked(&leaf.key_der);
    assert!(told.contains("openssl pkey -inform DER"), "{told}");
}
