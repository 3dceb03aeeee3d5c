//! Parses PEM text into DER (RFC 7468). Only this module uses rustls-pemfile, which is no longer maintained, so
//! that a change of library affects this file only. Blocks are identified by their content; a label is a hint.
//!
//! It must not validate the content of blocks, and no error may show their text. Buffers for the text and DER of
//! keys are wiped.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls_pemfile::Item;
use zeroize::{Zeroize, Zeroizing};

use super::der;
use super::kind::{self, Encoding, Kind};

/// Maximum number of blocks in a text: the longest chains have five, CA bundles some hundreds.
pub(crate) const BLOCKS_MAX: usize = 1024;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// The label under which every block goes to the library. The library decodes known labels only, and this module
/// identifies the content itself.
const HANDED_IN: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----\n",
    "\n-----END PRIVATE KEY-----\n",
];

/// A text that contains PEM, with its origin for errors.
#[derive(Clone, Copy)]
pub struct Part<'t> {
    text: &'t str,
    origin: Origin,
}

/// Where a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A key of a configuration file, which is YAML.
    File,
    /// A key of a Kubernetes object; with its name if there are several.
    Object(Option<&'static str>),
}

impl<'t> Part<'t> {
    /// A text from a configuration file.
    pub fn file(text: &'t str) -> Self {
        let origin = Origin::File;
        Self { text, origin }
    }

    /// A text from a Kubernetes object.
    pub fn object(text: &'t str) -> Self {
        let origin = Origin::Object(None);
        Self { text, origin }
    }

    /// The text under one of several keys of an object.
    pub fn key(key: &'static str, text: &'t str) -> Self {
        let origin = Origin::Object(Some(key));
        Self { text, origin }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Returns the name of the key, if there are several.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self.origin {
            Origin::File => None,
            Origin::Object(key) => key,
        }
    }
}

/// One block of a PEM text.
pub(crate) struct Block {
    /// Its position, for messages.
    pub(crate) place: Place,
    pub(super) content: Content,
}

/// Content of a block.
pub(super) enum Content {
    Certificate {
        der: CertificateDer<'static>,
        /// Whether it is trusted for client authentication; true unless the block says otherwise.
        is_for_clients: bool,
    },
    PrivateKey(PrivateKey),
    /// A key protected by a password.
    EncryptedKey,
    /// A block that is not used.
    Other(Kind),
}

/// An encoded private key; wiped when dropped.
pub(super) struct PrivateKey {
    pub(super) encoding: Encoding,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// Position of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the block in its text, from 1.
    pub number: usize,
    /// Line of the text on which the block begins, from 1.
    pub line: usize,
    /// Label, as in `-----BEGIN label-----`.
    pub label: String,
    /// Key that has the text, if there are several.
    pub key: Option<&'static str>,
}

impl Place {
    /// Describes the block briefly, for a sentence that names another block in full.
    pub(super) fn short(&self) -> String {
        match self.key {
            Some(key) => format!("block {} of {key}", self.number),
            None => format!("block {}", self.number),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "block {} ({}, line {} of {})",
            self.number,
            self.label,
            self.line,
            self.key.unwrap_or("the PEM")
        )
    }
}

/// Errors in PEM text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A block is not base64.
    #[error("{0} is damaged: the text between its markers is not base64")]
    Damaged(Place),
    /// A block has no end marker, or another marker in its place.
    #[error("{0} has no end marker `-----END {label}-----`", label = .0.label)]
    Unfinished(Place),
    /// Lines do not end in LF or CRLF.
    #[error("line {line} of {of} ends in {what}; save the text with LF or CRLF{advice}")]
    LineEnds {
        /// Line number, from 1.
        line: usize,
        /// Name of the text.
        of: &'static str,
        /// The characters found instead.
        what: &'static str,
        /// Advice for some of the cases.
        advice: &'static str,
    },
    /// A begin marker is not alone on its line.
    #[error(
        "line {line} of {of} has text after a begin marker; put each marker on a line of its own{advice}"
    )]
    OneLine {
        /// Line number, from 1.
        line: usize,
        /// Name of the text.
        of: &'static str,
        /// Advice for a file.
        advice: &'static str,
    },
    /// A begin marker has an invalid label.
    #[error(
        "line {line} of {of} has a begin marker with an invalid label; labels are in capitals, such as \
    CERTIFICATE"
    )]
    Label {
        /// Line number, from 1.
        line: usize,
        /// Name of the text.
        of: &'static str,
    },
    /// There are more than [`BLOCKS_MAX`] blocks.
    #[error("there are more than {BLOCKS_MAX} blocks")]
    TooMany,
}

