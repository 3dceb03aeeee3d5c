//! The check of how a renewed certificate of another class is tried. It must not look at certificates.

use std::time::Duration;

use mqtt_tls_config::show_duration;
use mqtt_tls_judge::escape::escaped;

use super::Environment;
use crate::crd::{MqttTlsListener, Trial};
use crate::plan::trials::settings::{bounded, is_enough, rise, step};

/// Maximum length of a value in a message, in bytes.
const SHOWN_MAX: usize = 64;

/// Each value is within its bounds, and all together can be followed.
pub(super) fn is_usable(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let trial = listener.spec.trial.as_ref()?;
    unused(trial)
        .or_else(|| wrong_steps(trial))
        .or_else(|| wrong_count(trial))
        .or_else(|| wrong_times(trial))
}

fn unused(trial: &Trial) -> Option<String> {
    let alone = Trial::IMMEDIATE;
    let has_others = trial.strategy == alone.strategy && *trial != alone;
    has_others.then(|| {
        "with spec.trial.strategy Immediate nothing is tried; remove the other fields, or strategy"
            .to_owned()
    })
}

fn wrong_steps(trial: &Trial) -> Option<String> {
    let steps = trial.steps.as_ref().filter(|steps| !rise(steps))?;
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let steps = escaped(&steps.join(", "), SHOWN_MAX);
    let ((least, most), (fewest, count)) = (Trial::STEP, Trial::STEPS);
    Some(format!(
        "spec.trial.steps is [{steps}]; it must have {fewest} to {count} rising numbers from {least} to {most}, of which the last is {most}"
    ))
}

fn wrong_count(trial: &Trial) -> Option<String> {
    let count = trial.min_handshakes.filter(|count| !is_enough(*count))?;
    let (least, most) = Trial::MIN_HANDSHAKES;
    Some(format!(
        "spec.trial.minHandshakes is {count}; it must be from {least} to {most}"
    ))
}

fn wrong_times(trial: &Trial) -> Option<String> {
    let times = [
        ("minStep", &trial.min_step, Trial::MIN_STEP),
        ("maxStep", &trial.max_step, Trial::MAX_STEP),
        ("remember", &trial.remember, Trial::REMEMBER),
    ];
    times
        .into_iter()
        .find_map(|(field, text, bounds)| wrong_time(field, text.as_deref()?, bounds))
        .or_else(|| contradiction(trial))
}

fn wrong_time(field: &str, text: &str, bounds: (Duration, Duration)) -> Option<String> {
    bounded(text, bounds).is_none().then(|| {
        let (least, most) = (show_duration(bounds.0), show_duration(bounds.1));
        let text = escaped(text, SHOWN_MAX);
        format!("spec.trial.{field} is {text}; it must be a duration from {least} to {most}, such as 1h30m")
    })
}

