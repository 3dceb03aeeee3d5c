//! Manifests: the YAML documents that `standalone` reads from a folder. Parsing must not panic, and what was parsed must
//! be written so that it parses again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_tls_config::yaml;

fuzz_target!(|text: &str| {
    let documents = yaml::stream(text).count();
    if let Ok(values) = yaml::documents(text) {
        assert!(values.len() <= documents);
        for value in values {
            let written = yaml::to_string(&value);
            yaml::value(&written).expect("it was written here");
        }
    }
});
