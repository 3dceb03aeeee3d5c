//! The Secret with the terminators' configuration, which contains private keys.
//!
//! Its annotations name objects; they must not contain a hash of any content, which would be an oracle for it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Pem;

use crate::plan::names::{CONFIG_KEY, CONFIG_TYPE, Identity};
use crate::plan::source::Sources;

/// Builds the Secret.
pub(super) fn build(identity: &Identity, config: &Pem, sources: &Sources) -> Secret {
    let bytes = ByteString(config.expose().as_bytes().to_vec());
    Secret {
        metadata: identity.child(&BTreeMap::new(), sources.annotations()),
        type_: Some(CONFIG_TYPE.to_owned()),
        data: Some(BTreeMap::from([(CONFIG_KEY.to_owned(), bytes)])),
        ..Secret::default()
    }
}
