//! `check FILE`: each way in which a configuration can be invalid.

use std::path::Path;
use std::process::Command;

use mqtt_tls_config::{ClientAuthMode, Config};
use tests::pki::{Ca, KeyEncoding, Leaf};
use tests::process::{Finished, run};
use tests::programs;

use crate::fixture::{SOON, write_text};

fn check(file: &Path) -> Finished {
    let mut command = Command::new(programs::terminator());
    command.arg("check").arg(file);
    run(command, b"", SOON)
}

/// Writes a file with this PEM.
fn with_pem(pem: &str) -> std::path::PathBuf {
    let lines: Vec<&str> = pem.lines().collect();
    write_text(&format!("port: 8883\npem: |\n  {}\n", lines.join("\n  ")))
}

#[track_caller]
fn is_refused(pem: &str, because: &str) {
    let finished = check(&with_pem(pem));
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stdout);
    assert!(
        finished.stderr.contains(because),
        "expected {because:?} in {:?}",
        finished.stderr
    );
    for line in pem
        .lines()
        .filter(|line| line.len() > 40 && !line.contains("BEGIN"))
    {
        assert!(!finished.stderr.contains(line), "the message shows the PEM");
    }
}

#[track_caller]
fn is_accepted(text: &str) -> Finished {
    let finished = check(&write_text(text));
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    finished
}

fn leaf() -> (Ca, Leaf) {
    let ca = Ca::new("root");
    let leaf = ca.leaf().common_name("edge").dns("localhost").issue();
    (ca, leaf)
}

#[test]
fn a_good_file_is_accepted() {
    let (_, leaf) = leaf();
    let finished = check(&with_pem(&leaf.bundle()));
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains("can be served"));
    assert_eq!(finished.stderr, "");
}

#[test]
fn common_ways_to_paste_a_pem_are_accepted() {
    let (_, leaf) = leaf();
    let (chain, key) = (&leaf.chain_pem, &leaf.key_pem);
    // Not indented, as in the documentation of smart-mqtt's plugin.
    is_accepted(&format!("host: 0.0.0.0\nport: 8883\npem: |\n{chain}{key}"));
    // Key first, CRLF.
    let text = format!("port: 8883\npem: |\n{key}{chain}").replace('\n', "\r\n");
    is_accepted(&text);
    // What `openssl pkcs12` writes before each block, and blanks at the ends of lines.
    let bundle = format!("Bag Attributes\n    friendlyName: edge\nsubject=CN = edge\n{chain}{key}");
    is_accepted(&format!(
        "port: 8883\npem: |\n{}",
        bundle.replace('\n', "  \n")
    ));
    // Two files concatenated, the first without a final line break.
    is_accepted(&format!("port: 8883\npem: |\n{}{key}", chain.trim_end()));
}

#[test]
fn each_error_in_a_pem_has_its_own_message() {
    let (ca, leaf) = leaf();
    let other = ca.leaf().common_name("other").issue();
    let (chain, key) = (&leaf.chain_pem, &leaf.key_pem);
    is_refused("", "pem: there is no certificate");
    is_refused(key, "pem: there is no certificate");
    is_refused(chain, "pem: there is no private key");
    is_refused(
        &format!("{chain}{key}{}", other.key_pem),
        "pem: there are 2 private keys",
    );
    let encrypted = leaf.encrypted_key("password");
    is_refused(&format!("{chain}{encrypted}"), "is encrypted");
    is_refused(
        &format!("{chain}{}", other.key_pem),
        "does not match the first certificate (subject CN=edge)",
    );
    let long = ca.intermediate("middle");
    let below = long.leaf().issue();
    let swapped = format!("{}{}{}", long.cert_pem(), below.cert_pem, below.key_pem);
    is_refused(
        &swapped,
        "the private key belongs to the certificate in block 2",
    );
    let gap = format!("{}{}{}", below.cert_pem, ca.cert_pem(), below.key_pem);
    is_refused(
        &gap,
        "the chain is out of order: the certificate in block 2",
    );
    let damaged = chain.replacen("MI", "M!", 1);
    is_refused(
        &format!("{damaged}{key}"),
        "block 1 (CERTIFICATE, line 1 of the PEM) is damaged",
    );
    let cut = chain.replacen("-----END CERTIFICATE-----", "", 1);
    is_refused(
        &format!("{cut}{key}"),
        "has no end marker `-----END CERTIFICATE-----`",
    );
    let truncated: String = {
        let mut lines: Vec<&str> = chain.lines().collect();
        lines.remove(2);
        lines.join("\n") + "\n"
    };
    is_refused(&format!("{truncated}{key}"), "the certificate in block 1");
}

#[test]
fn all_certificates_and_the_ca_are_validated_at_once() {
    let (_, leaf) = leaf();
    let text = format!(
        "port: 8883\npem: nothing\ncertificates:\n- pem: nothing either\n\
         clientAuth: {{mode: Require, ca: nor here}}\nversion: {}\n",
        leaf.fingerprint()
    );
    let finished = check(&write_text(&text));
    assert_eq!(finished.status.code(), Some(1));
    for key in [
        "pem: there",
        "certificates[0].pem: there",
        "clientAuth.ca: there",
    ] {
        assert!(finished.stderr.contains(key), "{}", finished.stderr);
    }
}

