//! The session ticket keys that all pods of a listener share, as the operator writes them and terminators read them.
//!
//! ```text
//! mqtt-tls session ticket keys, version 1
//! 1780315200 4f1c…
//! 1780358400 a90b…
//! ```
//!
//! One line for each key: the Unix time from which it seals tickets, and its secret in hexadecimal. It must not decide when
//! keys change, and must not show a secret.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::Pem;

/// How long a key seals tickets, and how long a ticket is valid.
pub const TICKET_PERIOD: Duration = Duration::from_secs(12 * 3600);

/// Maximum number of keys in a file.
pub(crate) const TICKET_KEYS_MAX: usize = 8;

/// Maximum size of a file in bytes.
pub const TICKET_FILE_SIZE_MAX: u64 = 4096;

/// The first line.
const HEADER: &str = "mqtt-tls session ticket keys, version 1";

/// A session ticket key.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// The Unix time in seconds from which it seals tickets.
    pub from: u64,
    secret: Zeroizing<[u8; 32]>,
}

/// Why a text has no session ticket keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketsError {
    /// The first line is another one.
    #[error("line 1 is not `{HEADER}`; another version may have written it")]
    Header,
    /// A line has no key.
    #[error("line {0} is not a Unix time and 64 hexadecimal digits")]
    Line(usize),
    /// There is no key, or there are too many.
    #[error("there are {0} keys; from 1 to {TICKET_KEYS_MAX} are allowed")]
    Count(usize),
}

impl TicketKey {
    /// Creates a key.
    pub fn new(from: u64, secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        Self { from, secret }
    }

    /// Returns the secret, which must not be logged.
    pub fn expose(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Reads the keys of a file, the oldest first.
    ///
    /// # Errors
    ///
    /// The text is not such a file.
    pub fn parse(text: &str) -> Result<Vec<Self>, TicketsError> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(TicketsError::Header);
        }
        let lines = lines.enumerate();
        let keys = lines.map(|(index, line)| Self::of(line).ok_or(TicketsError::Line(index + 2)));
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() || keys.len() > TICKET_KEYS_MAX {
            return Err(TicketsError::Count(keys.len()));
        }
        keys.sort_by_key(|key| key.from);
        Ok(keys)
    }

    fn of(line: &str) -> Option<Self> {
        let (from, secret) = line.split_once(' ')?;
        let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if secret.len() != 64 || !secret.bytes().all(is_hexadecimal) {
            return None;
        }
        let mut key = Self::new(from.parse().ok()?, [0; 32]);
        for (byte, digits) in key.secret.iter_mut().zip(secret.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(key)
    }

    /// Returns the text of a file with keys.
    pub fn file(keys: &[Self]) -> Pem {
        // Its final size, so that no copy of a secret is left behind.
        let mut text = String::with_capacity(HEADER.len() + 1 + keys.len() * 90);
        text.push_str(HEADER);
        text.push('\n');
        for key in keys {
            // Writing to a String cannot fail.
            let _ = write!(text, "{} ", key.from);
            for byte in key.expose() {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        Pem::new(text)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{TICKET_FILE_SIZE_MAX, TICKET_KEYS_MAX, TicketKey, TicketsError};

    #[test]
    fn keys_are_read_as_they_were_written() {
        let keys: Vec<TicketKey> = (0_u8..8)
            .map(|n| TicketKey::new(u64::MAX - 8 + u64::from(n), [n * 31; 32]))
            .collect();
        assert_eq!(keys.len(), TICKET_KEYS_MAX);
        let text = TicketKey::file(&keys);
        assert!((text.expose().len() as u64) < TICKET_FILE_SIZE_MAX);
        assert_eq!(TicketKey::parse(text.expose()), Ok(keys.clone()));
        let reversed: Vec<TicketKey> = keys.iter().rev().cloned().collect();
        let text = TicketKey::file(&reversed);
        assert_eq!(TicketKey::parse(text.expose()), Ok(keys));
    }

    #[test]
    fn anything_else_is_refused() {
        let key = "a".repeat(64);
        let header = "mqtt-tls session ticket keys, version 1";
        for (text, error) in [
            (String::new(), TicketsError::Header),
            (format!("1 {key}\n"), TicketsError::Header),
            (header.to_owned(), TicketsError::Count(0)),
            (
                format!("{header}\n{}", format!("1 {key}\n").repeat(9)),
                TicketsError::Count(9),
            ),
            (format!("{header}\n1 {key}\n\n"), TicketsError::Line(3)),
            (format!("{header}\n1  {key}\n"), TicketsError::Line(2)),
            (format!("{header}\n-1 {key}\n"), TicketsError::Line(2)),
            (format!("{header}\n1 {key}a\n"), TicketsError::Line(2)),
            (
                format!("{header}\n1 {}é\n", &key[2..]),
                TicketsError::Line(2),
            ),
            (
                format!("{header}\n1 {}\n", key.to_uppercase()),
                TicketsError::Line(2),
            ),
        ] {
            assert_eq!(TicketKey::parse(&text), Err(error), "{text}");
        }
        let shown = format!("{:?}", TicketKey::new(1, [170; 32]));
        assert_eq!(shown, "TicketKey { from: 1, .. }");
    }
}
