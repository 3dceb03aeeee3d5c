//! A condition before its comparison with the current one. It must not decide what a condition is.

use jiff::{Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::crd::MqttTlsListenerStatus;
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};
use crate::text::shortened;

/// Maximum length of a condition's message in bytes; Kubernetes' limit.
const MESSAGE_LENGTH_MAX: usize = 32_768;

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// True.
    True,
    /// False.
    False,
    /// Unknown.
    Unknown,
}

impl Status {
    /// All values.
    pub const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition before its comparison with the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The type.
    pub type_: ConditionType,
    /// The status.
    pub status: Status,
    /// The reason.
    pub reason: String,
    /// The message.
    pub message: String,
}

impl Finding {
    /// Creates a finding.
    pub fn new(
        type_: ConditionType,
        status: Status,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_,
            status,
            reason: reason.name().to_owned(),
            message: message.into(),
        }
    }

    /// Creates a true finding with the type's name as the reason.
    pub fn holds(type_: ConditionType, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Status::True,
            reason: type_.name().to_owned(),
            message: message.into(),
        }
    }

    /// Keeps the current condition.
    pub fn kept(type_: ConditionType, kept: &Condition) -> Self {
        let mut all = Status::ALL.into_iter();
        let status = all.find(|status| status.name() == kept.status);
        Self {
            type_,
            status: status.unwrap_or(Status::Unknown),
            reason: kept.reason.clone(),
            message: kept.message.clone(),
        }
    }

    /// Returns false if there are problems of this type, unknown if the spec is not accepted, or `None`.
    pub fn of_problems<'p>(
        type_: ConditionType,
        problems: &(impl Iterator<Item = &'p Problem> + Clone),
    ) -> Option<Self> {
        let of = |type_| {
            problems
                .clone()
                .filter(move |problem| problem.about == type_)
        };
        if let Some(first) = of(type_).next() {
            let messages: Vec<&str> = of(type_).map(|problem| &*problem.message).collect();
            let message = messages.join("; ");
            return Some(Self::new(type_, Status::False, first.reason, message));
        }
        of(ConditionType::Accepted).next().map(|_| {
            let message =
                "the spec is not accepted; what runs stays, and its certificates are still renewed";
            Self::new(type_, Status::Unknown, Reason::NotAccepted, message)
        })
    }

    /// Keeps the current message if it differs only in numbers and is about the same spec. A status that changed with
    /// each try would trigger the next try at once, in spite of the backoff.
    #[must_use]
    pub fn steady(self, generation: Option<i64>, before: Option<&MqttTlsListenerStatus>) -> Self {
        let current = before.and_then(|before| find(before, self.type_));
        let similar = current.filter(|current| {
            let is_same_spec = current.observed_generation == generation;
            current.status == Status::False.name()
                && is_same_spec
                && is_similar(&current.message, &self.message)
        });
        match similar {
            Some(current) => Self {
                message: current.message.clone(),
                ..self
            },
            None => self,
        }
    }

    /// Keeps the current message if it differs only in the parenthesis that it ends with or that contains the words of a
    /// pod: these may change with each try.
    #[must_use]
    pub fn lasting(self, before: Option<&MqttTlsListenerStatus>) -> Self {
        let head = |message: &str| message.split('(').next().unwrap_or_default().to_owned();
        let current = before.and_then(|before| find(before, self.type_));
        let same = current.filter(|current| {
            current.status == self.status.name()
                && current.reason == self.reason
                && head(&current.message) == head(&self.message)
        });
        match same {
            Some(current) => Self {
                message: current.message.clone(),
                ..self
            },
            None => self,
        }
    }

    /// Returns the condition, with the current transition time if the status is unchanged.
    pub fn condition(
        &self,
        before: Option<&MqttTlsListenerStatus>,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Condition {
        let same = before
            .and_then(|status| find(status, self.type_))
            .filter(|condition| condition.status == self.status.name());
        // Kubernetes stores whole seconds; a finer time would differ in every comparison.
        let now = Time(now.round(Unit::Second).unwrap_or(now));
        Condition {
            type_: self.type_.name().to_owned(),
            status: self.status.name().to_owned(),
            reason: self.reason.clone(),
            message: shortened(self.message.clone(), MESSAGE_LENGTH_MAX),
            observed_generation: generation,
            last_transition_time: same
                .map_or(now, |condition| condition.last_transition_time.clone()),
        }
    }
}

/// Returns the condition of this type.
pub fn find(status: &MqttTlsListenerStatus, type_: ConditionType) -> Option<&Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == type_.name())
}

/// Reports whether two messages differ at most in words with digits, such as request ids, times and versions in the
/// refusals of API servers and webhooks.
pub(super) fn is_similar(one: &str, other: &str) -> bool {
    let words = |text| {
        str::split_whitespace(text).filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit()))
    };
    words(one).eq(words(other))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Finding, MqttTlsListenerStatus, Status, is_similar};
    use crate::plan::reason::{ConditionType, Reason};

    #[test]
    fn only_words_with_digits_may_differ() {
        let refused = "admission webhook denied request 7f3a-11 at 12:00:01Z: no quota";
        let again = "admission webhook denied request 8e01-12 at 12:00:07Z: no quota";
        assert!(is_similar(refused, again));
        assert!(!is_similar(
            refused,
            "admission webhook denied request 7f3a-11: no"
        ));
        assert!(!is_similar("Service a", "Deployment a"));
    }

    #[test]
    fn a_similar_message_is_kept_until_the_spec_changes() {
        let finding = |message: &str| {
            let type_ = ConditionType::Programmed;
            Finding::new(type_, Status::False, Reason::Invalid, message)
        };
        let first = finding("replicas: Invalid value: -1");
        let said = first.condition(None, Some(1), Timestamp::UNIX_EPOCH);
        let before = MqttTlsListenerStatus {
            conditions: vec![said],
            ..MqttTlsListenerStatus::default()
        };
        let now = finding("replicas: Invalid value: -2");
        assert_eq!(now.clone().steady(Some(1), Some(&before)), first);
        assert_eq!(now.clone().steady(Some(2), Some(&before)), now);
    }
}
