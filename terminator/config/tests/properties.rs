//! What holds for every file: reading never panics, and what is written is read back.

use std::net::IpAddr;
use std::time::Duration;

use mqtt_tls_config::key::Named;
use mqtt_tls_config::{
    Alpn, AlpnProtocol, Avoided, Backend, Candidate, Certificate, ClientAuth, ClientAuthMode,
    ClientRule, Config, CrlUrl, Group, Host, HostTls, Identity, IdentityMode, Mismatch, Naming,
    NamingAction, Pem, Protocol, Revocation, RevocationCheck, RuleField, RuleMatching, SharedNames,
    Suite, Tickets, Tls, Trial, UnknownNames, WhenUnknown, WithoutCertificate,
};
use proptest::prelude::*;

fn pem() -> impl Strategy<Value = Pem> {
    "[ -~\n]{0,200}".prop_map(Pem::new)
}

fn candidate() -> impl Strategy<Value = Option<Candidate>> {
    let candidate = ("[a-z0-9-]{1,40}", pem()).prop_map(|(id, pem)| Candidate { id, pem });
    proptest::option::weighted(0.3, candidate)
}

fn certificate() -> impl Strategy<Value = Certificate> {
    (pem(), candidate()).prop_map(|(pem, candidate)| Certificate { pem, candidate })
}

/// A host whose names are its own.
fn host(index: usize) -> impl Strategy<Value = Host> {
    let own = (
        certificate(),
        proptest::collection::vec(certificate(), 0..3),
    );
    (
        proptest::collection::btree_set(r"(\*\.)?[a-z]{1,9}\.", 1..4),
        proptest::option::of(own),
        proptest::option::of(client_auth()),
        proptest::option::of(1..=u16::MAX),
        (
            proptest::option::of(alpn()),
            proptest::option::of(identity()),
        ),
    )
        .prop_map(move |(names, own, auth, port, (alpn, identity))| {
            let (own, certificates) =
                own.map_or((None, Vec::new()), |(own, more)| (Some(own), more));
            let (pem, candidate) = own.map_or((None, None), |own| (Some(own.pem), own.candidate));
            Host {
                names: names
                    .into_iter()
                    .map(|name| format!("{name}h{index}.example"))
                    .collect(),
                pem,
                candidate,
                certificates,
                client_auth: auth,
                identity,
                backend: port.map(backend),
                tls: HostTls { alpn },
            }
        })
}

fn backend(port: u16) -> Backend {
    Backend {
        host: "broker.example".to_owned(),
        port,
    }
}

fn alpn() -> impl Strategy<Value = Alpn> {
    let protocols =
        proptest::collection::btree_map("[!-~]{1,64}", proptest::option::of(1..=u16::MAX), 0..=8);
    (protocols, any::<bool>()).prop_map(|(protocols, required)| Alpn {
        required: required && !protocols.is_empty(),
        protocols: protocols
            .into_iter()
            .map(|(name, port)| AlpnProtocol {
                name,
                backend: port.map(backend),
            })
            .collect(),
    })
}

/// TLS with both versions on, and a suite of each.
fn tls() -> impl Strategy<Value = Tls> {
    let suites = proptest::sample::subsequence(Suite::ALL.to_vec(), 0..=9).prop_shuffle();
    let groups = proptest::sample::subsequence(&Group::ALL[1..], 1..=3).prop_shuffle();
    (suites, groups, 0..3_u8, 512..=16_384_u32, alpn()).prop_map(
        |(mut suites, groups, tickets, record_size_max, alpn)| {
            for wanted in [Suite::Aes128, Suite::RsaAes128] {
                if !suites.contains(&wanted) {
                    suites.push(wanted);
                }
            }
            Tls {
                suites,
                groups,
                tickets: match tickets {
                    0 => Tickets::None,
                    1 => Tickets::Tls12,
                    _ => Tickets::All,
                },
                record_size_max,
                alpn,
                ..Tls::default()
            }
        },
    )
}

