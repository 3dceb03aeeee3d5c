//! `terminator/reference.md` is what the program knows of itself; `UPDATE=1` writes it.

use std::fs;
use std::path::Path;

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.md");
    let wanted = mqtt_tls_terminator::reference::text();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "terminator/reference.md is not up to date: run this test with UPDATE=1"
    );
}
