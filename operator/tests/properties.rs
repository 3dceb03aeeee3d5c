//! Properties of every plan, for arbitrary worlds: planning does not panic and is deterministic, names are valid, and
//! keys occur in Secrets only.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::core::ObjectMeta;
use mqtt_tls_config::{ClientAuthMode as Mode, Config};
use mqtt_tls_operator::crd::{
    Admin, Alpn, AlpnProtocol, Backend, BackendAddress, BackendService, CaKind, CaRef,
    CertificateSource, ClientAuth, ClientAuthMode, ClientRule, CrlRef, CrlUrl, Host, HostTls,
    Identity, IdentityMode, IssuerRef, KeyAlgorithm, Limits, Mismatch, MqttTlsListener,
    MqttTlsListenerSpec, Naming, NamingAction, PodTemplate, PrivateKey, Protocol, Revocation,
    RuleField, ServiceTemplate, SharedNames, Tickets, Timeouts, Tls, TlsVersion, Trial,
    TrialStrategy, UnknownNames, WhenUnknown, WithoutCertificate,
};
use mqtt_tls_operator::kinds::{Child, Kind};
use mqtt_tls_operator::plan::conditions;
use mqtt_tls_operator::plan::conditions::judged::{Judged, Outcome};
use mqtt_tls_operator::plan::issued;
use mqtt_tls_operator::plan::names::Name;
use mqtt_tls_operator::plan::notices::notices;
use mqtt_tls_operator::plan::objects::Applied;
use mqtt_tls_operator::plan::reason::ConditionType;
use mqtt_tls_operator::plan::report::LOOK_AGAIN;
use mqtt_tls_operator::plan::tickets::Randomness;
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_operator::plan::{Plan, plan};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use support::{ELSEWHERE, NAMESPACE, Pki, applied, check, environment, grants, planned};

static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

const SECRETS: [&str; 3] = ["a-tls", "b-tls", "device-ca"];

/// Typical content of Secrets.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "@edge.pem",
        "@edge.crt",
        "@edge.key",
        "@second.pem",
        "@second.key",
        "@expired.pem",
        "@future.pem",
        "@ca.crt",
        "@ca.crl",
        "@ca-outdated.crl",
        "@demo-broken.pem",
    ];
    prop_oneof![
        6 => prop::sample::select(known.to_vec()).prop_map(|name| PKI.text(name).into_bytes()),
        1 => any::<Vec<u8>>(),
        1 => Just(Vec::new()),
    ]
}

fn secret() -> impl Strategy<Value = Secret> {
    let keys = prop::sample::select(vec![
        "tls.crt", "tls.key", "pem", "ca.crt", "ca.crl", "other",
    ]);
    let any = btree_map(
        keys.prop_map(str::to_owned),
        content().prop_map(ByteString),
        0..4,
    );
    prop_oneof![3 => good(), 1 => any].prop_map(|data| Secret {
        data: Some(data),
        ..Secret::default()
    })
}

/// A Secret that is usable as a certificate and as a CA bundle.
fn good() -> impl Strategy<Value = BTreeMap<String, ByteString>> {
    let pems = vec![
        "@edge.pem",
        "@edge-renewed.pem",
        "@second.pem",
        "@expired.pem",
        "@future.pem",
    ];
    let bytes = |name: &str| ByteString(PKI.text(name).into_bytes());
    prop::sample::select(pems).prop_map(move |name| {
        [
            ("pem".to_owned(), bytes(name)),
            ("ca.crt".to_owned(), bytes("@ca.crt")),
            ("ca.crl".to_owned(), bytes("@ca.crl")),
        ]
        .into()
    })
}

fn name() -> impl Strategy<Value = String> {
    let nearly = [
        "", ".", "a.", "a.b", "a-", "-a", "1", "a.1", "a..b", "fd00::1",
    ];
    prop_oneof![
        20 => Just("edge".to_owned()),
        1 => prop::sample::select(nearly.to_vec()).prop_map(str::to_owned),
        1 => "[a-z0-9.-]{0,70}",
        1 => any::<String>(),
    ]
}

fn secret_ref() -> impl Strategy<Value = String> {
    prop::sample::select(SECRETS.to_vec()).prop_map(str::to_owned)
}

