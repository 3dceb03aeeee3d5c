//! The file of trials, and what `/status` and the metrics say of candidates.

use mqtt_tls_config::{Candidate, Certificate, Pem, Trial};
use serde_json::Value;
use tests::pki::Ca;
use tests::wait::eventually;
use tests::workdir;

use super::{Got, ID, Trying, trial};
use crate::fixture::{SOON, config, write};
use crate::program::start;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_changes_nothing_and_one_that_goes_ends_all_trials() {
    let ca = Ca::new("CA");
    let leaf = || Pem::new(ca.leaf().dns("localhost").issue().bundle());
    let mut config = config(
        &ca.leaf().dns("localhost").issue(),
        tests::ports::free_addr(),
    );
    config.candidate = Some(Candidate {
        id: ID.to_owned(),
        pem: leaf(),
    });
    let file = write(&config);
    let trials = file.with_file_name("trials");
    let process = start(&file, &["--trials", trials.to_str().unwrap()]);
    process.wait_for_line("serving", SOON);
    assert!(
        !process.log().contains("trials"),
        "nothing is missing: {}",
        process.log()
    );
    let follow = |text: &str, line: &str| {
        let mark = process.mark();
        workdir::replace(&trials, text);
        process.wait_for_line_after(mark, line, SOON);
    };
    follow(
        &Trial::file(&[trial(700, Vec::new())]),
        "loaded trials of certificates",
    );
    let share = || {
        let admin = (config.admin.host, config.admin.port).into();
        let status: Value = serde_json::from_str(&crate::fixture::get(admin, "/status").1).unwrap();
        status["trials"][0]["share"].clone()
    };
    assert_eq!(share(), 700);
    follow(
        "mqtt-tls trials, version 1\ntrial edge-tls-7 10001 1\n",
        "keeping the current ones: line 2 is neither",
    );
    assert_eq!(share(), 700);
    follow(
        "mqtt-tls trials, version 2\n",
        "line 1 is not `mqtt-tls trials, version 1`",
    );
    assert_eq!(share(), 700);
    let mark = process.mark();
    std::fs::remove_file(&trials).unwrap();
    process.wait_for_line_after(mark, "the file of trials is gone", SOON);
    assert_eq!(share(), 0, "what was counted is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_shown_and_judged() {
    let trying = Trying::start(0).await;
    let mut config = trying.fixture.config.clone();
    let more = |trying: &Trying| {
        Pem::new(
            trying
                .fixture
                .ca
                .leaf()
                .dns("more.example")
                .issue()
                .bundle(),
        )
    };
    config.certificates = vec![Certificate {
        pem: more(&trying),
        candidate: Some(Candidate {
            id: "another".to_owned(),
            pem: more(&trying),
        }),
    }];
    trying.fixture.rewrite(&config);
    trying.fixture.wait_for_generation(2);
    let status: Value = serde_json::from_str(&trying.fixture.get("/status").1).unwrap();
    let certificates = status["certificates"].as_array().unwrap();
    let marks: Vec<Option<&str>> = certificates
        .iter()
        .map(|one| one["candidate"].as_str())
        .collect();
    assert_eq!(marks, [None, None, Some(ID), Some("another")]);
    assert_eq!(certificates[2]["fingerprint"], trying.renewed.fingerprint());
    let (_, metrics) = trying.fixture.get("/metrics");
    let fingerprint = trying.renewed.fingerprint();
    let labels = format!("{{host=\"\",index=\"0.candidate\",fingerprint=\"{fingerprint}\"}}");
    assert!(
        metrics.contains(&format!(
            "mqtt_tls_certificate_not_after_timestamp_seconds{labels}"
        )),
        "{metrics}"
    );
    config.certificates[0].candidate = Some(Candidate {
        id: "another".to_owned(),
        pem: Pem::new("nothing".to_owned()),
    });
    trying.fixture.rewrite(&config);
    let (_, message) = trying.fixture.wait_for_refusal();
    assert!(
        message.starts_with("certificates[0].candidate.pem: "),
        "{message}"
    );
}

/// After the trial, the candidate takes the place of the certificate, and nothing but the configuration changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_ends_with_the_candidate_in_place() {
    let trying = Trying::start(10_000).await;
    assert_eq!(
        trying.connect(&trying.both()).await.unwrap(),
        Got::Candidate
    );
    let mut config = trying.fixture.config.clone();
    config.pem = config.candidate.take().unwrap().pem;
    trying.fixture.rewrite(&config);
    trying.fixture.wait_for_generation(2);
    assert_eq!(
        trying.connect(&trying.both()).await.unwrap(),
        Got::Candidate
    );
    assert!(trying.connect(&trying.old()).await.is_err());
    assert_eq!(
        trying.counts()["candidate"]["served"],
        1,
        "it is not on trial any more"
    );
    workdir::replace(&trying.trials, &Trial::file(&[]));
    trying.fixture.terminator.reload();
    eventually(SOON, "the trial is forgotten", || {
        trying.shown().is_null().then_some(())
    });
}

/// An expired candidate keeps no other change from taking effect: it has no place that it could take.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_candidate_is_a_warning() {
    let trying = Trying::start(0).await;
    let mut config = trying.fixture.config.clone();
    let expired = trying.new_ca.leaf().dns("localhost").expired().issue();
    config.candidate = Some(Candidate {
        id: ID.to_owned(),
        pem: Pem::new(expired.bundle()),
    });
    trying.fixture.rewrite(&config);
    trying.fixture.wait_for_generation(2);
    let status: Value = serde_json::from_str(&trying.fixture.get("/status").1).unwrap();
    let warnings = status["warnings"].as_array().unwrap();
    let is_there = |one: &Value| one["key"] == "candidate.pem" && one["reason"] == "Expired";
    assert!(warnings.iter().any(is_there), "{warnings:?}");
    let line = "mqtt_tls_certificate_warning{host=\"\",index=\"0.candidate\",reason=\"Expired\"}";
    assert!(trying.fixture.metric(line) > 0.5);
}
