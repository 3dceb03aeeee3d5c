//! What a terminator is set up with, beside a certificate: its configuration, files beside it, and what its clients offer for
//! it. It must not start or measure anything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::tests::pki::{Ca, DAY, Leaf};
use clap::ValueEnum;
use mqtt_tls_config::{
    AVOIDED_MAX, AlpnProtocol, Avoided, Candidate, ClientAuth, ClientAuthMode, ClientRule, Config,
    Group, HOSTS_MAX, Host, Identity, Mismatch, Naming, NamingAction, Pem, Revocation, RuleField,
    RuleMatching, SHARE_ALL, Suite, TICKET_PERIOD, TicketKey, Tickets, TlsVersion, Trial,
    WhenUnknown,
};

use crate::clients::serial;

/// Number of rules for clients; the last one matches.
const RULES: usize = 16;
/// Number of revoked certificates.
const REVOKED: u64 = 10_000;
/// The protocol that is negotiated.
const PROTOCOL: &str = "mqtt";
/// The ID of the trial.
const TRIAL: &str = "renewed-1";

/// Features that are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Setup {
    /// None; clients of TLS 1.3 get tickets.
    Bare,
    /// 64 hosts, each with a certificate of its own; clients request the last one.
    Hosts,
    /// One version, suite and group, and a required ALPN protocol.
    Policy,
    /// Ticket keys that are shared with other terminators.
    Tickets,
    /// Clients need a certificate: 16 rules, of which the last one matches, and a list of 10,000 revoked certificates.
    Clients,
    /// `clients`, and user name and client ID from the certificate.
    Identity,
    /// A renewed certificate that half of the clients get, beside as many devices as can be remembered.
    Trial,
    /// All of it.
    All,
}

/// What clients offer.
#[derive(Clone, Copy)]
pub(crate) struct Offer<'a> {
    /// The name that they request.
    pub(crate) name: &'a str,
    pub(crate) identity: Option<&'a Leaf>,
    /// The protocol for ALPN.
    pub(crate) protocol: Option<&'static str>,
}

/// Certificates of servers and clients.
pub(crate) struct Pki {
    /// Issues the servers' certificates.
    pub(crate) ca: Ca,
    /// The certificate of each server.
    pub(crate) leaf: Leaf,
    /// The renewed one, with the names of all.
    renewed: Leaf,
    hosts: Vec<(String, Leaf)>,
    /// Issues the certificate of an intermediate that issues the clients'.
    devices: Ca,
    device: Leaf,
    /// The file of revocation lists.
    lists: String,
}

impl Setup {
    /// Reports whether some of these features are on.
    fn has(self, feature: Self) -> bool {
        match self {
            Self::Identity => matches!(feature, Self::Identity | Self::Clients),
            Self::All => true,
            _ => self == feature,
        }
    }

    /// Reports whether clients need a certificate.
    pub(crate) fn needs_certificates(self) -> bool {
        self.has(Self::Clients)
    }

