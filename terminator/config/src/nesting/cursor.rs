//! A position in a text as libyaml counts it: lines, columns and characters. It must not know any token.

/// A position in a text, and the bytes after it.
pub(super) struct Cursor<'t> {
    bytes: &'t [u8],
    pub(super) at: usize,
    /// Lines, columns and characters, each counted from 0.
    pub(super) line: usize,
    pub(super) column: isize,
    pub(super) char: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
            line: 0,
            column: 0,
            char: 0,
        }
    }

    pub(super) fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    pub(super) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), Some(b' ' | b'\t'))
    }

    pub(super) fn is_break(&self, ahead: usize) -> bool {
        self.break_length(ahead) > 0
    }

    /// Returns the length of a line break in bytes: CR, LF, CRLF, NEL, LS or PS; 0 if there is none.
    pub(super) fn break_length(&self, ahead: usize) -> usize {
        match self.bytes.get(self.at + ahead..).unwrap_or_default() {
            [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
            _ => 0,
        }
    }

    pub(super) fn is_blank_or_end(&self, ahead: usize) -> bool {
        self.byte(ahead).is_none() || self.is_blank(ahead) || self.is_break(ahead)
    }

    /// Skips characters of one line.
    pub(super) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            let Some(first) = self.byte(0) else { return };
            self.at += match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            self.column += 1;
            self.char += 1;
        }
    }

    pub(super) fn skip_break(&mut self) {
        let length = self.break_length(0);
        if length > 0 {
            self.char += if self.byte(1) == Some(b'\n') && length == 2 {
                2
            } else {
                1
            };
            self.at += length;
            self.line += 1;
            self.column = 0;
        }
    }

    pub(super) fn skip_line(&mut self) {
        while self.byte(0).is_some() && !self.is_break(0) {
            self.skip(1);
        }
    }
}
