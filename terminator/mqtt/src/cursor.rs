//! A position in a packet that is there as a whole. Nothing behind the packet's end can be read.
//!
//! It must not panic, nor copy.

use crate::error::{Error, Field};
use crate::text;

/// A position in a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'p> {
    packet: &'p [u8],
    at: usize,
    field: Field,
}

impl<'p> Cursor<'p> {
    pub(crate) fn new(packet: &'p [u8], at: usize) -> Self {
        let field = Field::Protocol;
        Self { packet, at, field }
    }

    /// Names the field that is read next, for errors.
    pub(crate) fn enter(&mut self, field: Field) {
        self.field = field;
    }

    /// Returns the number of bytes before the position.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns the number of bytes behind the position.
    pub(crate) fn left(&self) -> usize {
        self.packet.len().saturating_sub(self.at)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'p [u8], Error> {
        let rest = self.packet.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(Error::CutShort(self.field))?;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub(crate) fn two_bytes(&mut self) -> Result<u16, Error> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Reads binary data: a length of two bytes, and so many bytes (MQTT 5.0, section 1.5.6).
    pub(crate) fn data(&mut self) -> Result<&'p [u8], Error> {
        let length = self.two_bytes()?;
        self.take(usize::from(length))
    }

    /// Reads a text (MQTT 5.0, section 1.5.4).
    pub(crate) fn text(&mut self) -> Result<&'p str, Error> {
        text::of(self.data()?, self.field)
    }

    pub(crate) fn field(&self) -> Field {
        self.field
    }
}
