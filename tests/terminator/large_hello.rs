//! A ClientHello above the size limit is answered with an alert, however it is fragmented.

use std::io::{Read, Write};
use std::net::TcpStream;

use tests::hello::{self, Hello, RECORD_MAX};

use crate::fixture::{Fixture, SOON, Scripted};

/// A fatal alert: content type 21, two bytes, level 2 (RFC 8446, sections 5.1 and 6).
#[track_caller]
fn is_fatal_alert(answer: &[u8], what: &str) {
    let is_alert = answer.len() == 7 && answer[0] == 21 && answer[3..6] == [0, 2, 2];
    assert!(is_alert, "{what}: {answer:?}");
}

/// Sends each piece in its own segment, and reads to the end.
fn say<'b>(fixture: &Fixture, pieces: impl Iterator<Item = &'b [u8]>) -> Vec<u8> {
    let mut stream = TcpStream::connect(fixture.addr()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    for piece in pieces {
        // The server need not read the rest.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_above_18_kib_is_answered_with_an_alert() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    for padding in [18_500, 20_000, 40_000, 65_000] {
        let message = Hello::default().padding(padding).message();
        for size in [RECORD_MAX, 1024, 64] {
            let bytes = hello::records_of(&message, size);
            let what = format!("{} bytes in records of {size}", message.len());
            is_fatal_alert(&say(&fixture, std::iter::once(&bytes[..])), &what);
            is_fatal_alert(&say(&fixture, bytes.chunks(1000)), &what);
        }
    }
    let message = Hello::default().padding(20_000).message();
    let bytes = hello::records_of(&message, RECORD_MAX);
    is_fatal_alert(&say(&fixture, bytes.chunks(1)), "byte by byte");
    let one = hello::records_of(&message, usize::MAX);
    is_fatal_alert(&say(&fixture, std::iter::once(&one[..])), "in one record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_of_16_kib_is_answered() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let message = Hello::default().padding(16_000).message();
    for size in [RECORD_MAX, 1024, 64] {
        let bytes = hello::records_of(&message, size);
        let mut stream = TcpStream::connect(fixture.addr()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut head = [0; 6];
        stream.read_exact(&mut head).unwrap();
        // A handshake record with a ServerHello.
        assert_eq!((head[0], head[5]), (22, 2), "records of {size}");
    }
}
