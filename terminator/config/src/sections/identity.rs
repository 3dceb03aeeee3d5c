//! `identity`: the user name and the client ID of a client, from its certificate.
//!
//! It must not judge a template, nor decide the names of a client.

use serde::Serialize;

use crate::entries::Entries;
use crate::key::{Key, Required, Section, Values, Visitor};
use crate::sections::is_default;

const EMPTY: &str = "it gives clients no name: set `userName` or `clientId`, each with a `template` such as \"{cn}\"";

const REQUIRED_AND_OVERWRITTEN: &str = "`Require` refuses a client that sends another name; set `action: Set`, or leave `mismatch` out";

const NOTHING_TO_NAME: &str =
    "with `mode: None` clients keep their names; remove the other keys, or `mode`";

/// Names from clients' certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Whether clients get names.
    pub mode: IdentityMode,
    /// Where the user name comes from; without it, clients keep theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Naming>,
    /// Where the client ID comes from; without it, clients keep theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Naming>,
    /// The names of clients without a certificate; without it, they are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_certificate: Option<WithoutCertificate>,
}

/// Whether clients get names from their certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum IdentityMode {
    /// They do.
    #[default]
    Certificate,
    /// They keep theirs.
    None,
}

/// Where a name comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Naming {
    /// Text and fields of the certificate, such as `factory-{cn}`; at most 1,024 bytes.
    pub template: String,
    /// What the name is for.
    #[serde(skip_serializing_if = "is_default")]
    pub action: NamingAction,
    /// What becomes of a client that sent another name.
    #[serde(skip_serializing_if = "is_default")]
    pub mismatch: Mismatch,
}

/// What the certificate's name is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum NamingAction {
    /// A client that sends none gets it.
    #[default]
    Set,
    /// A client must send it.
    Require,
}

/// What becomes of a client that sent another name than its certificate gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Mismatch {
    /// It is refused.
    #[default]
    Refuse,
    /// It gets the certificate's name.
    Overwrite,
}

/// Names for clients without a certificate, one for each that comes from certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WithoutCertificate {
    /// The user name that they get, whatever they sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// What is put before their client ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id_prefix: Option<String>,
}

impl Identity {
    pub(crate) const NAME: &'static str = "identity";

    pub(crate) const MEANING: &'static str = "user names and client IDs from clients' certificates, written into or compared with the CONNECT before \
         the broker gets it; needs `protocol: mqtt` and a `clientAuth` that requests certificates. Each other field of the \
         CONNECT is kept. A client that is refused gets a CONNACK of its version, and then close_notify";

    pub(crate) const MODE: Key<IdentityMode> = Key {
        name: "mode",
        values: Values::named(&[
            ("Certificate", IdentityMode::Certificate),
            ("None", IdentityMode::None),
        ]),
        default: IdentityMode::default,
        meaning: "`Certificate` gives clients names, `None` leaves them theirs: for a host with a broker of its own, such as one \
                  for provisioning, where the file has `identity`",
    };

    /// Returns what is wrong with the section as a whole, or with one of its names behind a dot.
    pub fn conflict(&self) -> Option<(&'static str, &'static str)> {
        let names_nothing = self.user_name.is_none() && self.client_id.is_none();
        let is_empty = names_nothing && self.without_certificate.is_none();
        let whole = match self.mode {
            IdentityMode::Certificate => Some(EMPTY).filter(|_| names_nothing),
            IdentityMode::None => Some(NOTHING_TO_NAME).filter(|_| !is_empty),
        };
        let of = |naming: &Option<Naming>, key| {
            let conflict = naming.as_ref()?.conflict()?;
            Some((key, conflict))
        };
        whole
            .map(|conflict| ("", conflict))
            .or_else(|| of(&self.user_name, ".userName.mismatch"))
            .or_else(|| of(&self.client_id, ".clientId.mismatch"))
    }

