//! The trials of renewed certificates, as a file has them that terminators read: which share of the clients gets
//! a certificate's candidate, and which devices must not get it.
//!
//! ```text
//! mqtt-tls trials, version 1
//! trial edge-tls-7 500 86400
//! avoid edge-tls-7 00f1c2d3e4a59687 1780315200
//! ```
//!
//! A `trial` has the ID of candidates, their share in parts of [`SHARE_ALL`], and for how many seconds a device is remembered that has
//! refused one of them. The `avoid` lines behind it are such devices: a key, and the Unix time until which it holds. It must not
//! know how a key is made, and nothing in it is secret.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::FILE_SIZE_MAX;

/// Maximum number of trials in a file.
pub const TRIALS_MAX: usize = 64;

/// Maximum number of avoided devices of a trial.
pub const AVOIDED_MAX: usize = 4096;

/// Maximum size of a file in bytes, with all its trials: what any file of a terminator may have.
pub const TRIALS_FILE_SIZE_MAX: u64 = FILE_SIZE_MAX;

/// Maximum length of an ID, in characters.
pub const TRIAL_ID_LENGTH_MAX: usize = 40;

/// The share that is all clients.
pub const SHARE_ALL: u16 = 10_000;

/// For how many seconds a device may be remembered: up to a week.
pub const REMEMBER_RANGE: RangeInclusive<u32> = 1..=REMEMBER_MAX;

const REMEMBER_MAX: u32 = 7 * 24 * 3600;

/// Number of hexadecimal digits of a key.
const KEY_DIGITS: usize = 16;

/// The first line.
const HEADER: &str = "mqtt-tls trials, version 1";

/// A trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The ID of its candidates.
    pub id: String,
    /// The share of the clients that get the candidate, of [`SHARE_ALL`].
    pub share: u16,
    /// For how many seconds a device that has refused it gets the current certificate, within [`REMEMBER_RANGE`].
    pub remember: u32,
    /// The devices that must not get it, each once.
    pub avoided: Vec<Avoided>,
}

/// A device that must not get a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avoided {
    /// The key of the device, or of all devices at its address.
    pub key: u64,
    /// The Unix time in seconds until which that holds.
    pub until: u64,
}

/// Why a text has no trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrialsError {
    /// The first line is another one.
    #[error("line 1 is not `{HEADER}`; another version may have written it")]
    Header,
    /// A line is neither a trial nor a device.
    #[error(
        "line {0} is neither `trial ID SHARE REMEMBER`, with an ID of 1 to {TRIAL_ID_LENGTH_MAX} of a-z, 0-9 and hyphens, from 0 to \
         {SHARE_ALL} and from 1 to {REMEMBER_MAX} seconds, nor `avoid ID KEY UNTIL`, with {KEY_DIGITS} hexadecimal digits and a Unix \
         time"
    )]
    Line(usize),
    /// A trial is there twice, or a device twice in a trial.
    #[error("line {0} has the trial, or the device, of an earlier line")]
    Twice(usize),
    /// The trial of a device does not stand before it.
    #[error("line {0} is about a trial that no line before it has")]
    Unknown(usize),
    /// There are too many trials.
    #[error("line {0} is one trial too many; at most {TRIALS_MAX} are allowed")]
    TooMany(usize),
    /// A trial has too many devices.
    #[error("line {0} is one device too many; at most {AVOIDED_MAX} are allowed in a trial")]
    Full(usize),
}

/// Reports whether a text may be the ID of a trial.
pub fn is_trial_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=TRIAL_ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Shows a key as the file has it.
pub fn show_key(key: u64) -> String {
    format!("{key:016x}")
}

/// What a line says.
enum Line<'l> {
    Trial(Trial),
    Avoid(&'l str, Avoided),
}

impl Trial {
    /// Reads the trials of a file, in its order.
    ///
    /// # Errors
    ///
    /// The text is not such a file.
    pub fn parse(text: &str) -> Result<Vec<Self>, TrialsError> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(TrialsError::Header);
        }
        let mut trials: Vec<Self> = Vec::new();
        let mut known: HashSet<(usize, u64)> = HashSet::new();
        for (index, line) in lines.enumerate() {
            let number = index + 2;
            match Line::of(line).ok_or(TrialsError::Line(number))? {
                Line::Trial(trial) => {
                    if trials.iter().any(|known| known.id == trial.id) {
                        return Err(TrialsError::Twice(number));
                    }
                    if trials.len() == TRIALS_MAX {
                        return Err(TrialsError::TooMany(number));
                    }
                    trials.push(trial);
                }
                Line::Avoid(id, avoided) => {
                    let index = trials.iter().position(|trial| trial.id == id);
                    let index = index.ok_or(TrialsError::Unknown(number))?;
                    if !known.insert((index, avoided.key)) {
                        return Err(TrialsError::Twice(number));
                    }
                    if trials[index].avoided.len() == AVOIDED_MAX {
                        return Err(TrialsError::Full(number));
                    }
                    trials[index].avoided.push(avoided);
                }
            }
        }
        Ok(trials)
    }

    /// Returns the text of a file with trials.
    pub fn file(trials: &[Self]) -> String {
        let mut text = format!("{HEADER}\n");
        for trial in trials {
            let Self {
                id,
                share,
                remember,
                avoided,
            } = trial;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "trial {id} {share} {remember}");
            for Avoided { key, until } in avoided {
                let _ = writeln!(text, "avoid {id} {} {until}", show_key(*key));
            }
        }
        text
    }
}

