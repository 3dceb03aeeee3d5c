//! The Secrets with configurations of the terminators, which contain private keys: the current one, and the last one that
//! all pods accepted.
//!
//! Their annotations name objects; they must not contain a hash of any content, which would be an oracle for it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Pem;

use crate::kinds::Child;
use crate::plan::names::{ACCEPTED_KEY, CONFIG_KEY, CONFIG_TYPE, Identity};
use crate::plan::source::Sources;

/// Builds the Secret with the current configuration.
pub(super) fn build(identity: &Identity, config: &Pem, sources: &Sources) -> Secret {
    let bytes = ByteString(config.expose().as_bytes().to_vec());
    let data = BTreeMap::from([(CONFIG_KEY.to_owned(), bytes)]);
    secret(identity, Child::Configuration, sources.annotations(), data)
}

/// Builds the Secret with the last accepted configuration, if there is one.
pub fn accepted_secret(identity: &Identity, config: Option<&ByteString>) -> Secret {
    let data = config.map(|config| (ACCEPTED_KEY.to_owned(), config.clone()));
    let data = data.into_iter().collect();
    secret(identity, Child::Accepted, BTreeMap::new(), data)
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
