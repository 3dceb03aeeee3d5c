//! How a renewed certificate of another class is tried: `spec.trial` with its defaults.
//!
//! It must not say what is wrong with a value; `checks` does.

use std::time::Duration;

use mqtt_tls_config::SHARE_ALL;

use crate::crd::{MqttTlsListenerSpec, Trial};
use crate::plan::checks::duration;

/// Parts of [`SHARE_ALL`] in a percent.
const PERCENT: u16 = SHARE_ALL / 100;

/// Default of `minStep`.
const MIN_STEP: Duration = Duration::from_secs(600);

/// Default of `maxStep`.
const MAX_STEP: Duration = Duration::from_secs(24 * 3600);

/// How a renewed certificate of another class is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it is tried; otherwise all devices get it at once.
    pub is_gradual: bool,
    /// The shares of the full handshakes that get it, of [`SHARE_ALL`]: they rise, and the last is all.
    pub steps: Vec<u16>,
    /// How many handshakes with it a step needs, unless it lasts `max_step`.
    pub min_handshakes: u64,
    /// How long a step lasts at least.
    pub min_step: Duration,
    /// How long a step lasts at most; not shorter than `min_step`.
    pub max_step: Duration,
    /// How long a device that has refused it gets the previous one.
    pub remember: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_gradual: true,
            steps: [1, 5, 25, 100].map(|percent| percent * PERCENT).to_vec(),
            min_handshakes: 300,
            min_step: MIN_STEP,
            max_step: MAX_STEP,
            remember: Duration::from_secs(24 * 3600),
        }
    }
}

impl Settings {
    /// Returns those of a spec. A value that cannot be used is a problem of the spec, and gets its default here.
    pub fn of(spec: &MqttTlsListenerSpec) -> Self {
        let default = Self::default();
        let Some(trial) = &spec.trial else {
            return default;
        };
        let steps = trial.steps.as_ref().filter(|steps| rise(steps));
        let steps = steps.map(|steps| steps.iter().map(|percent| percent * PERCENT).collect());
        let count = trial.min_handshakes.filter(|count| is_enough(*count));
        let step = step(trial).filter(|(least, most)| least <= most);
        let (min_step, max_step) = step.unwrap_or((default.min_step, default.max_step));
        let remember = trial.remember.as_ref();
        let remember = remember.and_then(|text| bounded(text, Trial::REMEMBER));
        Self {
            is_gradual: *trial != Trial::IMMEDIATE,
            steps: steps.unwrap_or(default.steps),
            min_handshakes: count.map_or(default.min_handshakes, u64::from),
            min_step,
            max_step,
            remember: remember.unwrap_or(default.remember),
        }
    }
}

/// Reports whether percentages can be steps: they rise, and the last is all. A single one would compare with nothing.
pub(crate) fn rise(steps: &[u16]) -> bool {
    let ((least, most), (fewest, maximum)) = (Trial::STEP, Trial::STEPS);
    (fewest..=maximum).contains(&steps.len())
        && steps.first().is_some_and(|first| *first >= least)
        && steps.last() == Some(&most)
        && steps.is_sorted_by(|one, next| one < next)
}

/// Reports whether a number is one for `minHandshakes`.
pub(crate) fn is_enough(count: u32) -> bool {
    let (least, most) = Trial::MIN_HANDSHAKES;
    (least..=most).contains(&count)
}

/// Parses a duration; `None` if it is invalid or out of bounds.
pub(crate) fn bounded(text: &str, (least, most): (Duration, Duration)) -> Option<Duration> {
    duration(text).filter(|found| (least..=most).contains(found))
}

