//! From the bytes of a Secret or ConfigMap to a CA bundle that can be used, or to what is wrong with it.
//!
//! It must not decide what is used instead; that is `config`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use mqtt_tls_config::Pem;
use mqtt_tls_judge::authorities::{self, Authorities};
use mqtt_tls_judge::pem::Part;

use super::certificate::{Warning, text_of};
use super::{About, Problem};
use crate::crd::{CaKind, CaRef};
use crate::error::chain;

/// A CA bundle that can be used.
#[derive(Clone)]
pub struct Bundle {
    /// Where it came from, in words.
    object: String,
    /// The certificates.
    pub pem: Pem,
    /// What was judged.
    pub authorities: Authorities,
}

impl Bundle {
    /// What was rendered, judged as what an earlier release used.
    ///
    /// # Errors
    ///
    /// What the terminator's library says.
    pub fn judge(object: &str, pem: Pem) -> Result<Self, authorities::Error> {
        let authorities = authorities::judge(Part::object(pem.expose()))?;
        Ok(Self {
            object: object.to_owned(),
            pem,
            authorities,
        })
    }

    /// What someone should look at.
    pub fn warnings(&self) -> Vec<Warning> {
        let findings = self.authorities.findings().iter();
        findings
            .map(|finding| Warning {
                reason: finding.reason,
                message: format!("{}: {}", self.object, finding.message),
            })
            .collect()
    }

    /// This one, if it is good enough to be used for the first time.
    ///
    /// # Errors
    ///
    /// Devices would be locked out.
    pub fn strictly(self) -> Result<Self, Problem> {
        match self.authorities.clone().strictly() {
            Ok(_) => Ok(self),
            Err(error) => Err(Problem {
                about: About::ResolvedRefs,
                reason: error.reason(),
                message: format!("{}: {}", self.object, chain(&error)),
            }),
        }
    }
}

/// Reads a CA bundle.
///
/// # Errors
///
/// What is wrong, with the object, the key, and what to do.
pub fn read_authorities(
    ca: &CaRef,
    secrets: &BTreeMap<String, Secret>,
    config_maps: &BTreeMap<String, ConfigMap>,
) -> Result<Bundle, Problem> {
    let object = format!("{} {}", ca.kind.name(), ca.name);
    let problem = |reason, message| Problem {
        about: About::ResolvedRefs,
        reason,
        message,
    };
    let bytes = match ca.kind {
        CaKind::Secret => secrets.get(&ca.name).map(|secret| {
            secret
                .data
                .as_ref()
                .and_then(|data| data.get(&ca.key))
                .map(|value| value.0.as_slice())
        }),
        CaKind::ConfigMap => config_maps.get(&ca.name).map(|map| bytes_of(map, &ca.key)),
    };
    let Some(bytes) = bytes else {
        let message = format!(
            "{object} does not exist in this namespace; create it with the CA certificates under the key \
             {}, or correct spec.clientAuth.caRef",
            ca.key
        );
        return Err(problem("CaNotFound", message));
    };
    let Some(bytes) = bytes else {
        let message = format!(
            "{object} has no key {}; put the CA certificates there, or name the right key in \
             spec.clientAuth.caRef.key",
            ca.key
        );
        return Err(problem("MissingKey", message));
    };
    let place = format!("{object}, key {}", ca.key);
    let text = text_of(bytes).map_err(|error| problem("BrokenPem", format!("{place}: {error}")))?;
    Bundle::judge(&place, Pem::new(text.as_str().to_owned()))
        .map_err(|error| problem(error.reason(), format!("{place}: {}", chain(&error))))
}

/// The bytes under one key of a ConfigMap, which has two places for them.
fn bytes_of<'m>(map: &'m ConfigMap, key: &str) -> Option<&'m [u8]> {
    let text = map
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .map(String::as_bytes);
    text.or_else(|| Some(map.binary_data.as_ref()?.get(key)?.0.as_slice()))
}
