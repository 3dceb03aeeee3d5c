//! The terminator's file. Parsing must not panic, what was parsed must be written so that it parses to the same, and no
//! error may show a value: any value may be a key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_tls_config::Config;

fuzz_target!(|text: &str| match Config::parse(text) {
    Ok(config) => {
        let written = config.to_yaml();
        assert_eq!(Config::parse(written.expose()).as_ref(), Ok(&config));
    }
    Err(problems) => {
        let said = problems.to_string();
        if let Some(shown) = slipped(text, &said) {
            panic!("an error shows {shown}: {said}");
        }
    }
});

/// A word of the text that an error shows, and that looks like base64 and not like a key of a mapping.
fn slipped<'t>(text: &'t str, said: &str) -> Option<&'t str> {
    let is_base64 = |char: char| char.is_ascii_alphanumeric() || "+/=".contains(char);
    text.split(|char| !is_base64(char))
        .find(|word| word.len() >= 16 && word.contains(['+', '/']) && said.contains(word))
}
