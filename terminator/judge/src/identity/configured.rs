//! Makes a [`Naming`] of the file's `identity`, for terminators and for the operator, which renders the file.
//!
//! It must not accept names from certificates where clients have none.

use mqtt_tls_config::{Identity, Mismatch, Naming as Entry, NamingAction};

use super::naming::{self, Action, Fallback, Naming, Source};
use super::template::{self, Template};

/// Errors in `identity`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The parts do not fit.
    #[error("{0}")]
    Naming(naming::Error),
    /// Clients are not asked for certificates.
    #[error(
        "names come from clients' certificates, which are not requested here; set `clientAuth.mode` to `Require` or \
        `Optional`"
    )]
    NoCertificates,
    /// A template is invalid.
    #[error("{0}")]
    Template(template::Error),
}

/// Makes a naming. `has_certificates` says whether clients are asked for certificates.
///
/// # Errors
///
/// It cannot give names; with the key behind `identity`, such as `.userName.template`.
pub fn of(identity: &Identity, has_certificates: bool) -> Result<Naming, (&'static str, Error)> {
    if !has_certificates {
        return Err(("", Error::NoCertificates));
    }
    let user_name = source(identity.user_name.as_ref(), ".userName.template")?;
    let client_id = source(identity.client_id.as_ref(), ".clientId.template")?;
    let fallback = identity.without_certificate.as_ref().map(|names| Fallback {
        user_name: names.user_name.clone(),
        client_id_prefix: names.client_id_prefix.clone(),
    });
    let key = if fallback.is_some() {
        ".withoutCertificate"
    } else {
        ""
    };
    Naming::new(user_name, client_id, fallback).map_err(|error| (key, Error::Naming(error)))
}

fn source(
    entry: Option<&Entry>,
    key: &'static str,
) -> Result<Option<Source>, (&'static str, Error)> {
    let Some(entry) = entry else {
        return Ok(None);
    };
    let template = Template::parse(&entry.template);
    Ok(Some(Source {
        template: template.map_err(|error| (key, Error::Template(error)))?,
        action: match (entry.action, entry.mismatch) {
            (NamingAction::Set, Mismatch::Refuse) => Action::Set,
            (NamingAction::Set, Mismatch::Overwrite) => Action::Overwrite,
            // The file has no `Require` with `Overwrite`.
            (NamingAction::Require, _) => Action::Require,
        },
    }))
}
