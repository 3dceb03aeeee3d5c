//! A file beside the configuration that is read whenever something changes, as those of `--ticket-keys` and `--trials` are: its content
//! counts only if it is new, and what is wrong with it is reported once.
//!
//! It must not decide what becomes of a content, nor keep one.

use std::error::Error;
use std::path::Path;

use mqtt_tls_program::error::chain;

use crate::source::{Digest, Source};

/// The file, and what was read last.
pub(crate) struct Followed {
    source: Source,
    read: Option<Digest>,
    /// What was reported last.
    refused: Option<String>,
}

/// What a look at the file has brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change<T> {
    /// Nothing that was not known.
    Nothing,
    /// A new content.
    New(T),
    /// There is no file; whether one was read before, and the system's error.
    Absent { was_there: bool, error: String },
    /// It cannot be used; the last content stays.
    Refused(String),
}

impl Followed {
    /// Names the file, which may not exist yet.
    pub(crate) fn new(beside: &Source, path: &Path) -> Self {
        Self {
            source: beside.beside(path),
            read: None,
            refused: None,
        }
    }

    /// Reads the file, and parses it if it is new.
    pub(crate) fn look<T, E: Error + 'static>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Change<T> {
        let text = match self.source.read() {
            Ok(text) => text,
            Err(error) if error.is_absent() => {
                let was_there = self.read.take().is_some();
                return self.once(chain(&error), |error| Change::Absent { was_there, error });
            }
            Err(error) => return self.once(chain(&error), Change::Refused),
        };
        if self.read == Some(text.digest) {
            self.refused = None;
            return Change::Nothing;
        }
        match parse(&text.text) {
            Ok(new) => {
                (self.read, self.refused) = (Some(text.digest), None);
                Change::New(new)
            }
            Err(error) => self.once(chain(&error), Change::Refused),
        }
    }

    /// Returns what an error means, unless it was reported last.
    fn once<T>(&mut self, error: String, change: impl FnOnce(String) -> Change<T>) -> Change<T> {
        if self.refused.as_ref() == Some(&error) {
            return Change::Nothing;
        }
        self.refused = Some(error.clone());
        change(error)
    }
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::{Change, Followed, Source};

    fn number(text: &str) -> Result<u8, ParseIntError> {
        text.parse()
    }

    #[test]
    fn each_change_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let mut file = Followed::new(&Source::new(&path).unwrap(), &path);
        let absent = |change: Change<u8>| match change {
            Change::Absent { was_there, error } => {
                assert!(error.contains("number"), "{error}");
                Some(was_there)
            }
            _ => None,
        };
        assert_eq!(absent(file.look(number)), Some(false));
        assert_eq!(file.look(number), Change::Nothing);
        for (text, expected) in [
            ("1", Change::New(1)),
            ("1", Change::Nothing),
            (
                "x",
                Change::Refused("invalid digit found in string".to_owned()),
            ),
            ("x", Change::Nothing),
            // The last good content is back.
            ("1", Change::Nothing),
            (
                "x",
                Change::Refused("invalid digit found in string".to_owned()),
            ),
            ("2", Change::New(2)),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(file.look(number), expected, "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(absent(file.look(number)), Some(true));
        assert_eq!(file.look(number), Change::Nothing);
        // The same content counts again.
        std::fs::write(&path, "2").unwrap();
        assert_eq!(file.look(number), Change::New(2));
    }
}
