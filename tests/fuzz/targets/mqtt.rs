//! The first bytes of a client and of a broker in MQTT. Reading must not panic, and an answer must not change when more
//! bytes arrive.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../terminator/src/mqtt.rs"]
mod mqtt;

use mqtt::Start;

fuzz_target!(|bytes: &[u8]| {
    let whole = mqtt::start(bytes);
    for end in 0..bytes.len() {
        let start = mqtt::start(&bytes[..end]);
        assert!(
            start == Start::Partial || start == whole,
            "after {end} bytes"
        );
    }
    if let Some(first) = bytes.first() {
        let _ = mqtt::answer(*first);
    }
});
