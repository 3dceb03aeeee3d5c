//! Sets the user name and the client ID of a CONNECT. Lengths and the flag of the user name follow; each other byte is
//! kept: properties, will, password, the bit of bridges, and flags that MQTT 3.1 does not use.
//!
//! It must not decide which names: the judge does.

use crate::connect::{Connect, USER_NAME};
use crate::error::Field;
use crate::header::{CONNECT, LENGTH_MAX, push_integer};

/// Names to set; `None` keeps what the client sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'n> {
    /// User name.
    pub user_name: Option<&'n str>,
    /// Client ID.
    pub client_id: Option<&'n str>,
}

/// Errors in a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name contains U+0000.
    #[error("the {0} to set contains U+0000")]
    Nul(Field),
    /// A name is longer than MQTT allows.
    #[error("the {0} to set has more than 65,535 bytes")]
    TooLong(Field),
    /// The packet would be longer than MQTT allows.
    #[error("the CONNECT would exceed the maximum size of MQTT")]
    TooLarge,
}

/// Returns the CONNECT with other names.
///
/// # Errors
///
/// A name or the packet would not be valid MQTT.
pub fn rewrite(connect: &Connect<'_>, names: Names<'_>) -> Result<Vec<u8>, Error> {
    let client_id = sized(
        names.client_id.unwrap_or(connect.client_id),
        Field::ClientId,
    )?;
    let user_name = names.user_name.or(connect.user_name);
    let user_name = user_name.map(|name| sized(name, Field::UserName));
    let user_name = user_name.transpose()?;
    let Connect {
        packet,
        body_at,
        flags_at,
        client_id_end,
        user_name_at,
        ..
    } = *connect;
    let client_id_at = client_id_end - 2 - connect.client_id.len();
    let user_name_end = user_name_at + connect.user_name.map_or(0, |name| 2 + name.len());
    let flags = packet[flags_at]
        | if names.user_name.is_some() {
            USER_NAME
        } else {
            0
        };
    let mut parts: Vec<&[u8]> = vec![&packet[body_at..flags_at], std::slice::from_ref(&flags)];
    parts.push(&packet[flags_at + 1..client_id_at]);
    parts.extend([&client_id.0[..], client_id.1]);
    parts.push(&packet[client_id_end..user_name_at]);
    if let Some((length, name)) = &user_name {
        parts.extend([&length[..], name]);
    }
    parts.push(&packet[user_name_end..]);
    let remaining: usize = parts.iter().map(|part| part.len()).sum();
    if remaining > LENGTH_MAX {
        return Err(Error::TooLarge);
    }
    let mut rewritten = Vec::with_capacity(remaining + 5);
    rewritten.push(CONNECT);
    push_integer(&mut rewritten, remaining);
    for part in parts {
        rewritten.extend_from_slice(part);
    }
    Ok(rewritten)
}

/// Returns a name with its length in front.
fn sized(name: &str, field: Field) -> Result<([u8; 2], &[u8]), Error> {
    if name.as_bytes().contains(&0) {
        return Err(Error::Nul(field));
    }
    let length = u16::try_from(name.len()).map_err(|_| Error::TooLong(field))?;
    Ok((length.to_be_bytes(), name.as_bytes()))
}
