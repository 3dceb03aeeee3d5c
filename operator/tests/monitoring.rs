//! Generates `deploy/monitoring.md` from the chart's alerts, and compares it; `UPDATE=1` writes it. It must contain every
//! alert, and no other.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "support/generated.rs"]
mod generated;

use std::fmt::Write as _;
use std::fs;

use generated::{assert_current, root};
use mqtt_tls_config::yaml;
use serde_json::Value;

/// How to monitor, before the alerts.
const MONITORING: &str = include_str!("support/monitoring.md");

#[test]
fn the_monitoring_page_matches_the_alerts() {
    assert_current("deploy/monitoring.md", &monitoring());
}

/// Returns the page about monitoring, with the alerts of the chart.
fn monitoring() -> String {
    let mut page = String::from(MONITORING);
    page.push_str("\n| alert | severity | summary | action |\n|---|---|---|---|\n");
    let alerts = fs::read_to_string(root().join("charts/smart-mqtt-tls/files/alerts.yaml"));
    let alerts = yaml::value(&alerts.unwrap()).and_then(yaml::from_value);
    let alerts: Value = alerts.unwrap();
    let groups = alerts["groups"].as_array().unwrap();
    for rule in groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
    {
        let text = |value: &Value| plain(value.as_str().unwrap());
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            text(&rule["alert"]),
            text(&rule["labels"]["severity"]),
            text(&rule["annotations"]["summary"]),
            text(&rule["annotations"]["action"]),
        )
        .unwrap();
    }
    page
}

/// Replaces an annotation's templates: a label by its name in capitals, a value by `N`.
fn plain(annotation: &str) -> String {
    let mut parts = annotation.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut with = String::new();
    for part in parts {
        let (template, rest) = part.split_once("}}").unwrap();
        let (template, label) = match template.trim().split_once("$labels.") {
            Some((template, label)) => (template.trim(), label.to_uppercase()),
            None => (template.trim(), String::new()),
        };
        match template {
            "" => text.push_str(&label),
            "with" => with = label,
            "." => text.push_str(&with),
            "end" => {}
            _ => text.push('N'),
        }
        text.push_str(rest);
    }
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