#[test]
fn a_second_certificate_without_names_is_a_warning() {
    let (ca, leaf) = leaf();
    let nameless = ca.leaf().common_name("other.example").issue();
    let indented = |pem: &str, by: &str| pem.replace('\n', &format!("\n{by}"));
    let text = format!(
        "port: 8883\npem: |\n  {}\ncertificates:\n- pem: |\n    {}\n",
        indented(leaf.bundle().trim_end(), "  "),
        indented(nameless.bundle().trim_end(), "    "),
    );
    let finished = is_accepted(&text);
    let is_reported = finished.stderr.lines().any(|line| {
        line.contains("certificates[0].pem")
            && line.contains("other.example")
            && line.contains("no host name selects it")
    });
    assert!(is_reported, "{}", finished.stderr);
}

#[test]
fn dates_are_a_warning() {
    let (ca, _) = leaf();
    let expired = ca.leaf().common_name("old").expired().issue();
    let finished = check(&with_pem(&expired.bundle()));
    assert_eq!(finished.status.code(), Some(0));
    assert!(
        finished
            .stderr
            .contains("the certificate of CN=old expired at"),
        "{}",
        finished.stderr
    );
    let early = ca.leaf().common_name("early").not_yet_valid().issue();
    let finished = check(&with_pem(&early.bundle()));
    assert_eq!(finished.status.code(), Some(0));
    assert!(
        finished.stderr.contains("is not valid before"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_missing_file_is_named() {
    let finished = check(Path::new("/nonexistent/file"));
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains("cannot read /nonexistent/file"),
        "{}",
        finished.stderr
    );
}

/// Users who paste one PEM without indentation do the same with the next one. If `clientAuth` were taken for
/// part of the first PEM, client authentication would silently be off.
#[test]
fn no_key_is_swallowed_by_a_pem_that_is_not_indented() {
    let (ca, leaf) = leaf();
    for key in ["clientAuth", "clientauth", "\"clientAuth\""] {
        let text = format!(
            "port: 8883\npem: |\n{}{key}:\n  mode: Require\n  ca: |\n{}",
            leaf.bundle(),
            ca.cert_pem()
        );
        if let Ok(config) = Config::parse(&text) {
            assert_eq!(config.client_auth.mode, ClientAuthMode::Require, "{key}");
        }
    }
}

#[test]
fn a_pem_folded_into_one_line_is_refused_without_being_shown() {
    let (_, leaf) = leaf();
    let key = leaf.key_as(KeyEncoding::Sec1);
    let folded = format!("{key}{}", leaf.chain_pem).replace('\n', "\n  ");
    let finished = check(&write_text(&format!("port: 8883\npem: >\n  {folded}\n")));
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stdout);
    let base64 = key.lines().nth(1).unwrap();
    assert!(
        !finished.stderr.contains(&base64[..8]),
        "the message shows the key: {}",
        finished.stderr
    );
}

/// The wrong file, such as a data file, must not block the thread that answers the probes.
#[test]
fn a_file_full_of_unknown_keys_is_refused_quickly() {
    use std::fmt::Write as _;
    let mut text = "port: 8883\npem: x\n".to_owned();
    for index in 0..20_000 {
        writeln!(text, "key{index}: 1").unwrap();
    }
    let finished = check(&write_text(&text));
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("key0: unknown key"));
}

/// Addresses that cannot be bound together, or that clients cannot connect to.
#[test]
fn addresses_that_cannot_serve_are_refused() {
    let (_, leaf) = leaf();
    let pem: Vec<String> = leaf
        .bundle()
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    let pem = pem.concat();
    for (keys, because) in [
        (
            "port: 9883",
            "admin.port: port 9883 is the listener's own (key `port`)",
        ),
        (
            "port: 8883\nadmin: {port: 8883}",
            "admin.port: port 8883 is the listener's own",
        ),
        (
            "host: 127.0.0.1\nport: 8883\nadmin: {host: '::', port: 8883}",
            "admin.port: port 8883 is the listener's own",
        ),
        (
            "host: 224.0.0.1\nport: 8883",
            "host: 224.0.0.1 is a multicast address",
        ),
        (
            "host: 255.255.255.255\nport: 8883",
            "host: 255.255.255.255 is the broadcast address",
        ),
        (
            "host: 0.0.0.7\nport: 8883",
            "host: 0.0.0.7 is an address of \"this network\"",
        ),
        (
            "port: 8883\nadmin: {host: 'ff02::1'}",
            "admin.host: ff02::1 is a multicast address",
        ),
    ] {
        let finished = check(&write_text(&format!("{keys}\npem: |\n{pem}")));
        assert_eq!(
            finished.status.code(),
            Some(1),
            "{keys}: {}",
            finished.stdout
        );
        assert!(
            finished.stderr.contains(because),
            "{keys}: {}",
            finished.stderr
        );
    }
    for keys in [
        "host: 127.0.0.1\nport: 8883\nadmin: {host: 127.0.0.2, port: 8883}",
        "host: 0.0.0.0\nport: 8883",
    ] {
        is_accepted(&format!("{keys}\npem: |\n{pem}"));
    }
}
