//! Debian's Prometheus on loopback, which scrapes a test's targets and evaluates rules every second. It must not know
//! what is monitored: queries come from the dashboard and the rules.

pub mod dashboard;
mod http;
mod scrape;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::{Finished, Process, run};
use crate::wait::eventually_ok;
use crate::{assets, ports, workdir};

pub use scrape::Scrape;

/// Interval of scrapes and evaluations. A query over a minute has data after two of them.
const INTERVAL: &str = "1s";

/// Upper bound for a start.
const START: Duration = Duration::from_secs(60);

/// Upper bound for a run of promtool.
const SOON: Duration = Duration::from_secs(60);

/// A running Prometheus.
pub struct Prometheus {
    addr: SocketAddr,
    /// Dropping it stops the server.
    process: Process,
}

/// One element of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, including the name.
    pub labels: BTreeMap<String, String>,
    /// Its current value.
    pub value: f64,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Alert {
    /// The labels, including `alertname` and `severity`.
    pub labels: BTreeMap<String, String>,
    /// The rendered annotations.
    pub annotations: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
}

impl Alert {
    /// The rule's name.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    /// Reports whether it is firing, with this name and all of these labels.
    pub fn fires(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |(label, value): &(&str, &str)| {
            self.labels.get(*label).is_some_and(|found| found == value)
        };
        self.state == "firing" && self.name() == name && labels.iter().all(has)
    }
}

impl Prometheus {
    /// Starts a server. `rules` is the content of a rules file, or empty.
    #[track_caller]
    pub fn start(scrapes: &[Scrape], rules: &str) -> Self {
        let folder = workdir::scratch("prometheus");
        let addr = ports::free_addr();
        let config = configuration(&folder, scrapes, rules);
        let mut command = assets::installed("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={addr}"))
            .current_dir(&folder);
        let process = Process::spawn("prometheus", command);
        process.wait_until("it is ready", START, || http::get(addr, "/-/ready").ok());
        Self { addr, process }
    }

    /// Evaluates a query now.
    ///
    /// # Errors
    ///
    /// The server does not respond, or the query is invalid.
    pub fn query(&self, expr: &str) -> Result<Vec<Sample>, String> {
        let data = data(&http::post(self.addr, "/api/v1/query", &[("query", expr)])?)?;
        match data["resultType"].as_str() {
            Some("vector") => data["result"]
                .as_array()
                .into_iter()
                .flatten()
                .map(sample)
                .collect(),
            Some("scalar") => Ok(vec![Sample {
                labels: BTreeMap::new(),
                value: number(&data["result"])?,
            }]),
            other => Err(format!("{expr} returns a {other:?}")),
        }
    }

    /// All alerts that are pending or firing.
    ///
    /// # Errors
    ///
    /// The server does not respond.
    pub fn alerts(&self) -> Result<Vec<Alert>, String> {
        let data = data(&http::get(self.addr, "/api/v1/alerts")?)?;
        serde_json::from_value(data["alerts"].clone()).map_err(|error| error.to_string())
    }

    /// Waits until a query returns at least one number, and returns the result. NaN, which a ratio or a quantile of no
    /// samples returns, does not count.
    #[track_caller]
    pub fn wait_for_data(&self, expr: &str, within: Duration) -> Vec<Sample> {
        let what = format!("there is data for {expr}");
        eventually_ok(within, &what, || self.data(expr))
    }

    fn data(&self, expr: &str) -> Result<Vec<Sample>, String> {
        let samples = self.query(expr)?;
        if samples.iter().any(|sample| !sample.value.is_nan()) {
            Ok(samples)
        } else {
            Err(format!("{expr} returns {samples:?}"))
        }
    }

    /// Waits until an alert fires with all of these labels.
    #[track_caller]
    pub fn wait_for_alert(&self, name: &str, labels: &[(&str, &str)], within: Duration) -> Alert {
        eventually_ok(within, &format!("{name} fires for {labels:?}"), || {
            let alerts = self.alerts()?;
            let found = alerts.iter().find(|alert| alert.fires(name, labels));
            found.cloned().ok_or_else(|| format!("{alerts:?}"))
        })
    }

    /// Waits until no alert of this name fires with all of these labels.
    #[track_caller]
    pub fn wait_for_no_alert(&self, name: &str, labels: &[(&str, &str)], within: Duration) {
        eventually_ok(
            within,
            &format!("{name} is resolved for {labels:?}"),
            || {
                let mut alerts = self.alerts()?;
                alerts.retain(|alert| alert.fires(name, labels));
                if alerts.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{alerts:?}"))
                }
            },
        );
    }

    /// Waits until exactly the alerts of these names fire. With the rules of [`at_once`] others may fire for a moment
    /// between two scrapes, which `for` normally prevents.
    #[track_caller]
    pub fn wait_for_only(&self, names: &[&str], within: Duration) {
        let wanted: BTreeSet<&str> = names.iter().copied().collect();
        eventually_ok(within, &format!("only {names:?} fire"), || {
            let alerts = self.alerts()?;
            let fire: BTreeSet<&str> = alerts.iter().map(Alert::name).collect();
            (fire == wanted)
                .then_some(())
                .ok_or_else(|| format!("{alerts:?}"))
        });
    }

    /// Waits until each query of a dashboard returns data.
    #[track_caller]
    pub fn wait_for_dashboard(&self, dashboard: &str, within: Duration) {
        for query in dashboard::queries(dashboard) {
            let what = format!("panel {:?} has data", query.panel);
            eventually_ok(within, &what, || self.data(&query.expr));
        }
    }

    /// Its process, for signals and logs.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Returns the rules with `for: 0s`, so that each fires as soon as its expression is true.