/// Returns what is wrong with the durations of a step together.
fn contradiction(trial: &Trial) -> Option<String> {
    let (least, most) = step(trial).filter(|(least, most)| least > most)?;
    let (least, most) = (show_duration(least), show_duration(most));
    Some(format!(
        "spec.trial.minStep is {least}; it must not be longer than maxStep, which is {most}"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::{Reason, run};
    use crate::crd::MqttTlsListener;
    use crate::plan::environment::Environment;

    fn problem(trial: &Value) -> Option<String> {
        let listener = json!({
            "metadata": {"name": "edge", "namespace": "iot"},
            "spec": {"certificates": [{"secretRef": {"name": "a"}}], "backend": {"address": {"host": "broker"}}, "trial": trial},
        });
        let listener: MqttTlsListener = serde_json::from_value(listener).unwrap();
        let environment = Environment::cluster(String::new(), String::new(), Duration::ZERO);
        let problems = run(&listener, &environment);
        problems.into_iter().next().map(|problem| {
            assert_eq!(problem.reason, Reason::InvalidTrial);
            problem.message
        })
    }

    #[test]
    fn values_within_the_bounds() {
        for good in [
            json!(null),
            json!({}),
            json!({"strategy": "Immediate"}),
            json!({"strategy": "Gradual", "steps": [99, 100], "minHandshakes": 10}),
            json!({"steps": [1, 2, 3, 4, 5, 6, 7, 100], "minHandshakes": 1_000_000}),
            json!({"minStep": "1s", "maxStep": "1s", "remember": "1m"}),
            json!({"minStep": "168h", "maxStep": "720h", "remember": "168h"}),
            json!({"maxStep": "10m"}),
            json!({"minStep": "23h60m"}),
        ] {
            assert_eq!(problem(&good), None, "{good}");
        }
    }

    #[test]
    fn values_out_of_bounds() {
        let steps = "it must have 2 to 8 rising numbers from 1 to 100, of which the last is 100";
        let count = "it must be from 10 to 1000000";
        for (bad, said) in [
            (json!({"steps": []}), steps),
            (json!({"steps": [100]}), steps),
            (json!({"steps": [0, 100]}), steps),
            (json!({"steps": [1, 101]}), steps),
            (json!({"steps": [1, 2, 3, 4, 5, 6, 7, 8, 100]}), steps),
            (
                json!({"steps": [5, 1, 100]}),
                "spec.trial.steps is [5, 1, 100]; it",
            ),
            (json!({"steps": [5, 5, 100]}), steps),
            (json!({"steps": [5, 100, 100]}), steps),
            (json!({"steps": [1, 5]}), steps),
            (json!({"minHandshakes": 9}), count),
            (json!({"minHandshakes": 1_000_001}), count),
            (
                json!({"minStep": "999ms"}),
                "minStep is 999ms; it must be a duration from 1s to 168h",
            ),
            (
                json!({"minStep": "168h1s", "maxStep": "720h"}),
                "minStep is 168h1s",
            ),
            (json!({"minStep": "1d"}), "minStep is 1d"),
            (
                json!({"maxStep": "999ms"}),
                "maxStep is 999ms; it must be a duration from 1s to 720h",
            ),
            (json!({"maxStep": "720h1s"}), "maxStep is 720h1s"),
            (
                json!({"remember": "59s"}),
                "remember is 59s; it must be a duration from 1m to 168h",
            ),
            (json!({"remember": "168h1s"}), "remember is 168h1s"),
            (json!({"remember": "a\nb"}), "remember is a\\nb; it"),
        ] {
            let found = problem(&bad).unwrap();
            assert!(found.contains(said), "{found}");
        }
        let long = problem(&json!({"steps": vec![1; 1000]})).unwrap();
        assert!(long.len() < 200, "{long}");
    }

    /// A value that is left out counts with its default.
    #[test]
    fn a_step_lasts_no_longer_than_its_maximum() {
        for (bad, said) in [
            (
                json!({"minStep": "61m", "maxStep": "1h"}),
                "minStep is 61m; it must not be longer than maxStep, which is 1h",
            ),
            (json!({"minStep": "25h"}), "which is 24h"),
            (json!({"maxStep": "9m"}), "minStep is 10m"),
        ] {
            let found = problem(&bad).unwrap();
            assert!(found.contains(said), "{found}");
        }
    }

    #[test]
    fn immediate_has_no_other_fields() {
        for other in [
            json!({"steps": [1, 100]}),
            json!({"minHandshakes": 300}),
            json!({"minStep": "10m"}),
            json!({"maxStep": "24h"}),
            json!({"remember": "24h"}),
        ] {
            assert_eq!(problem(&other), None, "{other}");
            let mut bad = other;
            bad["strategy"] = json!("Immediate");
            let found = problem(&bad).unwrap();
            assert!(
                found.starts_with("with spec.trial.strategy Immediate nothing is tried; remove"),
                "{found}"
            );
        }
    }
}