/// Returns the blocks of all texts, in order; those of each text are numbered from 1. Ignores text outside of
/// blocks and whitespace at line ends, accepts LF and CRLF, and accepts an end marker on the same line as the
/// next begin marker, which occurs when files without a final line break are concatenated.
pub(super) fn blocks(parts: &[Part<'_>]) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    for part in parts {
        let room = BLOCKS_MAX - blocks.len();
        blocks.append(&mut blocks_of(*part, room)?);
    }
    Ok(blocks)
}

fn blocks_of(part: Part<'_>, room: usize) -> Result<Vec<Block>, Error> {
    let text = Zeroizing::new(part.text.replace("----------BEGIN ", "-----\n-----BEGIN "));
    let mut blocks = Vec::new();
    let mut lines = text
        .split('\n')
        .enumerate()
        // Some editors put a byte order mark before the first line.
        .map(|(index, line)| (index + 1, line.trim_start_matches('\u{feff}').trim()));
    while let Some((line, begin)) = lines.next() {
        if !begin.starts_with(BEGIN) {
            continue;
        }
        let label = label(begin).ok_or_else(|| not_alone(part, line, begin))?;
        if blocks.len() == room {
            return Err(Error::TooMany);
        }
        let place = Place {
            number: blocks.len() + 1,
            line,
            label: label.to_owned(),
            key: part.name(),
        };
        let end = format!("-----END {label}-----");
        // Allocate the full size at once: a string that grows leaves copies of a key behind.
        let mut body = Body {
            base64: Zeroizing::new(String::with_capacity(text.len())),
            is_encrypted: false,
        };
        loop {
            let Some((_, line)) = lines.next() else {
                return Err(Error::Unfinished(place));
            };
            if line == end {
                break;
            }
            if line.starts_with(DASHES) {
                return Err(Error::Unfinished(place));
            }
            body.push(line);
        }
        let content = content(label, &body).ok_or_else(|| Error::Damaged(place.clone()))?;
        blocks.push(Block { place, content });
    }
    Ok(blocks)
}

/// Text between the markers.
struct Body {
    base64: Zeroizing<String>,
    is_encrypted: bool,
}

impl Body {
    fn push(&mut self, line: &str) {
        self.is_encrypted |= line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
        self.base64.extend(line.split_ascii_whitespace());
    }

    /// Decodes the text into a buffer that is allocated at full size and wiped when dropped.
    fn decoded(&self) -> Option<Zeroizing<Vec<u8>>> {
        let [begin, end] = HANDED_IN;
        let size = begin.len() + self.base64.len() + end.len();
        let mut block = Zeroizing::new(String::with_capacity(size));
        block.extend([begin, &self.base64, end]);
        match rustls_pemfile::read_one_from_slice(block.as_bytes()).ok()? {
            Some((Item::Pkcs8Key(mut der), _)) => {
                let decoded = Zeroizing::new(der.secret_pkcs8_der().to_vec());
                der.zeroize();
                Some(decoded)
            }
            _ => None,
        }
    }
}

/// Returns the label of a begin marker (RFC 7468, section 3). Labels appear in messages, so text that shares a
/// line with key material is not accepted as one.
fn label(line: &str) -> Option<&str> {
    let label = line.strip_prefix(BEGIN)?.strip_suffix(DASHES)?;
    let fits = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'#')
    };
    (label.len() <= 32 && label.bytes().all(fits)).then_some(label)
}

