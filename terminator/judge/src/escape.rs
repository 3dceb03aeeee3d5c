//! Text from outside (subjects, names, labels, what a client sends), made fit to be shown: in logs, status,
//! conditions, events, metrics and on a terminal. The one place for it.
//!
//! It must not let through what breaks a line, moves a cursor, hides, or turns the direction of what stands
//! beside it, and the result is bounded.

use std::fmt::Write as _;

/// How long a text from outside may be where it is shown, in bytes: as long as a DNS name.
pub const SHOWN_MAX: usize = 253;

/// What stands at the end of a text that was cut.
const CUT: char = '…';

/// A text on one line, without what cannot be seen, of at most `most` bytes (at least three).
///
/// A character that is escaped stands as in Rust: `\n`, `\\`, `\u{202e}`.
pub fn escaped(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    let mut one = String::new();
    for char in text.chars() {
        one.clear();
        push(&mut one, char);
        if shown.len() + one.len() > most {
            while shown.len() + CUT.len_utf8() > most && shown.pop().is_some() {}
            shown.push(CUT);
            break;
        }
        shown.push_str(&one);
    }
    shown
}

/// [`escaped`] to [`SHOWN_MAX`] bytes.
pub fn shown(text: &str) -> String {
    escaped(text, SHOWN_MAX)
}

fn push(text: &mut String, char: char) {
    match char {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\\' => text.push_str("\\\\"),
        char if is_unseen(char) => {
            // Writing to a String does not fail.
            let _ = write!(text, "\\u{{{:x}}}", u32::from(char));
        }
        char => text.push(char),
    }
}

/// Whether a character is a control, breaks a line, turns the direction (Unicode TR 9), or cannot be seen
/// (default ignorable ones, blanks that are no space).
fn is_unseen(char: char) -> bool {
    char.is_control()
        || (char.is_whitespace() && char != ' ')
        || matches!(
            char,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{202A}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{E000}'..='\u{F8FF}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{10FFFF}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{escaped, shown};

    #[test]
    fn what_is_plain_stays() {
        for text in ["", "CN=edge, O=Müller & Söhne", "例え.テスト", "a b"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_breaks_a_line_hides_or_turns_is_escaped() {
        for (text, expected) in [
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("a\\nb", "a\\\\nb"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("a\u{85}b\u{2028}c\u{2029}", "a\\u{85}b\\u{2028}c\\u{2029}"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("a\u{200b}b\u{feff}\u{ad}", "a\\u{200b}b\\u{feff}\\u{ad}"),
            ("\u{a0}\u{0}\u{7f}\u{9b}", "\\u{a0}\\u{0}\\u{7f}\\u{9b}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(escaped("abcdef", 6), "abcdef");
        assert_eq!(escaped("abcdefg", 6), "abc…");
        assert_eq!(escaped("ab\n\n\n", 7), "ab\\n…");
        assert_eq!(shown(&"ü".repeat(1000)).len(), 253);
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_and_on_one_line(text: String, most in 3..64_usize) {
            let shown = escaped(&text, most);
            prop_assert!(shown.len() <= most);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert_eq!(shown.lines().count(), usize::from(!shown.is_empty()));
        }
    }
}
