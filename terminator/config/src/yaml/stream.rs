//! Splits a text into documents, so that an error in one does not affect the others.
//!
//! It must separate them as kubectl does: by lines that begin with `---`.

use super::{Error, Value, value};

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    /// The line, counted from 1, on which it begins: that of its `---`, if it has one.
    pub line: usize,
    /// Its value, or an error whose line is that of the text as a whole.
    pub value: Result<Value, Error>,
}

/// Parses the documents of a text in order. A document of comments only is null.
pub fn stream(text: &str) -> impl Iterator<Item = Document> {
    parts(text).into_iter().map(|(line, part)| {
        let value = value(part).map_err(|error| Error {
            line: error.line.map(|of_part| of_part + line - 1),
            message: without_places(&error.message),
        });
        Document { line, value }
    })
}

/// Removes lines and columns from a message of the parser, because they count from the document's beginning.
fn without_places(message: &str) -> String {
    let mut parts = message.split(" at line ");
    let mut without = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_of_place = |word: &str| word.parse::<usize>().is_ok();
        let mut words = part.splitn(3, ' ');
        let (line, column) = (words.next(), words.next());
        let rest = words.next().unwrap_or_default();
        let digits = rest.len()
            - rest
                .trim_start_matches(|char: char| char.is_ascii_digit())
                .len();
        if line.is_some_and(is_of_place) && column == Some("column") && digits > 0 {
            without.push_str(rest.get(digits..).unwrap_or_default());
        } else {
            without.extend([" at line ", part]);
        }
    }
    without
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns the text between separators, each part with the number of its first line. Concatenated files may have
/// byte order marks in the middle.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut begin, mut first_line, mut at) = (0, 1, 0);
    // Directives before the first separator belong to the document after it.
    let mut is_preamble = true;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let plain = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        if is_separator(plain) {
            if !is_preamble {
                parts.push((first_line, &text[begin..at]));
            }
            if !is_preamble || !text[begin..at].contains('%') {
                begin = at + (line.len() - plain.len());
                first_line = index + 1;
            }
            is_preamble = false;
        } else if is_preamble && !is_before_document(plain) {
            is_preamble = false;
        }
        at += line.len();
    }
    parts.push((first_line, &text[begin..]));
    for (_, part) in &mut parts {
        *part = part.strip_prefix(BYTE_ORDER_MARK).unwrap_or(part);
    }
    parts
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Reports whether a line before the first separator belongs to no document: empty, a comment, or a directive.
fn is_before_document(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', '%'])
}

#[cfg(test)]
mod tests {
    use super::{parts, stream};

    fn lines_and_parts(text: &str) -> Vec<(usize, &str)> {
        parts(text)
    }

    #[test]
    fn documents_are_separated_as_kubectl_does() {
        assert_eq!(lines_and_parts("a: 1\n"), [(1, "a: 1\n")]);
        assert_eq!(
            lines_and_parts("# a\n\n---\na: 1\n--- # b\nb: |\n  ---\n---"),
            [
                (3, "---\na: 1\n"),
                (5, "--- # b\nb: |\n  ---\n"),
                (8, "---")
            ]
        );
        assert_eq!(
            lines_and_parts("%YAML 1.1\n---\r\na: 1\r\n---\r\nb: 1"),
            [(1, "%YAML 1.1\n---\r\na: 1\r\n"), (4, "---\r\nb: 1")]
        );
        assert_eq!(lines_and_parts("----\n---a\n"), [(1, "----\n---a\n")]);
    }

    #[test]
    fn places_are_left_out_of_words() {
        for (message, wanted) in [
            (
                "a at line 3 column 1, while b at line 21 column 40",
                "a, while b",
            ),
            ("a at line 3 column 17", "a"),
            ("a at line of it", "a at line of it"),
            ("a", "a"),
        ] {
            assert_eq!(super::without_places(message), wanted);
        }
    }

    #[test]
    fn byte_order_marks_are_skipped_in_joined_files_too() {
        let text = "\u{feff}a: 1\nb: 2\n\u{feff}---\nc: 3\n---\n\u{feff}d: 4\ne: 5\n";
        let values: Vec<_> = stream(text).map(|document| document.value).collect();
        assert_eq!(values.len(), 3);
        assert!(values[..2].iter().all(Result::is_ok), "{values:?}");
    }

    #[test]
    fn a_bad_document_is_reported_by_its_line_and_affects_no_other() {
        let documents: Vec<_> = stream("a: 1\n---\nb: [\n---\nc: 3\n").collect();
        let lines: Vec<_> = documents
            .iter()
            .map(|one| {
                (
                    one.line,
                    one.value.as_ref().err().and_then(|error| error.line),
                )
            })
            .collect();
        assert_eq!(lines, [(1, None), (2, Some(4)), (4, None)]);
        let message = &documents[1].value.as_ref().unwrap_err().message;
        assert!(!message.contains("line"), "{message}");
    }
}
