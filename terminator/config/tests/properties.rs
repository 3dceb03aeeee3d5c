//! What holds for every file: reading never panics, and what is written is read back.

use std::net::IpAddr;
use std::time::Duration;

use mqtt_tls_config::{
    Backend, Certificate, ClientAuth, ClientAuthMode, Config, Host, Identity, IdentityMode,
    Mismatch, Naming, NamingAction, Pem, Protocol, SharedNames, Tickets, UnknownNames,
    WithoutCertificate,
};
use proptest::prelude::*;

fn pem() -> impl Strategy<Value = Pem> {
    "[ -~\n]{0,200}".prop_map(Pem::new)
}

/// A host whose names are its own.
fn host(index: usize) -> impl Strategy<Value = Host> {
    let own = (pem(), proptest::collection::vec(pem(), 0..3));
    (
        proptest::collection::btree_set(r"(\*\.)?[a-z]{1,9}\.", 1..4),
        proptest::option::of(own),
        proptest::option::of((0..3_u8, pem())),
        proptest::option::of(1..=u16::MAX),
        proptest::option::of(identity()),
    )
        .prop_map(move |(names, own, auth, port, identity)| {
            let (pem, more) = own.map_or((None, Vec::new()), |(pem, more)| (Some(pem), more));
            Host {
                names: names
                    .into_iter()
                    .map(|name| format!("{name}h{index}.example"))
                    .collect(),
                pem,
                certificates: more.into_iter().map(|pem| Certificate { pem }).collect(),
                client_auth: auth.map(client_auth),
                identity,
                backend: port.map(|port| Backend {
                    host: "broker.example".to_owned(),
                    port,
                }),
            }
        })
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

fn client_auth((mode, ca): (u8, Pem)) -> ClientAuth {
    let ca = (mode > 0).then_some(ca);
    let mode = match mode {
        0 => ClientAuthMode::None,
        1 => ClientAuthMode::Optional,
        _ => ClientAuthMode::Require,
    };
    ClientAuth { mode, ca }
}

fn config() -> impl Strategy<Value = Config> {
    (
        proptest::option::of(any::<IpAddr>()),
        1..=u16::MAX,
        proptest::option::of("[ -~]{0,253}"),
        pem(),
        proptest::collection::vec(pem(), 0..4),
        (0..3_u8, pem()),
        (100..600_000_u64, 100..3_600_000_u64, 0..3_600_000_u64),
        (
            0..3_u8,
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
            1024..=1_048_576_u32,
            any::<bool>(),
        ),
    )
        .prop_map(
            |(host, port, version, pem, more, auth, times, new, hosts, first)| {
                let mut config = Config::new(port, pem);
                config.host = host;
                config.version = version;
                config.certificates = more.into_iter().map(|pem| Certificate { pem }).collect();
                config.client_auth = client_auth(auth);
                config.timeouts.dial = Duration::from_millis(times.0);
                config.timeouts.half_close = Duration::from_millis(times.1);
                config.drain.deadline = Duration::from_millis(times.2);
                config.tls.tickets = match new.0 {
                    0 => Tickets::None,
                    1 => Tickets::Tls12,
                    _ => Tickets::All,
                };
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
                config.limits.connect_bytes = first.2;
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

proptest! {
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
        key in "(host|port|alsoListen|pem|certificates|hosts|unknownNames|sharedNames|protocol|identity|backend|clientAuth|tls|timeouts|limits|drain|admin|version)",
        value in "[ -~\n]{0,100}",
    ) {
        let _ = Config::parse(&format!("{key}: {value}\n"));
    }

    #[test]
    fn debug_shows_no_key(key in "[A-Za-z0-9+/]{24,60}") {
        let mut config = Config::new(8883, Pem::new(key.clone()));
        config.certificates.push(Certificate { pem: Pem::new(key.clone()) });
        config.client_auth.ca = Some(Pem::new(key.clone()));
        let shown = format!("{config:?}");
        prop_assert!(!shown.contains(&key));
    }
}
