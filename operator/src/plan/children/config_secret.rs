//! The Secrets with configurations of the terminators, which contain private keys: the current one with the session ticket
//! keys and revocation lists, and the last one that all pods accepted.
//!
//! Their annotations name objects; they must not contain a hash of any content, which would be an oracle for it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::kinds::Child;
use crate::plan::config::Rendered;
use crate::plan::names::{
    ACCEPTED_KEY, CONFIG_KEY, CONFIG_TYPE, CRLS, Identity, SOURCES, TICKET_KEYS, TRIALS, TRIALS_KEY,
};
use crate::plan::source::Sources;
use crate::plan::trials::tried::Tried;

/// What the config Secret contains.
pub struct Files<'f> {
    /// The configuration, and the revocation lists beside it.
    pub config: &'f Rendered,
    /// The sources of its certificates and CA certificates.
    pub sources: Sources,
    /// The CA certificates that devices are to trust, as PEM, if they are known.
    pub authorities: Option<String>,
    /// The session ticket keys, if there are any.
    pub ticket_keys: Option<ByteString>,
    /// The trials of renewed certificates.
    pub tried: &'f Tried,
}

/// Builds the Secret with the current configuration.
pub(super) fn build(identity: &Identity, files: &Files<'_>) -> Secret {
    let bytes = ByteString(files.config.text.expose().as_bytes().to_vec());
    let mut data = BTreeMap::from([(CONFIG_KEY.to_owned(), bytes)]);
    let keys = files.ticket_keys.clone();
    data.extend(keys.map(|keys| (TICKET_KEYS.to_owned(), keys)));
    let crls = files.config.crls.clone();
    data.extend(crls.map(|crls| (CRLS.to_owned(), crls)));
    let trials = files.tried.file.clone();
    let trials = trials.map(|file| (TRIALS_KEY.to_owned(), ByteString(file.into_bytes())));
    data.extend(trials);
    let mut annotations = files.sources.annotations();
    let remembered = files.tried.annotation.clone();
    annotations.extend(remembered.map(|text| (TRIALS.to_owned(), text)));
    secret(identity, Child::Configuration, annotations, data)
}

/// An accepted configuration.
pub struct Accepted<'a> {
    /// Its text.
    pub text: &'a ByteString,
    /// The annotation with the sources of its certificates and CA certificates.
    pub sources: Option<&'a String>,
    /// The annotation with the trials.
    pub trials: Option<&'a String>,
}

/// Builds the Secret with the last accepted configuration, if there is one.
pub fn accepted_secret(identity: &Identity, accepted: Option<&Accepted<'_>>) -> Secret {
    let data = accepted.map(|one| (ACCEPTED_KEY.to_owned(), one.text.clone()));
    let annotations = accepted.map(|one| [(SOURCES, one.sources), (TRIALS, one.trials)]);
    let annotations = annotations.into_iter().flatten();
    let annotations = annotations.filter_map(|(name, text)| Some((name.to_owned(), text?.clone())));
    secret(
        identity,
        Child::Accepted,
        annotations.collect(),
        data.into_iter().collect(),
    )
}

fn secret(
    identity: &Identity,
    child: Child,
    annotations: BTreeMap<String, String>,
    data: BTreeMap<String, ByteString>,
) -> Secret {
    Secret {
        metadata: identity.child(child, &BTreeMap::new(), annotations),
        type_: Some(CONFIG_TYPE.to_owned()),
        // The API server stores no empty map, which would then be written again and again.
        data: Some(data).filter(|data| !data.is_empty()),
        ..Secret::default()
    }
}
