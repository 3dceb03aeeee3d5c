//! The properties of MQTT 5 in a CONNECT and in its will (MQTT 5.0, sections 3.1.2.11 and 3.1.3.2).
//!
//! It must not keep them: they are forwarded as they came.

use crate::cursor::Cursor;
use crate::error::{Error, Field};
use crate::header::{self, Integer};

/// What a property holds.
#[derive(Clone, Copy)]
enum Kind {
    /// A byte that is 0 or 1.
    Flag,
    /// A number of so many bytes; whether it may be 0.
    Number(usize, bool),
    Text,
    Data,
    /// Two texts; may occur several times.
    Pair,
}

const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;

/// Returns what a property of a CONNECT holds.
fn of_connect(property: u8) -> Option<Kind> {
    Some(match property {
        // Session Expiry Interval.
        0x11 => Kind::Number(4, true),
        AUTHENTICATION_METHOD => Kind::Text,
        AUTHENTICATION_DATA => Kind::Data,
        // Request Problem Information, Request Response Information.
        0x17 | 0x19 => Kind::Flag,
        // Receive Maximum.
        0x21 => Kind::Number(2, false),
        // Topic Alias Maximum.
        0x22 => Kind::Number(2, true),
        0x26 => Kind::Pair,
        // Maximum Packet Size.
        0x27 => Kind::Number(4, false),
        _ => return None,
    })
}

/// Returns what a property of a will holds.
fn of_will(property: u8) -> Option<Kind> {
    Some(match property {
        // Payload Format Indicator.
        0x01 => Kind::Flag,
        // Message Expiry Interval, Will Delay Interval.
        0x02 | 0x18 => Kind::Number(4, true),
        // Content Type, Response Topic.
        0x03 | 0x08 => Kind::Text,
        // Correlation Data.
        0x09 => Kind::Data,
        0x26 => Kind::Pair,
        _ => return None,
    })
}

/// Reads properties with their length; returns their bytes, and whether a CONNECT's name a method of authentication.
pub(crate) fn read<'p>(cursor: &mut Cursor<'p>) -> Result<(&'p [u8], bool), Error> {
    let field = cursor.field();
    let of = if field == Field::WillProperties {
        of_will
    } else {
        of_connect
    };
    let length = length(cursor)?;
    let bytes = cursor.take(length)?;
    let mut cursor = Cursor::new(bytes, 0);
    cursor.enter(field);
    // Identifiers are below 64, one bit each.
    let mut seen = 0_u64;
    while cursor.left() > 0 {
        let property = cursor.byte()?;
        // An identifier is a variable byte integer; all that exist have one digit.
        let kind = of(property).ok_or(Error::UnknownProperty(property))?;
        let bit = 1 << (property & 0x3f);
        if seen & bit != 0 && !matches!(kind, Kind::Pair) {
            return Err(Error::DuplicateProperty(property));
        }
        seen |= bit;
        value(&mut cursor, property, kind)?;
    }
    let has = |property: u8| seen & (1 << property) != 0;
    if field == Field::Properties && has(AUTHENTICATION_DATA) && !has(AUTHENTICATION_METHOD) {
        return Err(Error::PropertyValue(AUTHENTICATION_DATA));
    }
    Ok((bytes, has(AUTHENTICATION_METHOD)))
}

fn length(cursor: &mut Cursor<'_>) -> Result<usize, Error> {
    let mut ahead = *cursor;
    let digits = ahead.left().min(4);
    match header::integer(ahead.take(digits)?) {
        Integer::Partial => Err(Error::CutShort(cursor.field())),
        Integer::TooLong => Err(Error::PropertiesLength),
        // [MQTT-1.5.5-1]
        Integer::Whole(length, digits) if digits > header::digits(length) => {
            Err(Error::PropertiesLength)
        }
        Integer::Whole(length, digits) => {
            cursor.take(digits)?;
            Ok(length)
        }
    }
}

fn value(cursor: &mut Cursor<'_>, property: u8, kind: Kind) -> Result<(), Error> {
    let is_valid = match kind {
        Kind::Flag => cursor.byte()? <= 1,
        Kind::Number(size, may_be_zero) => {
            let number = cursor.take(size)?;
            may_be_zero || number.iter().any(|byte| *byte != 0)
        }
        Kind::Text => cursor.text().map(|_| true)?,
        Kind::Data => cursor.data().map(|_| true)?,
        Kind::Pair => {
            cursor.text()?;
            cursor.text().map(|_| true)?
        }
    };
    if is_valid {
        Ok(())
    } else {
        Err(Error::PropertyValue(property))
    }
}