/// Returns how long a step lasts, at least and at most, which may contradict each other; `None` if one of them is invalid.
pub(crate) fn step(trial: &Trial) -> Option<(Duration, Duration)> {
    let read = |text: &Option<String>, bounds, default| match text {
        Some(text) => bounded(text, bounds),
        None => Some(default),
    };
    let least = read(&trial.min_step, Trial::MIN_STEP, MIN_STEP)?;
    let most = read(&trial.max_step, Trial::MAX_STEP, MAX_STEP)?;
    Some((least, most))
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::{REMEMBER_RANGE, SHARE_ALL, show_duration};
    use serde_json::{Value, json};

    use super::{Duration, PERCENT, Settings, Trial};
    use crate::crd;

    fn settings(trial: &Value) -> Settings {
        let spec = json!({"certificates": [], "backend": {}, "trial": trial});
        Settings::of(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn missing_values_get_their_defaults() {
        let default = Settings::default();
        assert_eq!(default.steps, [100, 500, 2500, SHARE_ALL]);
        for empty in [json!(null), json!({}), json!({"strategy": "Gradual"})] {
            assert_eq!(settings(&empty), default, "{empty}");
        }
        let immediate = settings(&json!({"strategy": "Immediate"}));
        assert!(!immediate.is_gradual);
    }

    #[test]
    fn values_are_those_of_the_spec() {
        let found = settings(&json!({
            "steps": [2, 100], "minHandshakes": 10, "minStep": "1h30m", "maxStep": "720h", "remember": "1m",
        }));
        let wanted = Settings {
            is_gradual: true,
            steps: vec![200, SHARE_ALL],
            min_handshakes: 10,
            min_step: Duration::from_secs(5400),
            max_step: Duration::from_secs(720 * 3600),
            remember: Duration::from_secs(60),
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_cannot_be_used_gets_its_default() {
        let found = settings(&json!({
            "steps": [5, 1], "minHandshakes": 9, "minStep": "soon", "maxStep": "1h", "remember": "1s",
        }));
        assert_eq!(found, Settings::default());
        // With other fields it is no valid strategy.
        let found = settings(&json!({"strategy": "Immediate", "minStep": "10m"}));
        assert_eq!(found, Settings::default());
        // Each alone is valid.
        let found = settings(&json!({"minStep": "48h", "maxStep": "47h"}));
        assert_eq!(found, Settings::default());
        let found = settings(&json!({"steps": [u16::MAX], "minStep": "20m"}));
        let default = Settings::default();
        assert_eq!(found.steps, default.steps);
        assert_eq!(found.min_step, 2 * default.min_step);
    }

    /// As `kubectl explain` and the reference show them.
    #[test]
    fn descriptions_have_the_bounds_and_defaults() {
        let default = Settings::default();
        let definition = serde_json::to_value(crd::definition()).unwrap();
        let fields =
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/trial/properties";
        let fields = definition.pointer(fields).unwrap().as_object().unwrap();
        let bounds = |(least, most)| format!("{} to {}", show_duration(least), show_duration(most));
        let percent: Vec<_> = default.steps.iter().map(|step| step / PERCENT).collect();
        let rows = [
            ("strategy", String::new(), "Gradual".to_owned()),
            (
                "steps",
                format!(
                    "{} to {} rising numbers from {} to {}",
                    Trial::STEPS.0,
                    Trial::STEPS.1,
                    Trial::STEP.0,
                    Trial::STEP.1
                ),
                json!(percent).to_string(),
            ),
            (
                "minHandshakes",
                format!("{} to {}", Trial::MIN_HANDSHAKES.0, Trial::MIN_HANDSHAKES.1),
                default.min_handshakes.to_string(),
            ),
            (
                "minStep",
                bounds(Trial::MIN_STEP),
                show_duration(default.min_step),
            ),
            (
                "maxStep",
                bounds(Trial::MAX_STEP),
                show_duration(default.max_step),
            ),
            (
                "remember",
                bounds(Trial::REMEMBER),
                show_duration(default.remember),
            ),
        ];
        assert_eq!(fields.len(), rows.len());
        for (name, bounds, default) in rows {
            let field = &fields[name];
            assert!(
                field["default"].is_null(),
                "the API server would write it into each listener"
            );
            let text = field["description"].as_str().unwrap();
            assert!(text.contains(&bounds), "{bounds}: {text}");
            assert!(
                text.ends_with(&format!("Default: {default}.")),
                "{default}: {text}"
            );
        }
    }

    /// The rule of the resource has them as text.
    #[test]
    fn the_rule_about_steps_has_the_defaults() {
        let definition = serde_json::to_string(&crd::definition()).unwrap();
        let (least, most) = (
            show_duration(super::MIN_STEP),
            show_duration(super::MAX_STEP),
        );
        for part in [
            format!("has(self.minStep) ? self.minStep : '{least}'"),
            format!("has(self.maxStep) ? self.maxStep : '{most}'"),
        ] {
            assert!(definition.contains(&part), "{part}");
        }
    }

    /// Otherwise the terminators would refuse the file.
    #[test]
    fn devices_are_remembered_within_the_bounds_of_the_file() {
        for bound in [Trial::REMEMBER.0, Trial::REMEMBER.1] {
            let seconds = u32::try_from(bound.as_secs()).unwrap();
            assert!(REMEMBER_RANGE.contains(&seconds), "{seconds}");
        }
    }
}
