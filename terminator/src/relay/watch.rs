//! Watches a client whose names were set or compared: what it sends must not reach the broker from a second CONNECT on.
//!
//! It must not watch other clients.

use mqtt_tls_mqtt::Packets;

use crate::backlog::Backlog;

/// The packets of a client that is watched.
pub(super) struct Watch(Option<Packets>);

impl Watch {
    pub(super) fn new(is_named: bool) -> Self {
        Self(is_named.then(Packets::default))
    }

    /// Removes what must not be forwarded of the data that came with the first packet; reports whether there is any.
    pub(super) fn begin(&mut self, to_backend: &mut Backlog) -> bool {
        let waiting = to_backend.waiting();
        let Some(more) = self.more(waiting) else {
            return false;
        };
        to_backend.shrink(more);
        true
    }

    /// Removes what must not be forwarded of further data; reports whether there is any.
    pub(super) fn go_on(&mut self, plain: &mut Vec<u8>) -> bool {
        let Some(more) = self.more(plain) else {
            return false;
        };
        plain.truncate(plain.len() - more);
        true
    }

    /// Returns how many of the last bytes must not be forwarded; `None` if all may be.
    fn more(&mut self, bytes: &[u8]) -> Option<usize> {
        let most = self.0.as_mut()?.follow(bytes).err()?;
        Some(bytes.len() - most)
    }
}