    /// Returns its name in the arguments and in the table.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.expect("none is skipped").get_name().to_owned()
    }

    /// Completes the configuration of a terminator.
    pub(crate) fn configure(self, config: &mut Config, pki: &Pki) {
        config.tls.tickets = Tickets::All;
        if self.has(Self::Hosts) {
            let hosts = pki.hosts.iter().map(|(name, leaf)| Host {
                pem: Some(Pem::new(leaf.bundle())),
                ..Host::new(vec![name.clone()])
            });
            config.hosts = hosts.collect();
        }
        if self.has(Self::Trial) {
            let candidate = Candidate {
                id: TRIAL.to_owned(),
                pem: Pem::new(pki.renewed.bundle()),
            };
            config.candidate = Some(candidate.clone());
            if let Some(last) = config.hosts.last_mut() {
                last.candidate = Some(candidate);
            }
        }
        if self.has(Self::Policy) {
            config.tls.min_version = TlsVersion::Tls13;
            config.tls.suites = vec![Suite::Aes128];
            config.tls.groups = vec![Group::X25519];
            config.tls.alpn.required = true;
            config.tls.alpn.protocols = vec![AlpnProtocol {
                name: PROTOCOL.to_owned(),
                backend: None,
            }];
        }
        if self.has(Self::Clients) {
            config.client_auth = client_auth(&pki.devices);
        }
        if self.has(Self::Identity) {
            config.identity = Some(Identity {
                user_name: Some(naming("factory-{cn}")),
                client_id: Some(naming("{san.dns}")),
                ..Identity::default()
            });
        }
    }

    /// Returns the options of a terminator that name a file, each with its text.
    pub(crate) fn files(self, pki: &Pki) -> Vec<(&'static str, Pem)> {
        let mut files = Vec::new();
        if self.has(Self::Tickets) {
            files.push(("--ticket-keys", ticket_keys()));
        }
        if self.has(Self::Clients) {
            files.push(("--crls", Pem::new(pki.lists.clone())));
        }
        if self.has(Self::Trial) {
            files.push(("--trials", Pem::new(trials())));
        }
        files
    }

    /// Returns what its clients offer.
    pub(crate) fn offer(self, pki: &Pki) -> Offer<'_> {
        let last = pki.hosts.last().filter(|_| self.has(Self::Hosts));
        Offer {
            name: last.map_or("localhost", |(name, _)| name),
            identity: Some(&pki.device).filter(|_| self.needs_certificates()),
            protocol: Some(PROTOCOL).filter(|_| self.has(Self::Policy)),
        }
    }
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::issue(false)
    }

    fn issue(is_client_revoked: bool) -> Self {
        let (ca, devices) = (Ca::new("benchmark"), Ca::new("devices"));
        let line = devices.intermediate("line");
        let device = line.leaf().common_name("pump-7").client_auth();
        let device = device.dns(&format!("pump-7{}", line_of(RULES - 1))).issue();
        let mut revoked: Vec<_> = (0..REVOKED)
            .map(|number| serial(number, true).to_vec())
            .collect();
        if is_client_revoked {
            revoked.push(device.serial.clone());
        }
        let hosts = (0..HOSTS_MAX).map(|number| format!("host-{number}.example"));
        Self {
            leaf: ca.leaf().dns("localhost").issue(),
            renewed: ca.leaf().dns("localhost").dns("*.example").issue(),
            hosts: hosts
                .map(|name| (name.clone(), ca.leaf().dns(&name).issue()))
                .collect(),
            device,
            lists: lists(&devices, &line, &revoked),
            ca,
            devices,
        }
    }
}

/// Returns the file of revocation lists: one of each CA, and the certificate of the one that is not configured.
fn lists(devices: &Ca, line: &Ca, revoked: &[impl AsRef<[u8]>]) -> String {
    let now = SystemTime::now();
    let list = line.crl_of_serials(revoked, now - Duration::from_secs(3600), now + DAY);
    line.cert_pem() + &list + &devices.crl(&[])
}

/// The end of the names in a line's certificates.
fn line_of(number: usize) -> String {
    format!(".line-{number}.example")
}

/// A client whose status is unknown is refused, so that a list that is not loaded shows.
fn client_auth(ca: &Ca) -> ClientAuth {
    let rules = (0..RULES).map(|number| ClientRule {
        field: RuleField::Dns,
        matching: RuleMatching::Suffix,
        value: line_of(number),
    });
    ClientAuth {
        mode: ClientAuthMode::Require,
        ca: Some(Pem::new(ca.cert_pem())),
        rules: rules.collect(),
        revocation: Some(Revocation {
            when_outdated: WhenUnknown::Refuse,
            when_unlisted: WhenUnknown::Refuse,
            ..Revocation::default()
        }),
        ..ClientAuth::default()
    }
}

/// The name of the certificate replaces that of the client.
fn naming(template: &str) -> Naming {
    Naming {
        template: template.to_owned(),
        mismatch: Mismatch::Overwrite,
        action: NamingAction::default(),
    }
}

/// A trial, and as many devices as there may be, of which none comes.
fn trials() -> String {
    let devices = (0..AVOIDED_MAX).map(|_| Avoided {
        key: fastrand::u64(..),
        until: u64::from(u32::MAX),
    });
    Trial::file(&[Trial {
        id: TRIAL.to_owned(),
        share: SHARE_ALL / 2,
        remember: 3600,
        avoided: devices.collect(),
    }])
}

