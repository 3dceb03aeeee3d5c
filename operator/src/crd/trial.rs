//! How a renewed certificate of another class is tried on a share of the devices first, as users write it.
//!
//! It must not decide what another class is, nor when a step ends; `plan` does. As in `timeouts`, the schema must have
//! no defaults.

use std::time::Duration;

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::timeouts::duration;

/// How a renewed certificate of another class is tried. Each field has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
            "!has(self.strategy) || self.strategy != 'Immediate' || \
             !(has(self.steps) || has(self.minHandshakes) || has(self.minStep) || has(self.maxStep) || has(self.remember))"
        )
        .message("with trial.strategy Immediate nothing is tried; remove the other fields, or strategy")
        .field_path(".strategy"),
    validation = Rule::new(
            "duration(has(self.minStep) ? self.minStep : '10m') <= duration(has(self.maxStep) ? self.maxStep : '24h')"
        )
        .message("minStep, whose default is 10m, must not be longer than maxStep, whose default is 24h")
        .field_path(".minStep")
)]
pub struct Trial {
    /// `Gradual`: a share of the devices gets the renewed certificate, and more in each step. `Immediate`: all get it at once, and
    /// nothing is tried. Default: Gradual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "strategy")]
    pub strategy: Option<TrialStrategy>,

    /// The percentage of the full handshakes that get the renewed certificate in each step; resumed sessions have no certificate. 2 to 8
    /// rising numbers from 1 to 100, of which the last is 100. A trial that is running keeps its percentage when they change, and goes on with
    /// the next larger one. Default: [1,5,25,100].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "steps")]
    pub steps: Option<Vec<u16>>,

    /// How many handshakes with the renewed certificate a step needs, unless it lasts `maxStep`. 10 to 1000000. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "min_handshakes")]
    pub min_handshakes: Option<u32>,

    /// How long a step lasts at least, also with enough handshakes. 1s to 168h, and not longer than `maxStep`. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "min_step")]
    pub min_step: Option<String>,

    /// How long a step lasts at most, also with fewer handshakes. 1s to 720h, and not shorter than `minStep`. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_step")]
    pub max_step: Option<String>,

    /// How long a device that has refused the renewed certificate gets the previous one. 1m to 168h. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "remember")]
    pub remember: Option<String>,
}

/// Whether a renewed certificate of another class is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum TrialStrategy {
    /// A share of the devices gets it, and more in each step.
    Gradual,
    /// All devices get it at once.
    Immediate,
}

impl Trial {
    /// Nothing is tried, and no other field means anything.
    pub const IMMEDIATE: Self = Self {
        strategy: Some(TrialStrategy::Immediate),
        steps: None,
        min_handshakes: None,
        min_step: None,
        max_step: None,
        remember: None,
    };
    /// Bounds of the number of steps.
    pub const STEPS: (usize, usize) = (2, 8);
    /// Bounds of a step, in percent.
    pub const STEP: (u16, u16) = (1, 100);
    /// Bounds of `minHandshakes`.
    pub const MIN_HANDSHAKES: (u32, u32) = (10, 1_000_000);
    /// Bounds of `minStep`.
    pub const MIN_STEP: (Duration, Duration) =
        (Duration::from_secs(1), Duration::from_secs(168 * 3600));
    /// Bounds of `maxStep`, which is not shorter than `minStep` either.
    pub const MAX_STEP: (Duration, Duration) =
        (Duration::from_secs(1), Duration::from_secs(720 * 3600));
    /// Bounds of `remember`, within those of the terminators' file.
    pub const REMEMBER: (Duration, Duration) =
        (Duration::from_secs(60), Duration::from_secs(168 * 3600));
}

fn strategy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Gradual", "Immediate"]})
}

/// The last step is 100 if the steps rise and one of them is.
fn steps(_: &mut SchemaGenerator) -> Schema {
    let ((least, most), (fewest, maximum)) = (Trial::STEP, Trial::STEPS);
    json_schema!({
        "type": "array",
        "minItems": fewest,
        "maxItems": maximum,
        "items": {"type": "integer", "format": "int32", "minimum": least, "maximum": most},
        "x-kubernetes-validations": [{
            "rule": "self.isSorted() && self.all(one, self.exists_one(other, other == one)) && 100 in self",
            "message": "steps must rise to 100, such as 1, 5, 25, 100",
        }],
    })
}

fn min_handshakes(_: &mut SchemaGenerator) -> Schema {
    let (least, most) = Trial::MIN_HANDSHAKES;
    json_schema!({"type": "integer", "format": "int32", "minimum": least, "maximum": most})
}

fn min_step(_: &mut SchemaGenerator) -> Schema {
    duration(Trial::MIN_STEP)
}

fn max_step(_: &mut SchemaGenerator) -> Schema {
    duration(Trial::MAX_STEP)
}

fn remember(_: &mut SchemaGenerator) -> Schema {
    duration(Trial::REMEMBER)
}
