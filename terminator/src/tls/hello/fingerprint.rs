//! The fingerprint of a ClientHello: what a TLS stack with its settings sends alike in each connection, so that devices behind
//! one address are distinguished as far as their stacks differ. Pure.
//!
//! It must not contain what differs between two connections of one device, nor what a client may choose freely: random, session
//! ID, shares, tickets, and the requested name. Some stacks change the order of extensions at random (rustls, browsers), so
//! their kinds are sorted.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{LISTED_MAX, Reader, message};

/// Kinds of extensions that come and go with the name, with padding, and with the session that is resumed: server_name, padding,
/// session_ticket, pre_shared_key, early_data, cookie and psk_key_exchange_modes.
const UNSTABLE: [u16; 7] = [0, 21, 35, 41, 42, 44, 45];

/// Returns the fingerprint of a ClientHello, as far as it can be parsed: some hundred bytes, to be hashed.
pub(crate) fn fingerprint(records: &[u8]) -> Vec<u8> {
    let mut print = Print(Vec::with_capacity(256));
    // Parsing stops at the end of the data.
    let _ = print.fill(&message(records));
    print.0
}

/// Sections, each with its length before it, so that no two offers have the same bytes.
struct Print(Vec<u8>);

impl Print {
    fn fill(&mut self, message: &[u8]) -> Option<()> {
        let mut hello = Reader::of(message)?;
        self.add(0, hello.number()?.to_be_bytes().to_vec());
        self.numbers(1, hello.suites()?.numbers());
        let mut extensions = hello.extensions()?;
        let mut kinds = Vec::new();
        let mut parts = Vec::new();
        while let (Some(kind), true) = (extensions.number(), kinds.len() < LISTED_MAX) {
            let body = extensions.vector()?;
            if !is_grease(kind) && !UNSTABLE.contains(&kind) {
                kinds.push(kind);
            }
            parts.push((kind, body));
        }
        kinds.sort_unstable();
        self.numbers(2, kinds.into_iter());
        parts.sort_by_key(|(kind, _)| *kind);
        for (kind, body) in parts {
            // A part that cannot be parsed is left out.
            let _ = self.part(kind, body);
        }
        Some(())
    }

    fn part(&mut self, kind: u16, mut body: Reader<'_>) -> Option<()> {
        match kind {
            // supported_groups and signature_algorithms
            10 | 13 => self.numbers(kind, body.vector()?.numbers()),
            // ec_point_formats
            11 => self.add(kind, body.short_vector()?.0.to_vec()),
            // ALPN
            16 => {
                let names = body.vector()?.texts().into_iter();
                for name in names.filter(|name| !is_grease_name(name)) {
                    self.add(kind, name);
                }
            }
            // supported_versions
            43 => self.numbers(kind, body.short_vector()?.numbers()),
            _ => {}
        }
        Some(())
    }

    fn numbers(&mut self, section: u16, numbers: impl Iterator<Item = u16>) {
        self.add(section, numbers.flat_map(u16::to_be_bytes).collect());
    }

    fn add(&mut self, section: u16, bytes: Vec<u8>) {
        // Each vector of a ClientHello has less than 64 KiB.
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.0.extend(section.to_be_bytes());
        self.0.extend(length.to_be_bytes());
        self.0.extend(bytes);
    }
}

/// Reports whether a number is a GREASE value (RFC 8701): two equal bytes that end in `a`.
pub(super) fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

fn is_grease_name(name: &[u8]) -> bool {
    let number = name.try_into().map(u16::from_be_bytes);
    number.is_ok_and(is_grease)
}

#[cfg(test)]
mod tests {
    use super::{fingerprint, is_grease};

    /// A client's offer; extensions are `(kind, body)`.
    struct Hello {
        version: u16,
        random: u8,
        session: Vec<u8>,
        suites: Vec<u16>,
        extensions: Vec<(u16, Vec<u8>)>,
    }

    fn list16(numbers: &[u16]) -> Vec<u8> {
        let bytes: Vec<u8> = numbers.iter().copied().flat_map(u16::to_be_bytes).collect();
        prefixed(&bytes)
    }

    fn prefixed(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap();
        [&length.to_be_bytes(), body].concat()
    }

    fn versions(numbers: &[u16]) -> Vec<u8> {
        let bytes: Vec<u8> = numbers.iter().copied().flat_map(u16::to_be_bytes).collect();
        [&[u8::try_from(bytes.len()).unwrap()], &bytes[..]].concat()
    }

    fn names(names: &[&[u8]]) -> Vec<u8> {
        let each = names
            .iter()
            .map(|name| [&[u8::try_from(name.len()).unwrap()], *name].concat());
        prefixed(&each.collect::<Vec<_>>().concat())
    }

    impl Hello {
        fn device() -> Self {
            Self {
                version: 0x0303,
                random: 7,
                session: vec![8; 32],
                suites: vec![0x1301, 0xc02b],
                extensions: vec![
                    (10, list16(&[0x1d, 0x17])),
                    (11, vec![1, 0]),
                    (13, list16(&[0x0403, 0x0804])),
                    (16, names(&[b"mqtt"])),
                    (43, versions(&[0x0304, 0x0303])),
                    (51, list16(&[0x1d])),
                ],
            }
        }

