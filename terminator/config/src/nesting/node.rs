//! Anchors, aliases, tags and the five styles of scalars.

use super::Scanner;

impl Scanner<'_> {
    /// Skips an anchor, an alias, a tag or a scalar; false where libyaml finds a syntax error.
    pub(super) fn node(&mut self, first: u8) -> bool {
        let in_brackets = self.brackets > 0;
        match first {
            b'*' | b'&' => {
                self.save_key();
                self.key_may_begin = false;
                self.anchor()
            }
            b'!' => {
                self.save_key();
                self.key_may_begin = false;
                self.tag()
            }
            b'|' | b'>' if !in_brackets => {
                self.key = None;
                self.key_may_begin = true;
                self.block_text()
            }
            b'\'' | b'"' => {
                self.save_key();
                self.key_may_begin = false;
                self.quoted(first)
            }
            _ if self.can_begin_plain(first) => {
                self.save_key();
                self.key_may_begin = false;
                self.plain()
            }
            _ => false,
        }
    }

    fn can_begin_plain(&self, first: u8) -> bool {
        let is_indicator = b"-?:,[]{}#&*!|>'\"%@`".contains(&first);
        (!self.cursor.is_blank_or_end(0) && !is_indicator)
            || (first == b'-' && !self.cursor.is_blank(1))
            || (self.brackets == 0 && b"?:".contains(&first) && !self.cursor.is_blank_or_end(1))
    }

    fn anchor(&mut self) -> bool {
        self.cursor.skip(1);
        let begin = self.cursor.at;
        while self.cursor.byte(0).is_some_and(is_word) {
            self.cursor.skip(1);
        }
        let ends = self.cursor.is_blank_or_end(0)
            || self
                .cursor
                .byte(0)
                .is_some_and(|byte| b"?:,]}%@`".contains(&byte));
        self.cursor.at > begin && ends
    }

    fn tag(&mut self) -> bool {
        let is_verbatim = self.cursor.byte(1) == Some(b'<');
        self.cursor.skip(if is_verbatim { 2 } else { 1 });
        let others = b";/?:@&=+$.%!~*'()";
        while self.cursor.byte(0).is_some_and(|byte| {
            is_word(byte) || others.contains(&byte) || (is_verbatim && b",[]".contains(&byte))
        }) {
            self.cursor.skip(1);
        }
        if is_verbatim {
            if self.cursor.byte(0) != Some(b'>') {
                return false;
            }
            self.cursor.skip(1);
        }
        self.cursor.is_blank_or_end(0) || (self.brackets > 0 && self.cursor.byte(0) == Some(b','))
    }

    fn quoted(&mut self, quote: u8) -> bool {
        self.cursor.skip(1);
        loop {
            if self.is_document_indicator() {
                return false;
            }
            let Some(byte) = self.cursor.byte(0) else {
                return false;
            };
            if self.cursor.is_break(0) {
                self.cursor.skip_break();
            } else if byte == b'\'' && quote == byte && self.cursor.byte(1) == Some(byte) {
                self.cursor.skip(2);
            } else if byte == quote {
                self.cursor.skip(1);
                return true;
            } else if byte == b'\\' && quote == b'"' {
                self.cursor.skip(1);
                if self.cursor.is_break(0) {
                    self.cursor.skip_break();
                } else {
                    self.cursor.skip(1);
                }
            } else {
                self.cursor.skip(1);
            }
        }
    }

    fn plain(&mut self) -> bool {
        let mut has_broken = false;
        let in_brackets = self.brackets > 0;
        while !self.is_document_indicator() && self.cursor.byte(0) != Some(b'#') {
            while !self.cursor.is_blank_or_end(0) {
                let byte = self.cursor.byte(0).unwrap_or_default();
                if (byte == b':' && self.cursor.is_blank_or_end(1))
                    || (in_brackets && b",[]{}".contains(&byte))
                {
                    break;
                }
                if in_brackets
                    && byte == b':'
                    && self
                        .cursor
                        .byte(1)
                        .is_some_and(|next| b",?[]{}".contains(&next))
                {
                    return false;
                }
                has_broken = false;
                self.cursor.skip(1);
            }
            if !self.cursor.is_blank(0) && !self.cursor.is_break(0) {
                break;
            }
            while self.cursor.is_blank(0) || self.cursor.is_break(0) {
                if self.cursor.is_blank(0) {
                    self.cursor.skip(1);
                } else {
                    has_broken = true;
                    self.cursor.skip_break();
                }
            }
            if !in_brackets && self.cursor.column <= self.indent {
                break;
            }
        }
        if has_broken {
            self.key_may_begin = true;
        }
        true
    }

    fn block_text(&mut self) -> bool {
        self.cursor.skip(1);
        let mut indent = 0;
        while let Some(byte) = self
            .cursor
            .byte(0)
            .filter(|byte| b"+-123456789".contains(byte))
        {
            if byte.is_ascii_digit() {
                indent = self.indent.max(0) + isize::from(byte - b'0');
            }
            self.cursor.skip(1);
        }
        while self.cursor.is_blank(0) {
            self.cursor.skip(1);
        }
        if self.cursor.byte(0) == Some(b'#') {
            self.cursor.skip_line();
        }
        if self.cursor.byte(0).is_some() && !self.cursor.is_break(0) {
            return false;
        }
        self.cursor.skip_break();
        self.block_breaks(&mut indent);
        while self.cursor.column == indent && self.cursor.byte(0).is_some() {
            self.cursor.skip_line();
            self.cursor.skip_break();
            self.block_breaks(&mut indent);
        }
        true
    }

    /// Skips indentation and empty lines; the first line with content sets the indentation.
    fn block_breaks(&mut self, indent: &mut isize) {
        let mut deepest = 0;
        loop {
            while (*indent == 0 || self.cursor.column < *indent)
                && self.cursor.byte(0) == Some(b' ')
            {
                self.cursor.skip(1);
            }
            deepest = deepest.max(self.cursor.column);
            if !self.cursor.is_break(0) {
                break;
            }
            self.cursor.skip_break();
        }
        if *indent == 0 {
            *indent = deepest.max(self.indent + 1).max(1);
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}
