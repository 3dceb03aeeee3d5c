//! Revocation lists in a file: what takes effect without a restart, and what is kept when a list or the file fails.

use std::time::{Duration, SystemTime};

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{ClientAuth, Revocation, RevocationCheck, WhenUnknown};
use serde_json::json;
use tests::pki::{Ca, DAY, Leaf};
use tests::wait::eventually;

use super::{Gate, device, remove, strict};
use crate::fixture::{SOON, trust};

const HOUR: Duration = Duration::from_secs(3600);

/// Judges revocation with these lists.
fn gate(devices: &Ca, lists: &str, revocation: Revocation) -> Gate {
    Gate::start(lists, |config| {
        config.client_auth = ClientAuth {
            revocation: Some(revocation),
            ..trust(Require, devices)
        };
    })
}

/// Revocation that accepts what is unlisted, and refuses what may be outdated.
fn never_outdated() -> Revocation {
    Revocation {
        when_outdated: WhenUnknown::Refuse,
        ..Revocation::default()
    }
}

/// A list of some hours ago.
fn list(ca: &Ca, revoked: &[&Leaf], hours: u32) -> String {
    let now = SystemTime::now();
    ca.crl_of(revoked, now - hours * HOUR, now + DAY)
}

/// Replaces the signature of a list.
fn damaged(pem: &str) -> String {
    let lines: Vec<&str> = pem.lines().collect();
    let at = lines.len() - 2;
    let swapped: String = lines[at]
        .chars()
        .map(|char| match char {
            'A' => 'B',
            'B' => 'A',
            other => other,
        })
        .collect();
    let first = if lines[at].starts_with('C') { "D" } else { "C" };
    let line = format!("{first}{}", &swapped[1..]);
    pem.replace(lines[at], &line)
}

#[test]
fn a_list_takes_effect_without_a_restart_and_an_older_one_gives_nothing_back() {
    let devices = Ca::new("devices");
    let (good, lost) = (device(&devices, "good"), device(&devices, "lost"));
    let gate = gate(&devices, &list(&devices, &[], 3), strict());
    gate.serves(&lost);
    gate.replace_lists(&list(&devices, &[&lost], 2), "ok");
    gate.refuses(&lost, 44);
    gate.serves(&good);
    assert_eq!(gate.fixture.terminator.status().configuration.generation, 1);
    // An older list, as from a backup.
    gate.replace_lists(&list(&devices, &[], 3), "older");
    gate.refuses(&lost, 44);
    gate.serves(&good);
    assert_eq!(gate.status()["revocation"]["complete"], true);
    gate.replace_lists(&list(&devices, &[], 1), "ok");
    gate.serves(&lost);
}

/// A list that cannot be used changes nothing: the one from before is good until its date.
#[test]
fn the_last_good_list_stays_when_the_file_fails_or_goes() {
    let (devices, namesake) = (Ca::new("devices"), Ca::new("devices"));
    let (good, lost) = (device(&devices, "good"), device(&devices, "lost"));
    let first = list(&devices, &[&lost], 2);
    let gate = gate(&devices, &first, strict());
    let newer = list(&devices, &[], 1);
    for (lists, outcome) in [
        (damaged(&newer), "SignatureMismatch"),
        (namesake.crl(&[]), "SignatureMismatch"),
        (Ca::new("strangers").crl(&[]), "UnknownIssuer"),
        ("not a list".to_owned(), "BrokenList"),
        (newer.replace("-----END", ""), "BrokenList"),
        (devices.cert_pem(), "BrokenList"),
    ] {
        gate.replace_lists(&lists, outcome);
        gate.refuses(&lost, 44);
        gate.serves(&good);
        let shown = gate.status()["revocation"].clone();
        assert_eq!(shown["complete"], true, "{shown}");
        let source = &shown["sources"][0];
        assert_eq!(source["error"]["reason"], outcome, "{source}");
        assert_eq!(source["lists"][0]["entries"], 1, "{source}");
        let warnings = gate.status()["warnings"].clone();
        assert_eq!(warnings[0]["key"], "--crls", "{warnings}");
        assert_eq!(warnings[0]["reason"], outcome, "{warnings}");
    }
    remove(&gate.crls);
    let line = "mqtt_tls_revocation_list_loads_total{outcome=\"unreadable\",source=\"file\"}";
    gate.fixture.wait_for_metric(line, 1.0);
    gate.refuses(&lost, 44);
    gate.serves(&good);
    // The same text as at first counts again.
    gate.replace_lists(&first, "ok");
    assert_eq!(gate.status()["revocation"]["complete"], true);
    gate.replace_lists(&newer, "ok");
    gate.serves(&lost);
}

