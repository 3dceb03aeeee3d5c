//! `clientAuth`: mutual TLS, the rules for who may connect, and revocation.
//!
//! It must not judge the CA certificates, nor what a rule matches. A section that could let everyone in by mistake is refused.

use serde::{Serialize, Serializer};

use super::is_default;
use crate::Pem;
use crate::entries::Entries;
use crate::key::{Key, Required, Section, Values, Visitor};

/// Maximum number of `clientAuth.rules`.
pub const CLIENT_RULES_MAX: usize = 64;

const EMPTY: &str = "it is there and says nothing: set `mode: Require` or `mode: Optional`, with the \
     CA certificates as `ca`, or `mode: None`";

const NO_RULES: &str = "it has no rule, so no client could connect; add one, or remove the list";

const ONE_VALUE: &str = "it needs one value: set one of `exact`, `prefix` and `suffix`";

const EMPTY_REVOCATION: &str =
    "it is there and says nothing: set `check: Chain` or `check: Leaf`, or remove it";

/// Mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientAuth {
    /// Whether clients must present a certificate.
    pub mode: ClientAuthMode,
    /// The CA certificates that a client's certificate must chain to; a PEM bundle without keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Pem>,
    /// Whether a certificate for servers only is accepted.
    #[serde(skip_serializing_if = "is_default")]
    pub accept_server_purpose: bool,
    /// Rules of which a client must match one; without any, each client may connect. At most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ClientRule>,
    /// How revocation is judged; without it, it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
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
    /// Clients are asked for one, and none is refused: what would be refused is counted.
    DryRun,
}

/// A rule for a name in a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRule {
    /// Which name.
    pub field: RuleField,
    /// How the value is compared.
    pub matching: RuleMatching,
    /// What it is compared with; at most 1,024 bytes.
    pub value: String,
}

/// A kind of name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleField {
    /// Common name.
    CommonName,
    /// DNS name.
    Dns,
    /// URI.
    Uri,
    /// E-mail address.
    Email,
    /// IP address.
    Ip,
    /// SHA-256 of the public key.
    Spki,
}

/// How a rule compares its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleMatching {
    /// With the whole name.
    Exact,
    /// With its beginning; of IP addresses a network.
    Prefix,
    /// With its end.
    Suffix,
}

/// How revocation is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Which certificates are looked up.
    pub check: RevocationCheck,
    /// What becomes of a certificate whose issuer's list is outdated, or could not be loaded.
    pub when_outdated: WhenUnknown,
    /// What becomes of a certificate whose issuer has no list.
    pub when_unlisted: WhenUnknown,
}

/// Which certificates of a chain are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum RevocationCheck {
    /// The client's, and each CA below the one in `ca`.
    #[default]
    Chain,
    /// The client's own.
    Leaf,
}

/// What becomes of a certificate whose status is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum WhenUnknown {
    /// It is accepted.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

impl ClientAuth {
    const MODE: Key<ClientAuthMode> = Key {
        name: "mode",
        values: Values::named(&[
            ("None", ClientAuthMode::None),
            ("Optional", ClientAuthMode::Optional),
            ("Require", ClientAuthMode::Require),
            ("DryRun", ClientAuthMode::DryRun),
        ]),
        default: ClientAuthMode::default,
        meaning: "whether clients must present a certificate. `Optional` accepts clients without one, and refuses \
                  one that does not verify. `DryRun` asks for one and refuses no client: it counts what `Require` would refuse, \
                  and each client counts as one without a certificate",
    };

    const CA: Key<Option<Pem>> = Key {
        name: "ca",
        values: Values::optional_pem("the text of a PEM with CA certificates"),
        default: || None,
        meaning: "the CA certificates that client certificates must chain to; required unless `mode` is `None`",
    };

    const ACCEPT_SERVER_PURPOSE: Key<bool> = Key {
        name: "acceptServerPurpose",
        values: Values::SWITCH,
        default: bool::default,
        meaning: "whether a certificate whose purpose (extended key usage) is serverAuth only is accepted, as public CAs issue \
                  them. One without a purpose is accepted anyway",
    };

    /// The list of rules, and what it is for.
    pub(crate) const RULES: (&'static str, &'static str) = (
        "rules",
        "rules for the names in a client's certificate: it must match one of them, with any of its names. Without rules, each \
         certificate that verifies may connect",
    );

    /// Reads the section if it is there.
    pub(crate) fn read_if_any(entries: &mut Entries<'_, '_>) -> Option<Self> {
        if entries.is_empty(Self::NAME) {
            // The default mode would let everyone in, which is not why one writes the key.
            entries.complain(Self::NAME, EMPTY.to_owned());
        }
        entries.nested(Self::NAME, Self::read)
    }

    /// Reads the section, and refuses other keys without a mode, and a mode without a CA.
    pub(crate) fn read(entries: &mut Entries<'_, '_>) -> Self {
        let has_mode = entries.has(Self::MODE.name);
        // `rules:` without entries would be no rules.
        let has_rules = entries.has(Self::RULES.0) || entries.is_empty(Self::RULES.0);
        let read = Self {
            rules: entries.list(Self::RULES.0, CLIENT_RULES_MAX, ClientRule::read),
            revocation: Revocation::read_if_any(entries),
            ..Self::visit(entries)
        };
        if has_rules && read.rules.is_empty() && entries.is_clean() {
            entries.complain(Self::RULES.0, NO_RULES.to_owned());
        }
        // The default mode would leave them unused.
        let is_alone = Self {
            mode: ClientAuthMode::None,
            ..read.clone()
        } == Self::default();
        entries.require(Self::MODE.name, has_mode || is_alone);
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

    /// Takes the values of all keys but `rules` and `revocation`.
    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            mode: visitor.key(&Self::MODE),
            ca: visitor.key(&Self::CA),
            accept_server_purpose: visitor.key(&Self::ACCEPT_SERVER_PURPOSE),
            rules: Vec::new(),
            revocation: None,
        }
    }
}