/// Returns the error for a line that is not a valid begin marker.
fn not_alone(part: Part<'_>, line: usize, begin: &str) -> Error {
    let behind = begin
        .strip_prefix(BEGIN)
        .and_then(|label| label.split_once(DASHES))
        .map_or("", |(_, behind)| behind);
    let of = part.name().unwrap_or("the PEM");
    if behind.is_empty() {
        return Error::Label { line, of };
    }
    let is_file = part.origin == Origin::File;
    let ends = |what, advice| Error::LineEnds {
        line,
        of,
        what,
        advice,
    };
    if behind.starts_with('\r') {
        return ends("CR alone, as on old Macs", ": `tr '\\r' '\\n'`");
    }
    if behind.starts_with(['\u{85}', '\u{2028}', '\u{2029}', '\u{B}', '\u{C}']) {
        return ends("a line separator that PEM does not allow", "");
    }
    if behind.starts_with("\\n") || behind.starts_with("\\r") {
        let advice = if is_file {
            " (in YAML: `pem: |`, or double quotes around it)"
        } else {
            ""
        };
        return ends("`\\n` as two characters", advice);
    }
    let advice = if is_file {
        " (in YAML: `pem: |`, not `pem: >`)"
    } else {
        ""
    };
    Error::OneLine { line, of, advice }
}

/// Decodes one block; `None` if it is damaged.
fn content(label: &str, body: &Body) -> Option<Content> {
    let by_label = kind::by_label(label);
    if body.is_encrypted {
        return Some(Content::EncryptedKey);
    }
    if matches!(by_label, Kind::OpenSshKey | Kind::Pgp) {
        return Some(Content::Other(by_label));
    }
    let Some(mut der) = body.decoded() else {
        // Blocks that are not used need not be base64.
        let is_ours = kind::was_known(label) && !matches!(by_label, Kind::EncryptedKey);
        return (!is_ours).then_some(match by_label {
            Kind::EncryptedKey => Content::EncryptedKey,
            _ => Content::Other(by_label),
        });
    };
    let kind = match kind::of(&der) {
        Kind::Unknown => by_label,
        known => known,
    };
    Some(match kind {
        Kind::Certificate => certificate(label, &der),
        Kind::PrivateKey(encoding) => Content::PrivateKey(PrivateKey {
            encoding,
            der: std::mem::take(&mut der),
        }),
        Kind::EncryptedKey => Content::EncryptedKey,
        other => Content::Other(other),
    })
}

/// Parses the certificate of a block. In a `TRUSTED CERTIFICATE`, which `openssl x509 -trustout` and p11-kit
/// write, trusted and rejected uses follow the certificate.
fn certificate(label: &str, der: &[u8]) -> Content {
    let (der, uses) = match der::first(der) {
        Some((certificate, uses)) if label == "TRUSTED CERTIFICATE" => (certificate.whole, uses),
        _ => (der, &[][..]),
    };
    Content::Certificate {
        der: CertificateDer::from(der.to_vec()),
        is_for_clients: is_for_clients(uses),
    }
}

