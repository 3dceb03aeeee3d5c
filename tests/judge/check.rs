//! The output of `check FILE`: one line for each warning, whatever a name contains.

use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, DnType, IsCa};
use tests::process::{Finished, run};
use tests::{programs, workdir};

use crate::chains::not_a_ca;
use crate::material::{leaf, root};

fn check(pem: &str) -> Finished {
    let file = workdir::scratch("check").join("config.yaml");
    let text = format!(
        "port: 8883\npem: |\n  {}\n",
        pem.trim().replace('\n', "\n  ")
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(programs::terminator());
    command.arg("check").arg(file);
    run(command, b"", Duration::from_secs(20))
}

#[test]
fn a_warning_is_one_line_and_no_error() {
    let material = leaf(&root("root"), &[], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "edge\nwarning: \u{1b}[2Jall is well\u{202e}";
        params.distinguished_name.push(DnType::CommonName, name);
    });
    let finished = check(&material.pem());
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let shown = "warning: pem: the certificate of CN=edge\\nwarning: \\u{1b}[2Jall is well\\u{202e} is a CA";
    assert!(lines[0].starts_with(shown), "{lines:?}");
}

#[test]
fn a_chain_that_can_never_verify_is_an_error() {
    let finished = check(&not_a_ca().pem());
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stdout);
    let expected = "pem: the certificate of CN=middle in block 2 (CERTIFICATE, line";
    assert!(finished.stderr.contains(expected), "{}", finished.stderr);
}