impl<'l> Line<'l> {
    fn of(line: &'l str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, id, one, other] = words[..] else {
            return None;
        };
        if !is_trial_id(id) {
            return None;
        }
        match kind {
            "trial" => {
                let share = number(one)?.try_into().ok()?;
                let remember = number(other)?.try_into().ok()?;
                let is_valid = share <= SHARE_ALL && REMEMBER_RANGE.contains(&remember);
                is_valid.then(|| {
                    Self::Trial(Trial {
                        id: id.to_owned(),
                        share,
                        remember,
                        avoided: Vec::new(),
                    })
                })
            }
            "avoid" => {
                let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let is_key = one.len() == KEY_DIGITS && one.bytes().all(is_digit);
                let key = u64::from_str_radix(one, 16).ok().filter(|_| is_key)?;
                let until = number(other)?;
                Some(Self::Avoid(id, Avoided { key, until }))
            }
            _ => None,
        }
    }
}

/// Reads a number without a sign.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::{
        AVOIDED_MAX, Avoided, SHARE_ALL, TRIALS_FILE_SIZE_MAX, TRIALS_MAX, Trial, TrialsError,
        is_trial_id,
    };

    fn trial(id: &str, devices: usize) -> Trial {
        let devices = u64::try_from(devices).unwrap();
        let avoided = (0..devices).map(|device| Avoided {
            key: u64::MAX - device,
            until: 1_780_315_200 + device,
        });
        Trial {
            id: id.to_owned(),
            share: SHARE_ALL,
            remember: 604_800,
            avoided: avoided.collect(),
        }
    }

    #[test]
    fn trials_are_read_as_they_were_written() {
        let trials: Vec<Trial> = (0..TRIALS_MAX)
            .map(|index| trial(&format!("t-{index}"), index))
            .collect();
        let text = Trial::file(&trials);
        assert_eq!(Trial::parse(&text), Ok(trials));
        assert_eq!(Trial::parse(&Trial::file(&[])), Ok(vec![]));
        let full = [trial(&"i".repeat(40), AVOIDED_MAX)];
        let text = Trial::file(&full);
        assert!((text.len() as u64) < TRIALS_FILE_SIZE_MAX, "it fits");
        assert_eq!(Trial::parse(&text).as_deref(), Ok(&full[..]));
    }

    #[test]
    fn devices_follow_their_trial_in_any_order() {
        let text = "mqtt-tls trials, version 1\ntrial a 0 1\ntrial b 500 86400\navoid b 00000000000000ff 9\n\
                    avoid a 0000000000000001 0\navoid b 0000000000000001 7\n";
        let trials = Trial::parse(text).unwrap();
        let keys = |index: usize| -> Vec<(u64, u64)> {
            let avoided = trials[index].avoided.iter();
            avoided.map(|one| (one.key, one.until)).collect()
        };
        assert_eq!((keys(0), keys(1)), (vec![(1, 0)], vec![(255, 9), (1, 7)]));
        assert_eq!((trials[1].share, trials[1].remember), (500, 86_400));
    }

    #[test]
    fn anything_else_is_refused() {
        let header = "mqtt-tls trials, version 1";
        let long = "i".repeat(41);
        for line in [
            "",
            "trial a 1",
            "trial a 1 1 1",
            "trial  a 1 1",
            "trial a 1 1 ",
            "trial A 1 1",
            "trial a_b 1 1",
            "trial a 10001 1",
            "trial a 65536 1",
            "trial a -1 1",
            "trial a +1 1",
            "trial a 1 0",
            "trial a 1 604801",
            "trial a 1 4294967297",
            "trial ä 1 1",
            "try a 1 1",
            "# a comment",
            "avoid a 000000000000001 1",
            "avoid a 00000000000000001 1",
            "avoid a 000000000000000G 1",
            "avoid a 00000000000000AB 1",
            "avoid a +000000000000001 1",
            "avoid a 0000000000000001 -1",
            "avoid a 0000000000000001 18446744073709551616",
            &format!("trial {long} 1 1"),
        ] {
            let text = format!("{header}\ntrial b 1 1\n{line}\n");
            assert_eq!(Trial::parse(&text), Err(TrialsError::Line(3)), "{line}");
        }
        for (text, error) in [
            (String::new(), TrialsError::Header),
            ("trial a 1 1\n".to_owned(), TrialsError::Header),
            (
                format!("{header}\navoid a 0000000000000001 1\ntrial a 1 1\n"),
                TrialsError::Unknown(2),
            ),
            (
                format!("{header}\ntrial a 1 1\ntrial a 2 1\n"),
                TrialsError::Twice(3),
            ),
            (
                format!(
                    "{header}\ntrial a 1 1\navoid a 0000000000000001 1\navoid a 0000000000000001 2\n"
                ),
                TrialsError::Twice(4),
            ),
            (
                Trial::file(
                    &(0..65)
                        .map(|index| trial(&index.to_string(), 0))
                        .collect::<Vec<_>>(),
                ),
                TrialsError::TooMany(66),
            ),
            (
                Trial::file(&[trial("a", AVOIDED_MAX + 1)]),
                TrialsError::Full(AVOIDED_MAX + 3),
            ),
        ] {
            assert_eq!(Trial::parse(&text), Err(error));
        }
        let said = TrialsError::Line(3).to_string();
        assert!(said.contains("from 1 to 604800 seconds"), "{said}");
    }

    #[test]
    fn an_id_is_short_and_plain() {
        assert!(is_trial_id("a") && is_trial_id("edge-tls-7") && is_trial_id(&"9".repeat(40)));
        for bad in ["", "A", "a b", "a.b", "ä", &"9".repeat(41)] {
            assert!(!is_trial_id(bad), "{bad}");
        }
    }
}
