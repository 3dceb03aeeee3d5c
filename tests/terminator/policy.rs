//! `tls` of the configuration: what is refused, ALPN, the warning about large handshakes, and the preview of changes.

use std::io::{Read, Write};
use std::net::TcpStream;

use mqtt_tls_config::{
    Alpn, AlpnProtocol, Backend, Certificate, Config, Group, Host, HostTls, PROBE_PROTOCOL, Pem,
    Suite, Tls, TlsVersion,
};
use serde_json::Value;
use tests::clients::devices::{Device, Stack};
use tests::clients::openssl::SClient;
use tests::clients::tls::{Connector, End};
use tests::hello::Hello;
use tests::pki::{Ca, KeyKind};
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON, Scripted, trust, write};

fn alpn(protocols: &[(&str, Option<&Scripted>)], required: bool) -> Alpn {
    let protocols = protocols.iter().map(|(name, backend)| AlpnProtocol {
        name: (*name).to_owned(),
        backend: backend.map(|backend| Backend {
            host: "127.0.0.1".to_owned(),
            port: backend.addr().port(),
        }),
    });
    Alpn {
        protocols: protocols.collect(),
        required,
    }
}

fn offering(fixture: &Fixture, protocols: &[&str]) -> Connector {
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
    let protocols = protocols.collect();
    fixture
        .client()
        .configure(|config| config.alpn_protocols = protocols)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_preferred_protocol_and_its_backend() {
    let (plain, amzn) = (Scripted::start().await, Scripted::start().await);
    let fixture = Fixture::start_with(plain.addr(), |config| {
        config.tls.alpn = alpn(&[("x-amzn-mqtt-ca", Some(&amzn)), ("mqtt", None)], false);
    });
    for (offered, expected, backend) in [
        (
            &["mqtt", "x-amzn-mqtt-ca"][..],
            Some("x-amzn-mqtt-ca"),
            &amzn,
        ),
        (&["h2", "mqtt"], Some("mqtt"), &plain),
        (&["h2"], None, &plain),
        (&[], None, &plain),
    ] {
        let client = offering(&fixture, offered).open(fixture.addr()).await;
        let mut client = client.unwrap();
        let negotiated = client.session().alpn_protocol();
        assert_eq!(negotiated, expected.map(str::as_bytes), "{offered:?}");
        let mut peer = backend.accept().await;
        client.send(b"up").await.unwrap();
        assert_eq!(peer.read_exact(2).await, b"up");
    }
    let (_, text) = fixture.get("/status");
    let status: Value = serde_json::from_str(&text).unwrap();
    let of_amzn = &status["byProtocol"][0];
    assert_eq!(of_amzn["protocol"], "x-amzn-mqtt-ca");
    assert_eq!(of_amzn["backend"]["reachable"], true);
    let address = amzn.addr().to_string();
    assert_eq!(of_amzn["backend"]["address"], address);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_required_protocol_a_client_gets_no_application_protocol() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.tls.alpn = alpn(&[("mqtt", None)], true);
    });
    for offered in [&["h2"][..], &[]] {
        let refused = offering(&fixture, offered).connect(fixture.addr()).await;
        let end = End::from(refused.err().unwrap());
        assert_eq!(end, End::Alert("NoApplicationProtocol".to_owned()));
    }
    // OpenSSL reports the alert by its number.
    let seen = SClient::new(fixture.addr(), &fixture.ca)
        .arg("-tls1_2")
        .run(b"");
    assert!(seen.stderr.contains("alert number 120"), "{seen:?}");
    let text = fixture.get("/handshakes").1;
    assert!(text.contains("set tls.alpn.required: false"), "{text}");
    let client = offering(&fixture, &["mqtt"]).open(fixture.addr()).await;
    client.unwrap();
    backend.accept().await;
    // The operator's probe offers its own protocol only.
    let mark = std::str::from_utf8(PROBE_PROTOCOL).unwrap();
    let mut probe = offering(&fixture, &[mark])
        .connect(fixture.addr())
        .await
        .unwrap();
    assert_eq!(probe.server_cert(), fixture.leaf.cert_der);
    assert_eq!(probe.read_to_end().await, (Vec::new(), End::CloseNotify));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_the_listeners_protocols_or_its_own() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.tls.alpn = alpn(&[("mqtt", None)], true);
        let host = |name: &str, alpn| Host {
            tls: HostTls { alpn },
            ..Host::new(vec![name.to_owned()])
        };
        config.hosts = vec![
            host("as.example", None),
            host("none.example", Some(Alpn::default())),
            host(
                "own.example",
                Some(alpn(&[("x-amzn-mqtt-ca", None)], false)),
            ),
        ];
    });
    let addr = fixture.addr();
    for (name, offered, expected) in [
        ("as.example", "mqtt", Some("mqtt")),
        ("as.example", "h2", None),
        ("none.example", "mqtt", Some("")),
        ("own.example", "mqtt", Some("")),
        ("own.example", "x-amzn-mqtt-ca", Some("x-amzn-mqtt-ca")),
    ] {
        let seen = SClient::unverified(addr, name)
            .args(&["-alpn", offered])
            .run(b"");
        let negotiated = match expected {
            None => "alert number 120".to_owned(),
            Some("") => "No ALPN negotiated".to_owned(),
            Some(protocol) => format!("ALPN protocol: {protocol}"),
        };
        let output = format!("{}{}", seen.stdout, seen.stderr);
        assert!(output.contains(&negotiated), "{name} {offered}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_backend_of_its_own_does_not_lead_to_that_of_the_listeners_protocol() {
    let (plain, amzn, tenant) = (
        Scripted::start().await,
        Scripted::start().await,
        Scripted::start().await,
    );
    let fixture = Fixture::start_with(plain.addr(), |config| {
        config.tls.alpn = alpn(&[("mqtt", Some(&amzn))], false);
        let host = |name: &str, backend: Option<&Scripted>| Host {
            backend: backend.map(|backend| Backend {
                host: "127.0.0.1".to_owned(),
                port: backend.addr().port(),
            }),
            ..Host::new(vec![name.to_owned()])
        };
        config.hosts = vec![host("localhost", Some(&tenant))];
    });
    let client = offering(&fixture, &["mqtt"]).open(fixture.addr()).await;
    let client = client.unwrap();
    assert_eq!(client.session().alpn_protocol(), Some(&b"mqtt"[..]));
    tenant.accept().await;
    // Without SNI.
    let client = offering(&fixture, &["mqtt"]).server_name("127.0.0.1");
    client.open(fixture.addr()).await.unwrap();
    amzn.accept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_policy_and_no_open_connection() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let of_tls12 = Connector::build(&fixture.ca, None, &[&rustls::version::TLS12]);
    let mut old = of_tls12.open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    let mut config = fixture.config.clone();
    config.tls.min_version = TlsVersion::Tls13;
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    let refused = of_tls12.connect(fixture.addr()).await.err().unwrap();
    assert_eq!(End::from(refused), End::Alert("ProtocolVersion".to_owned()));
    fixture.client().open(fixture.addr()).await.unwrap();
    backend.accept().await;
    old.send(b"up").await.unwrap();
    assert_eq!(peer.read_exact(2).await, b"up");
}

/// A session of before cannot be resumed with a suite that is off, and the client gets a full handshake.
#[test]
fn a_session_is_not_resumed_with_a_suite_that_is_off() {
    let fixture = Fixture::start_for_handshakes(|config| {
        config.tls.tickets = mqtt_tls_config::Tickets::All;
    });
    let folder = tests::workdir::scratch("session");
    let session = |version: &str| folder.join(version).to_str().unwrap().to_owned();
    let suites = [
        "-ciphersuites",
        "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
    ];
    let suites = [
        &suites[..],
        &[
            "-cipher",
            "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
        ],
    ]
    .concat();
    let run = |version: &str, options: &[&str]| {
        let client = SClient::new(fixture.addr(), &fixture.ca)
            .arg(version)
            .until_server_closes();
        let client = suites
            .iter()
            .chain(options)
            .fold(client, |client, arg| client.arg(arg));
        client.run(b"").stdout
    };
    let mut config = fixture.config.clone();
    config.tls.suites = vec![Suite::Aes256, Suite::EcdsaAes256];
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    for version in ["-tls1_2", "-tls1_3"] {
        let seen = run(version, &["-sess_out", &session(version)]);
        assert!(
            seen.contains("AES256") || seen.contains("AES_256"),
            "{seen}"
        );
        let seen = run(version, &["-sess_in", &session(version)]);
        assert!(seen.contains("\nReused, "), "{version}: {seen}");
    }
    config.tls.suites = vec![Suite::Aes128, Suite::EcdsaAes128];
    // OpenSSL sends a share of X25519 only, and is asked for another one.
    config.tls.groups = vec![Group::P384];
    fixture.rewrite(&config);
    fixture.wait_for_generation(3);
    let seen = run("-tls1_2", &["-sess_in", &session("-tls1_2")]);
    assert!(
        seen.contains("\nNew, ") && seen.contains("AES128"),
        "{seen}"
    );
    // In TLS 1.3 a client would have to withdraw its session when it is asked for another share, which rustls refuses.
    let both = ["-min_protocol", "TLSv1.2", "-sess_in", &session("-tls1_3")];
    let seen = run("-ign_eof", &both);
    assert!(
        seen.contains("\nNew, ") && seen.contains("AES128"),
        "{seen}"
    );
}

#[test]
fn a_certificate_without_a_suite_is_refused_at_its_place() {
    let fixture = Fixture::start_for_handshakes(|_| {});
    let rsa = fixture
        .ca
        .leaf()
        .dns("localhost")
        .key(KeyKind::Rsa2048)
        .issue();
    let mut config = fixture.config.clone();
    config.tls.suites = vec![Suite::Aes128, Suite::EcdsaAes128];
    config.certificates = vec![Certificate::new(Pem::new(rsa.bundle()))];
    fixture.rewrite(&config);
    let (reason, message) = fixture.wait_for_refusal();
    assert_eq!(reason, "NoSuite");
    let expected = "certificates[0].pem: the certificate has an RSA key, and tls.suites has no suite of TLS 1.2 for one; add \
                    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    assert!(message.contains(expected), "{message}");
    // Nor does it start.
    let started = mqtt_tls_terminator::Terminator::start(write(&config).as_path().into(), None);
    assert!(started.is_err_and(|error| error.chain().contains("certificates[0].pem")));
    config.tls.min_version = TlsVersion::Tls13;
    config.tls.suites = vec![Suite::Aes128];
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
}

/// With TLS 1.3 off, a client that offers it gets the certificate for its suites of TLS 1.2, and not the first one.
#[test]
fn with_tls_1_3_off_the_certificate_fits_the_suites_of_tls_1_2() {
    let mut rsa = None;
    let ca = Ca::new("server CA");
    let fixture = Fixture::start_for_handshakes(|config| {
        let leaf = ca.leaf().dns("localhost").key(KeyKind::Rsa2048).issue();
        config.tls.max_version = TlsVersion::Tls12;
        config.certificates = vec![Certificate::new(Pem::new(leaf.bundle()))];
        rsa = Some(leaf);
    });
    let client = SClient::new(fixture.addr(), &ca).arg("-cipher");
    let seen = client.arg("ECDHE-RSA-AES256-GCM-SHA384").run(b"");
    assert!(
        seen.stdout.contains("ECDHE-RSA-AES256-GCM-SHA384"),
        "{seen:?}"
    );
}

/// Returns the size of the server's first flight in TLS 1.2, which is in plaintext: the content of its records.
fn flight(fixture: &Fixture, schemes: &[u16]) -> usize {
    let mut stream = TcpStream::connect(fixture.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let hello = Hello::default()
        .versions(&[tests::hello::TLS12])
        .schemes(schemes);
    stream.write_all(&hello.records()).unwrap();
    let mut size = 0;
    loop {
        let mut header = [0; 5];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(header[0], 22, "a handshake record");
        size += body.len();
        // ServerHelloDone.
        if body.ends_with(&[14, 0, 0, 0]) {
            return size;
        }
    }
}

#[test]
fn a_handshake_that_outgrows_devices_gets_a_warning_with_the_bytes_of_each_certificate() {
    for (kind, schemes) in [
        (KeyKind::P256, &[0x0403][..]),
        (KeyKind::Rsa2048, &[0x0804]),
    ] {
        let ca = Ca::with_key("server CA", kind);
        let issuer = ca.intermediate("issuer");
        let leaf = issuer.leaf().dns("localhost").key(kind).issue();
        let devices = Ca::with_key("devices", KeyKind::Rsa2048);
        let fixture = Fixture::start_for_handshakes(|config| {
            config.pem = Pem::new(leaf.bundle());
            config.client_auth = trust(mqtt_tls_config::ClientAuthMode::Require, &devices);
            config.tls.record_size_max = 512;
        });
        let warning = eventually(SOON, "there is a warning", || {
            let warnings = fixture.terminator.status().warnings.into_iter();
            let mut large = warnings.filter(|one| one.reason == "LargeHandshake");
            large.next()
        });
        assert_eq!(warning.key, "pem");
        let (_, rest) = warning.message.split_once("have up to ").unwrap();
        let size: usize = rest.split(' ').next().unwrap().parse().unwrap();
        let actual = flight(&fixture, schemes);
        // It is an upper bound, but not far from it.
        assert!(
            (actual..actual + 300).contains(&size),
            "{kind:?} {actual} {}",
            warning.message
        );
        let sizes = format!("the chain has {} + ", leaf.cert_der.len());
        assert!(warning.message.contains(&sizes), "{}", warning.message);
        let line = "mqtt_tls_certificate_warning{host=\"\",index=\"0\",reason=\"LargeHandshake\"}";
        assert!(fixture.metric(line) > 0.5);
        // It fits into a larger buffer, and is no warning without a limit.
        for larger in [u32::try_from(size).unwrap(), Tls::RECORD_SIZE_RANGE.1] {
            let mut config = fixture.config.clone();
            config.tls.record_size_max = larger;
            let generation = fixture.terminator.status().configuration.generation + 1;
            fixture.rewrite(&config);
            fixture.wait_for_generation(generation);
            let warnings = fixture.terminator.status().warnings;
            assert!(
                warnings.iter().all(|one| one.reason != "LargeHandshake"),
                "{warnings:?}"
            );
        }
    }
}

/// Returns the number of clients that could not connect after a change, in the metric and in `/status`.
#[track_caller]
fn failing(fixture: &Fixture, change: &str, value: &str) -> u64 {
    let (_, text) = fixture.get("/status");
    let status: Value = serde_json::from_str(&text).unwrap();
    let of = |window: &str| {
        let changes = status["preview"][window]["changes"].as_array().unwrap();
        let mut changes = changes.iter();
        let found = changes.find(|one| one["change"] == change && one["value"] == value);
        let count = found.unwrap()["clients"].as_u64().unwrap();
        let labels = format!("window=\"{window}\",change=\"{change}\",value=\"{value}\"");
        fixture.wait_for_metric(
            &format!("mqtt_tls_preview_failing_clients{{{labels}}}"),
            f64::from(u32::try_from(count).unwrap()),
        );
        count
    };
    let hour = of("hour");
    assert_eq!(hour, of("day"));
    hour
}

fn served(fixture: &Fixture, outcome: &str) -> f64 {
    fixture.metric(&format!(
        "mqtt_tls_preview_clients{{window=\"day\",outcome=\"{outcome}\"}}"
    ))
}

/// Connects; there is no broker, so only the handshake counts.
fn connect(fixture: &Fixture, stack: Stack, options: &[(&str, &str)]) {
    let device = Device::new(stack, fixture.addr(), &fixture.ca);
    let options = options.iter();
    let device = options.fold(device, |device, (name, value)| device.option(name, value));
    device.run();
}

/// Starts a terminator with an ECDSA and an RSA certificate.
fn with_two_kinds_of_keys() -> Fixture {
    let ca = Ca::new("server CA");
    let pem = |kind| {
        let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").key(kind);
        Pem::new(leaf.issue().bundle())
    };
    let mut fixture = Fixture::start_for_handshakes(|config: &mut Config| {
        config.pem = pem(KeyKind::P256);
        config.certificates = vec![Certificate::new(pem(KeyKind::Rsa2048))];
    });
    fixture.ca = ca;
    fixture
}

#[test]
fn the_preview_counts_devices_that_a_change_would_lock_out() {
    let fixture = with_two_kinds_of_keys();
    let run = |stack, options: &[(&str, &str)]| connect(&fixture, stack, options);
    run(Stack::OpenSsl, &[]);
    let of_rsa = ("suites", "ECDHE-RSA-AES128-GCM-SHA256");
    run(Stack::OpenSsl, &[("version", "1.2"), of_rsa]);
    let chacha = ("suites", ":-CIPHER-ALL:+CHACHA20-POLY1305");
    run(Stack::GnuTls, &[chacha]);
    run(Stack::MbedTls, &[("groups", "secp256r1")]);
    run(Stack::WolfSsl, &[("version", "1.2")]);
    run(Stack::OpenSsl, &[("groups", "X25519"), ("version", "1.3")]);
    // One that has nothing in common, and one that is no TLS at all.
    let ccm = ("suites", "ECDHE-ECDSA-AES128-CCM");
    run(Stack::OpenSsl, &[ccm, ("version", "1.2")]);
    let mut stream = TcpStream::connect(fixture.addr()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    eventually(SOON, "all are counted", || {
        (served(&fixture, "ok") > 5.5 && served(&fixture, "incompatible") > 0.5).then_some(())
    });
    assert!((served(&fixture, "ok") - 6.0).abs() < 0.5);
    assert!((served(&fixture, "incompatible") - 1.0).abs() < 0.5);
    for (change, value, expected) in [
        ("min_version", "Tls13", 3),
        ("without_suite", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 1),
        ("without_suite", "TLS_CHACHA20_POLY1305_SHA256", 1),
        ("without_suite", "TLS_AES_128_GCM_SHA256", 0),
        (
            "without_suite",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            0,
        ),
        ("without_group", "secp256r1", 1),
        ("without_group", "x25519", 1),
        ("without_group", "X25519MLKEM768", 0),
        ("certificate", "ECDSA", 1),
        ("certificate", "RSA", 0),
    ] {
        assert_eq!(
            failing(&fixture, change, value),
            expected,
            "{change} {value}"
        );
    }
    let (_, text) = fixture.get("/status");
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["preview"]["hour"]["changes"][0]["percent"], 50.0);
}

#[test]
fn devices_of_which_the_preview_warned_are_locked_out_by_the_change() {
    let fixture = with_two_kinds_of_keys();
    let run = |stack, options: &[(&str, &str)]| connect(&fixture, stack, options);
    let all = || {
        run(Stack::WolfSsl, &[("version", "1.2")]);
        run(Stack::MbedTls, &[]);
        run(Stack::WolfSsl, &[("version", "1.3")]);
    };
    let counted = |expected: (f64, f64)| {
        eventually(SOON, "all are counted", || {
            let counts = (served(&fixture, "ok"), served(&fixture, "incompatible"));
            (counts == expected).then_some(())
        });
        assert_eq!(failing(&fixture, "min_version", "Tls13"), 2);
    };
    all();
    counted((3.0, 0.0));
    let mut config = fixture.config.clone();
    config.tls.min_version = TlsVersion::Tls13;
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    all();
    counted((4.0, 2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_no_client_of_the_preview() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mark = std::str::from_utf8(PROBE_PROTOCOL).unwrap();
    let mut probe = offering(&fixture, &[mark])
        .connect(fixture.addr())
        .await
        .unwrap();
    probe.read_to_end().await;
    fixture.client().open(fixture.addr()).await.unwrap();
    backend.accept().await;
    assert!((served(&fixture, "ok") - 1.0).abs() < 0.5);
}

/// The names can be copied from the journal into `tls`.
#[test]
fn the_journal_names_what_a_refused_client_offers_and_the_key_to_change() {
    let fixture = Fixture::start_for_handshakes(|config| {
        config.tls.suites = vec![Suite::Aes128, Suite::EcdsaAes128];
        config.tls.groups = vec![Group::P256];
    });
    for (option, value, key, field, offered) in [
        (
            "-ciphersuites",
            "TLS_AES_256_GCM_SHA384",
            "`tls.suites`",
            "suites",
            "TLS_AES_256_GCM_SHA384",
        ),
        ("-groups", "X25519", "`tls.groups`", "groups", "x25519"),
    ] {
        let client = SClient::new(fixture.addr(), &fixture.ca).arg("-tls1_3");
        let seen = client.arg(option).arg(value).run(b"");
        assert!(seen.stderr.contains("alert number 40"), "{seen:?}");
        let entry = eventually(SOON, "there is an entry", || {
            let (_, text) = fixture.get("/handshakes");
            text.contains(key).then(|| text.clone())
        });
        let entries: Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(entries[0][field][0], offered, "{entry}");
    }
}
