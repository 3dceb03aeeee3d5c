//! `crls`: revocation lists that are fetched by URL.
//!
//! It must not fetch a list, nor decide whether a host may be connected to.

use std::time::Duration;

use serde::Serialize;

use crate::Pem;
use crate::entries::Entries;
use crate::key::{Key, Required, Values, Visitor};
use crate::scalar;
use crate::yaml::Value;

/// Maximum number of `crls`.
pub const CRLS_MAX: usize = 16;

/// Maximum length of a URL, in bytes.
pub const URL_LENGTH_MAX: usize = 2048;

/// A revocation list that is fetched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrlUrl {
    /// Its URL, `http` or `https`; at most 2,048 bytes.
    pub url: String,
    /// The CA certificates that the server's must chain to; with `https` only, and required then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Pem>,
    /// How often it is fetched; 1 min to 24 h.
    #[serde(
        serialize_with = "scalar::serialize_duration",
        skip_serializing_if = "CrlUrl::has_default_refresh"
    )]
    pub refresh: Duration,
}

impl CrlUrl {
    /// The list, and what it is for.
    pub(crate) const LIST: (&'static str, &'static str) = (
        "crls",
        "revocation lists that are fetched, in PEM or DER; those of all hosts, and of the file itself, form one pool with the lists \
         of the file `--crls`. What is fetched must be signed by one of the CA certificates in a `ca` of `clientAuth`, or by a CA \
         that one of them has issued",
    );

    /// Bounds of `refresh`.
    pub const REFRESH_RANGE: (Duration, Duration) =
        (Duration::from_secs(60), Duration::from_secs(24 * 3600));

    pub(crate) const URL: Required<String> = Required {
        name: "url",
        values: Values::<String>::URL,
        meaning: "where the list is; each URL once",
    };

    pub(crate) const CA: Key<Option<Pem>> = Key {
        name: "ca",
        values: Values::optional_pem("the text of a PEM with CA certificates"),
        default: || None,
        meaning: "the CA certificates that the server's certificate must chain to; required for `https`, and for nothing else",
    };

    pub(crate) const REFRESH: Key<Duration> = Key {
        name: "refresh",
        values: Values::<Duration>::duration(Self::REFRESH_RANGE),
        default: || Duration::from_secs(3600),
        meaning: "how often the list is fetched",
    };

    fn has_default_refresh(value: &Duration) -> bool {
        Self::REFRESH.is_default(value)
    }

    /// Reads `refresh`, which has a default; `None` if it is not a duration within its bounds.
    pub fn refresh_of(text: Option<&str>) -> Option<Duration> {
        let Some(text) = text else {
            return Some((Self::REFRESH.default)());
        };
        let values = Self::REFRESH.values;
        values
            .is_plain(text)
            .then(|| values.read(Value::String(text.to_owned())))
            .flatten()
    }

    /// Reports whether the server of a URL must have a certificate.
    pub fn is_https_url(text: &str) -> bool {
        scalar::is_https(text)
    }

    /// Reports whether a text may be a URL of a list.
    pub fn is_url(text: &str) -> bool {
        scalar::is_url(text)
    }

    /// Reports whether the server must have a certificate.
    pub fn is_https(&self) -> bool {
        Self::is_https_url(&self.url)
    }

    /// Reads one entry; `None` without a URL.
    pub(crate) fn read(entry: &mut Entries<'_, '_>) -> Option<Self> {
        let url = entry.required(&Self::URL);
        let ca = entry.key(&Self::CA);
        let refresh = entry.key(&Self::REFRESH);
        let read = Self {
            url: url?,
            ca,
            refresh,
        };
        let message = match (read.is_https(), &read.ca) {
            (true, None) => {
                Some("missing: without CA certificates the server cannot be verified; add them")
            }
            (false, Some(_)) => Some(
                "it is for `https` only, and this URL begins with `http`; change the URL, or remove `ca`",
            ),
            _ => None,
        };
        if let Some(message) = message {
            entry.complain(Self::CA.name, message.to_owned());
        }
        Some(read)
    }
}

/// Returns what is wrong with the URLs together.
pub(crate) fn repeated(crls: &[CrlUrl]) -> Option<String> {
    let urls = crls.iter().map(|crl| &crl.url).enumerate();
    urls.clone().find_map(|(index, url)| {
        let (first, _) = urls.clone().take(index).find(|(_, other)| *other == url)?;
        Some(format!(
            "crls[{index}].url is that of crls[{first}]; remove one of them"
        ))
    })
}
