//! A problem of a listener, and what to do about it. It must not compute conditions.

use super::host_key::HostKey;
use super::reason::{ConditionType, Reason};
use crate::crd::HostStatus;
use crate::text::shortened;

/// Maximum length of a message about a host in the status, in bytes. There may be one for each host; the conditions have
/// them in full.
const HOST_MESSAGE_LENGTH_MAX: usize = 1024;

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

    /// Names the host that it is about.
    #[must_use]
    pub fn about_host(self, key: &HostKey) -> Self {
        let message = key.says(&self.message);
        Self { message, ..self }
    }

    /// Returns the entry in the status of a host with these problems; `None` without problems, and for the listener itself.
    pub fn of_host(key: &HostKey, problems: &[Self]) -> Option<HostStatus> {
        let first = problems.first()?;
        let messages: Vec<&str> = problems.iter().map(|one| &*one.message).collect();
        Some(HostStatus {
            name: key.name()?.to_owned(),
            reason: first.reason.name().to_owned(),
            message: shortened(messages.join("; "), HOST_MESSAGE_LENGTH_MAX),
        })
    }

    /// Adds it to the entry in the status of a host that has others.
    pub fn add_to(&self, host: &mut HostStatus) {
        let message = format!("{}; {}", host.message, self.message);
        host.message = shortened(message, HOST_MESSAGE_LENGTH_MAX);
    }

    /// Appends what the operator does in the meantime.
    #[must_use]
    pub fn until_then(self, what: &str) -> Self {
        let message = format!("{}; {what}", self.message);
        Self { message, ..self }
    }
}