fn backend() -> impl Strategy<Value = Backend> {
    let port = || prop_oneof![9 => 1..=u16::MAX, 1 => Just(0)];
    let service = (name(), port()).prop_map(|(name, port)| BackendService { name, port });
    let address = (name(), port()).prop_map(|(host, port)| BackendAddress { host, port });
    // One of them, both, or neither.
    let which =
        prop_oneof![9 => Just((true, false)), 4 => Just((false, true)), 1 => any::<(bool, bool)>()];
    (which, service, address).prop_map(|((is_service, is_address), service, address)| Backend {
        service: is_service.then_some(service),
        address: is_address.then_some(address),
    })
}

fn client_auth() -> BoxedStrategy<ClientAuth> {
    let modes = vec![
        ClientAuthMode::None,
        ClientAuthMode::Optional,
        ClientAuthMode::Require,
        ClientAuthMode::DryRun,
    ];
    let ca = || {
        (secret_ref(), elsewhere()).prop_map(|(name, namespace)| CaRef {
            namespace,
            kind: CaKind::Secret,
            name,
            key: "ca.crt".to_owned(),
        })
    };
    (
        prop::sample::select(modes),
        option::weighted(0.95, ca()),
        vec(ca(), 0..3),
        any::<bool>(),
        vec(rule(), 0..3),
        option::weighted(0.4, revocation()),
    )
        .prop_map(
            |(mode, ca_ref, ca_refs, accept_server_purpose, rules, revocation)| ClientAuth {
                mode,
                ca_ref,
                ca_refs,
                accept_server_purpose,
                rules,
                revocation,
            },
        )
        .boxed()
}

/// Mostly the listener's own namespace.
fn elsewhere() -> impl Strategy<Value = Option<String>> {
    option::weighted(0.1, Just(ELSEWHERE.to_owned()))
}

/// Mostly valid.
fn rule() -> impl Strategy<Value = ClientRule> {
    let fields = vec![RuleField::CommonName, RuleField::Dns, RuleField::Ip];
    let value = || option::weighted(0.05, Just("p7".to_owned()));
    let exact = option::weighted(
        0.95,
        prop_oneof![9 => Just("192.0.2.1".to_owned()), 1 => any::<String>()],
    );
    (prop::sample::select(fields), exact, value(), value()).prop_map(
        |(field, exact, prefix, suffix)| ClientRule {
            field,
            exact,
            prefix,
            suffix,
        },
    )
}

fn revocation() -> impl Strategy<Value = Revocation> {
    let list = (secret_ref(), elsewhere()).prop_map(|(name, namespace)| CrlRef {
        namespace,
        kind: CaKind::Secret,
        name,
        key: "ca.crl".to_owned(),
    });
    let url = prop::sample::select(vec!["http://a.example/l", "https://b.example/l"]);
    let refresh = prop_oneof![4 => Just(None), 1 => Just(Some("30m".to_owned())), 1 => Just(Some("1s".to_owned()))];
    let url = (url, refresh).prop_map(|(url, refresh)| CrlUrl {
        url: url.to_owned(),
        ca_ref: url.starts_with("https").then(|| CaRef {
            namespace: None,
            kind: CaKind::Secret,
            name: "device-ca".to_owned(),
            key: "ca.crt".to_owned(),
        }),
        refresh,
    });
    let unknown = || {
        option::of(prop::sample::select(vec![
            WhenUnknown::Accept,
            WhenUnknown::Refuse,
        ]))
    };
    (vec(list, 0..2), vec(url, 0..2), unknown(), unknown()).prop_map(
        |(crl_refs, crl_urls, when_outdated, when_unlisted)| Revocation {
            crl_refs,
            crl_urls,
            check: None,
            when_outdated,
            when_unlisted,
        },
    )
}

