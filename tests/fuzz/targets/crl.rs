//! Revocation lists: bytes as they are, and entries and extensions in a list that is signed here, since without a signature
//! nothing behind it is read. Loading must not panic, and no list that is not signed may be loaded.

#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use mqtt_tls_judge::revocation::crl::{Crl, Issuer};
use mqtt_tls_judge::revocation::source::{Bounds, find};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SigningKey};

const BOUNDS: Bounds = Bounds {
    bytes: 64 * 1024,
    entries: 64,
};

/// ecdsa-with-SHA256.
const ALGORITHM: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

static CA: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("there is randomness");
    CertifiedIssuer::self_signed(params, key).expect("a key that signs")
});

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer::of(CA.der()).expect("it was made here"));

fuzz_target!(|bytes: &[u8]| {
    let issuers = std::slice::from_ref(&*ISSUER);
    if let Ok(found) = find(bytes, BOUNDS) {
        for list in &found.lists {
            assert!(
                Crl::load(list, issuers, BOUNDS).is_err(),
                "it is not signed"
            );
        }
    }
    let Some((count, rest)) = bytes.split_first() else {
        return;
    };
    let (entries, extensions) = rest.split_at(usize::from(*count).min(rest.len()));
    if let Ok(list) = Crl::load(&signed(entries, extensions), issuers, BOUNDS) {
        assert!(list.entries() <= BOUNDS.entries);
        assert!(list.this_update().is_before(Timestamp::MAX));
    }
});

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("libFuzzer's inputs are small");
    [&[tag, 0x84][..], &length.to_be_bytes(), content].concat()
}

/// A list of these entries and extensions.
fn signed(entries: &[u8], extensions: &[u8]) -> Vec<u8> {
    let parts = [
        b"\x02\x01\x01",
        ALGORITHM,
        &name(),
        b"\x17\x0d260101000000Z\x17\x0d260201000000Z",
        &element(0x30, entries),
        &element(0xa0, &element(0x30, extensions)),
    ];
    let list = element(0x30, &parts.concat());
    let signature = CA.key().sign(&list).expect("a key that signs");
    let signature = element(0x03, &[&[0], &signature[..]].concat());
    element(0x30, &[&list, ALGORITHM, &signature].concat())
}

/// The CA's name, which rcgen makes of one attribute.
fn name() -> Vec<u8> {
    let der = CA.der();
    let at = der
        .windows(4)
        .position(|part| part == [0x06, 0x03, 0x55, 0x04])
        .expect("it has a name");
    // SEQUENCE, SET and SEQUENCE stand before the identifier, each with a length of one byte.
    let start = at - 6;
    der[start..start + 2 + usize::from(der[start + 1])].to_vec()
}
