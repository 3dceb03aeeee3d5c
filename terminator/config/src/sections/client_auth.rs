//! `clientAuth`: mutual TLS.
//!
//! It must not judge the CA certificates. A section that could let everyone in by mistake is refused.

use serde::Serialize;

use crate::Pem;
use crate::entries::Entries;
use crate::key::{Key, Section, Values, Visitor};

const EMPTY: &str = "it is there and says nothing: set `mode: Require` or `mode: Optional`, with the \
     CA certificates as `ca`, or `mode: None`";

/// Mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClientAuth {
    /// Whether clients must present a certificate.
    pub mode: ClientAuthMode,
    /// The CA certificates that a client's certificate must chain to; a PEM bundle without keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Pem>,
}

/// Whether clients must present a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ClientAuthMode {
    /// Clients are not asked for one.
    #[default]
    None,
    /// Clients are asked for one. Those without one are accepted; one that does not verify is refused.
    Optional,
    /// Clients without a certificate that verifies are refused.
    Require,
}

impl ClientAuth {
    const MODE: Key<ClientAuthMode> = Key {
        name: "mode",
        values: Values::named(&[
            ("None", ClientAuthMode::None),
            ("Optional", ClientAuthMode::Optional),
            ("Require", ClientAuthMode::Require),
        ]),
        default: ClientAuthMode::default,
        meaning: "whether clients must present a certificate. `Optional` accepts clients without one, and refuses \
                  one that does not verify",
    };

    const CA: Key<Option<Pem>> = Key {
        name: "ca",
        values: Values::optional_pem("the text of a PEM with CA certificates"),
        default: || None,
        meaning: "the CA certificates that client certificates must chain to; required unless `mode` is `None`",
    };

    /// Reads the section if it is there.
    pub(crate) fn read_if_any(entries: &mut Entries<'_, '_>) -> Option<Self> {
        if entries.is_empty(Self::NAME) {
            // The default mode would let everyone in, which is not why one writes the key.
            entries.complain(Self::NAME, EMPTY.to_owned());
        }
        entries.nested(Self::NAME, Self::read)
    }

    /// Reads the section, and refuses a CA without a mode, and a mode without a CA.
    pub(crate) fn read(entries: &mut Entries<'_, '_>) -> Self {
        let has_mode = entries.has(Self::MODE.name);
        let read = Self::visit(entries);
        // The default mode would leave the CA unused.
        entries.require(Self::MODE.name, has_mode || read.ca.is_none());
        if read.mode != ClientAuthMode::None && read.ca.is_none() {
            let message = "missing: without CA certificates no client certificate can be verified; \
                           add them, or set `mode: None`";
            entries.complain(Self::CA.name, message.to_owned());
        }
        read
    }
}

impl Section for ClientAuth {
    const NAME: &'static str = "clientAuth";
    const MEANING: &'static str = "mutual TLS; a section without keys is refused";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            mode: visitor.key(&Self::MODE),
            ca: visitor.key(&Self::CA),
        }
    }
}
