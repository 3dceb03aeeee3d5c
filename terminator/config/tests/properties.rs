//! What holds for every file: reading never panics, and what is written is read back.

use std::net::IpAddr;
use std::time::Duration;

use mqtt_tls_config::{Certificate, ClientAuthMode, Config, Pem, Tickets};
use proptest::prelude::*;

fn pem() -> impl Strategy<Value = Pem> {
    "[ -~\n]{0,200}".prop_map(Pem::new)
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
    )
        .prop_map(|(host, port, version, pem, more, (mode, ca), times, new)| {
            let mut config = Config::new(port, pem);
            config.host = host;
            config.version = version;
            config.certificates = more.into_iter().map(|pem| Certificate { pem }).collect();
            config.client_auth.mode = match mode {
                0 => ClientAuthMode::None,
                1 => ClientAuthMode::Optional,
                _ => ClientAuthMode::Require,
            };
            config.client_auth.ca = (mode > 0).then_some(ca);
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
            config
        })
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
        key in "(host|port|alsoListen|pem|certificates|backend|clientAuth|tls|timeouts|limits|drain|admin|version)",
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