fn naming() -> impl Strategy<Value = Naming> {
    ("\\PC{0,40}", 0..3_u8).prop_map(|(template, kind)| Naming {
        template,
        action: if kind == 2 {
            NamingAction::Require
        } else {
            NamingAction::Set
        },
        mismatch: if kind == 1 {
            Mismatch::Overwrite
        } else {
            Mismatch::Refuse
        },
    })
}

fn identity() -> impl Strategy<Value = Identity> {
    let name = || proptest::option::of("\\PC{0,40}");
    let without = (name(), name()).prop_map(|(user_name, client_id_prefix)| WithoutCertificate {
        user_name,
        client_id_prefix,
    });
    let names = (naming(), proptest::option::of(naming()), any::<bool>());
    let certificate =
        (names, proptest::option::of(without)).prop_map(|((one, other, is_swapped), without)| {
            let (user_name, client_id) = if is_swapped {
                (other, Some(one))
            } else {
                (Some(one), other)
            };
            Identity {
                mode: IdentityMode::Certificate,
                user_name,
                client_id,
                without_certificate: without,
            }
        });
    let none = Just(Identity {
        mode: IdentityMode::None,
        ..Identity::default()
    });
    prop_oneof![4 => certificate, 1 => none]
}

fn client_auth() -> impl Strategy<Value = ClientAuth> {
    let modes = [
        ClientAuthMode::None,
        ClientAuthMode::Optional,
        ClientAuthMode::Require,
        ClientAuthMode::DryRun,
    ];
    (
        proptest::sample::select(modes.to_vec()),
        pem(),
        any::<bool>(),
        proptest::collection::vec(rule(), 0..4),
        proptest::option::of(revocation()),
    )
        .prop_map(
            |(mode, ca, accept_server_purpose, rules, revocation)| ClientAuth {
                mode,
                ca: (mode != ClientAuthMode::None).then_some(ca),
                accept_server_purpose,
                rules,
                revocation,
            },
        )
}

fn rule() -> impl Strategy<Value = ClientRule> {
    let fields = [
        RuleField::CommonName,
        RuleField::Dns,
        RuleField::Uri,
        RuleField::Email,
        RuleField::Ip,
        RuleField::Spki,
    ];
    let matchings = [
        RuleMatching::Exact,
        RuleMatching::Prefix,
        RuleMatching::Suffix,
    ];
    (
        proptest::sample::select(fields.to_vec()),
        proptest::sample::select(matchings.to_vec()),
        "\\PC{0,40}",
    )
        .prop_map(|(field, matching, value)| ClientRule {
            field,
            matching,
            value,
        })
}

fn revocation() -> impl Strategy<Value = Revocation> {
    let unknown = |refuses| {
        if refuses {
            WhenUnknown::Refuse
        } else {
            WhenUnknown::Accept
        }
    };
    any::<[bool; 3]>().prop_map(move |[is_leaf, outdated, unlisted]| Revocation {
        check: if is_leaf {
            RevocationCheck::Leaf
        } else {
            RevocationCheck::Chain
        },
        when_outdated: unknown(outdated),
        when_unlisted: unknown(unlisted),
    })
}

/// Lists of which each has a path of its own.
fn crls() -> impl Strategy<Value = Vec<CrlUrl>> {
    let one = (proptest::option::of(pem()), 60..=86_400_u64);
    let paths = "[a-z0-9/?=&._~%-]{0,40}";
    proptest::collection::btree_map(paths, one, 0..4).prop_map(|crls| {
        crls.into_iter()
            .map(|(path, (ca, refresh))| CrlUrl {
                url: match ca {
                    Some(_) => format!("https://ca.example:8443/{path}"),
                    None => format!("http://[2001:db8::1]/{path}"),
                },
                ca,
                refresh: Duration::from_secs(refresh),
            })
            .collect()
    })
}

