//! One call to the API server: its time limit and its errors.
//!
//! It must not show what was sent: the API server's message may quote a Secret's content.

use std::time::Duration;

use crate::kinds::{Target, Verb};
use crate::plan::reason::Reason;

/// Time limit of one call, including the client's retries.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Maximum length of a reason that is shown of a call about confidential content, in bytes.
const REASON_MAX: usize = 40;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused it.
    #[error("{verb} {target} was refused ({reason}): {message}")]
    Refused {
        /// The verb.
        verb: Verb,
        /// The object.
        target: Target,
        /// The HTTP status code.
        code: u16,
        /// The API server's reason.
        reason: String,
        /// The API server's message.
        message: String,
        /// Whether the operator lacks the permission. Policies, quotas and webhooks refuse with the same code.
        lacks_permission: bool,
    },
    /// No response in time. The call may have succeeded.
    #[error("{verb} {target} timed out after {} s", CALL_DEADLINE.as_secs())]
    TimedOut {
        /// The verb.
        verb: Verb,
        /// The object.
        target: Target,
    },
    /// The response cannot be parsed. The parser's message is left out, because it may quote the content.
    #[error("could not parse the API server's response to {verb} {target}")]
    Unreadable {
        /// The verb.
        verb: Verb,
        /// The object.
        target: Target,
    },
    /// No usable response.
    #[error("{verb} {target} failed")]
    Unanswered {
        /// The verb.
        verb: Verb,
        /// The object.
        target: Target,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// Returns the reason of the error, one of a fixed set, for metrics and conditions.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused {
                lacks_permission: true,
                ..
            } => Reason::Forbidden,
            Self::Refused { code: 409, .. } => Reason::Conflict,
            Self::Refused {
                code: 400 | 422, ..
            } => Reason::Invalid,
            Self::Refused { .. } => Reason::Refused,
            Self::TimedOut { .. } => Reason::TimedOut,
            Self::Unreadable { .. } => Reason::Unreadable,
            Self::Unanswered { .. } => Reason::Unanswered,
        }
    }

    /// Reports whether the API server rejected the object as invalid.
    pub fn is_invalid(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: 400 | 422,
                ..
            }
        )
    }

    /// Reports whether the object has changed meanwhile, or exists already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code: 409, .. })
    }

    /// Reports whether a quick retry is pointless, because someone must change something first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                matches!(code, 400..=499) && !matches!(code, 408 | 409 | 429)
            }
            Self::Unreadable { .. } => true,
            Self::TimedOut { .. } | Self::Unanswered { .. } => false,
        }
    }

    /// Reports whether the operator lacks the permission.
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                lacks_permission: true,
                ..
            }
        )
    }

    /// Returns the verb and the object of the call.
    pub fn attempt(&self) -> (Verb, &Target) {
        let (Self::Refused { verb, target, .. }
        | Self::TimedOut { verb, target }
        | Self::Unreadable { verb, target }
        | Self::Unanswered { verb, target, .. }) = self;
        (*verb, target)
    }

    /// Reports whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}

/// Makes a call with a time limit.
pub async fn call<T>(
    verb: Verb,
    target: &Target,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    let target = target.clone();
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Err(_) => Err(Error::TimedOut { verb, target }),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => {
            let lacks_permission = status.code == 403 && is_by_rbac(&status.message);
            // The API server's own words about a permission quote no content.
            let is_withheld = target.kind.is_confidential() && !lacks_permission;
            let (reason, message) = if is_withheld {
                let message = "message withheld, because it may quote the content";
                (plain(status.reason), message.to_owned())
            } else {
                (status.reason, status.message)
            };
            Err(Error::Refused {
                verb,
                target,
                code: status.code,
                reason,
                message,
                lacks_permission,
            })
        }
        Ok(Err(kube::Error::SerdeError(_))) => Err(Error::Unreadable { verb, target }),
        Ok(Err(error)) => Err(Error::Unanswered {
            verb,
            target,
            source: Box::new(error),
        }),
    }
}

/// Returns a reason that is one word, as the API server's are; a webhook may give any text.
fn plain(reason: String) -> String {
    let is_word = reason.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_word && reason.len() <= REASON_MAX {
        reason
    } else {
        "reason withheld".to_owned()
    }
}

