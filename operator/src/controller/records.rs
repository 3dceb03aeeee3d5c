//! Records of the listeners' last results as text, for the next process: a digest of the versions that a result rests on,
//! and what the next process could not know without reading them again. Pure.
//!
//! A line has no name: a listener's own version is in its digest, and so are this build and its settings. So what is
//! damaged, outdated, or another build's matches no listener, and everything is read.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::kinds::Version;
use crate::plan::reason::Reason;

/// Maximum length of the text in bytes; an object of the API server has 1 MiB. It suffices for 25,000 listeners; what has
/// no place is read again.
const LENGTH_MAX: usize = 1_000_000;

/// What distinguishes this build and its settings from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    /// Derives it from a digest of the build, and from the settings.
    pub fn of(build: u64, settings: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (build, settings).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Returns the digest of a set of versions.
    pub fn digest(self, versions: &[Version]) -> u64 {
        let mut versions = versions.to_vec();
        versions.sort_unstable();
        versions.dedup();
        let mut hasher = DefaultHasher::new();
        (self.0, versions).hash(&mut hasher);
        hasher.finish()
    }
}

/// The result of a reconciliation that succeeded, and that nothing is expected to change soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The digest of the versions of everything that was read, or written in their place.
    pub digest: u64,
    /// When it is no longer true, because a date has passed: Unix time in seconds.
    pub until: Option<i64>,
    /// Whether pods were asked. What they answer has no version.
    pub is_asked: bool,
    /// The warnings about what is served.
    pub warnings: Vec<Reason>,
}

/// Formats records, sorted, so that the same ones are the same text.
pub fn text(records: &[Record]) -> String {
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut text = String::new();
    for line in lines {
        if text.len() + line.len() < LENGTH_MAX {
            text += &line;
            text.push('\n');
        }
    }
    text
}

fn line(record: &Record) -> String {
    let Record {
        digest,
        until,
        is_asked,
        warnings,
    } = record;
    let mut line = format!("{digest:016x}");
    if let Some(until) = until {
        // Writing to a String cannot fail.
        let _ = write!(line, " until={until}");
    }
    if *is_asked {
        line += " asked";
    }
    for warning in warnings {
        line += " warning=";
        line += warning.name();
    }
    line
}

/// Parses records, by digest. Lines that cannot be understood are left out: their listeners are read.
pub fn parse(text: &str) -> HashMap<u64, Record> {
    let records = text.lines().filter_map(record);
    records.map(|record| (record.digest, record)).collect()
}

fn record(line: &str) -> Option<Record> {
    let mut words = line.split(' ');
    let digest = words.next().filter(|digest| digest.len() == 16)?;
    let mut record = Record {
        digest: u64::from_str_radix(digest, 16).ok()?,
        until: None,
        is_asked: false,
        warnings: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            None if word == "asked" => record.is_asked = true,
            Some(("until", until)) => record.until = Some(until.parse().ok()?),
            Some(("warning", name)) => {
                let mut all = Reason::ALL.into_iter();
                record.warnings.push(all.find(|one| one.name() == name)?);
            }
            _ => return None,
        }
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use proptest::prelude::*;

    use super::{LENGTH_MAX, Reason, Record, Salt, Version, parse, text};
    use crate::kinds::Kind;

    fn version(resource_version: u32) -> Version {
        let metadata = ObjectMeta {
            resource_version: Some(resource_version.to_string()),
            ..ObjectMeta::default()
        };
        Version::of(Kind::Secret, &metadata).unwrap()
    }

    fn plain(digest: u64) -> Record {
        Record {
            digest,
            until: None,
            is_asked: false,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_digest_is_that_of_a_set_of_a_build_and_of_its_settings() {
        let salt = Salt::of(1, "settings");
        let digest = |versions: &[u32]| {
            let versions: Vec<Version> = versions.iter().copied().map(version).collect();
            salt.digest(&versions)
        };
        assert_eq!(digest(&[1, 2, 3]), digest(&[3, 1, 2, 1]));
        for other in [&[1, 2][..], &[1, 2, 4], &[1, 2, 3, 4], &[]] {
            assert_ne!(digest(&[1, 2, 3]), digest(other));
        }
        let one = [version(1)];
        for other in [Salt::of(2, "settings"), Salt::of(1, "other")] {
            assert_ne!(salt.digest(&one), other.digest(&one));
        }
    }

    #[test]
    fn the_text_is_sorted_and_short() {
        let full = Record {
            until: Some(1_790_000_000),
            is_asked: true,
            warnings: vec![Reason::NoNames, Reason::WeakKey],
            ..plain(7)
        };
        let shown = text(&[plain(255), full.clone(), plain(255)]);
        assert_eq!(
            shown,
            "0000000000000007 until=1790000000 asked warning=NoNames warning=WeakKey\n00000000000000ff\n"
        );
        assert_eq!(parse(&shown), [(7, full), (255, plain(255))].into());
    }

    #[test]
    fn what_has_no_place_is_left_out() {
        let many: Vec<Record> = (0..100_000).map(plain).collect();
        let shown = text(&many);
        assert!(shown.len() <= LENGTH_MAX && parse(&shown).len() > 50_000);
    }

    #[test]
    fn a_damaged_line_is_no_other_record() {
        for line in [
            "",
            "7",
            "000000000000000g",
            "0000000000000007 until=",
            "0000000000000007 until=soon",
            "0000000000000007 warning=Nothing",
            "0000000000000007 warning",
            "0000000000000007 ",
            "0000000000000007 asked=no",
            "0000000000000007\tasked",
        ] {
            assert_eq!(parse(line), [].into(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed(text in "\\PC*") {
            parse(&text);
        }

        #[test]
        fn records_survive(
            digest: u64,
            until in any::<Option<i64>>(),
            is_asked: bool,
            warnings in prop::collection::vec(prop::sample::select(Reason::ALL.to_vec()), 0..4),
        ) {
            let record = Record { digest, until, is_asked, warnings };
            prop_assert_eq!(parse(&text(std::slice::from_ref(&record))), [(digest, record)].into());
        }
    }
}
