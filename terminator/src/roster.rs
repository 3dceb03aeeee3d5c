//! The roster: who is behind each open connection of a thread, for `/connections`.
//!
//! It has addresses and names, so it must not be shown outside of the pod. It owns nothing while it is switched off, and
//! at most [`Entry`]'s 64 bytes and three bounded names for a connection.

use std::net::{AddrParseError, IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use mqtt_tls_judge::identity::naming::Naming;
use mqtt_tls_judge::{escape, name_of};
use mqtt_tls_mqtt::Progress;
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use crate::settings::hosts::Host;
use crate::tls::handshake::Established;

/// Maximum length of a name that is kept, in bytes; a longer one is truncated.
const NAME_MAX: usize = 255;

/// Number of places that are looked at under one lock: the thread's connections may wait for it.
const LOOKED_AT: usize = 1024;

/// Number of entries of a page, if the request says none.
const PAGE: usize = 100;

/// Maximum number of entries of a page.
const PAGE_MAX: usize = 1000;

/// An address and a port, without the space that the parts of an IPv6 address take beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Endpoint {
    address: [u8; 16],
    port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(from: SocketAddr) -> Self {
        let address = match from {
            SocketAddr::V4(from) => from.ip().to_ipv6_mapped(),
            SocketAddr::V6(from) => *from.ip(),
        };
        Self {
            address: address.octets(),
            port: from.port(),
        }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(from: Endpoint) -> Self {
        let address = Ipv6Addr::from(from.address).to_canonical();
        Self::new(address, from.port)
    }
}

/// Who is behind a connection.
#[derive(Debug)]
pub(crate) struct Entry {
    client: Endpoint,
    /// This side of the connection to the backend.
    backend: Endpoint,
    /// Unix time, in seconds.
    since: u32,
    /// Client ID, identity and host, one after the other; what is not known is empty.
    names: Box<str>,
    client_id_end: u16,
    identity_end: u16,
}

impl Entry {
    /// Makes an entry for a connection that is about to relay its first packet.
    pub(crate) fn of(
        client: SocketAddr,
        backend: SocketAddr,
        host: &Host,
        established: &Established,
        now: Timestamp,
    ) -> Self {
        let sent = established.to_backend.waiting();
        let connect = match mqtt_tls_mqtt::read(sent, usize::MAX) {
            Progress::Connect(connect) => Some(connect),
            Progress::Partial(_) | Progress::Refused(_) => None,
        };
        let client_id = connect.as_ref().map_or("", |connect| connect.client_id);
        let identity = established.session.peer_certificate().map(|certificate| {
            let (names_user, names_client) =
                host.naming.as_ref().map_or((false, false), Naming::names);
            let user_name = connect.as_ref().and_then(|connect| connect.user_name);
            match user_name.filter(|_| names_user) {
                Some(name) => escape::escaped(name, NAME_MAX),
                None if names_client => escape::escaped(client_id, NAME_MAX),
                // It is escaped, and shorter.
                None => name_of(certificate),
            }
        });
        let host = host.names.first().map_or("", String::as_str);
        Self::new(
            (client, backend),
            now,
            &[
                escape::escaped(client_id, NAME_MAX),
                identity.unwrap_or_default(),
                escape::escaped(host, NAME_MAX),
            ],
        )
    }

    fn new(
        (client, backend): (SocketAddr, SocketAddr),
        now: Timestamp,
        names: &[String; 3],
    ) -> Self {
        let length = |name: &String| u16::try_from(name.len()).unwrap_or(u16::MAX);
        let client_id_end = length(&names[0]);
        Self {
            client: client.into(),
            backend: backend.into(),
            since: u32::try_from(now.as_second()).unwrap_or_default(),
            client_id_end,
            identity_end: client_id_end.saturating_add(length(&names[1])),
            names: names.concat().into(),
        }
    }

    /// Returns client ID, identity and host.
    fn names(&self) -> [Option<&str>; 3] {
        let (first, second) = (self.client_id_end.into(), self.identity_end.into());
        [0..first, first..second, second..self.names.len()]
            .map(|range| self.names.get(range).filter(|name| !name.is_empty()))
    }
}

/// An address of a client, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Wanted {
    Address([u8; 16]),
    Socket(Endpoint),
}

impl TryFrom<String> for Wanted {
    type Error = AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Self::Socket(socket.into()));
        }
        let address: IpAddr = text.parse()?;
        Ok(Self::Address(
            Endpoint::from(SocketAddr::new(address, 0)).address,
        ))
    }
}

