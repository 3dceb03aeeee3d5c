//! The file as people write it, and its errors.

use std::time::Duration;

use mqtt_tls_config::key::Named;
use mqtt_tls_config::yaml::{self, Value};
use mqtt_tls_config::{
    ClientAuthMode, Config, Group, Pem, Protocol, Suite, Tickets, Tls, TlsVersion, reference,
};

fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse(text).err();
    problems
        .iter()
        .flat_map(|problems| problems.iter().map(ToString::to_string))
        .collect()
}

#[test]
fn the_plugins_three_keys_are_enough() {
    let config = Config::parse("host: 0.0.0.0\nport: 8883\npem: |\n  text\n").unwrap();
    let mut expected = Config::new(8883, Pem::new("text\n".to_owned()));
    expected.host = Some("0.0.0.0".parse().unwrap());
    assert_eq!(config, expected);
}

#[test]
fn the_pages_unindented_pem_is_accepted() {
    let text = "host: 0.0.0.0\nport: 8883\npem: |\n-----BEGIN A-----\nQQ==\n-----END A-----\n\
                -----BEGIN B-----\nQg==\n-----END B-----\n";
    let config = Config::parse(text).unwrap();
    assert!(config.pem.expose().starts_with("-----BEGIN A-----\nQQ==\n"));
    assert!(config.pem.expose().ends_with("-----END B-----\n"));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_accepted() {
    let config = Config::parse("\u{feff}port: 8883\r\npem: |\r\n  a\r\n  b\r\n").unwrap();
    assert_eq!(config.pem.expose(), "a\nb\n");
}

#[test]
fn every_key_is_read() {
    let text = "\
host: '::1'
port: 8883
alsoListen: [8884, '443']
version: 7
pem: text
certificates:
- pem: other
backend: {host: smart-mqtt.iot.svc, port: 1884}
clientAuth: {mode: Require, ca: bundle}
tls: {tickets: All, minVersion: Tls13, suites: [TLS_AES_256_GCM_SHA384], groups: [X25519MLKEM768], recordSizeMax: 512}
timeouts: {handshake: 1s, firstPacket: 1m30s, dial: 200ms, halfClose: 1m 5s}
limits: {connections: 10, handshakes: 5}
drain: {deadline: 0s}
admin: {host: 0.0.0.0, port: 9000, journal: false}
";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.also_listen, [8884, 443]);
    assert_eq!(config.version.as_deref(), Some("7"));
    assert_eq!(config.certificates.len(), 1);
    assert_eq!(config.backend.to_string(), "smart-mqtt.iot.svc:1884");
    assert_eq!(config.client_auth.mode, ClientAuthMode::Require);
    assert_eq!(config.tls.tickets, Tickets::All);
    assert_eq!(config.tls.min_version, TlsVersion::Tls13);
    assert_eq!(config.tls.suites, [Suite::Aes256]);
    assert_eq!(config.tls.groups, [Group::X25519MlKem768]);
    assert_eq!(config.tls.device_buffer(), Some(512));
    assert_eq!(config.timeouts.first_packet, Duration::from_secs(90));
    assert_eq!(config.timeouts.half_close, Duration::from_secs(65));
    assert_eq!(config.limits.connections, 10);
    assert_eq!(config.drain.deadline, Duration::ZERO);
    assert_eq!(config.admin.port, 9000);
    assert!(!config.admin.journal);
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_line_and_key() {
    let text = "\
hots: 0.0.0.0
port: 88830
timeouts:
  handshake: 10
  dail: 5s
backend:
  host: 10.0.0.300
";
    assert_eq!(
        problems(text),
        [
            "line 1: hots: unknown key; did you mean `host`?",
            "line 2: port: expected a port, a whole number from 1 to 65535, found the number 88830",
            "line 4: timeouts.handshake: expected a duration such as 30s or 1m30s, from 100ms to 10m, \
             found the number 10",
            "line 5: timeouts.dail: unknown key; did you mean `dial`?",
            "line 7: backend.host: expected a DNS name or an IP address, at most 253 characters, \
             found another text",
            "pem: missing: it is mandatory",
        ]
    );
}

#[test]
fn more_ports_are_a_short_list() {
    let expected = "line 3: alsoListen: expected a list of at most 4 ports, each a whole number from 1 to 65535, found";
    for (ports, found) in [
        ("8884", "the number 8884"),
        ("[0]", "a list"),
        ("[65536]", "a list"),
        ("[a]", "a list"),
        ("[1, 2, 3, 4, 5]", "a list"),
    ] {
        let said = problems(&format!("port: 1\npem: x\nalsoListen: {ports}\n"));
        assert_eq!(said, [format!("{expected} {found}")]);
    }
    for none in ["", " []"] {
        let config = Config::parse(&format!("port: 1\npem: x\nalsoListen:{none}\n")).unwrap();
        assert_eq!(config.also_listen, [0_u16; 0]);
    }
}

#[test]
fn a_mode_without_ca_is_explained() {
    assert_eq!(
        problems("port: 1\npem: x\nclientAuth:\n  mode: Require\n"),
        [
            "line 3: clientAuth.ca: missing: without CA certificates no client certificate can be \
          verified; add them, or set `mode: None`"
        ]
    );
}

#[test]
fn an_entry_of_a_list_is_named_by_its_index() {
    assert_eq!(
        problems("port: 1\npem: x\ncertificates:\n- pem: a\n- prm: b\n"),
        [
            "line 5: certificates[1].pem: missing: it is mandatory",
            "line 5: certificates[1].prm: unknown key; did you mean `pem`?",
        ]
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let secret = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
    for text in [
        format!("port: {secret}\npem: x\n"),
        format!("port: 1\npem:\n  {secret}+/: {secret}\n"),
        format!("port: 1\n{secret}+/: x\n"),
        format!("port: 1\nadmin: {secret}\n"),
        format!("port: 1\npem: |\n{secret}\n"),
        format!("{secret}+/: 1\n{secret}+/: 2\n"),
        secret.to_owned(),
    ] {
        let said = problems(&text).join("\n");
        assert!(!said.contains(secret), "{text}\n{said}");
    }
}

#[test]
fn what_is_not_yaml_has_a_line() {
    let said = problems("port: 8883\npem: [\n");
    assert!(said[0].starts_with("line "), "{said:?}");
}

/// What follows an unindented PEM must be read or refused, and never taken for a part of the PEM: a
/// listener would be open to everyone.
#[test]
fn an_unindented_pem_does_not_swallow_client_authentication() {
    let pem = "-----BEGIN A-----\nQQ==\n-----END A-----\n";
    let indented = "  ca: |\n    -----BEGIN B-----\n    QQ==\n    -----END B-----\n";
    let text = format!("port: 1\npem: |\n{pem}clientAuth:\n  mode: Require\n{indented}");
    let config = Config::parse(&text).unwrap();
    assert_eq!(config.client_auth.mode, ClientAuthMode::Require);
    // The CA unindented as well is not what the plugin's page shows: it is refused.
    let text = format!("port: 1\npem: |\n{pem}clientAuth:\n  mode: Require\n  ca: |\n{pem}");
    assert!(!problems(&text).is_empty());
}

#[test]
fn a_ca_without_a_mode_is_no_open_door() {
    assert_eq!(
        problems("port: 1\npem: x\nclientAuth:\n  ca: y\n"),
        ["line 3: clientAuth.mode: missing: it is mandatory"]
    );
}

#[test]
fn the_list_of_problems_has_an_end() {
    let keys: Vec<String> = (0..50).map(|index| format!("key{index}: 1")).collect();
    let said = problems(&format!("port: 1\npem: x\n{}\n", keys.join("\n")));
    assert_eq!(said.len(), 21);
    assert_eq!(said[20], "and 30 more problems");
}

#[test]
fn slow_devices_have_time_and_small_stacks_no_tickets_of_tls_1_3() {
    let config = Config::parse("port: 1\npem: x\n").unwrap();
    assert!(config.timeouts.handshake >= Duration::from_secs(20));
    assert_eq!(config.tls.tickets, Tickets::Tls12);
}

/// An empty section would let everyone in, which is not why one writes it.
#[test]
fn client_authentication_that_says_nothing_is_refused() {
    for auth in ["", " ~", " {}", "\n#  mode: Require"] {
        let said = problems(&format!("port: 1\npem: x\nclientAuth:{auth}\n"));
        assert_eq!(
            said,
            [
                "line 3: clientAuth: it is there and says nothing: set `mode: Require` or `mode: Optional`, \
                 with the CA certificates as `ca`, or `mode: None`"
            ],
            "{auth}"
        );
    }
}

#[test]
fn a_misspelt_choice_or_switch_is_reported() {
    assert_eq!(
        problems("port: 1\npem: x\ntls: {tickets: tls12}\nadmin: {journal: yes}\n"),
        [
            "line 3: tls.tickets: expected None, Tls12 or All, found another text",
            "line 4: admin.journal: expected true or false, found another text",
        ]
    );
}

#[test]
fn a_text_that_is_nested_too_deep_or_expands_too_far_is_refused_for_that() {
    for (text, because) in [
        (
            "[".repeat(100_000),
            "line 1: this is not YAML: lists and mappings are nested deeper",
        ),
        (
            "pem: {a: ".repeat(50_000),
            "line 1: this is not YAML: lists and mappings are nested deeper",
        ),
        (
            format!("port: 1\npem: {}", "- ".repeat(100_000)),
            "line 2: this is not YAML: ",
        ),
        (
            format!(
                "pem: &a [{}]\nport: [{}]\n",
                "1, ".repeat(500),
                "*a, ".repeat(5_000)
            ),
            "line 1: this is not YAML: its aliases expand to far more",
        ),
    ] {
        let said = problems(&text);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with(because), "{said:?}");
    }
}

/// What the first release reads. A terminator refuses keys that it does not know, and while an operator is
/// replaced by a newer one, terminators of before read what the newer one writes.
const FIRST_RELEASE: [&str; 20] = [
    "port",
    "version",
    "backend",
    "backend.host",
    "backend.port",
    "clientAuth",
    "clientAuth.mode",
    "timeouts",
    "timeouts.handshake",
    "timeouts.dial",
    "timeouts.halfClose",
    "limits",
    "limits.connections",
    "limits.handshakes",
    "drain",
    "drain.deadline",
    "admin",
    "admin.host",
    "admin.port",
    "pem",
];

/// The keys that are written, with their sections'.
fn keys_of(config: &Config) -> Vec<String> {
    fn add(prefix: &str, value: &Value, keys: &mut Vec<String>) {
        for (key, value) in value.as_mapping().into_iter().flatten() {
            let key = format!("{prefix}{}", key.as_str().unwrap_or_default());
            keys.push(key.clone());
            // What a host has is explained where the file has it.
            let is_of_host = key.starts_with("hosts[].") && key != "hosts[].tls";
            let is_as_the_file =
                is_of_host || key.ends_with("[].backend") || key == "certificates[].candidate";
            if is_as_the_file {
                continue;
            }
            add(&format!("{key}."), value, keys);
            for entry in value.as_sequence().into_iter().flatten() {
                add(&format!("{key}[]."), entry, keys);
            }
        }
    }
    let mut keys = Vec::new();
    add("", &Value::Mapping(yaml::to_mapping(config)), &mut keys);
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let mut everything = Config::parse(include_str!("corpus/everything.yaml")).unwrap();
    // No file has both this and `identity`.
    everything.protocol = Protocol::Tcp;
    let mut written = keys_of(&everything);
    // It is not written where it has its default, as at least one of the versions has.
    written.push("tls.minVersion".to_owned());
    let rows = reference::rows();
    // They have the same keys, which are listed once.
    for key in &mut written {
        *key = key.replace("identity.clientId.", "identity.userName.");
    }
    let mut listed: Vec<String> = rows.into_iter().map(|row| row.key).collect();
    written.sort();
    listed.sort();
    written.dedup();
    assert_eq!(written, listed);
}

#[test]
fn what_says_nothing_new_is_read_by_the_first_release() {
    let mut keys = keys_of(&Config::new(8883, Pem::new("x\n".to_owned())));
    keys.retain(|key| !FIRST_RELEASE.contains(&key.as_str()));
    assert_eq!(keys, Vec::<String>::new());
}

#[test]
fn what_is_new_is_written_where_it_says_something() {
    let mut config = Config::new(8883, Pem::new("x\n".to_owned()));
    config.tls.tickets = Tickets::None;
    config.timeouts.first_packet = Duration::from_secs(5);
    config.admin.journal = false;
    config.also_listen = vec![8884];
    let text = config.to_yaml();
    for line in [
        "  tickets: None\n",
        "  firstPacket: 5s\n",
        "  journal: false\n",
        "alsoListen:\n- 8884\n",
    ] {
        assert!(text.expose().contains(line), "{}", text.expose());
    }
}

#[test]
fn client_authentication_is_compared_for_each_host() {
    let parse = |more: &str| Config::parse(&format!("port: 1\npem: a\n{more}")).unwrap();
    let first = parse("hosts: [{names: [a], clientAuth: {mode: Require, ca: x}}, {names: [b]}]\n");
    assert!(first.authenticates_as(&first));
    // Certificates and brokers do not matter.
    let other = "hosts: [{names: [a], pem: b, clientAuth: {mode: Require, ca: x}}, {names: [b], backend: {port: 2}}]\n";
    assert!(first.authenticates_as(&parse(other)));
    for other in [
        "",
        "hosts: [{names: [a], clientAuth: {mode: Require, ca: x}}]\n",
        "hosts: [{names: [a], clientAuth: {mode: Optional, ca: x}}, {names: [b]}]\n",
        "hosts: [{names: [a], clientAuth: {mode: Require, ca: y}}, {names: [b]}]\n",
        "hosts: [{names: [a]}, {names: [b]}]\n",
        "hosts: [{names: [a, c], clientAuth: {mode: Require, ca: x}}, {names: [b]}]\n",
        "hosts: [{names: [a], clientAuth: {mode: Require, ca: x}}, {names: [b]}]\nunknownNames: Refuse\n",
        "hosts: [{names: [a], clientAuth: {mode: DryRun, ca: x}}, {names: [b]}]\n",
        "hosts: [{names: [a], clientAuth: {mode: Require, ca: x, acceptServerPurpose: true}}, {names: [b]}]\n",
        "hosts: [{names: [a], clientAuth: {mode: Require, ca: x, rules: [{field: cn, exact: y}]}}, {names: [b]}]\n",
        "hosts: [{names: [a], clientAuth: {mode: Require, ca: x, revocation: {check: Leaf}}}, {names: [b]}]\n",
        "hosts: [{names: [a], clientAuth: {mode: Require, ca: x}}, {names: [b]}]\ncrls: [{url: 'http://ca.example/'}]\n",
    ] {
        assert!(!first.authenticates_as(&parse(other)), "{other}");
        assert!(!parse(other).authenticates_as(&first), "{other}");
    }
}

#[test]
fn rules_are_a_bounded_list() {
    let rules = |count: usize| {
        let rules = "{field: cn, exact: a}, ".repeat(count);
        problems(&format!(
            "port: 1\npem: x\nclientAuth: {{mode: Require, ca: y, rules: [{rules}]}}\n"
        ))
    };
    assert_eq!(rules(64), [""; 0]);
    assert_eq!(
        rules(65),
        ["line 3: clientAuth.rules: 65 entries; at most 64 are allowed"]
    );
    let none = "line 3: clientAuth.rules: it has no rule, so no client could connect; add one, or remove the list";
    assert_eq!(rules(0), [none]);
    let text = "port: 1\npem: x\nclientAuth: {mode: Require, ca: y, rules: }\n";
    assert_eq!(problems(text), [none]);
}

#[test]
fn a_list_of_lists_is_bounded() {
    let crls = |count: usize| {
        let crls: Vec<String> = (0..count)
            .map(|index| format!("{{url: 'http://a/{index}'}}"))
            .collect();
        problems(&format!("port: 1\npem: x\ncrls: [{}]\n", crls.join(", ")))
    };
    assert_eq!(crls(16), [""; 0]);
    assert_eq!(
        crls(17),
        ["line 3: crls: 17 entries; at most 16 are allowed"]
    );
}

/// A password in a URL of a list is refused, and not shown.
#[test]
fn a_url_with_a_password_is_not_shown() {
    let said = problems("port: 1\npem: x\ncrls: [{url: 'http://user:geheim@ca.example/'}]\n");
    assert!(
        said[0].contains("crls[0].url: expected a URL") && !said[0].contains("geheim"),
        "{said:?}"
    );
}

#[test]
fn tls_that_no_client_of_a_version_could_use_is_refused_at_its_key() {
    for (tls, expected) in [
        (
            "minVersion: Tls13, maxVersion: Tls12",
            "tls.minVersion: is higher than maxVersion; lower it, or remove maxVersion",
        ),
        (
            "maxVersion: Tls12, suites: [TLS_AES_128_GCM_SHA256]",
            "tls.suites: has none of TLS 1.2, which is on",
        ),
        (
            "suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
            "tls.suites: has none of TLS 1.3, which is on; add TLS_AES_128_GCM_SHA256, or set maxVersion: Tls12",
        ),
        (
            "groups: [X25519MLKEM768]",
            "tls.groups: has none of TLS 1.2, which is on",
        ),
        (
            "alpn: {required: true}",
            "tls.alpn.protocols: is empty, and one is required",
        ),
        (
            "alpn: {protocols: [{name: mqtt}, {name: mqtt}]}",
            "tls.alpn.protocols: has the same name twice",
        ),
        (
            "alpn: {protocols: [{name: mqtt-tls-probe}]}",
            "tls.alpn.protocols: has mqtt-tls-probe",
        ),
    ] {
        let said = problems(&format!("port: 1\npem: x\ntls: {{{tls}}}\n"));
        let [said] = &*said else {
            panic!("{tls}: {said:?}");
        };
        assert!(
            said.starts_with(&format!("line 3: {expected}")),
            "{tls}: {said}"
        );
    }
    for tls in [
        "minVersion: Tls13, suites: [TLS_AES_128_GCM_SHA256], groups: [X25519MLKEM768]",
        "maxVersion: Tls12, suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
        "alpn: {protocols: []}",
    ] {
        let said = problems(&format!("port: 1\npem: x\ntls: {{{tls}}}\n"));
        assert_eq!(said, [""; 0], "{tls}");
    }
}

#[test]
fn suites_and_groups_are_lists_of_known_names() {
    for (list, found) in [
        ("suites: [TLS_RSA_WITH_AES_128_CBC_SHA]", "a list"),
        (
            "suites: [TLS_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]",
            "a list",
        ),
        ("groups: []", "a list"),
        ("groups: x25519", "another text"),
    ] {
        let said = problems(&format!("port: 1\npem: x\ntls: {{{list}}}\n"));
        assert!(
            said[0].contains("expected a list of") && said[0].ends_with(&format!("found {found}")),
            "{said:?}"
        );
    }
    let rows = reference::rows();
    let values = |key: &str| {
        let mut rows = rows.iter();
        rows.find(|row| row.key == key).unwrap().values.clone()
    };
    for suite in Suite::ALL {
        assert!(values("tls.suites").contains(suite.name()));
    }
    for group in Group::ALL {
        assert!(values("tls.groups").contains(group.name()));
    }
}

#[test]
fn a_certificate_without_a_suite_is_a_misfit() {
    let tls = |keys: &str| -> Tls {
        let text = format!("port: 1\npem: x\ntls: {{{keys}}}\n");
        Config::parse(&text).unwrap().tls
    };
    let of_rsa = tls("suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]");
    assert_eq!(of_rsa.misfit(true), None);
    let said = of_rsa.misfit(false).unwrap();
    assert!(
        said.contains("add TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        "{said}"
    );
    assert!(
        tls("suites: [TLS_AES_128_GCM_SHA256], minVersion: Tls13")
            .misfit(true)
            .is_none()
    );
    assert!(tls("").misfit(true).or(tls("").misfit(false)).is_none());
}