/// One bad list among good ones does not keep the good ones from being used, nor the others from staying.
#[test]
fn lists_are_used_one_by_one() {
    let (devices, other) = (Ca::new("devices"), Ca::new("other"));
    let (lost, stolen) = (device(&devices, "lost"), device(&other, "stolen"));
    let lists = list(&devices, &[], 3) + &list(&other, &[&stolen], 3);
    let gate = Gate::start(&lists, |config| {
        config.client_auth = ClientAuth {
            revocation: Some(strict()),
            ..super::trusting(&[&devices, &other])
        };
    });
    gate.serves(&lost);
    let lists = list(&devices, &[&lost], 2) + &damaged(&list(&other, &[], 2));
    gate.replace_lists(&lists, "SignatureMismatch");
    gate.refuses(&lost, 44);
    gate.refuses(&stolen, 44);
    // Without a failure, what is not there any more was removed.
    gate.replace_lists(&list(&devices, &[&lost], 2), "ok");
    gate.refuses(&stolen, 46);
}

/// A list of another CA of the same name is about other certificates, although both are trusted.
#[test]
fn the_list_of_a_namesake_says_nothing() {
    let (devices, namesake) = (Ca::new("devices"), Ca::new("devices"));
    let (good, theirs) = (device(&devices, "good"), device(&namesake, "theirs"));
    let lists = namesake.crl(&[&theirs, &good]) + &devices.crl(&[]);
    let gate = Gate::start(&lists, |config| {
        config.client_auth = ClientAuth {
            revocation: Some(strict()),
            ..super::trusting(&[&devices, &namesake])
        };
    });
    gate.serves(&good);
    gate.refuses(&theirs, 44);
    gate.replace_lists(&namesake.crl(&[&theirs]), "ok");
    gate.refuses(&good, 46);
}

#[test]
fn without_a_good_list_devices_wait_where_outdated_lists_are_refused() {
    let devices = Ca::new("devices");
    let good = device(&devices, "good");
    let gate = gate(&devices, "not a list", never_outdated());
    gate.refuses(&good, 46);
    let refused = gate.count("refused", "", "outdated_list");
    assert!((refused - 2.0).abs() < 0.5, "{refused}");
    gate.replace_lists(&devices.crl(&[]), "ok");
    gate.serves(&good);
    let lenient = super::revocation::gate(&devices, "not a list", Revocation::default());
    lenient.serves(&good);
}

/// Without a file, nothing is missing: the operator writes none where there are no lists.
#[test]
fn a_file_that_was_never_there_has_no_lists() {
    let devices = Ca::new("devices");
    let good = device(&devices, "good");
    let gate = Gate::start_with(None, |config| {
        config.client_auth = ClientAuth {
            revocation: Some(never_outdated()),
            ..trust(Require, &devices)
        };
    });
    gate.serves(&good);
    let warnings = gate.status()["warnings"].clone();
    assert_eq!(warnings[0]["reason"], "NoRevocationList", "{warnings}");
    gate.replace_lists(&devices.crl(&[&good]), "ok");
    gate.refuses(&good, 44);
    assert_eq!(gate.status()["warnings"], json!([]));
}

/// As the operator does it: the lists go with the last `revocation`, and come with the next one.
#[test]
fn a_file_that_is_not_needed_any_more_may_go() {
    let devices = Ca::new("devices");
    let lost = device(&devices, "lost");
    let lists = list(&devices, &[&lost], 2);
    let gate = gate(&devices, &lists, strict());
    gate.refuses(&lost, 44);
    let mut config = gate.fixture.config.clone();
    let revocation = config.client_auth.revocation.take();
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(2);
    gate.serves(&lost);
    remove(&gate.crls);
    config.limits.connections = 1000;
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(3);
    let line = "mqtt_tls_revocation_list_loads_total{outcome=\"unreadable\",source=\"file\"}";
    assert!(
        gate.fixture.metric(line).abs() < 0.5,
        "no failure is counted"
    );
    assert_eq!(gate.status()["warnings"], json!([]));
    std::fs::write(&gate.crls, &lists).unwrap();
    config.client_auth.revocation = revocation;
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(4);
    gate.refuses(&lost, 44);
}

