//! Accepts what the plugin's documentation shows: PEM text below `pem: |` without indentation, which is not YAML.
//!
//! It must not change the number of lines, because errors name the user's lines.

use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// Indents the lines below an unindented `pem: |`; `None` if the text needs no change.
///
/// The PEM ends with the last end marker before a line that can only be another key.
pub(crate) fn indent(text: &str) -> Option<Zeroizing<String>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first = lines.iter().position(|line| opens_pem(line))? + 1;
    let next = lines[first..].iter().find(|line| !line.trim().is_empty());
    if next.is_none_or(|line| line.starts_with([' ', '\t'])) {
        return None;
    }
    let last = last_end_marker(&lines, first)?;
    let mut indented = Zeroizing::new(String::with_capacity(text.len() + 2 * lines.len()));
    for (index, line) in lines.iter().enumerate() {
        if (first..=last).contains(&index) && !line.trim().is_empty() {
            indented.push_str("  ");
        }
        indented.push_str(line);
    }
    Some(indented)
}

/// Reports whether the line is the top-level key `pem` with a block scalar.
fn opens_pem(line: &str) -> bool {
    line.strip_prefix("pem:")
        .is_some_and(|rest| rest.trim_start().starts_with(['|', '>']))
}

/// Returns the index of the last end marker before the next key of the file. Lines within a block, and the text that
/// some tools write between blocks, are not keys.
fn last_end_marker(lines: &[&str], first: usize) -> Option<usize> {
    let mut last = None;
    let mut is_in_block = false;
    for (index, line) in lines.iter().enumerate().skip(first) {
        if line.starts_with(BEGIN) {
            is_in_block = true;
        } else if line.starts_with(END) {
            is_in_block = line.contains(BEGIN);
            last = Some(index);
        } else if !is_in_block && is_key(line) {
            break;
        }
    }
    last
}

/// Reports whether the line begins with a key, known or not: one word, with or without quotes, and a colon. Of the
/// tools that write text beside PEM blocks, only `openssl x509 -text` begins a line that way.
fn is_key(line: &str) -> bool {
    let Some((key, _)) = line.split_once(':') else {
        return false;
    };
    let word = key.trim_matches(['"', '\'']);
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && word != "Certificate"
}

#[cfg(test)]
mod tests {
    use super::indent;

    #[test]
    fn unindented_text_is_indented_and_keeps_its_lines() {
        let text =
            "port: 8883\npem: |\n-----BEGIN X-----\r\nAA\n\n-----END X-----\nhost: 0.0.0.0\n";
        let expected =
            "port: 8883\npem: |\n  -----BEGIN X-----\r\n  AA\n\n  -----END X-----\nhost: 0.0.0.0\n";
        assert_eq!(indent(text).unwrap().as_str(), expected);
    }

    #[test]
    fn the_keys_behind_it_are_not_swallowed() {
        let text = "pem: |\n-----BEGIN X-----\nAA\n-----END X-----\nclientAuth:\n  mode: Require\n  \
                    ca: |\n-----BEGIN Y-----\nAA\n-----END Y-----\n";
        let indented = indent(text).unwrap();
        assert!(
            indented.contains("\nclientAuth:\n  mode: Require\n"),
            "{}",
            *indented
        );
        assert!(
            indented.contains("\n  -----END X-----\nclientAuth"),
            "{}",
            *indented
        );
    }

    #[test]
    fn indented_text_stays() {
        let text = "pem: |\n  -----BEGIN X-----\n  -----END X-----\nport: 1\n";
        assert!(indent(text).is_none());
        assert!(indent("port: 1\n").is_none());
    }
}
