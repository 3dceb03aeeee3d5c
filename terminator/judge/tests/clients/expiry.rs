//! When the verdict about a client changes because of time: the same second as the verdict's.

use std::sync::Arc;
use std::time::Duration;

use mqtt_tls_judge::client::{Clients, Purpose, Refusal, next_expiry};
use mqtt_tls_judge::revocation::Revocations;
use rcgen::date_time_ymd;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::pki::Ca;

fn at(second: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(second))
}

#[test]
fn a_chain_expires_with_its_first_certificate() {
    let ca = Ca::root("factory");
    let line = ca.below("line", |params| {
        params.not_after = date_time_ymd(2027, 1, 1);
    });
    let leaf = line.leaf(7, |params| params.not_after = date_time_ymd(2028, 1, 1));
    let chain = [leaf, line.der()];
    let (first, second) = (1_798_761_601, 1_830_297_601);
    assert_eq!(next_expiry(&chain, at(0)), Some(first));
    assert_eq!(next_expiry(&chain, at(first - 1)), Some(first));
    assert_eq!(next_expiry(&chain, at(first)), Some(second));
    assert_eq!(next_expiry(&chain, at(second)), None);
    let broken = [CertificateDer::from(vec![0x30, 0])];
    assert_eq!(next_expiry(&broken, at(0)), None);
    // The verdict changes in the same second.
    let mut roots = RootCertStore::empty();
    roots.add(ca.der()).unwrap();
    let clients = Clients {
        roots: Arc::new(roots),
        purpose: Purpose::Client,
        revocation: None,
        rules: None,
    };
    let judged =
        |second| clients.judge(&chain[0], &chain[1..], &Revocations::default(), at(second));
    assert_eq!(judged(first - 1), Ok(()));
    assert_eq!(judged(first), Err(Refusal::Expired));
}