/// A request for entries. Names are compared as they are shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Query {
    /// Address of the client, with or without a port.
    address: Option<Wanted>,
    /// Address that the broker sees.
    backend: Option<SocketAddr>,
    host: Option<String>,
    identity: Option<String>,
    client_id: Option<String>,
    limit: Option<usize>,
    /// Where the last page ended.
    after: Option<String>,
}

impl Query {
    fn matches(&self, entry: &Entry) -> bool {
        let names = entry.names();
        let wanted = [&self.client_id, &self.identity, &self.host];
        let mut pairs = wanted.iter().zip(names);
        let is_from = |wanted: Wanted| match wanted {
            Wanted::Address(address) => address == entry.client.address,
            Wanted::Socket(socket) => socket == entry.client,
        };
        self.backend
            .is_none_or(|backend| Endpoint::from(backend) == entry.backend)
            && pairs.all(|(wanted, name)| wanted.as_deref().is_none_or(|it| Some(it) == name))
            && self.address.is_none_or(is_from)
    }

    /// Returns thread and place to begin at; `None` if the text is not of an answer.
    fn start(&self) -> Option<(usize, usize)> {
        let Some(after) = &self.after else {
            return Some((0, 0));
        };
        let (thread, place) = after.split_once('.')?;
        Some((thread.parse().ok()?, place.parse().ok()?))
    }
}

/// A connection.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    /// Address of the client, or of a load balancer before it.
    address: SocketAddr,
    /// Address that the broker sees.
    backend: SocketAddr,
    /// First name of the host; `null` for the listener itself.
    host: Option<String>,
    /// Name that the certificate gives; `null` without a certificate.
    identity: Option<String>,
    /// Client ID, as the broker gets it; `null` if it is not known.
    client_id: Option<String>,
    /// Time of the first packet.
    since: Timestamp,
}

impl From<&Entry> for Shown {
    fn from(entry: &Entry) -> Self {
        let [client_id, identity, host] = entry.names().map(|name| name.map(str::to_owned));
        Self {
            address: entry.client.into(),
            backend: entry.backend.into(),
            host,
            identity,
            client_id,
            since: Timestamp::from_second(entry.since.into()).unwrap_or_default(),
        }
    }
}

/// Entries of a page.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Page {
    connections: Vec<Shown>,
    /// What `after` must be to get the next page; `null` after the last.
    next: Option<String>,
}

/// The entries of one thread, by the key of the connection.
#[derive(Debug, Default)]
pub(crate) struct Roster(Mutex<Vec<Option<Entry>>>);

impl Roster {
    /// Adds the entry of a connection.
    pub(crate) fn add(&self, key: usize, entry: Entry) {
        let mut entries = self.lock();
        if entries.len() <= key {
            entries.resize_with(key + 1, || None);
        }
        entries[key] = Some(entry);
    }

    /// Removes the entry of a connection, if it has one.
    pub(crate) fn remove(&self, key: usize) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(key) {
            *entry = None;
        }
        while entries.last().is_some_and(Option::is_none) {
            entries.pop();
        }
        if entries.capacity() / 4 > entries.len() {
            let room = 2 * entries.len();
            entries.shrink_to(room);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Entry>>> {
        // Entries are consistent even if a holder panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what matches of some places to a page, from a place on.
    fn look(&self, query: &Query, mut from: usize, most: usize, page: &mut Page) -> Look {
        let entries = self.lock();
        let places = entries.get(from..).unwrap_or_default();
        for entry in places.iter().take(LOOKED_AT) {
            if let Some(entry) = entry.as_ref().filter(|entry| query.matches(entry)) {
                if page.connections.len() == most {
                    return Look::Full(from);
                }
                page.connections.push(entry.into());
            }
            from += 1;
        }
        if places.len() > LOOKED_AT {
            Look::More(from)
        } else {
            Look::End
        }
    }
}

/// What there is behind some places.
enum Look {
    /// No more places.
    End,
    /// Something for the next page, at this place.
    Full(usize),
    /// More places, from this one on.
    More(usize),
}

/// Returns a page of the threads' entries; `None` if the request is not of an answer. Others may run between some places
/// and the next.
pub(crate) async fn page<'r>(
    rosters: impl Iterator<Item = &'r Roster>,
    query: &Query,
) -> Option<Page> {
    let (first, place) = query.start()?;
    let most = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let mut page = Page::default();
    for (thread, roster) in rosters.enumerate().skip(first) {
        let mut from = if thread == first { place } else { 0 };
        loop {
            from = match roster.look(query, from, most, &mut page) {
                Look::End => break,
                Look::Full(place) => {
                    page.next = Some(format!("{thread}.{place}"));
                    return Some(page);
                }
                Look::More(place) => place,
            };
            yield_now().await;
        }
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use mqtt_tls_judge::escape;

    use super::{Entry, LOOKED_AT, NAME_MAX, Query, Roster};

    fn entry(port: u16, names: [&str; 3]) -> Entry {
        let addresses = (([192, 0, 2, 1], port).into(), ([10, 0, 0, 1], port).into());
        Entry::new(
            addresses,
            Timestamp::from_second(1_700_000_000).unwrap(),
            &names.map(|name| escape::escaped(name, NAME_MAX)),
        )
    }

    fn page<'r>(rosters: impl Iterator<Item = &'r Roster>, query: &Query) -> Option<super::Page> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(super::page(rosters, query))
    }

