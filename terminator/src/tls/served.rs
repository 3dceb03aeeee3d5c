//! What rustls serves: versions, certificates by SNI, the trust in clients, and tickets. Pure.
//!
//! It must not know sockets or files; the certificates it gets have been judged.

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
use super::refused::Telling;
use crate::reload::Reload;
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::certificate::Certificate;
use mqtt_tls_judge::provider::{aes256_first, provider};

/// The names of authorities that clients are told, in bytes: with their lengths they must fit into 65,535
/// (RFC 8446, section 4.2.4), and a client that is told none sends what it has.
const HINTS_MAX: usize = 32 * 1024;

/// Whom a listener lets in.
#[derive(Clone, Debug)]
pub(crate) enum ClientTrust {
    /// Nobody is asked for a certificate.
    Nobody,
    /// Who shows one must chain to these.
    Optional(Authorities),
    /// Everyone must show one that chains to these.
    Required(Authorities),
}

impl ClientTrust {
    /// Whether clients are not asked for a certificate.
    pub(crate) fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    /// Whom clients must chain to, if they show a certificate.
    pub(crate) fn authorities(&self) -> Option<&Authorities> {
        match self {
            Self::Nobody => None,
            Self::Optional(authorities) | Self::Required(authorities) => Some(authorities),
        }
    }
}

/// Why no TLS configuration could be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The ticket key could not be made.
    #[error("no session ticket key could be made: {0}")]
    Tickets(rustls::Error),
    /// The verifier of client certificates could not be made.
    #[error("client certificates cannot be verified with these authorities: {0}")]
    Verifier(VerifierBuilderError),
    /// The provider lacks something that TLS needs.
    #[error("the crypto provider lacks something: {0}")]
    Versions(rustls::Error),
}

impl Error {
    /// The kind of error, one of a fixed set.
    pub(crate) fn reason(&self) -> Reload {
        match self {
            Self::Tickets(_) => Reload::Tickets,
            Self::Verifier(_) => Reload::ClientVerifier,
            Self::Versions(_) => Reload::Provider,
        }
    }
}

/// What rustls serves: TLS 1.3 and 1.2, no early data.
///
/// Sessions are resumed only where clients show no certificates. A ticket stands for a certificate that
/// was verified once, rustls does not ask again, and each resumption brings a new ticket: a device whose
/// certificate is over would stay in for ever (RFC 8446, section 4.6.1).
///
/// It is there once for each order of suites, and the same in all else.
#[derive(Clone)]
pub(crate) struct Served {
    aes128_first: Arc<ServerConfig>,
    aes256_first: Arc<ServerConfig>,
    by_client: Arc<ServerConfig>,
}

impl Served {
    /// `tickets` are those of the configuration before, if clients needed no certificates there either; `given` says
    /// who gets some.
    pub(crate) fn new(
        certificates: &[Certificate],
        trust: &ClientTrust,
        given: Tickets,
        tickets: Option<Arc<dyn ProducesTickets>>,
    ) -> Result<Self, Error> {
        let resolver = Arc::new(ByName::new(certificates));
        let verifier = verifier(trust).map_err(Error::Verifier)?;
        let tickets = match tickets {
            _ if given == Tickets::None || !trust.is_nobody() => None,
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
            // A session cache would be a lock between all threads, and tickets do the same.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            if let Some(tickets) = &tickets {
                config.ticketer = Arc::clone(tickets);
                // Each resumption brings a new one: a client needs no second (RFC 8446, appendix C.4).
                config.send_tls13_tickets = usize::from(given == Tickets::All);
            }
            Ok(Arc::new(config))
        };
        Ok(Self {
            aes128_first: config(provider(), false)?,
            aes256_first: config(aes256_first(), false)?,
            by_client: config(provider(), true)?,
        })
    }

    /// For a client. Our order of suites costs us less, but ChaCha20-Poly1305 costs a client without hardware for AES
    /// a fraction of what AES-GCM does, and such a client puts it first (as BoringSSL does). A session is resumed with
    /// the hash that it began with; and with another one, after a HelloRetryRequest, the client would have to take back
    /// its offer to resume, which rustls refuses.
    pub(crate) fn to(&self, needs: Needs) -> Arc<ServerConfig> {
        Arc::clone(if needs.sha384_session {
            &self.aes256_first
        } else if needs.chacha_first {
            &self.by_client
        } else {
            &self.aes128_first
        })
    }

    /// What issues session tickets, if anything does.
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
        ClientTrust::Nobody => Ok(Arc::new(NoClientAuth)),
        ClientTrust::Optional(authorities) => {
            let verifier = builder(authorities).allow_unauthenticated().build()?;
            Ok(Arc::new(Telling(verifier)))
        }
        ClientTrust::Required(authorities) => {
            let verifier = builder(authorities).build()?;
            Ok(Arc::new(Telling(verifier)))
        }
    }
}

/// Chooses a certificate by the name that the client asks for (RFC 6066, section 3) and by what it
/// can verify.
#[derive(Debug)]
struct ByName {
    /// In the order of the configuration; the first is served when no name fits.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    names: Vec<String>,
    /// Of an ECDSA key.
    curve: Option<NamedGroup>,
    certified: Arc<CertifiedKey>,
}

impl Entry {
    /// Whether a client can verify what this one's key signs. In TLS 1.2 the client's groups are about the
    /// certificate's curve, too (RFC 8422, section 5.1.1), and in TLS 1.3 PKCS #1 signs no handshake (RFC 8446,
    /// section 4.2.3).
    fn is_verifiable(&self, hello: &ClientHello<'_>) -> bool {
        // Those of TLS 1.3 begin with 0x13 (RFC 8446, appendix B.4); a client that has them gets it.
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
    /// The first of those that the client can verify, in this order: with its exact name, with a
    /// wildcard for it, the default, any.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .map(str::to_ascii_lowercase)
            .unwrap_or_default();
        let fits = |entry: &Entry, exact| entry.names.iter().any(|own| covers(own, &name, exact));
        // Never none: rustls would say that access is denied, where it has a fitting alert for a client that
        // can verify nothing (RFC 8446, section 6.2).
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

/// Whether a name of a certificate covers a name that was asked for, both in lower case: exactly, or
/// as a wildcard for one label (RFC 6125, section 6.4.3).
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
    fn names_cover_as_rfc_6125_says() {
        assert!(covers("a.example", "a.example", true));
        assert!(!covers("*.example", "a.example", true));
        assert!(covers("*.example", "a.example", false));
        assert!(!covers("*.example", "a.b.example", false));
        assert!(!covers("*.example", "example", false));
        assert!(!covers("a.example", "b.example", false));
    }
}
