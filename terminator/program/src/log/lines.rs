//! Bounds the length of each log line, and ensures that untrusted text in it cannot break the line.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde_json::Value;
use tracing_appender::non_blocking::NonBlocking;

use super::Format;

/// Maximum length of a line, in bytes, including its line break.
pub const LINE_MAX: usize = 8 * 1024;

/// Marks a truncated text.
const CUT: &str = "…";

const ESCAPE: char = '\u{1b}';

/// Writer that takes whole lines and forwards them.
#[derive(Clone)]
pub(super) struct Lines {
    to: NonBlocking,
    format: Format,
    /// Whether lines have colours. tracing-subscriber has escaped control sequences in messages and fields.
    is_terminal: bool,
}

impl Lines {
    pub(super) fn new(to: NonBlocking, format: Format, is_terminal: bool) -> Self {
        Self {
            to,
            format,
            is_terminal,
        }
    }
}

impl io::Write for Lines {
    /// Writes a line; tracing-subscriber makes one call for each.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let bounded = match self.format {
            Format::Json => json(text),
            Format::Text => cut(plain(text, self.is_terminal), LINE_MAX - 1),
        };
        self.to.write_all(format!("{bounded}\n").as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes characters that could start another line or hide text.
fn plain(line: &str, is_terminal: bool) -> Cow<'_, str> {
    let is_harmful = |one: char| {
        (one.is_control() && one != '\t' && !(one == ESCAPE && is_terminal))
            // Line and paragraph separators, and bidirectional controls.
            || matches!(one, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !line.contains(is_harmful) {
        return line.into();
    }
    let mut plain = String::with_capacity(line.len() + 16);
    for one in line.chars() {
        if is_harmful(one) {
            plain.extend(one.escape_default());
        } else {
            plain.push(one);
        }
    }
    plain.into()
}

/// Truncates a text to at most `most` bytes.
fn cut(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    let mut end = most - CUT.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &text[..end]).into()
}

/// Truncates the strings in a line that is too long, so that it stays valid JSON.
fn json(line: &str) -> Cow<'_, str> {
    const SHORTEST: usize = 64;
    if line.len() < LINE_MAX {
        return line.into();
    }
    if let Ok(mut value) = serde_json::from_str::<Value>(line) {
        let mut most = LINE_MAX / 2;
        while most >= SHORTEST {
            shorten(&mut value, most);
            let shorter = value.to_string();
            if shorter.len() < LINE_MAX {
                return shorter.into();
            }
            most /= 2;
        }
    }
    // It has too many elements. An escaped character takes at most six bytes.
    let beginning = cut(line.into(), LINE_MAX / 6 - 16);
    let mut rest = String::new();
    // Writing to a String cannot fail.
    let _ = write!(rest, "{}", serde_json::json!({ "cut": beginning }));
    rest.into()
}

/// Truncates each string in a value.
fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) if text.len() > most => *text = cut(text.as_str().into(), most).into(),
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, most)),
        Value::Object(fields) => fields.values_mut().for_each(|value| shorten(value, most)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, Value, cut, json, plain};

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(plain("grün\tund \"gut\"", false), "grün\tund \"gut\"");
        let forged = "x\r\nERROR\u{0}\u{85}\u{2028}\u{202e}\u{1b}[2J";
        let harmless = "x\\r\\nERROR\\u{0}\\u{85}\\u{2028}\\u{202e}\\u{1b}[2J";
        assert_eq!(plain(forged, false), harmless);
        assert_eq!(plain("\u{1b}[31mred\n", true), "\u{1b}[31mred\\n");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short".into(), 5), "short");
        assert_eq!(cut("longer".into(), 5), "lo…");
        // Each has two bytes.
        assert_eq!(cut("ääää".into(), 7), "ää…");
    }

    #[test]
    fn a_long_line_of_json_stays_json() {
        let short = r#"{"fields":{"message":"m"}}"#;
        assert_eq!(json(short), short);
        for text in [
            "y".repeat(20 * LINE_MAX),
            "\u{1}\"\n".repeat(20 * LINE_MAX),
            "ä".repeat(LINE_MAX),
        ] {
            let line = serde_json::json!({ "level": "WARN", "fields": { "n": 1, "sni": text } });
            let line = line.to_string();
            let bounded = json(&line);
            assert!(bounded.len() < LINE_MAX);
            let value: Value = serde_json::from_str(&bounded).unwrap();
            assert_eq!(
                (&value["level"], &value["fields"]["n"]),
                (&"WARN".into(), &1.into())
            );
            assert!(value["fields"]["sni"].as_str().unwrap().ends_with('…'));
        }
    }

    #[test]
    fn a_line_of_many_parts_is_cut_as_a_whole() {
        let many = Value::from(vec!["\u{1}"; LINE_MAX]).to_string();
        for line in [many, "\u{1}\"\\".repeat(LINE_MAX)] {
            let bounded = json(&line);
            assert!(bounded.len() < LINE_MAX, "{}", bounded.len());
            let value: Value = serde_json::from_str(&bounded).unwrap();
            assert!(value["cut"].as_str().unwrap().ends_with('…'));
        }
    }
}