        fn with(mut self, kind: u16, body: Vec<u8>) -> Self {
            self.extensions.retain(|(known, _)| *known != kind);
            self.extensions.push((kind, body));
            self
        }

        fn without(mut self, kind: u16) -> Self {
            self.extensions.retain(|(known, _)| *known != kind);
            self
        }

        fn message(&self) -> Vec<u8> {
            let mut body = self.version.to_be_bytes().to_vec();
            body.extend([self.random; 32]);
            body.push(u8::try_from(self.session.len()).unwrap());
            body.extend(&self.session);
            body.extend(list16(&self.suites));
            body.extend([1, 0]);
            let each = self.extensions.iter();
            let each = each.map(|(kind, body)| [&kind.to_be_bytes()[..], &prefixed(body)].concat());
            body.extend(prefixed(&each.collect::<Vec<_>>().concat()));
            let length = u32::try_from(body.len()).unwrap();
            [&[1], &length.to_be_bytes()[1..], &body].concat()
        }

        fn print(&self) -> Vec<u8> {
            let message = self.message();
            fingerprint(&[&[22, 3, 1][..], &prefixed(&message)].concat())
        }
    }

    #[test]
    fn what_a_device_changes_between_connections_does_not_matter() {
        let print = Hello::device().print();
        assert!(print.len() > 40);
        let mut reordered = Hello::device();
        reordered.extensions.reverse();
        let mut greased = Hello::device().with(0x5a5a, vec![]).with(0x6a6a, vec![0]);
        greased.suites.insert(0, 0x2a2a);
        greased = greased
            .with(10, list16(&[0x3a3a, 0x1d, 0x17]))
            .with(13, list16(&[0x4a4a, 0x0403, 0x0804]))
            .with(16, names(&[b"\x7a\x7a", b"mqtt"]))
            .with(43, versions(&[0x8a8a, 0x0304, 0x0303]));
        let again = Hello {
            random: 9,
            session: Vec::new(),
            ..Hello::device()
        };
        for (what, hello) in [
            ("random and session ID", again),
            ("the order of extensions", reordered),
            ("GREASE", greased),
            ("a name", Hello::device().with(0, prefixed(b"\0\0\x01a"))),
            ("a ticket", Hello::device().with(35, vec![1; 90])),
            ("padding", Hello::device().with(21, vec![0; 30])),
            (
                "a session",
                Hello::device().with(42, vec![]).with(41, vec![1; 60]),
            ),
            ("a share", Hello::device().with(51, list16(&[0x17]))),
        ] {
            assert_eq!(hello.print(), print, "{what}");
        }
    }

    #[test]
    fn what_a_stack_or_its_settings_change_matters() {
        let print = Hello::device().print();
        let mut suites = Hello::device();
        suites.suites.reverse();
        let version = Hello {
            version: 0x0302,
            ..Hello::device()
        };
        let mut others = vec![suites, version];
        for (kind, body) in [
            (10, list16(&[0x17, 0x1d])),
            (11, vec![2, 0, 1]),
            (13, list16(&[0x0403])),
            (16, names(&[b"mqtt", b"x"])),
            (43, versions(&[0x0303])),
            (22, vec![]),
        ] {
            others.push(Hello::device().with(kind, body));
        }
        others.push(Hello::device().without(16));
        others.push(Hello::device().without(11));
        let mut prints: Vec<Vec<u8>> = others.iter().map(Hello::print).collect();
        prints.push(print);
        let count = prints.len();
        prints.sort();
        prints.dedup();
        assert_eq!(prints.len(), count, "each is another");
    }

    #[test]
    fn a_section_cannot_be_taken_for_another() {
        let one = Hello::device().with(16, names(&[b"ab", b"c"]));
        let other = Hello::device().with(16, names(&[b"a", b"bc"]));
        assert_ne!(one.print(), other.print());
    }

    #[test]
    fn any_part_of_a_hello_has_a_bounded_fingerprint() {
        let many: Vec<u16> = (0x100..0x2000).collect();
        let mut hello = Hello::device()
            .with(10, list16(&many))
            .with(13, list16(&many));
        hello.suites.clone_from(&many);
        hello
            .extensions
            .extend((100..400).map(|kind| (kind, vec![])));
        assert!(hello.print().len() < 1024, "{}", hello.print().len());
        let message = Hello::device().message();
        let records = [&[22, 3, 1][..], &prefixed(&message)].concat();
        for end in 0..records.len() {
            let _ = fingerprint(&records[..end]);
        }
    }

    #[test]
    fn grease_values_are_the_sixteen_of_the_rfc() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|number| is_grease(*number)).collect();
        assert_eq!((all.len(), all[0], all[15]), (16, 0x0a0a, 0xfafa));
    }
}
