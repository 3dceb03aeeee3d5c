//! The Secret with the terminators' configuration.
//!
//! It holds private keys, so it must be a Secret. Its annotations name objects; they must not hold a
//! hash of any content, which would be an oracle for it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Config;

use super::config::Rendering;
use super::listener::Listener;
use super::names;

/// Builds the Secret.
pub fn build(listener: &Listener, config: &Config, rendering: &Rendering) -> Secret {
    let sources: Vec<&str> = rendering
        .served
        .iter()
        .map(|one| one.source.as_str())
        .collect();
    let mut annotations =
        BTreeMap::from([(names::CERTIFICATE_SOURCES.to_owned(), sources.join(","))]);
    if let Some(source) = &rendering.ca_source {
        annotations.insert(names::CA_SOURCE.to_owned(), source.clone());
    }
    let bytes = ByteString(config.to_yaml().expose().as_bytes().to_vec());
    Secret {
        metadata: listener.identity.child(&BTreeMap::new(), annotations),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(names::CONFIG_KEY.to_owned(), bytes)])),
        ..Secret::default()
    }
}
