//! PEM text to DER (RFC 7468): the only module that knows rustls-pemfile, which is no longer
//! maintained, so that changing to another library is a change of this file.
//!
//! It must not judge what the blocks hold, and no error may show their text.

use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_pemfile::Item;
use zeroize::Zeroizing;

/// How many blocks a text may have: the longest chains have five, CA bundles some hundreds.
pub(crate) const BLOCKS_MAX: usize = 1024;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// One block of a PEM text.
pub(crate) struct Block {
    /// Which one, in words for people.
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// What a block holds.
pub(crate) enum Content {
    Certificate(CertificateDer<'static>),
    /// PKCS#8, PKCS#1 or SEC1.
    PrivateKey(PrivateKeyDer<'static>),
    /// A key that needs a password.
    EncryptedKey,
    /// Parameters, requests, revocation lists and the like: not ours to use.
    Other,
}

/// Where a block stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub number: usize,
    /// The line of the PEM text on which the block begins, counted from 1.
    pub line: usize,
    /// As in `-----BEGIN label-----`.
    pub label: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "block {} ({}, line {} of the PEM)",
            self.number, self.label, self.line
        )
    }
}

/// Why a PEM text could not be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A block's base64 is not base64.
    #[error("{0} is damaged: between its markers stands something that is not base64")]
    Damaged(Place),
    /// A block ends in another marker, or not at all.
    #[error("{0} has no end marker `-----END {label}-----`", label = .0.label)]
    Unfinished(Place),
    /// A begin marker does not stand alone on its line.
    #[error(
        "line {0} of the PEM has more than a begin marker on it; each marker needs a line of its own (in \
         YAML: `pem: |`, not `pem: >`)"
    )]
    OneLine(usize),
    /// More blocks than [`BLOCKS_MAX`].
    #[error("there are more than {BLOCKS_MAX} blocks")]
    TooMany,
}

/// The blocks of a text, in their order. Text outside of the blocks is left aside, line ends may be
/// of either kind, blanks at the ends of lines do not matter, and an end marker may share its line
/// with the next begin marker, as after joining two files of which the first lacks a line end.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>, Error> {
    let text = Zeroizing::new(text.replace("----------BEGIN ", "-----\n-----BEGIN "));
    let mut blocks = Vec::new();
    let mut lines = text
        .lines()
        .enumerate()
        // Some editors put a byte order mark before the first line.
        .map(|(index, line)| (index + 1, line.trim_start_matches('\u{feff}').trim()));
    while let Some((line, begin)) = lines.next() {
        if !begin.starts_with(BEGIN) {
            continue;
        }
        let label = label(begin).ok_or(Error::OneLine(line))?;
        if blocks.len() == BLOCKS_MAX {
            return Err(Error::TooMany);
        }
        let place = Place {
            number: blocks.len() + 1,
            line,
            label: label.to_owned(),
        };
        let end = format!("-----END {label}-----");
        // Of full size at once: a text that grows leaves copies of a key behind.
        let mut block = Zeroizing::new(String::with_capacity(text.len()));
        block.push_str(begin);
        block.push('\n');
        loop {
            let Some((_, line)) = lines.next() else {
                return Err(Error::Unfinished(place));
            };
            if line.starts_with(DASHES) && line != end {
                return Err(Error::Unfinished(place));
            }
            block.push_str(line);
            block.push('\n');
            if line == end {
                break;
            }
        }
        let content = content(label, &block).ok_or_else(|| Error::Damaged(place.clone()))?;
        blocks.push(Block { place, content });
    }
    Ok(blocks)
}

/// The label of a begin marker (RFC 7468, section 3), which goes into messages: what stands on one line
/// with key material is none.
fn label(line: &str) -> Option<&str> {
    let label = line.strip_prefix(BEGIN)?.strip_suffix(DASHES)?;
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    (label.len() <= 32 && label.bytes().all(fits)).then_some(label)
}

/// Decodes one block; `None` when it is damaged.
fn content(label: &str, block: &str) -> Option<Content> {
    let legacy_encryption = block.lines().any(|line| line.starts_with("Proc-Type:"));
    if label == "ENCRYPTED PRIVATE KEY" || legacy_encryption {
        return Some(Content::EncryptedKey);
    }
    match rustls_pemfile::read_one_from_slice(block.as_bytes()).ok()? {
        Some((Item::X509Certificate(der), _)) => Some(Content::Certificate(der)),
        Some((Item::Pkcs8Key(der), _)) => Some(Content::PrivateKey(der.into())),
        Some((Item::Pkcs1Key(der), _)) => Some(Content::PrivateKey(der.into())),
        Some((Item::Sec1Key(der), _)) => Some(Content::PrivateKey(der.into())),
        _ => Some(Content::Other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Content, Error, blocks};

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

    fn error(text: &str) -> String {
        blocks(text)
            .err()
            .expect("this must not be accepted")
            .to_string()
    }

    #[test]
    fn preamble_blanks_and_either_line_end_are_accepted() {
        let text = format!(
            "subject=CN = a\r\n\u{feff}{}",
            CERTIFICATE.replace('\n', "  \r\n")
        );
        let blocks = blocks(&text).unwrap();
        assert!(
            matches!(&blocks[0].content, Content::Certificate(der) if der.as_ref() == [0, 1, 2])
        );
        assert_eq!(blocks[0].place.line, 2);
    }

    #[test]
    fn joined_files_without_a_line_end_between_them_are_accepted() {
        let text = format!("{}{}", CERTIFICATE.trim_end(), CERTIFICATE);
        assert_eq!(blocks(&text).unwrap().len(), 2);
    }

    #[test]
    fn a_damaged_block_is_named() {
        let text =
            format!("{CERTIFICATE}-----BEGIN PRIVATE KEY-----\nA!*C\n-----END PRIVATE KEY-----");
        assert_eq!(
            error(&text),
            "block 2 (PRIVATE KEY, line 4 of the PEM) is damaged: between its markers stands \
             something that is not base64"
        );
    }

    #[test]
    fn a_block_without_end_is_named() {
        let text = "-----BEGIN CERTIFICATE-----\nAAEC\n";
        assert!(error(text).contains("no end marker `-----END CERTIFICATE-----`"));
        let text = format!("{text}{CERTIFICATE}");
        assert!(error(&text).starts_with("block 1 (CERTIFICATE, line 1"));
    }

    #[test]
    fn both_kinds_of_encryption_are_recognised() {
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAEC\n-----END ENCRYPTED PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
             AAEC\n-----END RSA PRIVATE KEY-----",
        ] {
            assert!(matches!(
                blocks(text).unwrap()[0].content,
                Content::EncryptedKey
            ));
        }
    }

    #[test]
    fn there_is_a_limit() {
        assert_eq!(
            blocks(&CERTIFICATE.repeat(1025)).err(),
            Some(Error::TooMany)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(-----(BEGIN|END) (CERTIFICATE|PRIVATE KEY)-----|[ -~]{0,9}|\r?\n){0,40}") {
            let _ = blocks(&text);
        }
    }
}