    /// Returns its texts: templates, and names of clients without a certificate; each with its key.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let guests = self.without_certificate.as_ref();
        let texts = [
            (
                ".userName.template",
                self.user_name.as_ref().map(Naming::text),
            ),
            (
                ".clientId.template",
                self.client_id.as_ref().map(Naming::text),
            ),
            (
                ".withoutCertificate.userName",
                guests.and_then(|names| names.user_name.as_deref()),
            ),
            (
                ".withoutCertificate.clientIdPrefix",
                guests.and_then(|names| names.client_id_prefix.as_deref()),
            ),
        ];
        texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, text?)))
    }

    /// Reports whether clients get names.
    pub fn gives_names(&self) -> bool {
        self.mode == IdentityMode::Certificate
    }

    pub(crate) const USER_NAME: (&'static str, &'static str) = (
        "userName",
        "where the user name comes from; without it, clients keep theirs",
    );

    pub(crate) const CLIENT_ID: (&'static str, &'static str) = (
        "clientId",
        "where the client ID comes from; without it, clients keep theirs. An empty client ID counts as none",
    );

    /// Reads the section if it is there.
    pub(crate) fn read_if_any(entries: &mut Entries<'_, '_>) -> Option<Self> {
        if entries.is_empty(Self::NAME) {
            entries.complain(Self::NAME, EMPTY.to_owned());
        }
        let read = entries.nested(Self::NAME, |entries| Self {
            mode: entries.key(&Self::MODE),
            user_name: Naming::read_if_any(entries, Self::USER_NAME.0),
            client_id: Naming::read_if_any(entries, Self::CLIENT_ID.0),
            without_certificate: entries.nested(WithoutCertificate::NAME, |entries| {
                WithoutCertificate::visit(entries)
            }),
        })?;
        // The names have reported theirs.
        let problem = read.conflict().filter(|_| entries.is_clean());
        if let Some((_, problem)) = problem {
            entries.complain(Self::NAME, problem.to_owned());
        }
        Some(read)
    }
}

impl Naming {
    pub(crate) const TEMPLATE: Required<String> = Required {
        name: "template",
        values: Values::<String>::TEMPLATE,
        meaning: "text and fields of the certificate: `{cn}`, `{san.dns}` (in lower case), `{san.email}`, `{san.uri}`, `{san.ip}` and \
                  `{spki}` (the SHA-256 of its public key), as in `factory-{cn}`; `{{` is a brace. A certificate gives a name if \
                  it has each field exactly once, as text without `+`, `#`, spaces at its ends and characters that cannot be seen, \
                  if no field contains the text that separates it from the next one, and if the name has at most 1,024 bytes; \
                  other clients are refused. Names are compared byte by byte, without Unicode's normalization",
    };

    pub(crate) const ACTION: Key<NamingAction> = Key {
        name: "action",
        values: Values::named(&[
            ("Set", NamingAction::Set),
            ("Require", NamingAction::Require),
        ]),
        default: NamingAction::default,
        meaning: "what becomes of a client that sends none: `Set` gives it the certificate's name, `Require` refuses it",
    };

    pub(crate) const MISMATCH: Key<Mismatch> = Key {
        name: "mismatch",
        values: Values::named(&[
            ("Refuse", Mismatch::Refuse),
            ("Overwrite", Mismatch::Overwrite),
        ]),
        default: Mismatch::default,
        meaning: "what becomes of a client that sends another name: `Refuse` refuses it, `Overwrite` gives it the \
                  certificate's; not with `action: Require`",
    };

    fn text(&self) -> &str {
        &self.template
    }

    fn conflict(&self) -> Option<&'static str> {
        let is_both = self.action == NamingAction::Require && self.mismatch == Mismatch::Overwrite;
        is_both.then_some(REQUIRED_AND_OVERWRITTEN)
    }

    fn read_if_any(entries: &mut Entries<'_, '_>, key: &'static str) -> Option<Self> {
        entries
            .nested(key, |entries| {
                let template = entries.required(&Self::TEMPLATE);
                let (action, mismatch) = (entries.key(&Self::ACTION), entries.key(&Self::MISMATCH));
                let has_template = template.is_some();
                let read = Self {
                    template: template.unwrap_or_default(),
                    action,
                    mismatch,
                };
                if let Some(conflict) = read.conflict() {
                    entries.complain(Self::MISMATCH.name, conflict.to_owned());
                }
                has_template.then_some(read)
            })
            .flatten()
    }
}

impl WithoutCertificate {
    const USER_NAME: Key<Option<String>> = Key {
        name: "userName",
        values: Values::<Option<String>>::NAME,
        default: || None,
        meaning: "the user name that they get, whatever they sent; with `userName` only. No certificate gives this name",
    };

    const CLIENT_ID_PREFIX: Key<Option<String>> = Key {
        name: "clientIdPrefix",
        values: Values::<Option<String>>::NAME,
        default: || None,
        meaning: "what is put before their client ID; with `clientId` only. No certificate gives a client ID that begins so. An \
                  empty client ID stays empty, and the broker assigns one",
    };
}

impl Section for WithoutCertificate {
    const NAME: &'static str = "withoutCertificate";
    const MEANING: &'static str = "names for clients without a certificate, where `clientAuth.mode` is `Optional`: one for each of \
         `userName` and `clientId` that is set. Without this section they are refused";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            user_name: visitor.key(&Self::USER_NAME),
            client_id_prefix: visitor.key(&Self::CLIENT_ID_PREFIX),
        }
    }
}
