//! Reads a certificate and its key from a Secret, or returns what is wrong with them.
//!
//! It accepts exactly what the terminator can load, by the same judge. It must not decide what is served instead;
//! `choose` does. No message may show key material.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use mqtt_tls_config::Pem;
use mqtt_tls_judge::certificate::{self, Certificate};
use mqtt_tls_judge::pem::Part;

use super::served::Served;
use super::text::{Text, text_of};
use crate::error::chain;
use crate::kinds::Kind;
use crate::plan::host_key::HostKey;
use crate::plan::issued;
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;
use crate::plan::source::Source;
use crate::plan::world::World;

/// Reads the certificate in a Secret for the listener itself or one of its hosts.
///
/// # Errors
///
/// A problem that names the object, the key, and what to do.
pub fn read(key: &HostKey, source: &Source, world: &World) -> Result<Served, Problem> {
    let Some(secret) = world.secrets.get(source.secret()) else {
        if !world.permits(Kind::Secret, source.secret()) {
            return Err(not_permitted(&source.to_string(), Kind::Secret, world));
        }
        if matches!(source, Source::Issued(_)) {
            return Err(issued::missing(source, world));
        }
        let place = match source {
            Source::Foreign(_) => "",
            Source::Secret(_) | Source::Issued(_) => " in this namespace",
        };
        let message = format!(
            "{source} does not exist{place}; create it with tls.crt and tls.key, or correct the name in {}",
            key.field("certificates")
        );
        return Err(Problem::of_reference(Reason::SecretNotFound, message));
    };
    let empty = BTreeMap::new();
    let (keys, pem, judged) = pem_of(source, secret.data.as_ref().unwrap_or(&empty))?;
    match judged {
        Ok(certificate) => Ok(Served::of(source.clone(), pem, certificate)),
        Err(error) => {
            let message = format!("{source}, {keys}: {}", chain(&error));
            Err(Problem::of_reference(error.reason().into(), message))
        }
    }
}

/// Returns the problem of an object in another namespace that no grant permits to use.
pub fn not_permitted(object: &str, kind: Kind, world: &World) -> Problem {
    let namespace = world.listener.metadata.namespace.as_deref();
    let message = format!(
        "{object}: no ReferenceGrant in its namespace permits MqttTlsListeners of namespace {from} to use this {to}; create one there, with \
         `from` {{group: mqtt.smartboot.tech, kind: MqttTlsListener, namespace: {from}}} and `to` {{group: \"\", kind: {to}}}",
        from = namespace.unwrap_or_default(),
        to = kind.name()
    );
    Problem::of_reference(Reason::RefNotPermitted, message)
}

type Judged = Result<Certificate, certificate::Error>;

/// Returns the Secret's keys, chain and private key as one text, and the result of judging them.
fn pem_of(
    source: &Source,
    data: &BTreeMap<String, ByteString>,
) -> Result<(&'static str, Pem, Judged), Problem> {
    let pair = data.contains_key("tls.crt") || data.contains_key("tls.key");
    if !pair && data.contains_key("pem") {
        let text = text(source, data, "pem")?;
        let judged = certificate::judge(&[Part::key("pem", &text)]);
        return Ok(("key pem", Pem::new((*text).to_owned()), judged));
    }
    if !pair {
        let message = format!(
            "{source} has neither tls.crt and tls.key nor pem; put the certificate chain under \
             tls.crt and its private key under tls.key, or both under pem"
        );
        return Err(Problem::of_reference(Reason::MissingKey, message));
    }
    let (chain, key) = (
        text(source, data, "tls.crt")?,
        text(source, data, "tls.key")?,
    );
    let judged = certificate::judge(&[Part::key("tls.crt", &chain), Part::key("tls.key", &key)]);
    // The chain may lack a final newline.
    let mut text = String::with_capacity(chain.len() + 1 + key.len());
    text.extend([chain.trim_end(), "\n", &*key]);
    Ok(("keys tls.crt and tls.key", Pem::new(text), judged))
}

/// Returns the text under a key of a Secret.
fn text<'d>(
    source: &Source,
    data: &'d BTreeMap<String, ByteString>,
    key: &str,
) -> Result<Text<'d>, Problem> {
    let problem =
        |reason, what: &str| Problem::of_reference(reason, format!("{source}, key {key}: {what}"));
    let Some(ByteString(bytes)) = data.get(key) else {
        return Err(problem(
            Reason::MissingKey,
            "missing; add it beside the other one",
        ));
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(problem(Reason::MissingKey, "empty; put the PEM text there"));
    }
    text_of(bytes).map_err(|error| problem(Reason::BrokenPem, &error.to_string()))
}
