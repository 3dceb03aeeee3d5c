//! A minimal HTTP client for Prometheus on loopback: one request for each connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Upper bound for a response.
const SOON: Duration = Duration::from_secs(20);

/// Sends a GET request, and returns the response's body.
pub(super) fn get(addr: SocketAddr, path: &str) -> Result<String, String> {
    exchange(addr, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

/// Posts a form, because a query may be too long for a path, and returns the response's body.
pub(super) fn post(addr: SocketAddr, path: &str, form: &[(&str, &str)]) -> Result<String, String> {
    let fields: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let body = fields.join("&");
    let length = body.len();
    exchange(
        addr,
        &format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn exchange(addr: SocketAddr, request: &str) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&addr, SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = ask().map_err(|error| error.to_string())?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("a response without a head")?;
    if head.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(format!(
            "{} {body}",
            head.lines().next().unwrap_or_default()
        ))
    }
}

/// Percent-encodes everything except letters and digits.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn a_form_keeps_every_byte() {
        assert_eq!(encoded("a{b=~\"ö|1\"}"), "a%7Bb%3D%7E%22%C3%B6%7C1%22%7D");
    }
}
