//! The CA certificates that are published for devices, beside what a configuration serves.
//!
//! It must not publish a key, nor a CA that has issued nothing of what is served or tried.

use k8s_openapi::api::core::v1::ConfigMap;
use mqtt_tls_judge::anchors;

use super::certificates::pem;
use super::certificates::served::Served;
use super::hosts::Choices;
use super::names::CA_KEY;
use super::world::World;

/// The key under which cert-manager and others write the CA certificate into a Secret.
const SECRET_CA_KEY: &str = "ca.crt";

/// Maximum number of CA certificates.
const CERTIFICATES_MAX: usize = 32;

/// Returns the CA certificates of all that is served, as PEM; `None` if none is known. A CA that was published stays while what it has
/// issued is served. Those of what is tried are among them, and of what was rolled back: with them, devices can be prepared for it.
pub fn certificates(choices: &Choices, world: &World) -> Option<String> {
    let parts = choices.parts();
    let served = parts.iter().flat_map(|part| part.served);
    let tried = choices.staged().filter(|one| one.record.is_some());
    let tried = tried.filter_map(|one| one.candidate.as_ref());
    let served = served.chain(tried.map(|(candidate, _)| candidate));
    let before = world.children.authorities().and_then(text);
    let mut all = Vec::new();
    for one in served {
        let texts: Vec<&str> = secret_text(one, world).into_iter().chain(before).collect();
        for anchor in anchors::of(&one.certificate, &texts) {
            if !all.contains(&anchor) && all.len() < CERTIFICATES_MAX {
                all.push(anchor);
            }
        }
    }
    // In the order of the certificates, which does not change by itself.
    let mut text = String::new();
    for anchor in &all {
        pem::push(&mut text, "CERTIFICATE", anchor);
    }
    (!text.is_empty()).then_some(text)
}

fn secret_text<'w>(served: &Served, world: &'w World) -> Option<&'w str> {
    let secret = world.secrets.get(served.source.secret())?;
    let bytes = secret.data.as_ref()?.get(SECRET_CA_KEY)?;
    std::str::from_utf8(&bytes.0).ok()
}

fn text(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get(CA_KEY).map(String::as_str)
}