    fn ids(found: &super::Page) -> Vec<&str> {
        let shown = found.connections.iter();
        shown.map(|one| one.client_id.as_deref().unwrap()).collect()
    }

    #[test]
    fn an_entry_takes_64_bytes() {
        assert_eq!(size_of::<Option<Entry>>(), 64);
    }

    #[test]
    fn names_are_bounded_and_escaped() {
        let long = "é".repeat(40_000);
        let entry = entry(1, [&long, "a\n\u{202e}b", ""]);
        let [client_id, identity, host] = entry.names();
        assert!(client_id.unwrap().len() <= NAME_MAX);
        assert_eq!(identity, Some("a\\n\\u{202e}b"));
        assert_eq!(host, None);
    }

    #[test]
    fn pages_have_each_entry_once() {
        let rosters = [Roster::default(), Roster::default(), Roster::default()];
        let count = 2 * LOOKED_AT + 7;
        for key in 0..count {
            let id = key.to_string();
            let port = u16::try_from(key).unwrap();
            rosters[2 * (key % 2)].add(key, entry(port, [&id, "", ""]));
        }
        let (mut query, mut seen) = (Query::default(), Vec::new());
        loop {
            let found = page(rosters.iter(), &query).unwrap();
            seen.extend(ids(&found).iter().map(|id| id.parse::<usize>().unwrap()));
            query.after = found.next;
            if query.after.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn entries_are_found_by_each_name_and_address_until_they_are_removed() {
        let rosters = [Roster::default()];
        rosters[0].add(3, entry(3, ["three", "factory", "a.example"]));
        rosters[0].add(5, entry(5, ["five", "a farm", ""]));
        let read = |query: &str| {
            let uri = format!("/connections?{query}").parse().unwrap();
            let query = axum::extract::Query::<Query>::try_from_uri(&uri);
            query.map(|query| query.0).ok()
        };
        let found = |query: &str| {
            let found = page(rosters.iter(), &read(query).unwrap()).unwrap();
            ids(&found).join(" ")
        };
        for (query, expected) in [
            ("", "three five"),
            ("clientId=five", "five"),
            ("identity=a%20farm", "five"),
            ("host=a.example", "three"),
            ("backend=10.0.0.1:5", "five"),
            ("backend=[::ffff:10.0.0.1]:5", "five"),
            ("backend=10.0.0.1:4", ""),
            ("address=192.0.2.1:3", "three"),
            ("address=192.0.2.1", "three five"),
            ("limit=0", "three"),
            ("identity=factory&clientId=five", ""),
        ] {
            assert_eq!(found(query), expected, "{query}");
        }
        for query in ["backend=10.0.0.1", "address=x", "limit=x", "unknown=1"] {
            assert!(read(query).is_none(), "{query}");
        }
        assert!(page(rosters.iter(), &read("after=x").unwrap()).is_none());
        let full = page(rosters.iter(), &read("limit=2").unwrap()).unwrap();
        assert_eq!((full.connections.len(), full.next), (2, None));
        rosters[0].remove(3);
        rosters[0].remove(7);
        assert_eq!(found(""), "five");
        rosters[0].remove(5);
        assert_eq!(rosters[0].lock().capacity(), 0);
    }
}
