//! Searches a process's memory for private keys, in each of their forms: the text of a PEM, its base64 as in a Secret,
//! and the secret numbers themselves, in both byte orders.
//!
//! The search needs root, because a process with keys denies access to others. It must not judge.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::pki::{KeyKind, Leaf};

/// Length of the searched pieces, in characters or bytes: short enough to find the rest of a partly overwritten key.
const PIECE: usize = 16;

/// Number of bytes read at once.
const BLOCK: usize = 1 << 20;

/// The keys to search for.
#[derive(Default)]
pub struct Keys {
    pieces: Vec<Vec<u8>>,
    /// The name of each piece.
    names: Vec<String>,
}

/// A piece of a key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The key and its form.
    pub what: String,
    /// The address and the mapping's name.
    pub place: String,
}

impl Keys {
    /// Adds a leaf's key in all forms.
    pub fn add(&mut self, name: &str, leaf: &Leaf) {
        let secrets = secrets(leaf);
        for (number, secret) in secrets.iter().enumerate() {
            let mut reversed = secret.clone();
            reversed.reverse();
            self.add_pieces(&format!("{name}: number {number}"), secret);
            self.add_pieces(&format!("{name}: number {number}, reversed"), &reversed);
        }
        for &encoding in leaf.key_kind.encodings() {
            let pem = leaf.key_as(encoding);
            for (number, secret) in secrets.iter().enumerate() {
                let name = format!("{name}: number {number} in {encoding:?}");
                self.add_pem(&name, &pem, secret);
            }
        }
    }

    /// Adds the characters of a PEM that encode a secret.
    fn add_pem(&mut self, name: &str, pem: &str, secret: &[u8]) {
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let width = lines[0].len();
        let body = lines.concat();
        let der = BASE64_STANDARD.decode(&body).expect("a PEM holds base64");
        let start = position(&der, secret);
        // Whole characters only: those at the ends encode other bits, too.
        let (first, last) = ((start * 4).div_ceil(3), (start + secret.len()) * 4 / 3);
        for (index, line) in lines.iter().enumerate() {
            let begin = index * width;
            let from = first.saturating_sub(begin).min(line.len());
            let to = last.saturating_sub(begin).min(line.len());
            self.add_pieces(&format!("{name}, PEM"), &line.as_bytes()[from..to]);
        }
        // As in a Secret with a separate value for the key.
        let encoded = BASE64_STANDARD.encode(pem);
        let text = encoded.as_bytes();
        let line_end = |at: usize| at + at / width;
        let header = pem.find('\n').expect("a PEM has lines") + 1;
        let (from, to) = (header + line_end(first), header + line_end(last));
        let range = (from * 4).div_ceil(3)..to * 4 / 3;
        self.add_pieces(&format!("{name}, base64 of the PEM"), &text[range]);
    }

    fn add_pieces(&mut self, name: &str, bytes: &[u8]) {
        for piece in bytes.chunks_exact(PIECE) {
            self.pieces.push(piece.to_vec());
            self.names.push(name.to_owned());
        }
    }

    /// Searches the writable memory of a process.
    pub fn search(&self, pid: u32) -> Vec<Hit> {
        let searcher = AhoCorasick::new(&self.pieces).expect("few and short");
        let memory = File::open(format!("/proc/{pid}/mem")).expect("root may read it");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("root may read it");
        let mut hits = Vec::new();
        for mapping in maps.lines().filter_map(Mapping::parse) {
            let mut at = mapping.start;
            while at < mapping.end {
                // Overlaps with the next block, for pieces across the boundary.
                let size = usize::try_from(mapping.end - at).unwrap_or(usize::MAX);
                let mut block = vec![0; size.min(BLOCK + PIECE - 1)];
                let read = memory.read_at(&mut block, at).unwrap_or(0);
                for found in searcher.find_iter(&block[..read]) {
                    hits.push(Hit {
                        what: self.names[found.pattern().as_usize()].clone(),
                        place: format!("{:x} {}", at + found.start() as u64, mapping.name),
                    });
                }
                at += BLOCK as u64;
            }
        }
        hits
    }
}

