//! The first bytes from a client: a ClientHello or something else. Reading must not panic, an answer must not change
//! when more bytes arrive, and a ClientHello that rustls accepts must be read as rustls reads it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::CipherSuite;
use rustls::server::Acceptor;

#[path = "../../../terminator/src/arrival.rs"]
#[allow(dead_code, reason = "remedies are texts")]
mod arrival;
#[path = "../../../terminator/src/tls/hello.rs"]
#[allow(dead_code, reason = "only a part is compared with rustls")]
mod hello;

use arrival::Arrival;
use hello::fingerprint::fingerprint;
use hello::{Needs, Offer, Progress};

/// The terminator's limit, in bytes.
const MOST: usize = 18 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let (arrival, progress) = (arrival::name(bytes), hello::progress(bytes, MOST));
    let (offer, _) = (Offer::read(bytes), Needs::read(bytes));
    let print = fingerprint(bytes);
    assert_eq!(fingerprint(bytes), print);
    // Prefixes: each within the first record's headers, and one that the input chooses.
    let chosen = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>();
    for end in (0..24).chain([chosen]).filter(|end| *end < bytes.len()) {
        let early = arrival::name(&bytes[..end]);
        assert!(
            early == Arrival::Undecided || early == arrival,
            "after {end} bytes"
        );
        let early = hello::progress(&bytes[..end], MOST);
        assert!(
            early == Progress::Partial || early == progress,
            "after {end} bytes"
        );
    }
    let mut acceptor = Acceptor::default();
    let mut unread = bytes;
    while !unread.is_empty() && acceptor.read_tls(&mut unread).is_ok() {
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let theirs = accepted.client_hello();
                assert_eq!(progress, Progress::Whole);
                let suites = theirs.cipher_suites().iter().copied();
                let suites: Vec<CipherSuite> = suites.filter(is_no_grease).take(64).collect();
                assert_eq!(offer.suites, suites);
                if let Some(name) = theirs.server_name() {
                    // rustls removes a trailing dot.
                    let own = offer.server_name.unwrap_or_default();
                    let own = own.strip_suffix(b".").unwrap_or(&own);
                    assert!(own.eq_ignore_ascii_case(name.as_bytes()), "{name}");
                }
                return;
            }
            Err(_) => return,
        }
    }
});

fn is_no_grease(suite: &CipherSuite) -> bool {
    let [high, low] = u16::from(*suite).to_be_bytes();
    high != low || low & 0x0f != 0x0a
}
