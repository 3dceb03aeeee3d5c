//! Escapes untrusted text (subjects, names, labels, client input) for logs, status, conditions, events, metrics
//! and terminals. All escaping happens here.
//!
//! It must not let through characters that break a line, move the cursor, are invisible, or change the text
//! direction. The result is bounded.

use std::fmt::Write as _;

/// Maximum length of untrusted text where it is shown, in bytes; the maximum length of a DNS name.
pub const SHOWN_MAX: usize = 253;

/// Marks the end of a truncated text.
const CUT: char = '…';

/// Escapes a text to one line of visible characters and at most `most` bytes (at least three).
///
/// Escapes are those of Rust: `\n`, `\\`, `\u{202e}`.
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

/// Escapes a text to at most [`SHOWN_MAX`] bytes, see [`escaped`].
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
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{{{:x}}}", u32::from(char));
        }
        char => text.push(char),
    }
}

/// Reports whether a character is a control character, breaks a line, changes the text direction (Unicode TR 9),
/// or is invisible (default ignorable characters, whitespace other than the space).
pub(crate) fn is_unseen(char: char) -> bool {
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
    fn plain_text_is_unchanged() {
        for text in ["", "CN=edge, O=Müller & Söhne", "例え.テスト", "a b"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn line_breaks_invisible_and_bidi_characters_are_escaped() {
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
    fn long_text_is_cut_between_characters() {
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