/// Mostly valid where clients have certificates.
fn identity() -> BoxedStrategy<Identity> {
    let template = prop::sample::select(vec!["{cn}", "a/{cn}", "{san.dns}", "{spki}"]);
    let template = prop_oneof![30 => template.prop_map(str::to_owned), 1 => any::<String>()];
    let naming = move || {
        let action = prop::sample::select(vec![NamingAction::Set, NamingAction::Require]);
        let mismatch = prop::sample::select(vec![Mismatch::Refuse, Mismatch::Overwrite]);
        let naming = (
            template.clone(),
            option::weighted(0.3, action),
            option::weighted(0.2, mismatch),
        );
        naming.prop_map(|(template, action, mismatch)| Naming {
            template,
            action,
            mismatch,
        })
    };
    let guests =
        (any::<bool>(), any::<bool>()).prop_map(|(user_name, client_id)| WithoutCertificate {
            user_name: user_name.then(|| "guest".to_owned()),
            client_id_prefix: client_id.then(|| "guest-".to_owned()),
        });
    let named = (
        option::weighted(0.8, naming()),
        option::weighted(0.6, naming()),
        option::weighted(0.2, guests),
    );
    let named = named.prop_map(|(user_name, client_id, without_certificate)| Identity {
        mode: None,
        user_name,
        client_id,
        without_certificate,
    });
    let none = Just(Identity {
        mode: Some(IdentityMode::None),
        ..Identity::default()
    });
    prop_oneof![4 => named, 1 => none].boxed()
}

/// Names of hosts, of which one exact name is below a wildcard.
const NAMES: [&str; 3] = ["x.a.example", "*.a.example", "b.example"];

fn hosts() -> impl Strategy<Value = Vec<Host>> {
    let host = (
        prop::sample::subsequence(NAMES.to_vec(), 1..3),
        prop::sample::subsequence(SECRETS.to_vec(), 0..3),
        option::of(client_auth()),
        option::weighted(0.3, identity()),
        option::of(backend()),
        option::weighted(0.2, alpn()),
    );
    let host = host.prop_map(
        |(names, secrets, client_auth, identity, backend, alpn)| Host {
            names: names.into_iter().map(str::to_owned).collect(),
            certificates: certificates(secrets.into_iter().map(str::to_owned)),
            client_auth,
            identity,
            backend,
            tls: HostTls { alpn },
        },
    );
    let host = host.boxed();
    // Mostly without overlaps.
    let apart = vec(host.clone(), 1..4).prop_map(|mut hosts: Vec<Host>| {
        let mut known = Vec::new();
        for host in &mut hosts {
            host.names.retain(|name| !known.contains(name));
            known.extend_from_slice(&host.names);
        }
        hosts.retain(|host| !host.names.is_empty());
        hosts
    });
    prop_oneof![3 => Just(Vec::new()), 9 => apart, 1 => vec(host, 0..4)]
}

fn certificates(names: impl Iterator<Item = String>) -> Vec<CertificateSource> {
    names.map(|name| CertificateSource::secret(&name)).collect()
}

/// Certificates of Secrets, and some that cert-manager issues.
fn sources(
    names: impl Strategy<Value = Vec<String>>,
) -> impl Strategy<Value = Vec<CertificateSource>> {
    let algorithm = prop::sample::select(vec![KeyAlgorithm::Ecdsa, KeyAlgorithm::Rsa]);
    let dns_names = prop::sample::select(vec!["", "edge.example.com", "b.example.com", "B"]);
    let issued = (algorithm, dns_names).prop_map(|(algorithm, name)| CertificateSource {
        issuer_ref: Some(IssuerRef {
            name: "ca".to_owned(),
            kind: None,
            group: None,
        }),
        dns_names: (!name.is_empty())
            .then(|| name.to_owned())
            .into_iter()
            .collect(),
        private_key: Some(PrivateKey {
            algorithm: Some(algorithm),
            size: None,
        }),
        ..CertificateSource::default()
    });
    let foreign = prop::sample::select(SECRETS.to_vec()).prop_map(|name| {
        let mut source = CertificateSource::secret(name);
        source.secret_ref.as_mut().unwrap().namespace = Some(ELSEWHERE.to_owned());
        source
    });
    let issued = prop_oneof![1 => issued, 1 => foreign];
    let issued = prop_oneof![3 => Just(Vec::new()), 1 => vec(issued, 0..3)];
    (names, issued).prop_map(|(names, issued)| {
        let mut sources = certificates(names.into_iter());
        sources.splice(0..0, issued);
        sources
    })
}

fn alpn() -> impl Strategy<Value = Alpn> {
    let name = prop::sample::select(vec!["mqtt", "x-amzn-mqtt-ca", "h2"]).prop_map(str::to_owned);
    let name = prop_oneof![20 => name, 1 => any::<String>()];
    let protocol = (name, option::of(backend()));
    let protocol = protocol.prop_map(|(name, backend)| AlpnProtocol { name, backend });
    (vec(protocol, 0..3), any::<bool>()).prop_map(|(protocols, required)| Alpn {
        protocols,
        required,
    })
}