/// The key before, the current and the next one, as the operator has them.
fn ticket_keys() -> Pem {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs();
    let period = TICKET_PERIOD.as_secs();
    let begins = [now - period - 60, now - 60, now + period - 60];
    let keys = begins.map(|from| TicketKey::new(from, std::array::from_fn(|_| fastrand::u8(..))));
    TicketKey::file(&keys)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ::tests::process::Process;
    use ::tests::{mqtt, ports, programs, workdir};
    use tokio::net::TcpListener;

    use super::*;
    use crate::backend::Backends;
    use crate::load::{self, Load};
    use crate::peers::{self, Place};

    const LONG: Duration = Duration::from_secs(20);

    fn start(setup: Setup, pki: &Pki, backend: SocketAddr) -> (Process, SocketAddr) {
        let addr = ports::free_addr();
        let place = Place {
            folder: &workdir::scratch("terminator"),
            pki,
            addr,
            backend,
        };
        let command = peers::terminator(programs::terminator(), setup, &place);
        let process = Process::spawn("terminator", command);
        process.wait_for_port(addr, LONG);
        (process, addr)
    }

    #[tokio::test]
    async fn each_set_up_serves_what_its_clients_offer() {
        let (pki, backends) = (Pki::new(), Backends::start());
        for &setup in Setup::value_variants() {
            let backend = backends.listen();
            let (terminator, addr) = start(setup, &pki, backend.addr());
            if setup.has(Setup::Tickets) {
                terminator.wait_for_line("loaded shared session ticket keys", LONG);
            }
            if setup.has(Setup::Trial) {
                terminator.wait_for_line("loaded trials of certificates", LONG);
            }
            let offer = setup.offer(&pki);
            let suite = load::look(&pki.ca, addr, offer).await;
            assert_eq!(
                suite.ok().as_deref(),
                Some("AES_128_GCM_SHA256"),
                "{setup:?}"
            );
            let load = Load::tls(&pki.ca, addr, offer);
            load.trips(3).await.expect("messages are acknowledged");
            load.send_mib(1).await.expect("messages are forwarded");
            load.receive_mib(1).await.expect("messages are delivered");
            load.fetch_tickets().await.expect("clients are served");
            let is_resumed = load.resumed_visits(1).await.is_ok();
            assert_eq!(is_resumed, !setup.needs_certificates(), "{setup:?}");
        }
    }

    #[tokio::test]
    async fn other_clients_are_refused() {
        let (pki, backends) = (Pki::new(), Backends::start());
        let backend = backends.listen();
        let (_terminator, addr) = start(Setup::All, &pki, backend.addr());
        let offer = Setup::All.offer(&pki);
        let stranger = pki
            .devices
            .leaf()
            .client_auth()
            .dns("pump-7.example")
            .issue();
        for other in [
            Offer {
                identity: None,
                ..offer
            },
            Offer {
                identity: Some(&stranger),
                ..offer
            },
            Offer {
                protocol: None,
                ..offer
            },
            // The certificate is another one's.
            Offer {
                name: "host.example",
                ..offer
            },
        ] {
            assert!(load::look(&pki.ca, addr, other).await.is_err());
        }
        load::look(&pki.ca, addr, offer)
            .await
            .expect("this one is served");
        let pki = Pki::issue(true);
        let (_terminator, addr) = start(Setup::Clients, &pki, backend.addr());
        let revoked = Setup::Clients.offer(&pki);
        let refused = load::look(&pki.ca, addr, revoked).await;
        let error = refused.expect_err("it is revoked").to_string();
        assert!(error.contains("CertificateRevoked"), "{error}");
    }

    #[tokio::test]
    async fn names_come_from_the_certificate() {
        let pki = Pki::new();
        let broker = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let backend = broker.local_addr().expect("it is bound");
        let (_terminator, addr) = start(Setup::Identity, &pki, backend);
        let offer = Setup::Identity.offer(&pki);
        let client = load::look(&pki.ca, addr, offer);
        let served = async {
            let (mut stream, _) = broker.accept().await.expect("the broker is dialed");
            mqtt::next_packet(&mut stream)
                .await
                .expect("the CONNECT is forwarded")
        };
        tokio::select! {
            _ = client => panic!("the broker has not answered"),
            connect = served => {
                let text = String::from_utf8_lossy(&connect.body).into_owned();
                let names = ["pump-7.line-15.example", "factory-pump-7"];
                assert!(names.iter().all(|name| text.contains(name)), "{text}");
            }
        }
    }
}
