//! A condition before it is compared with the one that is there.

use jiff::{Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::crd::MqttTlsListenerStatus;
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};
use crate::text::shortened;

/// How long a condition's message may be, in bytes: as much as Kubernetes takes.
const MESSAGE_LENGTH_MAX: usize = 32_768;

/// Whether a condition is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is.
    True,
    /// It is not.
    False,
    /// It is not known.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition before it is compared with the one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub type_: ConditionType,
    /// How that is.
    pub status: Status,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

impl Finding {
    /// It is so, for this reason.
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

    /// It is true, and there is nothing else to say.
    pub fn holds(type_: ConditionType, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Status::True,
            reason: type_.name().to_owned(),
            message: message.into(),
        }
    }

    /// It is as it was.
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

    /// False if there are problems; unknown if the spec itself is not accepted; none if nothing is wrong.
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
            let message = "the spec is not accepted; what was made before stays as it is";
            Self::new(type_, Status::Unknown, Reason::NotAccepted, message)
        })
    }

    /// The message of an error, or the one that is there if it says the same of the same spec. A status that changed
    /// with each try would call for the next one at once, whatever the back-off says.
    #[must_use]
    pub fn steady(self, generation: Option<i64>, before: Option<&MqttTlsListenerStatus>) -> Self {
        let said = before.and_then(|before| find(before, self.type_));
        let said = said.filter(|said| {
            let is_current = said.observed_generation == generation;
            said.status == Status::False.name()
                && is_current
                && says_the_same(&said.message, &self.message)
        });
        match said {
            Some(said) => Self {
                message: said.message.clone(),
                ..self
            },
            None => self,
        }
    }

    /// The condition, with the time of the one that is there if the status is the same.
    pub fn condition(
        &self,
        before: Option<&MqttTlsListenerStatus>,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Condition {
        let same = before
            .and_then(|status| find(status, self.type_))
            .filter(|condition| condition.status == self.status.name());
        // Kubernetes writes whole seconds: with more, every comparison would find a difference.
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

/// The condition of this type that is there.
pub fn find(status: &MqttTlsListenerStatus, type_: ConditionType) -> Option<&Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == type_.name())
}

/// Whether two messages differ at most in words with digits: numbers of requests, times and versions, as API
/// servers and webhooks put them into every refusal.
fn says_the_same(one: &str, other: &str) -> bool {
    let words = |text| {
        str::split_whitespace(text).filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit()))
    };
    words(one).eq(words(other))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Finding, MqttTlsListenerStatus, Status, says_the_same};
    use crate::plan::reason::{ConditionType, Reason};

    #[test]
    fn only_words_with_digits_may_differ() {
        let refused = "admission webhook denied request 7f3a-11 at 12:00:01Z: no quota";
        let again = "admission webhook denied request 8e01-12 at 12:00:07Z: no quota";
        assert!(says_the_same(refused, again));
        assert!(!says_the_same(
            refused,
            "admission webhook denied request 7f3a-11: no"
        ));
        assert!(!says_the_same("Service a", "Deployment a"));
    }

    #[test]
    fn a_message_stays_for_as_long_as_the_spec_does() {
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
