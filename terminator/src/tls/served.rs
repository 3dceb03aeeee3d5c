//! Server configurations for rustls: versions, certificates by SNI, client authentication, and session tickets.
//! Pure.
//!
//! It must not know sockets or files; its certificates have been validated.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use mqtt_tls_config::Tickets;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
    VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, ServerConfig, SignatureScheme};

use super::hello::Needs;
use super::refused::Recording;
use crate::reload::Reload;
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::certificate::Certificate;
use mqtt_tls_judge::provider::{aes256_first, provider};

/// Maximum size of the authorities' names sent to clients, in bytes. With their lengths they must fit into
/// 65,535 (RFC 8446, section 4.2.4); a client that gets no names sends the certificate that it has.
const HINTS_MAX: usize = 32 * 1024;

/// Client authentication of a listener.
#[derive(Clone, Debug)]
pub(crate) enum ClientTrust {
    /// Clients are not asked for a certificate.
    Disabled,
    /// A client's certificate must chain to these authorities if it sends one.
    Optional(Authorities),
    /// Each client must send a certificate that chains to these authorities.
    Required(Authorities),
}

impl ClientTrust {
    /// Reports whether clients are not asked for a certificate.
    pub(crate) fn is_disabled(&self) -> bool {
        matches!(self, Self::Disabled)
    }

    /// Reports whether a certificate that a client presents has been verified once the handshake has succeeded.
    fn verifies(&self) -> bool {
        match self {
            Self::Disabled => false,
            Self::Optional(_) | Self::Required(_) => true,
        }
    }

    /// Returns the authorities for client certificates.
    pub(crate) fn authorities(&self) -> Option<&Authorities> {
        match self {
            Self::Disabled => None,
            Self::Optional(authorities) | Self::Required(authorities) => Some(authorities),
        }
    }
}

/// Errors in building a TLS configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The ticket key cannot be generated.
    #[error("failed to generate a session ticket key: {0}")]
    Tickets(rustls::Error),
    /// The verifier for client certificates cannot be built.
    #[error("cannot verify client certificates with these CA certificates: {0}")]
    Verifier(VerifierBuilderError),
    /// The crypto provider does not support the configuration.
    #[error("the crypto provider does not support the TLS configuration: {0}")]
    Versions(rustls::Error),
}

impl Error {
    /// Returns the reason, one of a fixed set.
    pub(crate) fn reason(&self) -> Reload {
        match self {
            Self::Tickets(_) => Reload::Tickets,
            Self::Verifier(_) => Reload::ClientVerifier,
            Self::Versions(_) => Reload::Provider,
        }
    }
}

/// Server configurations: TLS 1.3 and 1.2, no early data.
///
/// Sessions are resumed only if clients are not asked for certificates. A ticket stands for a certificate that
/// was verified once, rustls does not verify it again, and each resumption issues a new ticket: a device with
/// an expired certificate could reconnect for ever (RFC 8446, section 4.6.1).
///
/// There is one configuration for each order of suites; otherwise they are equal.
#[derive(Clone)]
pub(crate) struct Served {
    aes128_first: Arc<ServerConfig>,
    aes256_first: Arc<ServerConfig>,
    by_client: Arc<ServerConfig>,
    by_name: Arc<ByName>,
    verifies: bool,
}

impl Served {
    /// Builds the configurations. `tickets` are those of the previous configuration, if it did not ask for client
    /// certificates; `given` selects the clients that get tickets.
    pub(crate) fn new(
        certificates: &[Certificate],
        trust: &ClientTrust,
        given: Tickets,
        tickets: Option<Arc<dyn ProducesTickets>>,
    ) -> Result<Self, Error> {
        let resolver = Arc::new(ByName::new(certificates));
        let verifier = verifier(trust).map_err(Error::Verifier)?;
        let tickets = match tickets {
            _ if given == Tickets::None || !trust.is_disabled() => None,
            Some(tickets) => Some(tickets),
            None => Some(Ticketer::new().map_err(Error::Tickets)?),
        };
        let config = |provider: Arc<CryptoProvider>, is_by_client: bool| {
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&TLS13, &TLS12])
                .map_err(Error::Versions)?
                .with_client_cert_verifier(Arc::clone(&verifier))
                .with_cert_resolver(Arc::<ByName>::clone(&resolver));
            config.ignore_client_order = !is_by_client;
            // Tickets replace a session cache, which would need a lock shared by all threads.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            if let Some(tickets) = &tickets {
                config.ticketer = Arc::clone(tickets);
                // One is enough, since each resumption issues a new one (RFC 8446, appendix C.4).
                config.send_tls13_tickets = usize::from(given == Tickets::All);
            }
            Ok(Arc::new(config))
        };
        Ok(Self {
            aes128_first: config(provider(), false)?,
            aes256_first: config(aes256_first(), false)?,
            by_client: config(provider(), true)?,
            by_name: resolver,
            verifies: trust.verifies(),
        })
    }

    /// Reports whether a session's client certificate counts as verified.
    pub(crate) fn verifies(&self) -> bool {
        self.verifies
    }

    /// Reports whether a certificate covers a name in lower case.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        let mut entries = self.by_name.entries.iter();
        entries.any(|entry| entry.covers(name, true) || entry.covers(name, false))
    }

    /// Returns the configuration for a client. The server's order of suites costs the least, but a client
    /// without AES hardware puts ChaCha20-Poly1305 first (as BoringSSL does), since that costs it a fraction of
    /// AES-GCM. A session must be resumed with the hash of its original suite: with another one, after a
    /// HelloRetryRequest, the client would have to withdraw its offer to resume, which rustls rejects.
    pub(crate) fn to(&self, needs: &Needs) -> Arc<ServerConfig> {
        Arc::clone(if needs.sha384_session {
            &self.aes256_first
        } else if needs.chacha_first {
            &self.by_client
        } else {
            &self.aes128_first
        })
    }

    /// Returns the issuer of session tickets, if enabled.
    pub(crate) fn tickets(&self) -> Option<Arc<dyn ProducesTickets>> {
        let tickets = &self.aes128_first.ticketer;
        tickets.enabled().then(|| Arc::clone(tickets))
    }
}

