//! Files as people write them, in `corpus/*.yaml`, each with its verdict in `*.txt`, which `UPDATE=1` rewrites.
//! A new complaint of a user becomes a new file here.

use std::path::{Path, PathBuf};

use mqtt_tls_config::Config;

fn verdict(text: &str) -> String {
    match Config::parse(text) {
        Ok(config) => format!("{config:#?}\n"),
        Err(problems) => format!("{problems}\n"),
    }
}

#[test]
fn each_file_has_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus is gone: {files:?}");
    for file in files {
        let found = verdict(&std::fs::read_to_string(&file).unwrap());
        let beside = file.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&beside, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(found, expected, "{}", file.display());
    }
}
