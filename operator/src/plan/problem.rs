//! A problem of a listener, and what to do about it. It must not compute conditions.

use super::reason::{ConditionType, Reason};

/// A problem of a listener, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The condition that it makes false.
    pub about: ConditionType,
    /// The reason.
    pub reason: Reason,
    /// The object, the key, what is wrong, and what to do.
    pub message: String,
}

impl Problem {
    /// Returns a problem with a referenced object.
    pub fn of_reference(reason: Reason, message: String) -> Self {
        let about = ConditionType::ResolvedRefs;
        Self {
            about,
            reason,
            message,
        }
    }

    /// Appends what the operator does in the meantime.
    #[must_use]
    pub fn until_then(self, what: &str) -> Self {
        let message = format!("{}; {what}", self.message);
        Self { message, ..self }
    }
}
