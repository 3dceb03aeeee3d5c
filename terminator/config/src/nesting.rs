//! Measures how deep a text's collections are nested before it is parsed: libyaml's time grows with the square of the
//! depth of brackets (100,000 of them take half a minute), only to refuse the text for its depth.
//!
//! It finds tokens as libyaml's scanner does (YAML 1.1, with libyaml's rules for plain scalars, block scalars and
//! simple keys), so that brackets in a PEM, a comment or a quoted scalar do not count. It must not report syntax
//! errors: it stops where the scanner would.

mod cursor;
mod node;

use cursor::Cursor;

/// Maximum depth of nested collections: the library's own, which it checks after reading everything.
pub(crate) const NESTING_MAX: usize = 128;

/// Maximum number of directives: the library compares each tag with all of them.
const DIRECTIVES_MAX: usize = 64;

/// Why a text is not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Collections are nested deeper than [`NESTING_MAX`].
    Nesting,
    /// There are more directives than [`DIRECTIVES_MAX`].
    Directives,
}

/// Returns the first excess of a text, with its line, counted from 1.
pub(crate) fn excess(text: &str) -> Option<(usize, Excess)> {
    let mut scanner = Scanner::new(text);
    while let Some(step) = scanner.token() {
        if let Step::Excess(excess) = step {
            return Some((scanner.cursor.line + 1, excess));
        }
    }
    None
}

enum Step {
    On,
    Excess(Excess),
}

/// A position that is the beginning of a key if a colon follows.
#[derive(Clone, Copy)]
struct Key {
    line: usize,
    column: isize,
    char: usize,
}

/// Maximum length of a key without a `?`, in characters.
const KEY_LENGTH_MAX: usize = 1024;