fn tls() -> impl Strategy<Value = Tls> {
    let tickets = prop::sample::select(vec![Tickets::None, Tickets::Tls12, Tickets::All]);
    let version = || {
        option::weighted(
            0.2,
            prop::sample::select(vec![TlsVersion::Tls12, TlsVersion::Tls13]),
        )
    };
    let names = |known: &[&'static str]| {
        let known = prop::sample::select(known.to_vec()).prop_map(str::to_owned);
        option::weighted(
            0.2,
            vec(prop_oneof![20 => known, 1 => any::<String>()], 0..4),
        )
    };
    let suites = names(&[
        "TLS_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ]);
    let groups = names(&["X25519MLKEM768", "x25519", "secp256r1"]);
    let size = option::weighted(0.2, prop_oneof![20 => 512..=16_384_u32, 1 => any::<u32>()]);
    (
        version(),
        version(),
        suites,
        groups,
        option::of(tickets),
        size,
        option::weighted(0.3, alpn()),
    )
        .prop_map(
            |(min_version, max_version, suites, groups, tickets, record_size_max, alpn)| Tls {
                min_version,
                max_version,
                suites,
                groups,
                tickets,
                record_size_max,
                alpn,
            },
        )
}

fn timeouts() -> impl Strategy<Value = Timeouts> {
    let good = prop::sample::select(vec!["100ms", "1m30s", "10m"]).prop_map(str::to_owned);
    let duration = || option::weighted(0.2, prop_oneof![20 => good.clone(), 1 => any::<String>()]);
    (duration(), duration(), duration(), duration()).prop_map(
        |(handshake, first_packet, dial, half_close)| Timeouts {
            handshake,
            first_packet,
            dial,
            half_close,
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let count = || option::weighted(0.2, prop_oneof![20 => 1..1_000_000_u32, 1 => any::<u32>()]);
    let all = (count(), count(), count(), count());
    all.prop_map(
        |(connections, handshakes, connect_bytes, recheck_closes)| Limits {
            connections,
            handshakes,
            connect_bytes,
            recheck_closes,
        },
    )
}

/// Mostly valid.
fn trial() -> impl Strategy<Value = Trial> {
    let steps = prop::sample::select(vec![vec![100], vec![1, 5, 25, 100], vec![50, 100]]);
    let steps = prop_oneof![20 => steps, 1 => vec(any::<u16>(), 0..10)];
    let count = prop_oneof![20 => 10..=1_000_000_u32, 1 => any::<u32>()];
    let good = prop::sample::select(vec!["1m", "10m", "24h"]).prop_map(str::to_owned);
    let duration = || option::weighted(0.2, prop_oneof![20 => good.clone(), 1 => any::<String>()]);
    let gradual = (
        option::of(Just(TrialStrategy::Gradual)),
        option::of(steps),
        option::of(count),
        (duration(), duration(), duration()),
    );
    let gradual = gradual.prop_map(
        |(strategy, steps, min_handshakes, (min_step, max_step, remember))| Trial {
            strategy,
            steps,
            min_handshakes,
            min_step,
            max_step,
            remember,
        },
    );
    let immediate = Just(Trial {
        strategy: Some(TrialStrategy::Immediate),
        ..Trial::default()
    });
    prop_oneof![4 => gradual, 1 => immediate]
}

/// The fields about server certificates.
fn served() -> impl Strategy<
    Value = (
        Vec<CertificateSource>,
        Option<bool>,
        Option<String>,
        Option<Trial>,
    ),
> {
    let distinct = prop::sample::subsequence(SECRETS.to_vec(), 1..3);
    let distinct = distinct.prop_map(|names| names.into_iter().map(str::to_owned).collect());
    let names = prop_oneof![9 => distinct, 1 => vec(secret_ref(), 0..4)];
    let grace = prop::sample::select(vec!["0s", "24h", "1d"]).prop_map(str::to_owned);
    (
        sources(names),
        option::weighted(0.2, any::<bool>()),
        option::weighted(0.2, grace),
        option::weighted(0.2, trial()),
    )
}

fn spec() -> BoxedStrategy<MqttTlsListenerSpec> {
    let any_host = prop_oneof![9 => Just("0.0.0.0".to_owned()), 1 => any::<String>()];
    let host = option::weighted(0.2, any_host);
    let port = prop_oneof![20 => 1..9000_u16, 1 => any::<u16>()];
    let replicas = prop_oneof![20 => 0..5, 1 => any::<i32>()];
    let protocol = prop::sample::select(vec![Protocol::Mqtt, Protocol::Websocket, Protocol::Tcp]);
    let connections = (tls(), timeouts(), limits(), option::weighted(0.1, protocol));
    let shared = prop::sample::select(vec![SharedNames::Refuse, SharedNames::Accept]);
    let names_of_clients = (
        option::weighted(0.3, identity()),
        option::weighted(0.3, shared),
        any::<bool>(),
    );
    let unknown_names = prop::sample::select(vec![UnknownNames::Serve, UnknownNames::Refuse]);
    (
        host,
        port,
        served(),
        (client_auth(), names_of_clients),
        backend(),
        (hosts(), unknown_names),
        replicas,
        connections,
    )
        .prop_map(
            |(
                host,
                port,
                (certificates, publish_ca, reference_grace, trial),
                (client_auth, of_clients),
                backend,
                hosts,
                replicas,
                connections,
            )| {
                MqttTlsListenerSpec {
                    host,
                    port,
                    certificates,
                    publish_ca,
                    reference_grace,
                    trial,
                    client_auth,
                    identity: of_clients.0,
                    shared_names: of_clients.1,
                    admin: Admin {
                        connections: of_clients.2,
                    },
                    protocol: connections.3,
                    hosts: hosts.0,
                    unknown_names: hosts.1,
                    tls: connections.0,
                    timeouts: connections.1,
                    limits: connections.2,
                    backend,
                    replicas,
                    service: ServiceTemplate::default(),
                    pod: PodTemplate::default(),
                }
            },
        )
        // A value of it takes much of a thread's stack.
        .boxed()
}

fn listener() -> impl Strategy<Value = MqttTlsListener> {
    (name(), spec()).prop_map(|(name, spec)| MqttTlsListener {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some("iot".to_owned()),
            uid: Some("uid-1".to_owned()),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    })
}

/// A change between two reconciliations.
#[derive(Clone, Debug)]
enum Change {
    Secret(String, Box<Secret>),
    Gone(String),
    /// cert-manager issues one of the certificates, well or badly.
    Issued(usize, Box<Secret>),
    CertManager(bool),
    /// A Secret of another namespace, which is read while a grant permits it.
    Foreign(String, Box<Secret>),
    Grant(bool),
    Spec(Box<MqttTlsListenerSpec>),
    /// Someone edits the config Secret.
    Vandal(Vec<u8>),
    Time(i64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (secret_ref(), secret()).prop_map(|(name, secret)| Change::Secret(name, Box::new(secret))),
        1 => secret_ref().prop_map(Change::Gone),
        2 => (0..4_usize, secret()).prop_map(|(index, secret)| Change::Issued(index, Box::new(secret))),
        1 => any::<bool>().prop_map(Change::CertManager),
        2 => (secret_ref(), secret()).prop_map(|(name, secret)| Change::Foreign(name, Box::new(secret))),
        1 => any::<bool>().prop_map(Change::Grant),
        2 => spec().prop_map(|spec| Change::Spec(Box::new(spec))),
        1 => content().prop_map(Change::Vandal),
        1 => (0..4_000_000_000_i64).prop_map(Change::Time),
    ]
}

fn happen(world: &mut World, now: &mut Timestamp, change: Change) {
    match change {
        Change::Secret(name, secret) => {
            world.secrets.insert(Name::new(NAMESPACE, &name), *secret);
        }
        Change::Gone(name) => drop(world.secrets.remove(&Name::new(NAMESPACE, &name))),
        Change::Issued(index, secret) => {
            let issued = issued::all(&world.listener);
            if let Some(one) = issued.get(index) {
                world.secrets.insert(one.name.clone(), *secret);
            }
        }
        Change::Foreign(name, secret) => {
            let name = Name::new(ELSEWHERE, &name);
            if world.permits(Kind::Secret, &name) {
                world.secrets.insert(name, *secret);
            }
        }
        Change::Grant(is_granted) => {
            world.grants = grants(is_granted);
            world
                .secrets
                .retain(|name, _| is_granted || name.namespace != ELSEWHERE);
        }
        Change::CertManager(is_served) => world.has_cert_manager = is_served,
        Change::Spec(spec) => world.listener.spec = *spec,
        Change::Vandal(bytes) => {
            if let Some(mut secret) = world.children.config_secret().cloned() {
                let data = secret.data.get_or_insert_default();
                data.insert("config.yaml".to_owned(), ByteString(bytes));
                world.children.put(Child::Configuration, Arc::new(secret));
            }
        }
        Change::Time(second) => *now = Timestamp::from_second(second).unwrap(),
    }
}

/// Returns the rendered configuration, if it can be read.
fn config(world: &World) -> Option<Config> {
    let data = world.children.config_secret()?.data.as_ref()?;
    let text = std::str::from_utf8(&data["config.yaml"].0).ok()?;
    Config::parse(text).ok()
}

/// Asserts that revocation is judged by lists, wherever it is.
fn assert_lists(world: &World, config: &Config) {
    let hosts = config
        .hosts
        .iter()
        .filter_map(|host| host.client_auth.as_ref());
    let mut auths = std::iter::once(&config.client_auth).chain(hosts);
    let revokes = auths.any(|auth| auth.revocation.is_some());
    let data = world.children.config_secret().unwrap().data.as_ref();
    let has_lists = !config.crls.is_empty() || data.unwrap().contains_key("crls");
    assert!(!revokes || has_lists, "nothing would be revoked");
}

/// Asserts that the clients of each host are authenticated and named, and reach a broker, as it is wanted, or as they did before; and
/// that no name of a host is taken from it.
fn assert_apart(wanted: Option<&MqttTlsListenerSpec>, before: Option<&Config>, after: &Config) {
    // CA certificates are renewed in any case.
    let auth = |config: &Config, host: &mqtt_tls_config::Host| mqtt_tls_config::ClientAuth {
        ca: None,
        ..host
            .client_auth
            .clone()
            .unwrap_or_else(|| config.client_auth.clone())
    };
    let backend = |config: &Config, host: &mqtt_tls_config::Host| {
        let own = host.backend.clone();
        own.unwrap_or_else(|| config.backend.clone())
    };
    let identity = |config: &Config, host: &mqtt_tls_config::Host| {
        let own = host.identity.as_ref().or(config.identity.as_ref());
        own.filter(|identity| identity.gives_names()).cloned()
    };
    for host in &after.hosts {
        let found = (
            auth(after, host),
            backend(after, host),
            identity(after, host),
        );
        let is_as_before = before.is_some_and(|before| {
            let mut hosts = before.hosts.iter();
            hosts.any(|one| {
                let had = (
                    auth(before, one),
                    backend(before, one),
                    identity(before, one),
                );
                one.names == host.names && had == found
            })
        });
        let is_as_wanted = wanted.is_some_and(|spec| {
            let mut hosts = spec.hosts.iter();
            hosts.any(|one| {
                let auth = one.client_auth.as_ref().unwrap_or(&spec.client_auth);
                let mode = match auth.mode {
                    ClientAuthMode::None => Mode::None,
                    ClientAuthMode::Optional => Mode::Optional,
                    ClientAuthMode::Require => Mode::Require,
                    ClientAuthMode::DryRun => Mode::DryRun,
                };
                let has_backend = one.backend.is_some();
                let own = one.identity.as_ref().or(spec.identity.as_ref());
                let identity = own.map(Identity::to_file);
                one.names == host.names
                    && identity.filter(mqtt_tls_config::Identity::gives_names) == found.2
                    && mode == found.0.mode
                    && has_backend == host.backend.is_some()
            })
        });
        assert!(is_as_before || is_as_wanted, "{:?}", host.names);
    }
    let has = |config: &Config, name| {
        let mut hosts = config.hosts.iter();
        hosts.any(|host| host.names.contains(name))
    };
    let names = wanted.into_iter().flat_map(|spec| &spec.hosts);
    for name in names.flat_map(|host| &host.names) {
        let had = before.is_some_and(|before| has(before, name));
        assert!(!had || has(after, name), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_is_sound(listener in listener(), secrets in vec(secret(), 3), changes in vec(change(), 1..12)) {
        let mut world = World::new(listener);
        let names = SECRETS.into_iter().map(|name| Name::new(NAMESPACE, name));
        world.secrets = names.zip(secrets).collect();
        world.randomness = Some(Randomness::new([7; 64]));
        let mut now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        for change in changes {
            happen(&mut world, &mut now, change);
            let Plan { objects, report, previous } = plan(&world, &environment(), now);
            check(&world, &objects, &PKI);
            prop_assert!(report.look_again <= LOOK_AGAIN);
            let served_before = world.children.config_secret().is_some();
            let config_before = config(&world);
            // Whatever is wrong with a part of it, the certificates of what is served can be renewed.
            prop_assert!(config_before.is_none() || objects.config_secret.present().is_some());
            world.children = applied(&world.children, &objects, now);
            let is_served = world.children.config_secret().is_some();
            prop_assert!(!served_before || is_served);
            if let (true, Some(after)) = (objects.config_secret.present().is_some(), config(&world)) {
                let is_accepted = report.problems.iter().all(|one| one.about != ConditionType::Accepted);
                let wanted = is_accepted.then_some(&world.listener.spec);
                assert_apart(wanted, config_before.as_ref(), &after);
                assert_lists(&world, &after);
            }
            let running = world.children.deployment().is_some();
            prop_assert!(!running || is_served);
            let done = Applied { children: world.children.clone(), marked: BTreeMap::new() };
            let outcome = Outcome::Done(&done);
            let judged = Judged::new(&world, &report, &previous, &outcome, now);
            let status = conditions::status(&judged);
            let text = serde_json::to_string(&status).unwrap();
            prop_assert!(!PKI.shows_a_key(&text) && !text.contains("PRIVATE KEY---"));
            for notice in notices(world.listener.status.as_ref(), &status) {
                prop_assert!(!PKI.shows_a_key(&notice.message));
            }
            world.listener.status = Some(status.clone());
            // A second plan changes nothing, and makes no new keys.
            world.randomness = Some(Randomness::new([now.as_second().to_le_bytes()[0]; 64]));
            let again = plan(&world, &environment(), now);
            prop_assert_eq!(planned(&objects), planned(&again.objects));
            prop_assert_eq!(&report.problems, &again.report.problems);
            let judged = Judged::new(&world, &again.report, &again.previous, &outcome, now);
            prop_assert_eq!(status, conditions::status(&judged));
        }
    }
}

/// Text that programs and people write around PEM blocks, and text that is difficult in YAML.
const AROUND: &[&str] = &[
    "Bag Attributes\r\n    friendlyName: edge\r\n",
    "\u{feff}",
    "\u{0}\n",
    "\u{7f}\u{85}\u{2028}\n",
    "\t \n\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "pem: |\nhost: 127.0.0.1\n",
    "clientAuth: {mode: None}\n",
    "\"'#&*!\\\n",
];

#[test]
fn text_around_a_pem_block_is_rendered_parseably_or_refused() {
    let text = "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\n\
                metadata: {name: edge, namespace: iot, uid: uid-1}\nspec:\n  \
                certificates: [{secretRef: {name: a-tls}}]\n  backend: {address: {host: broker}}\n  \
                clientAuth: {mode: Require, caRef: {kind: Secret, name: device-ca}}\n";
    let read =
        |text| mqtt_tls_config::yaml::value(text).and_then(mqtt_tls_config::yaml::from_value);
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    for around in AROUND {
        let mut world = World::new(read(text).unwrap());
        for (name, key, pem) in [
            ("a-tls", "pem", "@edge.pem"),
            ("device-ca", "ca.crt", "@ca.crt"),
        ] {
            let bytes = format!("{around}{}{around}", PKI.text(pem)).into_bytes();
            let data = BTreeMap::from([(key.to_owned(), ByteString(bytes))]);
            let secret = Secret {
                data: Some(data),
                ..Secret::default()
            };
            world.secrets.insert(Name::new(NAMESPACE, name), secret);
        }
        let Plan {
            objects, report, ..
        } = plan(&world, &environment(), now);
        check(&world, &objects, &PKI);
        assert_eq!(
            report.rendered,
            report.problems.is_empty(),
            "{around:?}: {report:?}"
        );
        let Some(secret) = objects.config_secret.present() else {
            continue;
        };
        let bytes = &secret.data.as_ref().unwrap()["config.yaml"].0;
        let config = mqtt_tls_config::Config::parse(std::str::from_utf8(bytes).unwrap()).unwrap();
        assert_eq!(
            config.client_auth.mode,
            mqtt_tls_config::ClientAuthMode::Require
        );
        assert_eq!(config.backend.to_string(), "broker:1883", "{around:?}");
    }
}
