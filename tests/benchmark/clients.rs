//! What clients' certificates cost: a revocation list of a million entries, loaded in a process of its own, a look-up in it, and a
//! verdict beside that of rustls' verifier.
//!
//!     cargo run --release -p tests --bin benchmark -- clients
//!
//! The memory is that of the process: the peak, and what is left once the list is loaded and its bytes are freed, each without
//! what the process had before it read the list. It must not judge the figures.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use mqtt_tls_judge::client::{Clients, Depth, Purpose, Revocation, WhenUnknown};
use mqtt_tls_judge::provider::provider;
use mqtt_tls_judge::revocation::crl::{Crl, Issuer};
use mqtt_tls_judge::revocation::source::{Bounds, find};
use mqtt_tls_judge::revocation::{Certificate, Revocations, Status};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use tests::pki::{Ca, DAY};
use tests::workdir::scratch;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::arguments::ClientsArguments;

/// Number of look-ups of each kind.
const LOOK_UPS: u64 = 100_000;

const MIB: f64 = 1024.0 * 1024.0;

/// Bounds that no list here exceeds.
const BOUNDS: Bounds = Bounds {
    bytes: usize::MAX,
    entries: usize::MAX,
};

/// Writes lists, loads each in a process of its own, and measures verdicts.
pub(crate) fn measure(arguments: ClientsArguments) {
    let ca = Ca::new("devices");
    let folder = scratch("crl");
    let file = |name: &str| folder.join(name);
    let serials: Vec<[u8; 20]> = (0..arguments.entries as u64)
        .map(|number| serial(number, true))
        .collect();
    let now = SystemTime::now();
    let pem = ca.crl_of_serials(&serials, now - Duration::from_secs(3600), now + DAY);
    let found = find(pem.as_bytes(), BOUNDS).expect("it has a list");
    let der = found.lists[0].to_vec();
    std::fs::write(file("ca"), ca.cert_der()).expect("the folder is writable");
    println!(
        "| list | entries | size | load | peak | loaded | look-up, listed | look-up, not listed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, bytes) in [("DER", der), ("PEM", pem.into_bytes())] {
        std::fs::write(file(name), bytes).expect("the folder is writable");
        let own = std::env::current_exe().expect("Linux knows the path of a program");
        let mut loader = Command::new(own);
        loader.arg("load-list").arg(file(name)).arg(file("ca"));
        let seen = loader.output().expect("this program starts");
        assert!(
            seen.status.success(),
            "{}",
            String::from_utf8_lossy(&seen.stderr)
        );
        print!("| {name} {}", String::from_utf8_lossy(&seen.stdout));
    }
    verdicts(&ca, arguments.times);
}

/// Loads a list, and prints the rest of its row.
pub(crate) fn load(list: &Path, ca: &Path) {
    let ca = std::fs::read(ca).expect("the benchmark wrote it");
    let issuer = Issuer::of(&ca).expect("the benchmark wrote it");
    let before = memory("VmRSS:");
    let bytes = std::fs::read(list).expect("the benchmark wrote it");
    let size = bytes.len();
    let start = Instant::now();
    let loaded = {
        let found = find(&bytes, BOUNDS).expect("it has a list");
        Crl::load(&found.lists[0], &[issuer], BOUNDS).expect("it is a list")
    };
    let took = start.elapsed();
    drop(bytes);
    let (after, peak) = (memory("VmRSS:"), memory("VmHWM:"));
    let entries = loaded.entries();
    let lists = Revocations::new(vec![loaded]).expect("it is one list");
    let (_, parsed) = X509Certificate::from_der(&ca).expect("it was issued here");
    let now = jiff::Timestamp::now();
    let look_up = |is_listed: bool| {
        let numbers = (0..LOOK_UPS).map(|_| fastrand::u64(0..entries as u64));
        let serials: Vec<_> = numbers.map(|number| serial(number, is_listed)).collect();
        let start = Instant::now();
        for serial in &serials {
            let certificate = Certificate {
                issuer: content(parsed.subject().as_raw()),
                issuer_spki: content(parsed.subject_pki.raw),
                serial,
                is_ca: false,
            };
            let status = black_box(lists.status(black_box(certificate), now));
            assert_eq!(status == Status::Revoked, is_listed);
        }
        start.elapsed().as_nanos() / u128::from(LOOK_UPS)
    };
    println!(
        "| {entries} | {:.1} MiB | {:.0} ms | {:.1} MiB | {:.1} MiB | {} ns | {} ns |",
        u32::try_from(size).map_or(f64::INFINITY, f64::from) / MIB,
        took.as_secs_f64() * 1000.0,
        (peak - before) / MIB,
        (after - before) / MIB,
        look_up(true),
        look_up(false),
    );
}

/// A serial number as CAs make them: of 20 bytes that look random. Those that are not listed differ.
pub(crate) fn serial(number: u64, is_listed: bool) -> [u8; 20] {
    let seed = [&number.to_be_bytes()[..], &[u8::from(is_listed)]].concat();
    let digest = digest(&SHA256, &seed);
    let mut serial = [0; 20];
    serial.copy_from_slice(&digest.as_ref()[..20]);
    serial[0] = (serial[0] & 0x3F) | 0x40;
    serial
}

/// The content of a DER element of less than 256 bytes.
fn content(der: &[u8]) -> &[u8] {
    let header = if der[1] < 0x80 { 2 } else { 3 };
    &der[header..]
}

/// A figure of this process's memory, in bytes (proc_pid_status(5)).
fn memory(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    number.expect("Linux has it") * 1024.0
}

/// Measures verdicts about a chain of two certificates below the CA.
fn verdicts(ca: &Ca, times: usize) {
    let leaf = ca.intermediate("line").leaf().client_auth().issue();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes())
        .map(|one| one.expect("it was issued here"))
        .collect();
    let (leaf, others) = chain.split_first().expect("it has a leaf");
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(ca.cert_der());
    roots.add(root).expect("it was issued here");
    let roots = Arc::new(roots);
    let theirs = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
    let theirs = theirs.build().expect("it has a root");
    let plain = Clients {
        roots,
        purpose: Purpose::Client,
        revocation: None,
        rules: None,
    };
    let listed = Clients {
        revocation: Some(Revocation {
            depth: Depth::Chain,
            when_outdated: WhenUnknown::Accept,
            when_unlisted: WhenUnknown::Accept,
        }),
        ..plain.clone()
    };
    let bytes = ca.crl(&[]);
    let found = find(bytes.as_bytes(), BOUNDS).expect("it has a list");
    let issuer = Issuer::of(&ca.cert_der()).expect("it was issued here");
    let list = Crl::load(&found.lists[0], &[issuer], BOUNDS).expect("it is a list");
    let lists = Revocations::new(vec![list]).expect("it is one list");
    let now = UnixTime::now();
    let by = |judge: &dyn Fn() -> bool| {
        let start = Instant::now();
        for _ in 0..times {
            assert!(black_box(judge()));
        }
        start.elapsed().as_micros() / times.max(1) as u128
    };
    println!("\n| verdict about a leaf and an intermediate | time |\n|---|---|");
    for (name, took) in [
        (
            "rustls",
            by(&|| theirs.verify_client_cert(leaf, others, now).is_ok()),
        ),
        (
            "ours",
            by(&|| plain.judge(leaf, others, &lists, now).is_ok()),
        ),
        (
            "ours, with revocation",
            by(&|| listed.judge(leaf, others, &lists, now).is_ok()),
        ),
    ] {
        println!("| {name} | {took} µs |");
    }
}
