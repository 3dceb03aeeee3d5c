//! Damaged blocks cause errors, not panics: changes bytes of certificates and keys at random, with a fixed seed.

use mqtt_tls_judge::authorities;
use mqtt_tls_judge::pem::Part;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::material::{below, block, judge_text, leaf, root};

/// Number of chains; each takes some milliseconds.
const TRIES: usize = 400;

#[test]
fn damaged_blocks_do_not_panic() {
    let top = root("root");
    let middle = below(&top, "middle", |_| {});
    let material = leaf(&middle, &[&middle.pem(), &top.pem()], |_| {});
    let key = PrivateKeyDer::from_pem_slice(material.key.as_bytes()).unwrap();
    let mut ders: Vec<(&str, Vec<u8>)> = material
        .chain
        .iter()
        .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .map(|der| ("CERTIFICATE", der.to_vec()))
        .collect();
    ders.push(("PRIVATE KEY", key.secret_der().to_vec()));
    let mut random = fastrand::Rng::with_seed(9);
    let mut refused = 0;
    for _ in 0..TRIES {
        let mut ders = ders.clone();
        for _ in 0..random.usize(1..4) {
            let (_, der) = random.choice(ders.iter_mut()).unwrap();
            let at = random.usize(0..der.len());
            match random.u8(0..4) {
                0 => der.truncate(at.max(1)),
                1 => der.insert(at, random.u8(..)),
                _ => der[at] = random.u8(..),
            }
        }
        let blocks: Vec<String> = ders.iter().map(|(label, der)| block(label, der)).collect();
        refused += usize::from(judge_text(&blocks.concat()).is_err());
        // A bundle has no key.
        let _ = authorities::judge(Part::file(&blocks[..3].concat()));
    }
    assert!(refused > 0 && refused < TRIES, "{refused}");
}
