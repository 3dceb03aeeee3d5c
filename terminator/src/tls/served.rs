//! Server configurations for rustls: versions, certificates by SNI, client authentication, and session tickets.
//! Pure.
//!
//! It must not know sockets or files; its certificates have been validated.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use mqtt_tls_config::{Alpn, Group, Suite, Tickets, Tls, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};

use super::by_name::{ByName, Candidate, key_kind};
use super::hello::{Hash, Needs};
use super::policy::Policy;
use super::tickets::{self, NoRandom};
use super::trust::ClientTrust;
use crate::reload::Reload;
use crate::verdicts::Verdicts;
use mqtt_tls_judge::certificate::Certificate;
use mqtt_tls_judge::provider::{aes256_first, provider};

/// Errors in building a TLS configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The ticket key cannot be generated.
    #[error("failed to generate a session ticket key")]
    Tickets(#[source] NoRandom),
    /// The crypto provider does not support the configuration.
    #[error("the crypto provider does not support the TLS configuration: {0}")]
    Versions(rustls::Error),
}

impl Error {
    /// Returns the reason, one of a fixed set.
    pub(crate) fn reason(&self) -> Reload {
        match self {
            Self::Tickets(_) => Reload::Tickets,
            Self::Versions(_) => Reload::Provider,
        }
    }
}

/// Server configurations: TLS 1.3 and 1.2, as far as they are on, no early data.
///
/// Sessions are resumed only if clients are not asked for certificates. A ticket stands for a certificate that
/// was verified once, rustls does not verify it again, and each resumption issues a new ticket: a device with
/// an expired certificate could reconnect for ever (RFC 8446, section 4.6.1).
///
/// There is one configuration for each order of suites; otherwise they are equal. They exist twice if protocols are
/// negotiated: rustls refuses a client that offers protocols and none of them.
#[derive(Clone)]
pub(crate) struct Served {
    /// Without ALPN.
    plain: Orders,
    /// With ALPN, if protocols are negotiated.
    with_alpn: Option<Orders>,
    /// TLS 1.2 only, for clients that TLS 1.3 would lock out; each of the two without and with ALPN.
    without_tls13: Option<[Arc<ServerConfig>; 2]>,
    protocols: Arc<[Vec<u8>]>,
    /// Whether clients that offer none of the protocols are refused.
    requires_protocol: bool,
    /// Maximum plaintext of a record for a client, in bytes.
    record_max: u16,
    policy: Policy,
    by_name: Arc<ByName>,
    /// Whether a certificate has a candidate.
    has_candidates: bool,
    verifies: bool,
}

/// The configurations by the order of suites.
#[derive(Clone)]
struct Orders {
    aes128_first: Arc<ServerConfig>,
    aes256_first: Arc<ServerConfig>,
    by_client: Arc<ServerConfig>,
}

/// What TLS offers to the clients of a host.
#[derive(Clone, Copy)]
pub(crate) struct Offering<'o> {
    pub(crate) tls: &'o Tls,
    pub(crate) alpn: &'o Alpn,
}

impl Served {
    /// Builds the configurations of a host.
    pub(crate) fn new(
        (certificates, candidates): (&[Certificate], &[Candidate]),
        (trust, verdicts): (&ClientTrust, &Arc<Verdicts>),
        Offering { tls, alpn }: Offering<'_>,
        tickets: tickets::Tickets,
    ) -> Result<Self, Error> {
        let by_name = Arc::new(ByName::new(certificates, candidates, tls));
        let is_resumed = tls.tickets != Tickets::None && trust.is_disabled();
        let tickets: Option<Arc<dyn ProducesTickets>> = if is_resumed {
            Some(Arc::new(tickets))
        } else {
            None
        };
        let parts = Parts {
            tls,
            verifier: trust.verifier(verdicts),
            resolver: Arc::clone(&by_name),
            tickets,
        };
        let names = alpn.protocols.iter();
        let protocols: Arc<[_]> = names.map(|one| one.name.clone().into_bytes()).collect();
        let with_alpn = || Orders::new(&parts, &protocols);
        let without_tls13 = || {
            let mut of_tls12 = tls.clone();
            of_tls12.max_version = TlsVersion::Tls12;
            let parts = Parts {
                tls: &of_tls12,
                verifier: Arc::clone(&parts.verifier),
                resolver: Arc::new(ByName::new(certificates, candidates, &of_tls12)),
                tickets: parts.tickets.clone(),
            };
            let config = |protocols| parts.config(&provider(), false, protocols);
            Ok([config(&[])?, config(&protocols)?])
        };
        // A session of before, whose hash no suite of TLS 1.3 has any more.
        let has_both = tls.has(TlsVersion::Tls12) && tls.has(TlsVersion::Tls13);
        let policy = Policy::new(tls, certificates.iter().filter_map(key_kind));
        let needs_it = has_both && !policy.has_all_hashes();
        Ok(Self {
            plain: Orders::new(&parts, &[])?,
            with_alpn: (!protocols.is_empty()).then(with_alpn).transpose()?,
            without_tls13: needs_it.then(without_tls13).transpose()?,
            requires_protocol: alpn.required,
            record_max: u16::try_from(tls.record_size_max).unwrap_or(u16::MAX),
            policy,
            protocols,
            by_name,
            has_candidates: !candidates.is_empty(),
            verifies: trust.verifies(),
        })
    }

