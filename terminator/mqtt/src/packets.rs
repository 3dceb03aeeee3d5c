//! Follows the packets of a client by their lengths, to notice a second CONNECT: some brokers take the names in it
//! (smart-mqtt 0.42 does), where the specification has them close the connection ([MQTT-3.1.0-2]). An AUTH of MQTT 5 may
//! bring another user name as well.
//!
//! It must not keep bytes, nor read what is behind a length.

/// Type of a CONNECT, without flags.
const CONNECT: u8 = 1;

/// Type of an AUTH; reserved before MQTT 5.
const AUTH: u8 = 15;

/// Where a client's stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first packet, the CONNECT.
    First,
    /// Before another packet.
    Packet,
    /// Within the length.
    Length,
    /// Within a packet.
    Rest,
}

/// Why nothing more of a client's stream may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An AUTH of MQTT 5 begins.
    Authentication,
    /// A length does not end.
    Length,
    /// A second CONNECT begins.
    SecondConnect,
}

/// The packets of a client, in 8 bytes: an idle connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packets {
    at: At,
    stops_at_auth: bool,
    /// How far the next digit of a length is shifted.
    shift: u8,
    /// The length so far, and then how many bytes of the packet are left.
    left: u32,
}

impl Packets {
    /// Begins before the first packet. Where the user name is set, an AUTH must not reach a broker that would take another
    /// from it.
    pub fn new(stops_at_auth: bool) -> Self {
        Self {
            at: At::First,
            stops_at_auth,
            shift: 0,
            left: 0,
        }
    }

    /// Follows further bytes.
    ///
    /// # Errors
    ///
    /// Returns how many of these bytes may be forwarded, and why no more; nothing may follow them.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(), (usize, Stop)> {
        let mut position = 0;
        while let Some(byte) = bytes.get(position) {
            match self.at {
                At::Packet if byte >> 4 == CONNECT => return Err((position, Stop::SecondConnect)),
                At::Packet if byte >> 4 == AUTH && self.stops_at_auth => {
                    return Err((position, Stop::Authentication));
                }
                At::First | At::Packet => {
                    (self.at, self.shift, self.left) = (At::Length, 0, 0);
                    position += 1;
                }
                At::Length if self.shift == 28 => return Err((position, Stop::Length)),
                At::Length => {
                    self.left |= u32::from(byte & 0x7F) << self.shift;
                    self.shift += 7;
                    if byte & 0x80 == 0 {
                        self.go_on();
                    }
                    position += 1;
                }
                At::Rest => {
                    let here = u32::try_from(bytes.len() - position).unwrap_or(u32::MAX);
                    let step = self.left.min(here);
                    self.left -= step;
                    self.go_on();
                    position += step as usize;
                }
            }
        }
        Ok(())
    }

    /// Goes on behind a length, or behind some bytes of a packet.
    fn go_on(&mut self) {
        self.at = if self.left == 0 { At::Packet } else { At::Rest };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Packets, Stop};
    use crate::header::push_integer;

    const FIRST: &[u8] = b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ab";

    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![first];
        push_integer(&mut packet, body.len());
        packet.extend(body);
        packet
    }

    #[test]
    fn a_second_connect_is_noticed_where_it_begins() {
        let ping = [0xC0, 0];
        let publish = packet(0x30, FIRST);
        for flags in [0x10, 0x11, 0x1F] {
            let mut second = FIRST.to_vec();
            second[0] = flags;
            let sent = [FIRST, &ping, &publish, &second, &ping].concat();
            let before = FIRST.len() + ping.len() + publish.len();
            let found = Packets::new(false).follow(&sent);
            assert_eq!(found, Err((before, Stop::SecondConnect)), "{flags:#x}");
        }
    }

    #[test]
    fn they_take_8_bytes() {
        assert_eq!(size_of::<Option<Packets>>(), 8);
    }

    #[test]
    fn a_length_that_does_not_end_is_noticed() {
        let sent = [FIRST, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1]].concat();
        let digits = FIRST.len() + 5;
        let found = Packets::new(false).follow(&sent);
        assert_eq!(found, Err((digits, Stop::Length)));
        let longest = [FIRST, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0x10]].concat();
        assert_eq!(Packets::new(false).follow(&longest), Ok(()));
    }

    #[test]
    fn an_auth_is_noticed_where_a_user_name_is_set() {
        let sent = [FIRST, &[0xC0, 0], &packet(0xF0, b"\x18\0")].concat();
        let before = FIRST.len() + 2;
        let found = Packets::new(true).follow(&sent);
        assert_eq!(found, Err((before, Stop::Authentication)));
        assert_eq!(Packets::new(false).follow(&sent), Ok(()));
    }

    proptest! {
        /// In whatever pieces, the same bytes are forwarded: all up to the second CONNECT.
        #[test]
        fn pieces_change_nothing(
            packets in prop::collection::vec((0x20..=0xFF_u8, prop::collection::vec(any::<u8>(), 0..300)), 0..6),
            second in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
            pieces in prop::collection::vec(1..200_usize, 1..20),
        ) {
            let mut sent = FIRST.to_vec();
            for (first, body) in packets {
                sent.extend(packet(first, &body));
            }
            let most = sent.len();
            if let Some(body) = &second {
                sent.extend(packet(0x10, body));
            }
            let (mut packets, mut forwarded, mut rest) = (Packets::new(false), 0, &sent[..]);
            for size in pieces.iter().cycle() {
                let (piece, behind) = rest.split_at((*size).min(rest.len()));
                match packets.follow(piece) {
                    Ok(()) => forwarded += piece.len(),
                    Err((some, _)) => {
                        forwarded += some;
                        break;
                    }
                }
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(forwarded, most);
        }
    }
}