pub fn at_once(rules: &str) -> String {
    let mut rules = parsed(rules);
    for rule in each_rule(&mut rules) {
        rule["for"] = json!("0s");
    }
    rules.to_string()
}

/// Returns the rules without annotations.
pub fn without_annotations(rules: &str) -> String {
    let mut rules = parsed(rules);
    for rule in each_rule(&mut rules) {
        rule.as_object_mut().map(|rule| rule.remove("annotations"));
    }
    rules.to_string()
}

/// Runs promtool in a folder.
#[track_caller]
pub fn promtool(folder: &Path, args: &[&str]) -> Finished {
    let mut command = assets::installed("promtool");
    command.args(args).current_dir(folder);
    run(command, b"", SOON)
}

fn parsed(rules: &str) -> Value {
    mqtt_tls_config::yaml::value(rules)
        .and_then(mqtt_tls_config::yaml::from_value)
        .unwrap_or_else(|error| panic!("invalid rules: {error}"))
}

fn each_rule(rules: &mut Value) -> impl Iterator<Item = &mut Value> {
    let groups = rules["groups"].as_array_mut().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array_mut().into_iter().flatten())
}

/// Writes the configuration. JSON is YAML.
fn configuration(folder: &Path, scrapes: &[Scrape], rules: &str) -> PathBuf {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("the folder is writable");
        file
    };
    let scrapes: Vec<&Value> = scrapes.iter().map(Scrape::config).collect();
    let mut config = json!({
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "scrape_configs": scrapes,
    });
    if !rules.is_empty() {
        config["rule_files"] = json!([write("rules.yaml", rules)]);
    }
    write("prometheus.yaml", &config.to_string())
}

fn data(answer: &str) -> Result<Value, String> {
    let mut answer: Value = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    Ok(answer["data"].take())
}

fn sample(element: &Value) -> Result<Sample, String> {
    let labels = serde_json::from_value(element["metric"].clone());
    Ok(Sample {
        labels: labels.map_err(|error| error.to_string())?,
        value: number(&element["value"])?,
    })
}

/// Parses the value of a pair of time and value, which is a string.
fn number(pair: &Value) -> Result<f64, String> {
    let text = pair[1].as_str().unwrap_or_default();
    text.parse().map_err(|_| format!("{pair} has no value"))
}

#[cfg(test)]
mod tests {
    use super::{at_once, without_annotations};

    const RULES: &str =
        "groups: [{name: g, rules: [{alert: A, expr: up, for: 5m, annotations: {summary: a}}]}]";

    #[test]
    fn the_rest_of_the_rules_is_unchanged() {
        let changed = at_once(RULES);
        assert!(changed.contains(r#""for":"0s""#) && changed.contains(r#""summary":"a""#));
        let changed = without_annotations(RULES);
        assert!(changed.contains(r#""for":"5m""#) && !changed.contains("annotations"));
    }
}
