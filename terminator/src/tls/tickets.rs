//! Session tickets (RFC 5077; RFC 8446, section 4.6.1), with keys of this process or of all pods of a listener.
//!
//! Each host has keys of its own, derived from these: a ticket of one host is no ticket of another. rustls enforces no
//! lifetime, so this does. It must not show a key.
//!
//! ```text
//! ticket: key (8 bytes) ‖ Unix time at which the session began (8) ‖ nonce (12) ‖ AES-256-GCM-SIV (RFC 8452) of the session, with the tag
//! ```
//!
//! A session of TLS 1.2 that is resumed has the same master secret, and gets a new ticket: its begin goes from ticket to ticket, by
//! way of the thread, because rustls opens one and seals the other while it processes one message. In TLS 1.3 a resumed session has
//! new secrets (psk_dhe_ke), and begins again.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::{hkdf, rand};
use mqtt_tls_config::{TICKET_PERIOD, TicketKey};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::drawn;

/// Maximum size of a session in a ticket, in bytes. Without client certificates it has some hundred.
const SESSION_MAX: usize = 16 * 1024;

/// Maximum difference between the clocks of two nodes: tickets from later than that are refused.
const SKEW_MAX: Duration = Duration::from_secs(600);

const ID_LEN: usize = 8;
const HEADER_LEN: usize = ID_LEN + 8;

thread_local! {
    /// When the session of the ticket began that this thread opened last, since [`forget`].
    static BEGUN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Forgets the ticket that this thread opened last, before it processes messages of any connection.
pub(super) fn forget() {
    BEGUN.set(None);
}

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("failed to get random numbers from the system")]
pub(crate) struct NoRandom;

/// The keys, which outlive reloads.
pub(crate) struct Keys(RwLock<Ring>);

struct Ring {
    /// Unique among all rings of this process.
    number: u64,
    /// Never empty; the last one is the newest.
    keys: Vec<Key>,
    /// Whether other processes have them, so that this one must not change them.
    are_shared: bool,
}

/// The number of rings so far.
static RINGS: AtomicU64 = AtomicU64::new(0);

struct Key {
    id: [u8; ID_LEN],
    /// The Unix time in seconds from which it seals.
    from: u64,
    secret: hkdf::Prk,
}

impl Key {
    fn of(key: &TicketKey) -> Option<Self> {
        let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key.expose());
        let mut id = [0; ID_LEN];
        let derived = secret.expand(&[b"mqtt-tls ticket key id"], Length(ID_LEN));
        derived.and_then(|derived| derived.fill(&mut id)).ok()?;
        Some(Self {
            id,
            from: key.from,
            secret,
        })
    }

    fn random(from: u64) -> Result<Self, NoRandom> {
        let mut secret = Zeroizing::new([0; 32]);
        rand::fill(&mut *secret).map_err(|_| NoRandom)?;
        Self::of(&TicketKey::new(from, *secret)).ok_or(NoRandom)
    }

    /// Derives the key of a host.
    fn of_host(&self, scope: &Scope) -> Option<HostKey> {
        let mut bytes = Zeroizing::new([0; 32]);
        let context: [&[u8]; 2] = [b"mqtt-tls ticket", &scope.0];
        let derived = self.secret.expand(&context, Length(32)).ok()?;
        derived.fill(&mut *bytes).ok()?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, &*bytes).ok()?;
        Some(HostKey {
            id: self.id,
            from: self.from,
            key: LessSafeKey::new(key),
        })
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Ring {
    fn new(keys: Vec<Key>, are_shared: bool) -> Self {
        Self {
            number: RINGS.fetch_add(1, Ordering::Relaxed),
            keys,
            are_shared,
        }
    }

    /// Reports whether the last key has sealed tickets for long enough, or was made by a clock that was ahead.
    fn is_due(&self, now: u64) -> bool {
        let period = TICKET_PERIOD.as_secs();
        let is_over = |last: &Key| {
            last.from.saturating_add(period) <= now || last.from > now.saturating_add(period)
        };
        !self.are_shared && self.keys.last().is_none_or(is_over)
    }
}

/// A key of a host.
struct HostKey {
    id: [u8; ID_LEN],
    from: u64,
    key: LessSafeKey,
}

/// The keys of a host that were derived from a ring.
struct Derived {
    ring: u64,
    keys: Vec<HostKey>,
}

impl Derived {
    /// Returns the key that seals tickets at a time.
    fn current(&self, now: u64) -> Option<&HostKey> {
        let begun = self.keys.iter().rfind(|key| key.from <= now);
        begun.or_else(|| self.keys.first())
    }
}

impl Keys {
    /// Makes a key that only this process has.
    pub(crate) fn own() -> Result<Self, NoRandom> {
        let keys = vec![Key::random(unix_now())?];
        Ok(Self(RwLock::new(Ring::new(keys, false))))
    }

    /// Replaces the keys by those that all pods have. Tickets of keys that are not among them end.
    pub(crate) fn share(&self, keys: &[TicketKey]) {
        let keys: Vec<Key> = keys.iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return;
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Ring::new(keys, true);
    }