impl RuleMatching {
    /// All of them, in the order of the reference.
    pub(crate) const ALL: [Self; 3] = [Self::Exact, Self::Prefix, Self::Suffix];

    /// Returns the key of the value.
    pub(crate) fn key(self) -> Key<Option<String>> {
        const EXACT: Key<Option<String>> = Key {
            name: "exact",
            values: Values::<Option<String>>::NAME,
            default: || None,
            meaning: "the whole name. Domains are compared without case, other text byte by byte",
        };
        const PREFIX: Key<Option<String>> = Key {
            name: "prefix",
            values: Values::<Option<String>>::NAME,
            default: || None,
            meaning: "the beginning of the name: of a DNS name with the dot behind it, of a URI with the host and a slash; of an IP \
                      address a network, such as `192.0.2.0/24`. Not for `spki`",
        };
        const SUFFIX: Key<Option<String>> = Key {
            name: "suffix",
            values: Values::<Option<String>>::NAME,
            default: || None,
            meaning: "the end of the name: of a DNS name with a dot in front, of an e-mail address with `@` or a dot, of a URI with a \
                      slash. Not for `san.ip` and `spki`. One of `exact`, `prefix` and `suffix` is required",
        };
        match self {
            Self::Exact => EXACT,
            Self::Prefix => PREFIX,
            Self::Suffix => SUFFIX,
        }
    }
}

impl ClientRule {
    pub(crate) const FIELD: Required<RuleField> = Required {
        name: "field",
        values: Values::named(&[
            ("cn", RuleField::CommonName),
            ("san.dns", RuleField::Dns),
            ("san.uri", RuleField::Uri),
            ("san.email", RuleField::Email),
            ("san.ip", RuleField::Ip),
            ("spki", RuleField::Spki),
        ]),
        meaning: "which name of the certificate is compared: the common name, one of the subject alternative names, or the SHA-256 \
                  of its public key in hexadecimal, with or without colons",
    };

    fn read(entries: &mut Entries<'_, '_>) -> Option<Self> {
        let field = entries.required(&Self::FIELD);
        let keys = RuleMatching::ALL.map(|matching| matching.key().name);
        if keys.iter().filter(|key| entries.has(key)).count() != 1 {
            entries.complain(RuleMatching::Exact.key().name, ONE_VALUE.to_owned());
        }
        let values =
            RuleMatching::ALL.map(|matching| Some((matching, entries.key(&matching.key())?)));
        let (matching, value) = values.into_iter().flatten().next()?;
        Some(Self {
            field: field?,
            matching,
            value,
        })
    }
}

impl Serialize for ClientRule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let field = Self::FIELD.values.show(&self.field);
        to.collect_map([
            (Self::FIELD.name, &*field),
            (self.matching.key().name, &*self.value),
        ])
    }
}

impl Revocation {
    const CHECK: Key<RevocationCheck> = Key {
        name: "check",
        values: Values::named(&[
            ("Chain", RevocationCheck::Chain),
            ("Leaf", RevocationCheck::Leaf),
        ]),
        default: RevocationCheck::default,
        meaning: "which certificates are looked up: `Leaf` the client's own, `Chain` also each CA between it and the one in `ca`",
    };

    const UNKNOWN: Values<WhenUnknown> = Values::named(&[
        ("Accept", WhenUnknown::Accept),
        ("Refuse", WhenUnknown::Refuse),
    ]);

    const WHEN_OUTDATED: Key<WhenUnknown> = Key {
        name: "whenOutdated",
        values: Self::UNKNOWN,
        default: WhenUnknown::default,
        meaning: "what becomes of a client whose issuer's list is outdated or from the future, or may be missing because a list \
                  could not be loaded. A list that is outdated goes on revoking",
    };

    const WHEN_UNLISTED: Key<WhenUnknown> = Key {
        name: "whenUnlisted",
        values: Self::UNKNOWN,
        default: WhenUnknown::default,
        meaning: "what becomes of a client whose issuer has no list",
    };

    /// Reads the section if it is there.
    fn read_if_any(entries: &mut Entries<'_, '_>) -> Option<Self> {
        if entries.is_empty(Self::NAME) {
            // `revocation:` without keys would be no revocation.
            entries.complain(Self::NAME, EMPTY_REVOCATION.to_owned());
        }
        entries.nested(Self::NAME, |entries| Self::visit(entries))
    }
}

impl Section for Revocation {
    const NAME: &'static str = "revocation";
    const MEANING: &'static str = "how the revocation of clients' certificates is judged, by the lists of `crls` and of the file `--crls`; \
         without this section, it is not. A section without keys is refused";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            check: visitor.key(&Self::CHECK),
            when_outdated: visitor.key(&Self::WHEN_OUTDATED),
            when_unlisted: visitor.key(&Self::WHEN_UNLISTED),
        }
    }
}