/// Reports whether a message is the API server's own about a missing permission, such as `secrets is forbidden: User "a" cannot list
/// resource "secrets"…` or `forbidden: User "a" cannot get path "/version"`. Admission has other words, and may quote these.
fn is_by_rbac(message: &str) -> bool {
    let of_object = message
        .split_once(" is forbidden: ")
        .filter(|(object, _)| !object.starts_with("admission webhook "))
        .map(|(_, said)| said);
    let said = of_object.or_else(|| message.strip_prefix("forbidden: "));
    said.is_some_and(|said| said.starts_with("User \"") && said.contains("\" cannot "))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::call;
    use crate::error::chain;
    use crate::kinds::{Kind, Target, Verb};
    use crate::plan::reason::Reason;

    #[tokio::test]
    async fn messages_about_secrets_are_withheld() {
        let of = |kind| Target::one(kind, "a");
        let (secret, service) = (of(Kind::Secret), of(Kind::Service));
        let refusal = || async {
            let status = Status::failure("MIIEvQIBADANBgkqhkiG", "Invalid").with_code(422);
            Err::<(), _>(kube::Error::Api(Box::new(status)))
        };
        let error = call(Verb::Apply, &secret, refusal()).await.unwrap_err();
        assert!(!error.to_string().contains("MIIE"), "{error}");
        assert_eq!(error.reason(), Reason::Invalid);
        assert!(Reason::CALLS.contains(&error.reason()));
        let parsed = serde_json::from_str::<u8>("\"MIIE\"").unwrap_err();
        assert!(parsed.to_string().contains("MIIE"));
        let answer = async { Err::<(), _>(kube::Error::SerdeError(parsed)) };
        let error = call(Verb::Get, &secret, answer).await.unwrap_err();
        assert!(!chain(&error).contains("MIIE"), "{error}");
        let error = call(Verb::Apply, &service, refusal()).await.unwrap_err();
        assert!(error.to_string().contains("MIIE"), "{error}");
    }

    /// Admission refuses with the same code.
    #[tokio::test]
    async fn only_a_missing_permission_is_forbidden() {
        for message in [
            "secrets is forbidden: User \"system:serviceaccount:a:b\" cannot list resource \"secrets\" in API group \"\" at the cluster \
             scope",
            "mqtttlslisteners.mqtt.smartboot.tech \"a\" is forbidden: User \"b\" cannot patch resource \"mqtttlslisteners/status\" in \
             API group \"mqtt.smartboot.tech\" in the namespace \"c\": RBAC: clusterrole.rbac.authorization.k8s.io \"d\" not found",
            "forbidden: User \"a\" cannot get path \"/version\"",
        ] {
            for kind in [Kind::Secret, Kind::Service] {
                let error = refused(kind, message, "Forbidden").await;
                assert_eq!(error.reason(), Reason::Forbidden, "{message}");
                assert!(error.is_forbidden() && error.is_lasting());
                assert!(error.to_string().contains(message), "{error}");
            }
        }
        for message in [
            "admission webhook \"a\" denied the request: configmaps is forbidden: User \"b\" cannot list resource \"configmaps\"",
            "admission webhook \"webhook.cert-manager.io\" denied the request: spec.issuerRef.kind: Invalid value",
            "services \"a\" is forbidden: ValidatingAdmissionPolicy 'b' with binding 'c' denied request: User \"d\" cannot do this",
            "services \"a\" is forbidden: exceeded quota: few, requested: services=1, used: services=5, limited: services=5",
            "deployments.apps \"a\" is forbidden: unable to create new content in namespace b because it is being terminated",
        ] {
            let error = refused(Kind::Service, message, "Forbidden").await;
            assert_eq!(error.reason(), Reason::Refused, "{message}");
            assert!(!error.is_forbidden() && error.is_lasting());
            assert!(error.to_string().contains(message), "{error}");
            let error = refused(Kind::Secret, message, "Forbidden").await;
            assert!(!error.to_string().contains(message), "{error}");
        }
    }

    #[tokio::test]
    async fn a_reason_that_may_quote_a_secret_is_withheld() {
        let long = "a".repeat(41);
        for (reason, is_shown) in [("Forbidden", true), ("MIIE vQIB", false), (&long, false)] {
            let error = refused(Kind::Secret, "", reason).await;
            assert_eq!(error.to_string().contains(reason), is_shown, "{error}");
        }
    }

    async fn refused(kind: Kind, message: &str, reason: &str) -> super::Error {
        let target = Target::one(kind, "a");
        let status = Status::failure(message, reason).with_code(403);
        let refused = async { Err::<(), _>(kube::Error::Api(Box::new(status))) };
        call(Verb::Apply, &target, refused).await.unwrap_err()
    }
}