    /// Reports whether other processes have the keys.
    pub(crate) fn are_shared(&self) -> bool {
        self.read().are_shared
    }

    /// Returns the keys, after this process's own have been changed if that is due.
    fn fresh(&self, now: u64) -> RwLockReadGuard<'_, Ring> {
        if self.read().is_due(now) {
            let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
            // Another thread may have done it.
            if ring.is_due(now)
                && let Ok(key) = Key::random(now)
            {
                // The key before opens its tickets for as long as they are valid.
                let mut keys: Vec<Key> = ring.keys.pop().into_iter().collect();
                keys.push(key);
                *ring = Ring::new(keys, false);
            }
        }
        self.read()
    }

    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        // The keys are consistent even if a holder panicked.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// For whom tickets are: the clients of a host that are not asked for certificates. Others get none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope([u8; 32]);

impl Scope {
    /// Returns the scope of a host with these names, in any order; none for the listener itself.
    pub(crate) fn of(names: &[String]) -> Self {
        let mut names: Vec<&str> = names.iter().map(|name| &**name).collect();
        names.sort_unstable();
        let mut context = Context::new(&SHA256);
        for name in names {
            // No name contains a line feed.
            context.update(name.as_bytes());
            context.update(b"\n");
        }
        let mut scope = [0; 32];
        scope.copy_from_slice(context.finish().as_ref());
        Self(scope)
    }
}

/// Seals and opens the tickets of one host.
pub(crate) struct Tickets {
    keys: Arc<Keys>,
    scope: Scope,
    derived: RwLock<Option<Arc<Derived>>>,
}

impl Tickets {
    /// Seals and opens with these keys.
    pub(crate) fn new(keys: &Arc<Keys>, scope: Scope) -> Self {
        Self {
            keys: Arc::clone(keys),
            scope,
            derived: RwLock::new(None),
        }
    }

