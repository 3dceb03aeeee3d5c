//! Ends of a connection that are asked for while both sides are content: a drain, and a client that is refused after all.
//!
//! It must not lose complete data of the client.

use super::{Direction, Relay};
use crate::end::End;

impl Relay {
    /// Ends the direction to the client, as if the backend had ended it: sends close_notify, and forwards the
    /// client's data until its own end or the deadline.
    pub(crate) fn begin_drain(&mut self) {
        self.first.get_or_insert(End::Drained);
        if self.down == Direction::Open {
            self.down = Direction::Ending;
        }
    }

    /// Ends both directions: reads nothing more from the client, delivers what it has sent and then a FIN, and sends
    /// close_notify.
    pub(crate) fn refuse(&mut self, end: End) {
        self.first.get_or_insert(end);
        self.up = self.up.max(Direction::Ending);
        self.down = self.down.max(Direction::Ending);
    }
}
