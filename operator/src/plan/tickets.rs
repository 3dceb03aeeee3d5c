//! Chooses the session ticket keys that all pods of a listener share: the one before, the current one, and the next one.
//!
//! A key is delivered a whole period before it seals its first ticket, and stays for a period after its last one, so that
//! it does not matter when a pod gets the file. It must not make random numbers; the caller does. Keys are written beside the
//! configuration, in the same Secret: a listener needs no further object, and no further write.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::{TICKET_PERIOD, TicketKey, Tickets};
use zeroize::Zeroizing;

use super::names::{Identity, Ownership, TICKET_KEYS};

/// Number of keys that are kept.
const KEPT: usize = 3;

/// Time in seconds within which pods get a key, if the last one should have been written long ago.
const DELIVERY: u64 = 600;

/// Random bytes for two keys.
pub type Randomness = Zeroizing<[u8; 64]>;

/// The keys of a config Secret.
pub struct Choice<'c> {
    /// Who gets tickets.
    pub tickets: Tickets,
    /// The current config Secret.
    pub found: Option<&'c Secret>,
    /// The listener.
    pub identity: &'c Identity,
    /// Random bytes, if there are any.
    pub randomness: Option<&'c Randomness>,
    /// The current time.
    pub now: Timestamp,
}

/// Returns the content of the file with the keys; `None` if no client gets tickets, or there are no random numbers for the first
/// keys.
pub fn choose(choice: &Choice<'_>) -> Option<ByteString> {
    if choice.tickets == Tickets::None {
        return None;
    }
    let found = choice
        .found
        .filter(|found| choice.identity.ownership(&found.metadata) == Ownership::Ours);
    let found = found.and_then(|found| found.data.as_ref()?.get(TICKET_KEYS));
    let text = found.and_then(|found| std::str::from_utf8(&found.0).ok());
    let keys = text.and_then(|text| TicketKey::parse(text).ok());
    let now = u64::try_from(choice.now.as_second()).unwrap_or(0);
    let keys = keys.unwrap_or_default();
    match choice
        .randomness
        .and_then(|random| changed(&keys, random, now))
    {
        Some(keys) => Some(ByteString(
            TicketKey::file(&keys).expose().as_bytes().to_vec(),
        )),
        // A file that cannot be read stays until there are random numbers.
        None => found.cloned(),
    }
}

/// Returns the time at which a file's last key begins to seal, and a next one is due.
pub fn due(file: &ByteString) -> Option<Timestamp> {
    let text = std::str::from_utf8(&file.0).ok()?;
    let last = TicketKey::parse(text).ok()?.pop()?;
    Timestamp::from_second(i64::try_from(last.from).ok()?).ok()
}

/// Returns the keys from now on; `None` if they stay.
fn changed(keys: &[TicketKey], random: &Randomness, now: u64) -> Option<Vec<TicketKey>> {
    let period = TICKET_PERIOD.as_secs();
    let (first, second) = random.split_at(32);
    let key = |from, bytes: &[u8]| Some(TicketKey::new(from, bytes.try_into().ok()?));
    // Those from a clock that was ahead would stay for as long.
    let mut kept: Vec<TicketKey> = keys.to_vec();
    kept.retain(|key| key.from <= now.saturating_add(2 * period));
    let Some(last) = kept.last() else {
        return Some(vec![
            key(now, first)?,
            key(now.saturating_add(period), second)?,
        ]);
    };
    if last.from > now {
        return (kept.len() != keys.len()).then_some(kept);
    }
    let next = last.from.saturating_add(period);
    kept.push(key(next.max(now.saturating_add(DELIVERY)), first)?);
    let old = kept.len().saturating_sub(KEPT);
    Some(kept.split_off(old))
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::{TICKET_PERIOD, TicketKey};

    use super::{DELIVERY, Randomness, changed};

    const PERIOD: u64 = TICKET_PERIOD.as_secs();

    fn random(byte: u8) -> Randomness {
        let mut random = Randomness::new([byte; 64]);
        random[32..].fill(byte + 1);
        random
    }

    fn shown(keys: &[TicketKey]) -> Vec<(u64, u8)> {
        keys.iter().map(|key| (key.from, key.expose()[0])).collect()
    }

    #[test]
    fn each_key_is_there_a_period_before_and_after_it_seals() {
        let begin = 1_000_000;
        let mut keys = changed(&[], &random(1), begin).unwrap();
        assert_eq!(shown(&keys), [(begin, 1), (begin + PERIOD, 2)]);
        let mut now = begin;
        for round in 1..10_u8 {
            now += PERIOD;
            assert_eq!(changed(&keys, &random(9), now - 1), None, "{round}");
            let after = changed(&keys, &random(10 * round), now).unwrap();
            assert_eq!(after.last().map(|key| key.from), Some(now + PERIOD));
            // The current one and the one before it stay.
            let current = keys.iter().position(|key| key.from == now).unwrap();
            assert_eq!(after[after.len() - 2], keys[current]);
            assert_eq!(after[after.len() - 3], keys[current - 1]);
            assert_eq!(after.len(), 3);
            keys = after;
        }
    }

    #[test]
    fn a_pause_of_the_operator_and_a_clock_that_was_ahead_end_no_session_at_once() {
        let keys = [
            TicketKey::new(100, [1; 32]),
            TicketKey::new(100 + PERIOD, [2; 32]),
        ];
        let now = 100 + 20 * PERIOD;
        let after = changed(&keys, &random(3), now).unwrap();
        let expected = [(100, 1), (100 + PERIOD, 2), (now + DELIVERY, 3)];
        assert_eq!(shown(&after), expected);
        let ahead = [
            TicketKey::new(now, [1; 32]),
            TicketKey::new(now + 9 * PERIOD, [2; 32]),
        ];
        let after = changed(&ahead, &random(3), now).unwrap();
        assert_eq!(shown(&after), [(now, 1), (now + PERIOD, 3)]);
    }
}
