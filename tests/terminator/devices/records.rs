//! Devices whose buffers are smaller than a full record, and that send max_fragment_length (RFC 6066, section
//! 4) or record_size_limit (RFC 8449). They get the broker's data in records that fit, although rustls does not
//! support the extensions: otherwise Mbed TLS with a buffer of 2 KiB could not read a message of 5 KiB.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use tests::broker::Mosquitto;
use tests::clients::devices::{Device, Stack};
use tests::pki::KeyKind;

use super::listener;

/// Content type of records with data (RFC 8446, section 5.1).
const DATA: u8 = 23;
/// Overhead of a record: in TLS 1.2 an explicit nonce and a tag, in TLS 1.3 a type and a tag.
const OVERHEAD: usize = 8 + 16;

/// Forwards one connection. Its thread returns all data of the server.
fn overheard(server: SocketAddr) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let hear = move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = thread::spawn(move || {
            // Errors do not matter here: only the other direction counts.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let (mut heard, mut buffer) = (vec![], vec![0; 64 * 1024]);
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            heard.extend_from_slice(&buffer[..count]);
            let _ = client.write_all(&buffer[..count]);
        }
        let _ = client.shutdown(Shutdown::Both);
        up.join().unwrap();
        heard
    };
    (addr, thread::spawn(hear))
}

/// Returns the size of the longest record with data, in bytes of ciphertext.
fn longest_data_record(mut records: &[u8]) -> usize {
    let mut longest = 0;
    while let [kind, _, _, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == DATA {
            longest = longest.max(length);
        }
        records = rest.get(length..).unwrap_or_default();
    }
    longest
}

/// Receives a message of several records with each limit, and a full record without one. A lower limit cannot
/// be tested: in TLS 1.3 the end of the handshake, about 560 bytes, looks like data.
#[track_caller]
fn records_fit(stack: Stack, versions: &[&str]) {
    let to = listener(Mosquitto::shared().addr(), KeyKind::P256, |_| {});
    for version in versions {
        for limit in [Some(1024), Some(4096), None] {
            let (addr, heard) = overheard(to.addr());
            let device = Device::new(stack, addr, &to.ca)
                .version(version)
                .echo(40_000);
            let seen = match limit {
                Some(limit) => device.option("fragment", &limit.to_string()).run(),
                None => device.run(),
            };
            assert_eq!(seen.error, "", "{stack}, TLS {version}, {limit:?}");
            let longest = longest_data_record(&heard.join().unwrap());
            let allowed = limit.unwrap_or(16 * 1024) + OVERHEAD;
            let least = limit.map_or(8 * 1024, |limit| limit - 1);
            assert!(
                (least..=allowed).contains(&longest),
                "{stack}, TLS {version}, {limit:?}: {longest}"
            );
        }
    }
}

/// Receives a message of several records, none of which is larger than the configuration allows, although the device requests
/// no limit, or a larger one.
#[track_caller]
fn records_are_limited(stack: Stack, versions: &[&str]) {
    let to = listener(Mosquitto::shared().addr(), KeyKind::P256, |config| {
        config.tls.record_size_max = 1024;
    });
    for version in versions {
        for limit in [None, Some("4096")] {
            let (addr, heard) = overheard(to.addr());
            let device = Device::new(stack, addr, &to.ca).version(version);
            let device = device.echo(40_000);
            let seen = match limit {
                Some(limit) => device.option("fragment", limit).run(),
                None => device.run(),
            };
            assert_eq!(seen.error, "", "{stack}, TLS {version}, {limit:?}");
            let longest = longest_data_record(&heard.join().unwrap());
            assert!(
                (1023..=1024 + OVERHEAD).contains(&longest),
                "{stack}, TLS {version}, {limit:?}: {longest}"
            );
        }
    }
}

#[test]
fn openssl_device_at_mosquitto_gets_records_of_the_configured_size() {
    records_are_limited(Stack::OpenSsl, &["1.2", "1.3"]);
}

#[test]
fn gnutls_at_mosquitto_gets_records_of_the_configured_size() {
    records_are_limited(Stack::GnuTls, &["1.2", "1.3"]);
}

#[test]
fn mbedtls_at_mosquitto_gets_records_of_the_configured_size() {
    records_are_limited(Stack::MbedTls, &["1.2"]);
}

#[test]
fn wolfssl_at_mosquitto_gets_records_of_the_configured_size() {
    records_are_limited(Stack::WolfSsl, &["1.2", "1.3"]);
}

#[test]
fn openssl_device_at_mosquitto_gets_records_that_fit() {
    records_fit(Stack::OpenSsl, &["1.2", "1.3"]);
}

#[test]
fn gnutls_at_mosquitto_gets_records_that_fit() {
    records_fit(Stack::GnuTls, &["1.2", "1.3"]);
}

#[test]
fn mbedtls_at_mosquitto_gets_records_that_fit() {
    records_fit(Stack::MbedTls, &["1.2"]);
}

#[test]
fn wolfssl_at_mosquitto_gets_records_that_fit() {
    records_fit(Stack::WolfSsl, &["1.2", "1.3"]);
}
