//! PEM texts from Secrets and files. Judging must not panic, must give the same answer twice, and must not show a line of
//! a block: it may be of a private key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_tls_judge::pem::Part;
use mqtt_tls_judge::{authorities, certificate, text};
use zeroize::Zeroizing;

#[path = "../judged.rs"]
mod judged;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = text::from_bytes(Zeroizing::new(bytes.to_vec())) else {
        return;
    };
    let half = (0..=text.len() / 2)
        .rev()
        .find(|at| text.is_char_boundary(*at));
    let (chain, key) = text.split_at(half.unwrap_or_default());
    let parts = [Part::key("tls.crt", chain), Part::key("tls.key", key)];
    for parts in [&[Part::file(&text)][..], &[Part::object(&text)], &parts] {
        let said = judged::certificate(certificate::judge(parts));
        assert_eq!(said, judged::certificate(certificate::judge(parts)));
        no_block_in(&text, &said);
    }
    no_block_in(
        &text,
        &judged::authorities(authorities::judge(Part::file(&text))),
    );
});

/// Labels, which may be shown, have no small letters.
fn no_block_in(text: &str, said: &str) {
    let is_base64 = |char: char| char.is_ascii_alphanumeric() || "+/=".contains(char);
    let mut lines = text.lines().map(str::trim).filter(|line| {
        line.len() >= 24
            && line.chars().all(is_base64)
            && line.contains(|char: char| char.is_ascii_lowercase())
    });
    if let Some(shown) = lines.find(|line| said.contains(line)) {
        panic!("it shows {shown}: {said}");
    }
}
