//! The keys by which a trial remembers a device: of its address and its ClientHello's fingerprint, and of its address alone. Pure.
//!
//! All pods compute the same keys, which are different in each trial. A key hides an address from a glance and not from a search:
//! who knows the ID can try all addresses.

use std::net::IpAddr;

use aws_lc_rs::hmac;

/// Makes the keys of one trial.
pub(super) struct Keyer(hmac::Key);

/// The keys of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// Of the device, as far as devices behind one address can be distinguished.
    pub(super) device: u64,
    /// Of all devices at its address, of which IPv6 has a prefix of 64 bits.
    pub(super) address: u64,
}

impl Keyer {
    pub(super) fn new(id: &str) -> Self {
        let name = format!("mqtt-tls trial {id}");
        Self(hmac::Key::new(hmac::HMAC_SHA256, name.as_bytes()))
    }

    /// Returns the keys of a device.
    pub(super) fn keys(&self, address: IpAddr, fingerprint: &[u8]) -> Keys {
        let prefix: &[u8] = match address.to_canonical() {
            IpAddr::V4(address) => &address.octets(),
            IpAddr::V6(address) => &address.octets()[..8],
        };
        Keys {
            device: self.key(&[b"device", prefix, fingerprint]),
            address: self.key(&[b"address", prefix]),
        }
    }

    /// Hashes parts. Only the last may have any length, of those that begin alike.
    fn key(&self, parts: &[&[u8]]) -> u64 {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&[u8::try_from(part.len()).unwrap_or(u8::MAX)]);
            context.update(part);
        }
        let tag = context.sign();
        let first = tag.as_ref().first_chunk();
        first.map_or(0, |first| u64::from_be_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Keyer, Keys};

    fn keys(id: &str, address: &str, fingerprint: &[u8]) -> Keys {
        let address: IpAddr = address.parse().unwrap();
        Keyer::new(id).keys(address, fingerprint)
    }

    /// Terminators of two releases run side by side, and must know each other's devices.
    #[test]
    fn keys_are_the_same_in_each_release() {
        let found = keys("edge-tls-7", "192.0.2.1", b"fingerprint");
        let expected = Keys {
            device: 0xce64_86c7_503a_7b0d,
            address: 0xc6a0_ba12_aef5_eee6,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_device_has_one_key_wherever_it_is_seen() {
        let one = keys("a", "192.0.2.1", b"x");
        assert_eq!(one, keys("a", "::ffff:192.0.2.1", b"x"));
        let other = keys("a", "192.0.2.1", b"y");
        assert_eq!(one.address, other.address);
        assert_ne!(one.device, other.device);
        for other in [keys("b", "192.0.2.1", b"x"), keys("a", "192.0.2.2", b"x")] {
            assert_ne!(one.address, other.address);
            assert_ne!(one.device, other.device);
        }
        let home = keys("a", "2001:db8:1:2::1", b"x");
        assert_eq!(home, keys("a", "2001:db8:1:2:ffff::9", b"x"));
        assert_ne!(home.address, keys("a", "2001:db8:1:3::1", b"x").address);
    }
}