/// A writable mapping of an address space.
struct Mapping<'m> {
    start: u64,
    end: u64,
    name: &'m str,
}

impl<'m> Mapping<'m> {
    /// Parses a line of `/proc/PID/maps` (proc(5)).
    fn parse(line: &'m str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let permissions = words.next()?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        permissions.starts_with("rw").then_some(Self {
            start: address(start)?,
            end: address(end)?,
            name: words.nth(3).unwrap_or("anonymous"),
        })
    }
}

fn position(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows
        .position(|window| window == part)
        .expect("it is in there")
}

/// The secret numbers of a key, big-endian.
fn secrets(leaf: &Leaf) -> Vec<Vec<u8>> {
    // PKCS#8 (RFC 5958): version, algorithm, the key.
    let fields = sequence(&leaf.key_der);
    let key = fields[2];
    match leaf.key_kind {
        // RFC 8410: an octet string in an octet string.
        KeyKind::Ed25519 => vec![element(key).0.to_vec()],
        // RFC 5915: version, the key.
        KeyKind::P256 | KeyKind::P384 => vec![sequence(key)[1].to_vec()],
        // RFC 8017: version, modulus, public exponent, then the secret numbers.
        KeyKind::Rsa2048 => sequence(key)[3..9]
            .iter()
            .map(|number| number.strip_prefix(&[0]).unwrap_or(number).to_vec())
            .collect(),
    }
}

/// Returns the contents of a sequence's elements (X.690, DER).
fn sequence(der: &[u8]) -> Vec<&[u8]> {
    let (mut rest, _) = element(der);
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (content, after) = element(rest);
        elements.push(content);
        rest = after;
    }
    elements
}

/// Returns the content of the first element, and the bytes after it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, header) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            let bytes = &der[2..2 + count];
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, 2 + count)
        }
    };
    der[header..].split_at(length)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::pki::{Ca, KeyEncoding};
    use crate::process::Process;

    #[test]
    fn a_key_is_found_in_each_form_and_other_keys_are_not() {
        if !rustix::process::getuid().is_root() {
            println!("skipped: searching another process's memory needs root");
            return;
        }
        let ca = Ca::new("root");
        for kind in KeyKind::ALL {
            let (held, other) = (ca.leaf().key(kind).issue(), ca.leaf().key(kind).issue());
            let (mut keys, mut others) = (Keys::default(), Keys::default());
            keys.add("held", &held);
            others.add("other", &other);
            let process = {
                let forms = [held.key_pem.clone(), BASE64_STANDARD.encode(&held.key_pem)];
                let mut command = Command::new("sh");
                command
                    .args(["-c", "x=$1; echo up; read y", "sh"])
                    .arg(forms.concat());
                Process::spawn("holder", command)
            };
            process.wait_for_line("up", Duration::from_secs(20));
            let hits = keys.search(process.pid());
            for form in ["PEM", "base64 of the PEM"] {
                assert!(
                    hits.iter().any(|hit| hit.what.ends_with(form)),
                    "{kind:?}: {form}"
                );
            }
            assert_eq!(others.search(process.pid()), []);
            let ours = keys.search(std::process::id());
            assert!(ours.iter().any(|hit| hit.what == "held: number 0"));
        }
    }

    #[test]
    fn the_secret_numbers_of_rsa_are_complete() {
        let leaf = Ca::new("root").leaf().key(KeyKind::Rsa2048).issue();
        let numbers = secrets(&leaf);
        // A number may begin with zeros, which DER leaves out.
        let sizes: Vec<usize> = numbers
            .iter()
            .map(|number| number.len().div_ceil(16))
            .collect();
        assert_eq!(
            sizes[1..],
            [8, 8, 8, 8, 8],
            "p, q, and the values derived from them"
        );
        assert_eq!(leaf.key_as(KeyEncoding::Pkcs8), leaf.key_pem);
    }
}
