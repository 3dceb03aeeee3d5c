//! The checks of a listener's TLS options. It must not look at certificates.

use mqtt_tls_config as file;
use mqtt_tls_config::{ALPN_PROTOCOLS_MAX, Conflict, is_protocol_name};
use mqtt_tls_judge::escape::escaped;

use super::{Environment, Part, bounds};
use crate::crd::{Alpn, MqttTlsListener};

/// Maximum length of a protocol's name in a message, in bytes.
const SHOWN_MAX: usize = 64;

/// Each value is known, and devices of each version that is on can connect.
pub(super) fn is_consistent(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let tls = match bounds::section::<file::Tls>(&listener.spec.tls) {
        Err(message) => return Some(message),
        Ok(tls) => tls,
    };
    if let Some(Conflict { key, message }) = tls.conflict() {
        return Some(format!("spec.tls.{key} {message}"));
    }
    Part::first_wrong(listener, |part| {
        let field = part.key.field("tls.alpn.protocols");
        wrong_protocol(part.alpn?).map(|wrong| format!("{field}{wrong}"))
    })
}

/// Returns what is wrong with the protocols.
fn wrong_protocol(alpn: &Alpn) -> Option<String> {
    let count = alpn.protocols.len();
    if count > ALPN_PROTOCOLS_MAX {
        return Some(format!(
            " has {count} entries; it must have at most {ALPN_PROTOCOLS_MAX}"
        ));
    }
    let names: Vec<&str> = alpn.protocols.iter().map(|one| &*one.name).collect();
    if let Some(index) = names.iter().position(|name| !is_protocol_name(name)) {
        let name = escaped(names[index], SHOWN_MAX);
        return Some(format!(
            "[{index}].name is {name}; it must have 1 to {} printable ASCII characters, without spaces",
            file::ALPN_NAME_LENGTH_MAX
        ));
    }
    let protocols = names.into_iter().map(|name| file::AlpnProtocol {
        name: name.to_owned(),
        backend: None,
    });
    let together = file::Alpn {
        protocols: protocols.collect(),
        required: alpn.required,
    };
    together.conflict().map(|conflict| format!(" {conflict}"))
}