/// Who writes how clients are judged expects that they are.
#[test]
fn settings_without_effect_are_warned_of() {
    let gate = Gate::start("", |config| {
        config.client_auth.revocation = Some(Revocation::default());
        config.crls = vec![mqtt_tls_config::CrlUrl {
            url: format!("http://{}/ca.crl", tests::ports::free_addr()),
            ca: None,
            refresh: HOUR,
        }];
    });
    let warnings = gate.status()["warnings"].clone();
    for (key, reason) in [("crls", "RevocationOff"), ("clientAuth", "ClientAuthOff")] {
        let mut all = warnings.as_array().unwrap().iter();
        let is_said = all.any(|one| one["key"] == key && one["reason"] == reason);
        assert!(is_said, "{reason}: {warnings}");
    }
}

#[test]
fn a_list_shows_when_it_is_to_be_replaced() {
    let devices = Ca::new("devices");
    let good = device(&devices, "good");
    let now = SystemTime::now();
    let until = now - HOUR;
    let lists = devices.crl_of(&[], now - DAY, until);
    let gate = gate(&devices, &lists, Revocation::default());
    gate.serves(&good);
    let seconds = until
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let line =
        "mqtt_tls_revocation_list_next_update_timestamp_seconds{index=\"0\",source=\"file\"}";
    let found = gate.fixture.metric(line);
    assert!((found - seconds).abs() < 2.0, "{found} {seconds}");
    let warnings = gate.status()["warnings"].clone();
    assert_eq!(warnings[0]["reason"], "outdated", "{warnings}");
    let complete = "mqtt_tls_revocation_lists_complete";
    assert!((gate.fixture.metric(complete) - 1.0).abs() < 0.5);
}

/// A new CA brings its list into effect: what was refused for an unknown issuer is read again.
#[test]
fn a_list_is_read_again_when_its_issuer_becomes_known() {
    let (devices, next) = (Ca::new("devices"), Ca::new("next"));
    let lost = device(&next, "lost");
    let lists = devices.crl(&[]) + &next.crl(&[&lost]);
    let gate = gate(&devices, &lists, strict());
    let source = gate.status()["revocation"]["sources"][0].clone();
    assert_eq!(source["error"]["reason"], "UnknownIssuer", "{source}");
    let mut config = gate.fixture.config.clone();
    config.client_auth.ca = super::trusting(&[&devices, &next]).ca;
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(2);
    gate.refuses(&lost, 44);
    assert_eq!(gate.status()["revocation"]["complete"], true);
}

#[test]
fn a_revoked_ca_ends_its_devices_unless_the_leaf_alone_is_looked_up() {
    let root = Ca::new("root");
    let line = root.intermediate("line");
    let good = line.leaf().common_name("good").client_auth().issue();
    let of_line = root.crl_of_ca(&line);
    let lists = of_line + &line.crl(&[]) + &line.cert_pem();
    let chain = gate(&root, &lists, strict());
    chain.refuses(&good, 44);
    let leaf = Revocation {
        check: RevocationCheck::Leaf,
        ..strict()
    };
    gate(&root, &lists, leaf).serves(&good);
}

/// The program takes the file by its option, as the operator starts it.
#[test]
fn the_program_reads_the_file_by_its_option() {
    let devices = Ca::new("devices");
    let lost = device(&devices, "lost");
    let server = Ca::new("server CA");
    let leaf = server.leaf().dns("localhost").issue();
    let mut config = crate::fixture::config(&leaf, tests::ports::free_addr());
    config.client_auth = ClientAuth {
        revocation: Some(Revocation::default()),
        ..trust(Require, &devices)
    };
    let file = crate::fixture::write(&config);
    let crls = file.with_file_name("crls");
    std::fs::write(&crls, devices.crl(&[&lost])).unwrap();
    let option = crls.to_str().unwrap();
    let process = crate::program::start(&file, &["--crls", option]);
    let addr = (config.host.unwrap(), config.port).into();
    eventually(SOON, "the terminator listens", || {
        std::net::TcpStream::connect(addr).ok()
    });
    let seen = tests::clients::openssl::SClient::unverified(addr, "localhost")
        .identity(&lost)
        .until_server_closes()
        .run(b"");
    assert!(seen.stderr.contains("alert number 44"), "{}", seen.stderr);
    drop(process);
}
