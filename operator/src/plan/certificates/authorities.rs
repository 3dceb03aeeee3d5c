//! Reads a CA bundle from Secrets and ConfigMaps, or returns what is wrong with it.
//!
//! It must not decide what is used instead; `choose` does.

use k8s_openapi::api::core::v1::ConfigMap;
use mqtt_tls_config::Pem;
use mqtt_tls_judge::authorities::{self, Authorities};
use mqtt_tls_judge::pem::Part;
use zeroize::Zeroizing;

use super::secret::not_permitted;
use super::serving::Warning;
use super::text::text_of;
use crate::crd::CaKind;
use crate::error::chain;
use crate::kinds::Kind;
use crate::plan::host_key::HostKey;
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;
use crate::plan::source::DataKey;
use crate::plan::world::World;

/// A usable CA bundle.
#[derive(Clone)]
pub struct Bundle {
    /// Description of its source, for messages.
    object: String,
    /// The certificates.
    pub pem: Pem,
    /// The result of judging it.
    pub authorities: Authorities,
}

impl Bundle {
    /// Judges a bundle as leniently as one that is already in use.
    ///
    /// # Errors
    ///
    /// The bundle cannot be used.
    pub fn judge(object: &str, pem: Pem) -> Result<Self, authorities::Error> {
        let authorities = authorities::judge(Part::object(pem.expose()))?;
        Ok(Self {
            object: object.to_owned(),
            pem,
            authorities,
        })
    }

    /// Returns the warnings about the bundle.
    pub fn warnings(&self) -> Vec<Warning> {
        let findings = self.authorities.findings().iter();
        findings
            .map(|finding| Warning::of(&self.object, finding))
            .collect()
    }

    /// Returns why the bundle must not be used for the first time, if so: it would lock devices out.
    pub fn refusal(&self) -> Option<Problem> {
        let error = self.authorities.clone().strictly().err()?;
        let message = format!("{}: {}", self.object, chain(&error));
        Some(Problem::of_reference(error.reason().into(), message))
    }
}

/// Reads a CA bundle, which may have several sources, for the listener itself or one of its hosts.
///
/// # Errors
///
/// A problem that names the object, the key, and what to do.
pub fn read(host: &HostKey, sources: &[DataKey], world: &World) -> Result<Bundle, Problem> {
    let mut bundles = Vec::with_capacity(sources.len());
    for (index, source) in sources.iter().enumerate() {
        let field = if index == 0 { "caRef" } else { "caRefs" };
        let wanted = Wanted {
            field: host.field(&format!("clientAuth.{field}")),
            what: "the CA certificates",
            missing: Reason::CaNotFound,
        };
        bundles.push(one(source, &wanted, world)?);
    }
    if let [one] = &bundles[..] {
        return Ok(one.clone());
    }
    let mut text = Zeroizing::new(String::new());
    for bundle in &bundles {
        text.push_str(bundle.pem.expose().trim_end());
        text.push('\n');
    }
    let place = DataKey::all(sources);
    judged(&place, &text)
}

/// Reads the CA certificates of a server.
///
/// # Errors
///
/// As those of [`read`].
pub fn one(source: &DataKey, wanted: &Wanted, world: &World) -> Result<Bundle, Problem> {
    let place = source.to_string();
    let bytes = bytes(source, wanted, world)?;
    let text = text_of(bytes)
        .map_err(|error| Problem::of_reference(Reason::BrokenPem, format!("{place}: {error}")))?;
    judged(&place, &text)
}

fn judged(place: &str, text: &str) -> Result<Bundle, Problem> {
    Bundle::judge(place, Pem::new(text.to_owned())).map_err(|error| {
        Problem::of_reference(error.reason().into(), format!("{place}: {}", chain(&error)))
    })
}

/// What a source is to have.
pub struct Wanted {
    /// The field that references it.
    pub field: String,
    /// What it has, in words.
    pub what: &'static str,
    /// The reason if it does not exist.
    pub missing: Reason,
}

/// Reads the bytes under a key of a Secret or ConfigMap.
///
/// # Errors
///
/// It does not exist.
pub fn bytes<'w>(source: &DataKey, wanted: &Wanted, world: &'w World) -> Result<&'w [u8], Problem> {
    let DataKey {
        kind, object, key, ..
    } = source;
    let in_words = source.object();
    let (field, what) = (&wanted.field, wanted.what);
    let bytes = match kind {
        CaKind::Secret => world.secrets.get(object).map(|secret| {
            let data = secret.data.as_ref();
            data.and_then(|data| data.get(key))
                .map(|value| value.0.as_slice())
        }),
        CaKind::ConfigMap => world.config_maps.get(object).map(|map| bytes_of(map, key)),
    };
    let Some(bytes) = bytes else {
        let kind = match kind {
            CaKind::Secret => Kind::Secret,
            CaKind::ConfigMap => Kind::ConfigMap,
        };
        if !world.permits(kind, object) {
            return Err(not_permitted(&in_words, kind, world));
        }
        let place = if source.is_foreign {
            ""
        } else {
            " in this namespace"
        };
        let message = format!(
            "{in_words} does not exist{place}; create it with {what} under key {key}, or correct {field}"
        );
        return Err(Problem::of_reference(wanted.missing, message));
    };
    bytes.ok_or_else(|| {
        let message =
            format!("{in_words} has no key {key}; put {what} there, or correct {field}.key");
        Problem::of_reference(Reason::MissingKey, message)
    })
}

/// Returns the bytes under a key of a ConfigMap, in `data` or `binaryData`.
fn bytes_of<'m>(map: &'m ConfigMap, key: &str) -> Option<&'m [u8]> {
    let text = map
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .map(String::as_bytes);
    text.or_else(|| Some(map.binary_data.as_ref()?.get(key)?.0.as_slice()))
}
