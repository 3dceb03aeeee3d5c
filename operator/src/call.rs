//! One call to the API server: its time limit, and how its failure is told.
//!
//! It must not show what was sent: a Secret's content can stand in what the API server says about it.

use std::time::Duration;

use crate::error::chain;
use crate::plan::About;
use crate::plan::unread::Failure;

/// How long one call may take, retries by the client included.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused it.
    #[error("{verb} {object} was refused ({reason}): {message}")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// The HTTP status code.
        code: u16,
        /// The API server's reason.
        reason: String,
        /// The API server's message.
        message: String,
    },
    /// There was no answer in time. The call may have worked.
    #[error("{verb} {object} had no answer within {} s", CALL_DEADLINE.as_secs())]
    TimedOut {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
    },
    /// The answer does not read. The parser's message is left out: it may quote the content.
    #[error("{verb} {object} had an answer that does not read")]
    Unreadable {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
    },
    /// There was no usable answer.
    #[error("{verb} {object} failed")]
    Unanswered {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// What the client said.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// The kind of error, one of a fixed set, for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused { code: 403, .. } => "Forbidden",
            Self::Refused { code: 409, .. } => "Conflict",
            Self::Refused {
                code: 400 | 422, ..
            } => "Invalid",
            Self::Refused { .. } => "Refused",
            Self::TimedOut { .. } => "TimedOut",
            Self::Unreadable { .. } => "Unreadable",
            Self::Unanswered { .. } => "Unanswered",
        }
    }

    /// Whether what was written makes no sense to the API server.
    pub fn is_invalid(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: 400 | 422,
                ..
            }
        )
    }

    /// Whether the object was not as the writer thought, or was there already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code: 409, .. })
    }

    /// Whether trying again soon is pointless: someone has to change something first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                matches!(code, 400..=499) && !matches!(code, 408 | 409 | 429)
            }
            Self::Unreadable { .. } => true,
            Self::TimedOut { .. } | Self::Unanswered { .. } => false,
        }
    }

    /// As a read that failed, on which a condition depends.
    pub fn failure(&self, about: About, failures: u32) -> Failure {
        let (Self::Refused { verb, object, .. }
        | Self::TimedOut { verb, object }
        | Self::Unreadable { verb, object }
        | Self::Unanswered { verb, object, .. }) = self;
        Failure {
            about,
            verb,
            object: object.clone(),
            told: chain(self),
            is_forbidden: matches!(self, Self::Refused { code: 403, .. }),
            is_lasting: self.is_lasting(),
            failures,
        }
    }

    /// Whether the object was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}

/// Makes a call, with a time limit.
pub async fn call<T>(
    verb: &'static str,
    object: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    let object = object.to_owned();
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Err(_) => Err(Error::TimedOut { verb, object }),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => {
            let message = if object.starts_with("Secret ") {
                "the message is not shown, because it may quote the content".to_owned()
            } else {
                status.message
            };
            Err(Error::Refused {
                verb,
                object,
                code: status.code,
                reason: status.reason,
                message,
            })
        }
        Ok(Err(kube::Error::SerdeError(_))) => Err(Error::Unreadable { verb, object }),
        Ok(Err(error)) => Err(Error::Unanswered {
            verb,
            object,
            source: Box::new(error),
        }),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::call;
    use crate::error::chain;

    #[tokio::test]
    async fn what_is_said_about_a_secret_is_not_shown() {
        let refusal = || async {
            let status = Status::failure("MIIEvQIBADANBgkqhkiG", "Invalid").with_code(422);
            Err::<(), _>(kube::Error::Api(Box::new(status)))
        };
        let error = call("apply", "Secret a", refusal()).await.unwrap_err();
        assert!(!error.to_string().contains("MIIE"), "{error}");
        assert_eq!(error.reason(), "Invalid");
        let parsed = serde_json::from_str::<u8>("\"MIIE\"").unwrap_err();
        assert!(parsed.to_string().contains("MIIE"));
        let answer = async { Err::<(), _>(kube::Error::SerdeError(parsed)) };
        let error = call("get", "Secret a", answer).await.unwrap_err();
        assert!(!chain(&error).contains("MIIE"), "{error}");
        let error = call("apply", "Service a", refusal()).await.unwrap_err();
        assert!(error.to_string().contains("MIIE"), "{error}");
    }
}
