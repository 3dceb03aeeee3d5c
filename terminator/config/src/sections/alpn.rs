//! `tls.alpn`: the protocols that TLS negotiates (RFC 7301), and the brokers for clients that negotiate one of them.
//!
//! It must not decide which one a client gets.

use serde::Serialize;

use super::{Backend, is_default};
use crate::entries::Entries;
use crate::key::{Key, Required, Section, Values, Visitor};
use crate::{PROBE_CANDIDATE_PROTOCOL, PROBE_PROTOCOL};

/// Maximum number of `tls.alpn.protocols`.
pub const ALPN_PROTOCOLS_MAX: usize = 8;

/// Maximum length of a protocol's name, in bytes. RFC 7301 allows 255.
pub const ALPN_NAME_LENGTH_MAX: usize = 64;

/// The protocols that TLS negotiates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alpn {
    /// The protocols, the preferred one first.
    pub protocols: Vec<AlpnProtocol>,
    /// Whether clients that offer none of them are refused.
    #[serde(skip_serializing_if = "is_default")]
    pub required: bool,
}

/// A protocol that TLS negotiates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlpnProtocol {
    /// Its name.
    pub name: String,
    /// The broker for clients that negotiate it, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

/// What a host has of `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostTls {
    /// ALPN; the file's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Alpn>,
}

impl AlpnProtocol {
    /// The key of the name.
    pub(crate) const NAME: Required<String> = Required {
        name: "name",
        values: Values::<String>::PROTOCOL,
        meaning: "the protocol's name, such as `mqtt` or `x-amzn-mqtt-ca`; each once",
    };
}

impl Alpn {
    /// The key of the list.
    pub(crate) const PROTOCOLS: &'static str = "protocols";

    const REQUIRED: Key<bool> = Key {
        name: "required",
        values: Values::SWITCH,
        default: bool::default,
        meaning: "whether clients that offer none of `protocols` get the alert no_application_protocol; otherwise they are \
                  served without a protocol",
    };

    /// Reports whether nothing is negotiated.
    pub(crate) fn is_default(&self) -> bool {
        is_default(self)
    }

    /// Returns what is wrong with the protocols together.
    pub fn conflict(&self) -> Option<&'static str> {
        let names = self.protocols.iter().map(|protocol| &protocol.name);
        for (index, name) in names.clone().enumerate() {
            if [PROBE_PROTOCOL, PROBE_CANDIDATE_PROTOCOL].contains(&name.as_bytes()) {
                return Some(
                    "has mqtt-tls-probe or mqtt-tls-probe-candidate, which mark the operator's probes; remove it",
                );
            }
            if names.clone().take(index).any(|earlier| earlier == name) {
                return Some("has the same name twice; remove one of them");
            }
        }
        let is_closed = self.required && self.protocols.is_empty();
        is_closed.then_some("is empty, and one is required; add one, or set required: false")
    }

    /// Reads the section if it is there.
    pub(crate) fn read_if_any(entries: &mut Entries<'_, '_>) -> Option<Self> {
        entries.nested(Self::NAME, |entries| {
            let protocols = entries.list(Self::PROTOCOLS, ALPN_PROTOCOLS_MAX, |entry| {
                let name = entry.required(&AlpnProtocol::NAME);
                let backend = entry.nested(Backend::NAME, |entries| Backend::visit(entries));
                Some(AlpnProtocol {
                    name: name?,
                    backend,
                })
            });
            let read = Self {
                protocols,
                ..Self::visit(entries)
            };
            // An entry that could not be read is missing.
            let conflict = read.conflict().filter(|_| entries.is_clean());
            if let Some(conflict) = conflict {
                entries.complain(Self::PROTOCOLS, conflict.to_owned());
            }
            read
        })
    }
}

impl Section for Alpn {
    const NAME: &'static str = "alpn";
    const MEANING: &'static str = "the protocols that TLS negotiates (ALPN); none by default";

    /// Takes the values of all keys but the list.
    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            protocols: Vec::new(),
            required: visitor.key(&Self::REQUIRED),
        }
    }
}

impl HostTls {
    /// The key of the section.
    pub(crate) const NAME: &'static str = "tls";

    /// Reads the section, or its defaults where the host has none.
    pub(crate) fn read(entries: &mut Entries<'_, '_>) -> Self {
        let read = entries.nested(Self::NAME, |entries| Self {
            alpn: Alpn::read_if_any(entries),
        });
        read.unwrap_or_default()
    }
}
