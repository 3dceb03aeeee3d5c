//! Files in the repository that a test generates. It must not know what is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the repository's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Compares a file of the repository with what was generated; `UPDATE=1` writes it.
#[track_caller]
pub(crate) fn assert_current(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{path} is not up to date: run this test with UPDATE=1"
    );
}
