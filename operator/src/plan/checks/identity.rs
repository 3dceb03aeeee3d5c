//! The check of the names that clients get from their certificates. Whether clients of one host could take the names of
//! another's depends on CA certificates, and is judged with them.
//!
//! It must not judge CA certificates.

use mqtt_tls_config::{self as file, NAME_LENGTH_MAX, is_client_name};
use mqtt_tls_judge::identity::configured;

use super::{Environment, Part};
use crate::crd::{ClientAuthMode, MqttTlsListener, Protocol};

/// Each identity gives names, and clients have certificates where it applies.
pub(super) fn gives_names(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let spec = &listener.spec;
    let is_mqtt = spec.protocol.unwrap_or_default() == Protocol::Mqtt;
    Part::first_wrong(listener, |part| {
        let identity = part.identity.or(spec.identity.as_ref())?.to_file();
        let field = part.key.field("identity");
        if let Some((key, conflict)) = identity.conflict() {
            return Some(format!("{field}{key}: {conflict}"));
        }
        if !identity.gives_names() {
            return None;
        }
        if !is_mqtt {
            return Some(format!(
                "{field} writes names into the CONNECT of MQTT; set spec.protocol: mqtt, or remove it"
            ));
        }
        let mode = part.client_auth.unwrap_or(&spec.client_auth).mode;
        if mode == ClientAuthMode::DryRun && identity.without_certificate.is_none() {
            return Some(format!(
                "{field} would refuse all devices: with clientAuth.mode DryRun each counts as one without a certificate; set \
                 {field}.withoutCertificate, or remove identity until the mode is Require"
            ));
        }
        wrong(&identity, mode != ClientAuthMode::None)
            .map(|(key, message)| format!("{field}{key}: {message}"))
    })
}

/// Returns what is wrong with an identity, with the key behind it.
fn wrong(identity: &file::Identity, has_certificates: bool) -> Option<(&'static str, String)> {
    let mut texts = identity.texts();
    if let Some((key, _)) = texts.find(|(_, text)| !is_client_name(text)) {
        let message = format!(
            "it must be a text of at most {NAME_LENGTH_MAX} bytes without control characters"
        );
        return Some((key, message));
    }
    let naming = configured::of(identity, has_certificates);
    naming.err().map(|(key, error)| (key, error.to_string()))
}
