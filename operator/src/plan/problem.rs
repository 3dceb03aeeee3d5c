//! Something that is wrong with a listener, and what to do. It must not say which condition is how.

use super::reason::{ConditionType, Reason};

/// Something that is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The condition that it makes false.
    pub about: ConditionType,
    /// Why, in one word.
    pub reason: Reason,
    /// The object, the key, what is wrong, and what to do.
    pub message: String,
}

impl Problem {
    /// With what the spec names.
    pub fn of_reference(reason: Reason, message: String) -> Self {
        let about = ConditionType::ResolvedRefs;
        Self {
            about,
            reason,
            message,
        }
    }

    /// The same, with what is done about it for now.
    #[must_use]
    pub fn until_then(self, what: &str) -> Self {
        let message = format!("{}; {what}", self.message);
        Self { message, ..self }
    }
}