fn config() -> impl Strategy<Value = Config> {
    (
        proptest::option::of(any::<IpAddr>()),
        1..=u16::MAX,
        proptest::option::of("[ -~]{0,253}"),
        certificate(),
        proptest::collection::vec(certificate(), 0..4),
        (client_auth(), crls()),
        (100..600_000_u64, 100..3_600_000_u64, 0..3_600_000_u64),
        (
            tls(),
            100..600_000_u64,
            any::<bool>(),
            proptest::collection::vec(1..=u16::MAX, 0..=4),
        ),
        (
            (0..4_usize).prop_flat_map(|count| (0..count).map(host).collect::<Vec<_>>()),
            any::<bool>(),
        ),
        (
            proptest::option::of(identity()),
            0..3_u8,
            (1024..=1_048_576_u32, 1..=10_000_u32),
            any::<bool>(),
        ),
    )
        .prop_map(
            |(host, port, version, own, more, auth, times, new, hosts, first)| {
                let mut config = Config::new(port, own.pem);
                config.candidate = own.candidate;
                config.host = host;
                config.version = version;
                config.certificates = more;
                (config.client_auth, config.crls) = auth;
                config.timeouts.dial = Duration::from_millis(times.0);
                config.timeouts.half_close = Duration::from_millis(times.1);
                config.drain.deadline = Duration::from_millis(times.2);
                config.tls = new.0;
                config.timeouts.first_packet = Duration::from_millis(new.1);
                config.admin.journal = new.2;
                config.also_listen = new.3;
                config.hosts = hosts.0;
                config.identity = first.0;
                let gives = |identity: &Option<Identity>| {
                    identity.as_ref().is_some_and(Identity::gives_names)
                };
                let names = gives(&config.identity)
                    || config.hosts.iter().any(|host| gives(&host.identity));
                config.protocol = match first.1 {
                    1 if !names => Protocol::Websocket,
                    2 if !names => Protocol::Tcp,
                    _ => Protocol::Mqtt,
                };
                (config.limits.connect_bytes, config.limits.recheck_closes) = first.2;
                config.admin.connections = first.3;
                let shared = [SharedNames::Refuse, SharedNames::Accept];
                config.shared_names = shared[usize::from(hosts.1 == first.3)];
                config.unknown_names = if hosts.1 {
                    UnknownNames::Refuse
                } else {
                    UnknownNames::Serve
                };
                config
            },
        )
}

fn trials() -> impl Strategy<Value = Vec<Trial>> {
    let avoided = proptest::collection::btree_map(any::<u64>(), any::<u64>(), 0..5);
    let trial = (0..=10_000_u16, 1..=604_800_u32, avoided);
    proptest::collection::btree_map("[a-z0-9-]{1,40}", trial, 0..9).prop_map(|trials| {
        let trials = trials.into_iter();
        let avoided = |(key, until)| Avoided { key, until };
        trials
            .map(|(id, (share, remember, devices))| Trial {
                id,
                share,
                remember,
                avoided: devices.into_iter().map(avoided).collect(),
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn trials_that_are_written_are_read_back(trials in trials()) {
        prop_assert_eq!(Trial::parse(&Trial::file(&trials)), Ok(trials));
    }

    #[test]
    fn any_text_as_a_file_of_trials_is_answered(lines in "(mqtt-tls trials, version 1\n)?((trial|avoid|x) [ -~]{0,30}\n|\\PC{0,40}\n){0,6}") {
        let _ = Trial::parse(&lines);
    }

    #[test]
    fn what_is_written_is_read_back(config in config()) {
        let text = config.to_yaml();
        prop_assert_eq!(Config::parse(text.expose()), Ok(config));
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,400}") {
        let _ = Config::parse(&text);
    }

    #[test]
    fn any_text_beside_known_keys_is_answered(
        key in "(host|port|alsoListen|pem|candidate|certificates|hosts|unknownNames|sharedNames|protocol|identity|backend|clientAuth|crls|tls|timeouts|limits|drain|admin|version)",
        value in "[ -~\n]{0,100}",
    ) {
        let _ = Config::parse(&format!("{key}: {value}\n"));
    }

    #[test]
    fn debug_shows_no_key(key in "[A-Za-z0-9+/]{24,60}") {
        let mut config = Config::new(8883, Pem::new(key.clone()));
        config.certificates.push(Certificate::new(Pem::new(key.clone())));
        config.candidate = Some(Candidate { id: "a".to_owned(), pem: Pem::new(key.clone()) });
        config.client_auth.ca = Some(Pem::new(key.clone()));
        let shown = format!("{config:?}");
        prop_assert!(!shown.contains(&key));
    }
}