    /// Reports whether a session's client certificate counts as verified.
    pub(crate) fn verifies(&self) -> bool {
        self.verifies
    }

    /// Reports whether a certificate has a candidate.
    pub(crate) fn has_candidates(&self) -> bool {
        self.has_candidates
    }

    /// Reports whether a client must be refused because it offers none of the protocols.
    pub(crate) fn lacks_protocol(&self, needs: &Needs) -> bool {
        self.requires_protocol && !needs.is_probe && !self.is_offered(needs)
    }

    /// Returns the maximum plaintext of a record for a client, in bytes.
    pub(crate) fn record_max(&self, needs: &Needs) -> u16 {
        needs.record_max.unwrap_or(u16::MAX).min(self.record_max)
    }

    /// Returns what is offered.
    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    fn is_offered(&self, needs: &Needs) -> bool {
        let mut protocols = needs.protocols.iter();
        protocols.any(|protocol| self.protocols.contains(protocol))
    }

    /// Reports whether a certificate covers a name in lower case.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.by_name.has_name(name)
    }

    /// Returns the configuration for a client. The server's order of suites costs the least, but a client
    /// without AES hardware puts ChaCha20-Poly1305 first (as BoringSSL does), since that costs it a fraction of
    /// AES-GCM. A session must be resumed with the hash of its original suite: with another one, after a
    /// HelloRetryRequest, the client would have to withdraw its offer to resume, which rustls rejects.
    ///
    /// If no suite with that hash is served any more, and the client has sent no share of a group that is served, TLS 1.3 would
    /// lock it out for as long as it keeps the session: so it gets TLS 1.2.
    pub(crate) fn to(&self, needs: &Needs) -> Arc<ServerConfig> {
        let is_offered = self.is_offered(needs);
        let would_retry = |session| self.policy.would_retry(needs.offered, session);
        let would_withdraw = needs.offered.tls12 && needs.session.is_some_and(would_retry);
        if let Some(configs) = self.without_tls13.as_ref().filter(|_| would_withdraw) {
            return Arc::clone(&configs[usize::from(is_offered)]);
        }
        let with_alpn = self.with_alpn.as_ref().filter(|_| is_offered);
        let orders = with_alpn.unwrap_or(&self.plain);
        // Without ChaCha20-Poly1305, the client's order may put a suite with another hash first.
        let keeps_hash = needs.session != Some(Hash::Sha256) || self.policy.has(Suite::ChaCha20);
        Arc::clone(if needs.session == Some(Hash::Sha384) {
            &orders.aes256_first
        } else if needs.chacha_first && keeps_hash {
            &orders.by_client
        } else {
            &orders.aes128_first
        })
    }
}

/// What all configurations of a host have in common.
struct Parts<'p> {
    tls: &'p Tls,
    verifier: Arc<dyn ClientCertVerifier>,
    resolver: Arc<ByName>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl Orders {
    fn new(parts: &Parts<'_>, protocols: &[Vec<u8>]) -> Result<Self, Error> {
        let config = |provider, is_by_client| parts.config(provider, is_by_client, protocols);
        let (aes128_first, aes256_first) = (provider(), aes256_first());
        Ok(Self {
            aes128_first: config(&aes128_first, false)?,
            aes256_first: config(&aes256_first, false)?,
            by_client: config(&aes128_first, true)?,
        })
    }
}

impl Parts<'_> {
    fn config(
        &self,
        provider: &CryptoProvider,
        is_by_client: bool,
        protocols: &[Vec<u8>],
    ) -> Result<Arc<ServerConfig>, Error> {
        let versions = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
        let versions = versions
            .into_iter()
            .filter(|(version, _)| self.tls.has(*version));
        let versions: Vec<_> = versions.map(|(_, version)| version).collect();
        let mut config = ServerConfig::builder_with_provider(self.restricted(provider))
            .with_protocol_versions(&versions)
            .map_err(Error::Versions)?
            .with_client_cert_verifier(Arc::clone(&self.verifier))
            .with_cert_resolver(Arc::<ByName>::clone(&self.resolver));
        config.ignore_client_order = !is_by_client;
        config.alpn_protocols = protocols.to_vec();
        // Tickets replace a session cache, which would need a lock shared by all threads.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(tickets) = &self.tickets {
            config.ticketer = Arc::clone(tickets);
            // One is enough, since each resumption issues a new one (RFC 8446, appendix C.4).
            config.send_tls13_tickets = usize::from(self.tls.tickets == Tickets::All);
        }
        Ok(Arc::new(config))
    }

    /// Returns a provider with the suites and groups that are on. A suite of a version that is off must not be there: rustls
    /// would take it for one that fits any key.
    fn restricted(&self, provider: &CryptoProvider) -> Arc<CryptoProvider> {
        let mut provider = provider.clone();
        let is_on = |number: u16| {
            let mut suites = self.tls.suites.iter();
            suites.any(|suite: &Suite| suite.number() == number && self.tls.has(suite.version()))
        };
        provider
            .cipher_suites
            .retain(|suite| is_on(suite.suite().into()));
        let is_on = |number: u16| {
            let mut groups = self.tls.groups.iter();
            groups.any(|group: &Group| group.number() == number)
        };
        provider
            .kx_groups
            .retain(|group| is_on(group.name().into()));
        Arc::new(provider)
    }
}