fn verifier(trust: &ClientTrust) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let builder = |authorities: &Authorities| {
        let roots = Arc::clone(authorities.roots());
        let hints: usize = roots.roots.iter().map(|root| root.subject.len() + 2).sum();
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if hints > HINTS_MAX {
            builder.clear_root_hint_subjects()
        } else {
            builder
        }
    };
    match trust {
        ClientTrust::Disabled => Ok(Arc::new(NoClientAuth)),
        ClientTrust::Optional(authorities) => {
            let verifier = builder(authorities).allow_unauthenticated().build()?;
            Ok(Arc::new(Recording(verifier)))
        }
        ClientTrust::Required(authorities) => {
            let verifier = builder(authorities).build()?;
            Ok(Arc::new(Recording(verifier)))
        }
    }
}

/// Selects a certificate by the requested host name (RFC 6066, section 3) and the client's signature schemes.
#[derive(Debug)]
struct ByName {
    /// In the order of the configuration; the first is the default.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    names: Vec<String>,
    /// Curve of an ECDSA key.
    curve: Option<NamedGroup>,
    certified: Arc<CertifiedKey>,
}

impl Entry {
    /// Reports whether one of its names covers a requested name, both in lower case.
    fn covers(&self, name: &str, exact: bool) -> bool {
        self.names.iter().any(|own| covers(own, name, exact))
    }

    /// Reports whether a client can verify signatures by this key. In TLS 1.2 the client's groups also apply to the
    /// certificate's curve (RFC 8422, section 5.1.1); in TLS 1.3 PKCS #1 cannot sign handshakes (RFC 8446, section
    /// 4.2.3).
    fn is_verifiable(&self, hello: &ClientHello<'_>) -> bool {
        // TLS 1.3 suites begin with 0x13 (RFC 8446, appendix B.4); clients that offer them get TLS 1.3.
        let is_tls13 = |suite: &CipherSuite| u16::from(*suite) >> 8 == 0x13;
        let schemes = hello.signature_schemes();
        if hello.cipher_suites().iter().any(is_tls13) {
            let is_of_tls13 = |scheme: &&SignatureScheme| {
                use SignatureScheme::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
                !matches!(
                    **scheme,
                    RSA_PKCS1_SHA256 | RSA_PKCS1_SHA384 | RSA_PKCS1_SHA512
                )
            };
            let schemes: Vec<SignatureScheme> =
                schemes.iter().filter(is_of_tls13).copied().collect();
            return self.certified.key.choose_scheme(&schemes).is_some();
        }
        let is_offered = |curve| {
            hello
                .named_groups()
                .is_none_or(|groups| groups.contains(&curve))
        };
        self.certified.key.choose_scheme(schemes).is_some() && self.curve.is_none_or(is_offered)
    }
}

impl ByName {
    fn new(certificates: &[Certificate]) -> Self {
        let entry = |certificate: &Certificate| Entry {
            names: certificate.facts().dns_names.clone(),
            curve: match certificate.facts().key {
                "ECDSA P-256" => Some(NamedGroup::secp256r1),
                "ECDSA P-384" => Some(NamedGroup::secp384r1),
                "ECDSA P-521" => Some(NamedGroup::secp521r1),
                _ => None,
            },
            certified: Arc::clone(certificate.certified()),
        };
        Self {
            entries: certificates.iter().map(entry).collect(),
        }
    }
}

impl ResolvesServerCert for ByName {
    /// Returns the first certificate that the client can verify, in this order: exact name, matching wildcard, the
    /// default, any.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .map(str::to_ascii_lowercase)
            .unwrap_or_default();
        let fits = |entry: &Entry, exact| entry.covers(&name, exact);
        // Never return None: rustls would send access_denied instead of the right alert for a client that can
        // verify none (RFC 8446, section 6.2).
        self.entries
            .iter()
            .min_by_key(|entry| match entry {
                entry if !entry.is_verifiable(&hello) => 3,
                entry if fits(entry, true) => 0,
                entry if fits(entry, false) => 1,
                _ => 2,
            })
            .map(|entry| Arc::clone(&entry.certified))
    }
}

/// Reports whether a certificate's name covers a requested name, both in lower case: exactly, or as a wildcard
/// for one label (RFC 6125, section 6.4.3).
fn covers(pattern: &str, name: &str, exact: bool) -> bool {
    if exact {
        return pattern == name;
    }
    let (Some(parent), Some((label, rest))) = (pattern.strip_prefix("*."), name.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && rest == parent
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn names_are_matched_as_in_rfc_6125() {
        assert!(covers("a.example", "a.example", true));
        assert!(!covers("*.example", "a.example", true));
        assert!(covers("*.example", "a.example", false));
        assert!(!covers("*.example", "a.b.example", false));
        assert!(!covers("*.example", "example", false));
        assert!(!covers("a.example", "b.example", false));
    }
}