/// Reports whether the uses after a certificate (OpenSSL's `X509_CERT_AUX`) permit client authentication.
fn is_for_clients(uses: &[u8]) -> bool {
    const CLIENTS: [u8; 8] = [0x2B, 6, 1, 5, 5, 7, 3, 2];
    const ANY: [u8; 4] = [0x55, 0x1D, 0x25, 0];
    let lists = der::first(uses).map(|(uses, _)| uses.children());
    let is_in = |list: der::Element<'_>| {
        list.children()
            .any(|use_| use_.content == CLIENTS || use_.content == ANY)
    };
    lists.into_iter().flatten().all(|list| match list.tag {
        der::SEQUENCE => is_in(list),
        der::CONTEXT_0 => !is_in(list),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Content, Error, Part, blocks};
    use crate::kind::Kind;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

    fn read(text: &str) -> Result<Vec<super::Block>, Error> {
        blocks(&[Part::file(text)])
    }

    fn error(text: &str) -> String {
        let error = read(text).err();
        error.expect("this must not be accepted").to_string()
    }

    #[test]
    fn preamble_blanks_and_either_line_end_are_accepted() {
        let text = format!(
            "subject=CN = a\r\n\u{feff}{}",
            CERTIFICATE.replace('\n', "  \r\n")
        );
        let blocks = read(&text).unwrap();
        assert!(
            matches!(&blocks[0].content, Content::Certificate { der, .. } if der.as_ref() == [0, 1, 2])
        );
        assert_eq!(blocks[0].place.line, 2);
    }

    #[test]
    fn joined_files_without_a_line_end_between_them_are_accepted() {
        let text = format!("{}{}", CERTIFICATE.trim_end(), CERTIFICATE);
        assert_eq!(read(&text).unwrap().len(), 2);
    }

    #[test]
    fn a_damaged_block_is_named() {
        let text =
            format!("{CERTIFICATE}-----BEGIN PRIVATE KEY-----\nA!*C\n-----END PRIVATE KEY-----");
        assert_eq!(
            error(&text),
            "block 2 (PRIVATE KEY, line 4 of the PEM) is damaged: the text between its markers is not base64"
        );
    }

    #[test]
    fn a_block_is_counted_within_its_own_text() {
        let key = "-----BEGIN PRIVATE KEY-----\nA!*C\n-----END PRIVATE KEY-----";
        let parts = [Part::key("tls.crt", CERTIFICATE), Part::key("tls.key", key)];
        let error = blocks(&parts).err().unwrap().to_string();
        assert!(
            error.starts_with("block 1 (PRIVATE KEY, line 1 of tls.key) is damaged"),
            "{error}"
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
                read(text).unwrap()[0].content,
                Content::EncryptedKey
            ));
        }
    }

    #[test]
    fn unused_blocks_need_not_be_base64() {
        let pgp = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nAAEC\n=ab+d\n\
                   -----END PGP PUBLIC KEY BLOCK-----\n";
        let other = "-----BEGIN FOO-----\n?\n-----END FOO-----\n";
        let blocks = read(&format!("{pgp}{other}{CERTIFICATE}")).unwrap();
        assert!(matches!(blocks[0].content, Content::Other(Kind::Pgp)));
        assert!(matches!(blocks[1].content, Content::Other(Kind::Unknown)));
        assert_eq!(blocks.len(), 3);
    }

    /// Only errors about files give advice on YAML.
    #[test]
    fn bad_line_ends_are_named() {
        for (text, expected, yaml) in [
            (
                CERTIFICATE.replace('\n', "\r"),
                "line 1 of the PEM ends in CR alone",
                "",
            ),
            (
                CERTIFICATE.replace('\n', "\\n"),
                "ends in `\\n` as two characters",
                "in YAML",
            ),
            (
                CERTIFICATE.replace('\n', " "),
                "line 1 of the PEM has text after a begin marker",
                "in YAML",
            ),
            (
                CERTIFICATE.replace('\n', "\u{2028}"),
                "a line separator that PEM does not allow",
                "",
            ),
            (
                CERTIFICATE.replace("BEGIN CERTIFICATE", "BEGIN Certificate"),
                "line 1 of the PEM has a begin marker with an invalid label",
                "",
            ),
        ] {
            let in_file = error(&text);
            assert!(in_file.contains(expected), "{in_file}");
            assert!(in_file.contains(yaml), "{in_file}");
            let in_object = blocks(&[Part::object(&text)]).err().unwrap().to_string();
            assert!(in_object.contains(expected), "{in_object}");
            assert!(!in_object.contains("YAML"), "{in_object}");
        }
    }

    #[test]
    fn the_number_of_blocks_is_limited() {
        assert_eq!(read(&CERTIFICATE.repeat(1025)).err(), Some(Error::TooMany));
        let half = CERTIFICATE.repeat(600);
        let parts = [Part::key("tls.crt", &half), Part::key("tls.key", &half)];
        assert_eq!(blocks(&parts).err(), Some(Error::TooMany));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "(-----(BEGIN|END) (CERTIFICATE|PRIVATE KEY)-----|[ -~]{0,9}|\r?\n){0,40}") {
            let _ = read(&text);
        }
    }
}
