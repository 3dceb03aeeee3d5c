//! The records in etcd, read through its JSON gateway: the API server returns objects, not what it has stored.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde::Deserialize;

use super::from_base64;

/// Prefix of the API server's records of Secrets.
const SECRETS: &[u8] = b"/registry/secrets/";
/// Maximum number of records in a response.
const PAGE: usize = 500;

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    key: String,
    #[serde(default)]
    value: String,
}

/// Shows each record that is not a Secret.
pub(super) fn outside_of_secrets(etcd: SocketAddr, look: &mut impl FnMut(&str, &[u8])) {
    let mut from = vec![0];
    let mut secrets = 0;
    loop {
        let range = range(etcd, &from);
        for record in &range.kvs {
            let key = from_base64(&record.key);
            if key.starts_with(SECRETS) {
                secrets += 1;
            } else {
                let name = format!("etcd: {}", String::from_utf8_lossy(&key));
                look(&name, &from_base64(&record.value));
            }
        }
        let Some(last) = range.kvs.last().filter(|_| range.kvs.len() == PAGE) else {
            break;
        };
        from = [from_base64(&last.key), vec![0]].concat();
    }
    assert!(secrets > 0, "there are Secrets under their prefix");
}

/// Reads a page of records, beginning at a key.
fn range(etcd: SocketAddr, from: &[u8]) -> Range {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let body = format!(
        r#"{{"key": "{}", "range_end": "{}", "limit": {PAGE}}}"#,
        encode(from),
        // As the end of a range, a zero byte means no end.
        encode(&[0])
    );
    let mut stream = TcpStream::connect(etcd).expect("etcd listens");
    // HTTP/1.0: the response ends with the connection.
    write!(
        stream,
        "POST /v3/kv/range HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("etcd reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("etcd answers in JSON");
    let (_, json) = answer.split_once("\r\n\r\n").expect("a head and a body");
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer:.300}"))
}
