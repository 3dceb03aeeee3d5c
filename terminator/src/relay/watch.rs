//! Watches a client whose names were set or compared: what it sends must not reach the broker from a second CONNECT
//! on, or from an AUTH on, which may bring another user name.
//!
//! It must not watch other clients.

use mqtt_tls_judge::identity::naming::Naming;
use mqtt_tls_mqtt::{Packets, Stop};

use crate::backlog::Backlog;
use crate::end::End;

/// The packets of a client that is watched.
pub(super) struct Watch(Option<Packets>);

impl Watch {
    pub(super) fn new(naming: Option<&Naming>) -> Self {
        Self(naming.map(|naming| {
            let (names_user, _) = naming.names();
            Packets::new(names_user)
        }))
    }

    /// Removes what must not be forwarded of the data that came with the first packet; returns how the connection then ends.
    pub(super) fn begin(&mut self, to_backend: &mut Backlog) -> Option<End> {
        let (more, end) = self.more(to_backend.waiting())?;
        to_backend.shrink(more);
        Some(end)
    }

    /// Removes what must not be forwarded of further data; returns how the connection then ends.
    pub(super) fn go_on(&mut self, plain: &mut Vec<u8>) -> Option<End> {
        let (more, end) = self.more(plain)?;
        plain.truncate(plain.len() - more);
        Some(end)
    }

    /// Returns how many of the last bytes must not be forwarded, and why; `None` if all may be.
    fn more(&mut self, bytes: &[u8]) -> Option<(usize, End)> {
        let (most, why) = self.0.as_mut()?.follow(bytes).err()?;
        let end = match why {
            Stop::Authentication => End::EnhancedAuthentication,
            Stop::Length => End::BadPacket,
            Stop::SecondConnect => End::SecondConnect,
        };
        Some((bytes.len() - most, end))
    }
}