    /// Returns the keys of the host, derived once for each ring.
    fn derived(&self, now: u64) -> Arc<Derived> {
        let ring = self.keys.fresh(now);
        let known = self.derived.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.ring == ring.number) {
            return Arc::clone(known);
        }
        drop(known);
        let keys = ring.keys.iter();
        let derived = Arc::new(Derived {
            ring: ring.number,
            keys: keys.filter_map(|key| key.of_host(&self.scope)).collect(),
        });
        *self.derived.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&derived));
        derived
    }

    /// Seals a session that began at a time.
    fn seal(&self, session: &[u8], begun: u64, now: u64) -> Option<Vec<u8>> {
        if session.len() > SESSION_MAX {
            return None;
        }
        let derived = self.derived(now);
        let HostKey { id, key, .. } = derived.current(now)?;
        let mut header = [0; HEADER_LEN];
        header[..ID_LEN].copy_from_slice(id);
        header[ID_LEN..].copy_from_slice(&begun.to_be_bytes());
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(
            session.len() + AES_256_GCM_SIV.tag_len(),
        ));
        sealed.extend_from_slice(session);
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, Aad::from(header), &mut *sealed)
            .ok()?;
        Some([&header[..], &nonce, &sealed].concat())
    }

    /// Opens a ticket, and returns when the session began, with the session.
    fn open(&self, ticket: &[u8], now: u64) -> Option<(u64, Vec<u8>)> {
        let (header, rest) = ticket.split_first_chunk::<HEADER_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (id, begun) = header.split_first_chunk::<ID_LEN>()?;
        let begun = u64::from_be_bytes(begun.try_into().ok()?);
        let is_valid = begun <= now.saturating_add(SKEW_MAX.as_secs())
            && now.saturating_sub(begun) <= TICKET_PERIOD.as_secs();
        if !is_valid || sealed.len() > SESSION_MAX + AES_256_GCM_SIV.tag_len() {
            return None;
        }
        let derived = self.derived(now);
        let known = derived.keys.iter().find(|key| key.id == *id)?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = known
            .key
            .open_in_place(nonce, Aad::from(*header), &mut session)
            .ok()?
            .len();
        session.truncate(length);
        Some((begun, session))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKET_PERIOD.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let now = unix_now();
        self.seal(plain, BEGUN.take().unwrap_or(now), now)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        // A device that has refused a certificate on trial would find it in its session again.
        if drawn::is_avoided() {
            return None;
        }
        let (begun, session) = self.open(cipher, unix_now())?;
        BEGUN.set(Some(begun));
        Some(session)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_tls_config::{TICKET_PERIOD, TicketKey};
    use rustls::server::ProducesTickets;

    use super::{Keys, SESSION_MAX, SKEW_MAX, Scope, Tickets};

    const PERIOD: u64 = TICKET_PERIOD.as_secs();
    const NOW: u64 = 10 * PERIOD;

    fn shared(keys: &[TicketKey]) -> Arc<Keys> {
        let all = Keys::own().unwrap();
        all.share(keys);
        Arc::new(all)
    }

    fn tickets(keys: &Arc<Keys>, names: &[&str]) -> Tickets {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Tickets::new(keys, Scope::of(&names))
    }

    fn key(from: u64, byte: u8) -> TicketKey {
        TicketKey::new(from, [byte; 32])
    }

    #[test]
    fn a_ticket_is_opened_by_the_same_host_of_another_process_within_its_time() {
        let keys = [key(NOW - PERIOD, 1), key(NOW, 2), key(NOW + PERIOD, 3)];
        let (one, other) = (shared(&keys), shared(&keys));
        let sealing = tickets(&one, &["a.example", "b.example"]);
        let ticket = sealing.seal(b"session", NOW, NOW).unwrap();
        let opening = tickets(&other, &["b.example", "a.example"]);
        let skew = SKEW_MAX.as_secs();
        for (now, is_valid) in [
            (NOW, true),
            (NOW + PERIOD, true),
            (NOW + PERIOD + 1, false),
            (NOW - skew, true),
            (NOW - skew - 1, false),
        ] {
            let expected = is_valid.then(|| (NOW, b"session".to_vec()));
            assert_eq!(opening.open(&ticket, now), expected, "{now}");
        }
        for names in [
            &[][..],
            &["a.example"],
            &["a.example", "c.example"],
            &["a.exampleb.example"],
        ] {
            assert_eq!(tickets(&other, names).open(&ticket, NOW), None, "{names:?}");
        }
    }

    #[test]
    fn a_key_is_used_from_its_time_on_and_opened_until_it_is_gone() {
        let keys = [key(NOW - PERIOD, 1), key(NOW, 2), key(NOW + PERIOD, 3)];
        let all = tickets(&shared(&keys), &[]);
        for (now, by) in [
            (NOW - 1, 0),
            (NOW, 1),
            (NOW + PERIOD, 2),
            (NOW + 9 * PERIOD, 2),
            (1, 0),
        ] {
            let ticket = all.seal(b"session", now, now).unwrap();
            for (index, key) in keys.iter().enumerate() {
                let one = tickets(&shared(std::slice::from_ref(key)), &[]);
                assert_eq!(
                    one.open(&ticket, now).is_some(),
                    index == by,
                    "{now} {index}"
                );
            }
        }
    }

    #[test]
    fn a_damaged_ticket_is_none() {
        let all = tickets(&shared(&[key(0, 1)]), &[]);
        let ticket = all.seal(b"session", NOW, NOW).unwrap();
        for length in 0..ticket.len() {
            assert_eq!(all.open(&ticket[..length], NOW), None, "{length}");
            let mut damaged = ticket.clone();
            damaged[length] ^= 1;
            assert_eq!(all.open(&damaged, NOW), None, "{length}");
        }
        assert_eq!(all.open(&[&ticket[..], b"x"].concat(), NOW), None);
        assert_eq!(all.seal(&vec![0; SESSION_MAX + 1], NOW, NOW), None);
        assert!(all.seal(&vec![0; SESSION_MAX], NOW, NOW).is_some());
    }

    #[test]
    fn a_process_changes_its_own_keys_and_keeps_the_one_before() {
        let keys = Arc::new(Keys::own().unwrap());
        let all = tickets(&keys, &[]);
        let begun = super::unix_now();
        let first = all.seal(b"session", begun, begun).unwrap();
        let second = all
            .seal(b"session", begun + PERIOD, begun + PERIOD)
            .unwrap();
        assert_ne!(first[..8], second[..8]);
        assert!(all.open(&first, begun + PERIOD).is_some());
        let third = all
            .seal(b"session", begun + 2 * PERIOD, begun + 2 * PERIOD)
            .unwrap();
        assert!(all.open(&second, begun + 2 * PERIOD).is_some());
        assert!(all.open(&third, begun + 2 * PERIOD).is_some());
        assert!(
            all.open(&first, begun + PERIOD).is_none(),
            "its key is gone"
        );
        assert!(!keys.are_shared());
    }

    /// As rustls does in TLS 1.2: the session keeps its master secret.
    #[test]
    fn a_ticket_that_renews_another_has_its_begin() {
        let all = tickets(&shared(&[key(0, 1)]), &[]);
        let begun = super::unix_now() - PERIOD / 2;
        let ticket = all.seal(b"session", begun, begun).unwrap();
        let session = all.decrypt(&ticket).unwrap();
        let renewed = all.encrypt(&session).unwrap();
        assert_eq!(renewed[8..16], begun.to_be_bytes());
        let next = all.encrypt(&session).unwrap();
        assert_ne!(next[8..16], begun.to_be_bytes(), "of another connection");
        all.decrypt(&ticket).unwrap();
        super::forget();
        let next = all.encrypt(&session).unwrap();
        assert_ne!(next[8..16], begun.to_be_bytes(), "of another connection");
    }

    #[test]
    fn a_key_from_a_clock_that_was_ahead_is_replaced() {
        let keys = Keys::own().unwrap();
        let ahead = super::unix_now() + 1000 * PERIOD;
        drop(keys.fresh(ahead));
        let keys = Arc::new(keys);
        let all = tickets(&keys, &[]);
        let now = super::unix_now();
        let first = all.seal(b"session", now, now).unwrap();
        let later = all.seal(b"session", now + PERIOD, now + PERIOD).unwrap();
        assert_ne!(first[..8], later[..8], "keys change again");
    }
}