struct Scanner<'t> {
    cursor: Cursor<'t>,
    /// How many brackets are open.
    brackets: usize,
    /// The columns of the open indented collections around the innermost one.
    indents: Vec<isize>,
    indent: isize,
    key_may_begin: bool,
    /// Outside of all brackets; within them keys open nothing.
    key: Option<Key>,
    directives: usize,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            cursor: Cursor::new(text),
            brackets: 0,
            indents: Vec::new(),
            indent: -1,
            key_may_begin: true,
            key: None,
            directives: 0,
        }
    }

    /// Skips one token; `None` at the end, and where libyaml finds a syntax error.
    fn token(&mut self) -> Option<Step> {
        self.skip_to_token();
        let key_is_stale =
            |key: Key| key.line < self.cursor.line || key.char + KEY_LENGTH_MAX < self.cursor.char;
        if self.key.is_some_and(key_is_stale) {
            self.key = None;
        }
        self.unroll(self.cursor.column);
        let first = self.cursor.byte(0)?;
        if self.cursor.column == 0 && first == b'%' {
            return Some(self.directive());
        }
        if self.is_document_indicator() {
            self.unroll(-1);
            self.key_may_begin = false;
            self.forget_key();
            self.cursor.skip(3);
            return Some(Step::On);
        }
        let in_brackets = self.brackets > 0;
        match first {
            b'[' | b'{' => {
                self.save_key();
                self.brackets += 1;
                self.key_may_begin = true;
                self.cursor.skip(1);
            }
            b']' | b'}' => {
                self.forget_key();
                self.brackets = self.brackets.saturating_sub(1);
                self.key_may_begin = false;
                self.cursor.skip(1);
            }
            b',' => {
                self.forget_key();
                self.key_may_begin = true;
                self.cursor.skip(1);
            }
            b'-' if self.cursor.is_blank_or_end(1) => {
                self.roll(self.cursor.column);
                self.forget_key();
                self.key_may_begin = true;
                self.cursor.skip(1);
            }
            b'?' if in_brackets || self.cursor.is_blank_or_end(1) => {
                self.roll(self.cursor.column);
                self.forget_key();
                self.key_may_begin = !in_brackets;
                self.cursor.skip(1);
            }
            b':' if in_brackets || self.cursor.is_blank_or_end(1) => self.value(),
            _ => return self.node(first).then_some(Step::On),
        }
        if self.brackets + self.indents.len() > NESTING_MAX {
            return Some(Step::Excess(Excess::Nesting));
        }
        Some(Step::On)
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.cursor.column == 0 && self.cursor.rest().starts_with("\u{feff}".as_bytes()) {
                self.cursor.skip(1);
            }
            while self.cursor.byte(0) == Some(b' ')
                || (self.cursor.byte(0) == Some(b'\t')
                    && (self.brackets > 0 || !self.key_may_begin))
            {
                self.cursor.skip(1);
            }
            if self.cursor.byte(0) == Some(b'#') {
                self.cursor.skip_line();
            }
            if !self.cursor.is_break(0) {
                return;
            }
            self.cursor.skip_break();
            if self.brackets == 0 {
                self.key_may_begin = true;
            }
        }
    }

    fn directive(&mut self) -> Step {
        self.unroll(-1);
        self.forget_key();
        self.key_may_begin = false;
        // With its line break, after which no key may begin yet: a tab may follow.
        self.cursor.skip_line();
        self.cursor.skip_break();
        self.directives += 1;
        if self.directives > DIRECTIVES_MAX {
            return Step::Excess(Excess::Directives);
        }
        Step::On
    }

    fn is_document_indicator(&self) -> bool {
        let rest = self.cursor.rest();
        self.cursor.column == 0
            && (rest.starts_with(b"---") || rest.starts_with(b"..."))
            && self.cursor.is_blank_or_end(3)
    }

    fn value(&mut self) {
        if self.brackets > 0 {
            self.key_may_begin = false;
        } else if let Some(key) = self.key.take() {
            self.roll(key.column);
            self.key_may_begin = false;
        } else {
            self.roll(self.cursor.column);
            self.key_may_begin = true;
        }
        self.cursor.skip(1);
    }

    fn save_key(&mut self) {
        if self.key_may_begin && self.brackets == 0 {
            self.key = Some(Key {
                line: self.cursor.line,
                column: self.cursor.column,
                char: self.cursor.char,
            });
        }
    }

    fn forget_key(&mut self) {
        if self.brackets == 0 {
            self.key = None;
        }
    }

    fn roll(&mut self, column: isize) {
        if self.brackets == 0 && self.indent < column {
            self.indents.push(self.indent);
            self.indent = column;
        }
    }

    fn unroll(&mut self, column: isize) {
        while self.brackets == 0 && self.indent > column {
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Excess, NESTING_MAX, excess};

    const DEEP: usize = 200;

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let indented: Vec<String> = (0..DEEP)
            .map(|depth| format!("{}a:", " ".repeat(depth)))
            .collect();
        for text in [
            "[".repeat(DEEP),
            "{".repeat(DEEP),
            "{a: ".repeat(DEEP),
            "- ".repeat(DEEP),
            "? ".repeat(DEEP),
            "- ? ".repeat(DEEP),
            "&a [".repeat(DEEP),
            "a: [".repeat(DEEP),
            indented.join("\n"),
            format!("a: |\n text\nb: {}", "[".repeat(DEEP)),
            format!("a: x\n  [\n'b': ['x', {}", "[".repeat(DEEP)),
            format!("b: {}", "[\"]\",".repeat(DEEP)),
            format!("b: {}", "['''}', ".repeat(DEEP)),
            format!("b: {}", "[ # ]\n".repeat(DEEP)),
            format!("b: {}", "[!<]]]> ".repeat(DEEP)),
            format!("%TAG !a! b\n\t\n---\n{}", "[".repeat(DEEP)),
        ] {
            let found = excess(&text).map(|(_, excess)| excess);
            assert_eq!(found, Some(Excess::Nesting), "{text}");
        }
    }

    #[test]
    fn the_line_is_reported() {
        let text = format!("a: 1\nb:\n  c: {}", "[".repeat(DEEP));
        assert_eq!(excess(&text), Some((3, Excess::Nesting)));
    }

    #[test]
    fn brackets_in_texts_count_for_nothing() {
        let many = "[{(".repeat(DEEP);
        for text in [
            format!("a: |\n  {many}\n  {many}\nb: 1\n"),
            format!("a: |2-\n    {many}\n  {many}\nb: 1\n"),
            format!("- a: >+\n\n\n   {many}\n\n- b: 1\n"),
            format!("a: x {many}\n  {many}\n"),
            format!("a: '{many}''{many}'\nb: \"{many}\\\"{many}\\\\\"\n"),
            format!("# {many}\na: 1 # {many}\n"),
            format!("a: [x, \"{many}\", '{many}', y] # {many}\n"),
            format!("pem: |\n  # {many}\n  -----BEGIN A-----\n  QQ==\n  -----END A-----\n"),
            format!("a: |\n\n  - '\n  {many}\nb: it's\n"),
        ] {
            assert_eq!(excess(&text), None, "{text}");
            assert!(
                serde_yaml::from_str::<serde_yaml::Value>(&text).is_ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn there_is_an_end_to_directives() {
        let text = "%TAG !a! b\n".repeat(1000) + "---\na: 1\n";
        assert_eq!(
            excess(&text).map(|(_, excess)| excess),
            Some(Excess::Directives)
        );
        assert_eq!(excess("%YAML 1.1\n%TAG !a! b\n---\na: 1\n"), None);
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a",
            "b",
            "key",
            " ",
            "  ",
            "\n",
            "\n  ",
            "\n\n",
            "- ",
            "-",
            "? ",
            "?",
            ": ",
            ":",
            ":\n",
            "[",
            "]",
            "{",
            "}",
            ",",
            ", ",
            "'",
            "''",
            "\"",
            "\\",
            "\\\"",
            "#",
            " # ",
            "|",
            "|\n",
            ">-\n  ",
            "|2\n",
            "&a ",
            "*a",
            "!t ",
            "!<[>",
            "!",
            "\n---\n",
            "--- ",
            "\n...\n",
            "%TAG !a! b\n",
            "%",
            "\t",
            "é",
            "\u{2028}",
            "\u{85}",
            "\r\n",
            "\r",
            "\u{feff}",
            "@",
            "`",
            "a: b\n",
            "c:\n  d: ",
            "e: [f, g]\n",
            "it's",
            "x: |\n  ",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// The library reads brackets as nested exactly where the scanner does, whatever precedes them.
        #[test]
        fn brackets_are_found_where_the_library_finds_them(before in text(), bracket in "[\\[{]") {
            let text = before + &bracket.repeat(DEEP);
            let error = serde_yaml::Deserializer::from_str(&text)
                .map(serde::Deserialize::deserialize)
                .find_map(|read: Result<serde_yaml::Value, _>| read.err())
                .map(|error| error.to_string());
            let is_deep = error.as_ref().is_some_and(|error| error.contains("recursion limit exceeded"));
            let found = excess(&text).map(|(_, excess)| excess);
            // An alias within its own anchor is endless as well.
            if is_deep && !text.contains("*a") {
                prop_assert_eq!(found, Some(Excess::Nesting), "{:?}", text);
            }
            if error.is_none() {
                prop_assert_eq!(found, None, "{:?}", text);
            }
        }

        #[test]
        fn what_the_library_reads_is_not_refused(text in text()) {
            prop_assert_eq!(excess(&text), None);
        }
    }

    #[test]
    fn the_bound_is_the_librarys() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for (depth, is_good) in [(NESTING_MAX, true), (NESTING_MAX + 1, false)] {
            let text = nested(depth);
            assert_eq!(excess(&text).is_none(), is_good);
            assert_eq!(
                serde_yaml::from_str::<serde_yaml::Value>(&text).is_ok(),
                is_good
            );
        }
    }
}
