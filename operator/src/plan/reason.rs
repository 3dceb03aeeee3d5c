//! The reasons of conditions and events, each with its meaning and remedy. The reference is generated from them.
//! Users' programs rely on the names. It must not decide which one applies.

mod certificates;
mod children;
mod judged;
mod proved;
mod several;
mod spec;
mod tried;
mod vocabulary;

use vocabulary::{COUNT, Row};
pub use vocabulary::{ConditionType, Reason};

impl ConditionType {
    /// All of them, in the order of the status.
    pub const ALL: [Self; 11] = [
        Self::Accepted,
        Self::ResolvedRefs,
        Self::CertificateValid,
        Self::Programmed,
        Self::Available,
        Self::CertificateServed,
        Self::BackendReachable,
        Self::Trial,
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
    ];

    /// Those that are judged by what was read; the others repeat them.
    pub const JUDGED: [Self; 7] = [
        Self::Accepted,
        Self::ResolvedRefs,
        Self::CertificateValid,
        Self::Programmed,
        Self::Available,
        Self::CertificateServed,
        Self::BackendReachable,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::CertificateValid => "CertificateValid",
            Self::Programmed => "Programmed",
            Self::Available => "Available",
            Self::CertificateServed => "CertificateServed",
            Self::BackendReachable => "BackendReachable",
            Self::Trial => "Trial",
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }

    /// Returns when it is true.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Accepted => "the spec is valid",
            Self::ResolvedRefs => {
                "every Secret, ConfigMap and Service that the spec references exists and is usable"
            }
            Self::CertificateValid => {
                "the served certificates are within their validity period; a reason other than `CertificateValid` is a warning"
            }
            Self::Programmed => {
                "the config Secret, Deployment, Service and PodDisruptionBudget match the spec, and no rollout is stuck"
            }
            Self::Available => {
                "all wanted pods are ready and of the current template, and no old one is left"
            }
            Self::CertificateServed => {
                "every ready pod runs the current configuration, and answers TLS handshakes with its certificates"
            }
            Self::BackendReachable => "every ready pod reaches the broker, and it answers",
            Self::Trial => {
                "a renewed certificate of another class is tried on a share of the devices; false if it was rolled back, and absent \
                 without a trial. It does not count for `Ready`"
            }
            Self::Ready => {
                "all of the conditions above but `Trial` are true; an unknown `CertificateServed` or `BackendReachable` does not \
                 count, because it is no evidence"
            }
            Self::Reconciling => {
                "a rollout or another change is in progress; absent otherwise (for tools with kstatus, such as Flux and Helm)"
            }
            Self::Stalled => {
                "a change does not proceed until someone acts; absent otherwise (for tools with kstatus)"
            }
        }
    }

    /// Reports whether it rests on the answers of pods, which may be out of the operator's reach.
    pub const fn is_asked_of_pods(self) -> bool {
        matches!(self, Self::CertificateServed | Self::BackendReachable)
    }
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; COUNT] = {
        let mut all = [Self::Malformed; COUNT];
        let mut index = 0;
        while index < COUNT {
            all[index] = TABLE[index].reason;
            index += 1;
        }
        all
    };

    /// The reasons of failed calls to the API server.
    pub const CALLS: [Self; 7] = [
        Self::Conflict,
        Self::Forbidden,
        Self::Invalid,
        Self::Refused,
        Self::TimedOut,
        Self::Unanswered,
        Self::Unreadable,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        ROWS[self as usize].name
    }

    /// Returns the conditions that can have it; empty if only events have it.
    pub const fn conditions(self) -> &'static [ConditionType] {
        ROWS[self as usize].conditions
    }

    /// Returns its meaning, or when the event occurs.
    pub const fn meaning(self) -> &'static str {
        ROWS[self as usize].meaning
    }

    /// Returns what to do.
    pub const fn remedy(self) -> &'static str {
        ROWS[self as usize].remedy
    }
}

static ROWS: [Row; COUNT] = TABLE;

/// All rows. Fails to compile if a reason has no row, or if its row is out of order.
const TABLE: [Row; COUNT] = {
    let tables: [&[Row]; 6] = [
        &spec::ROWS,
        &certificates::ROWS,
        &children::ROWS,
        &proved::ROWS,
        &tried::ROWS,
        &several::ROWS,
    ];
    let mut all = [spec::ROWS[0]; COUNT];
    let (mut next, mut table) = (0, 0);
    while table < tables.len() {
        let mut index = 0;
        while index < tables[table].len() {
            let row = tables[table][index];
            assert!(row.reason as usize == next);
            all[next] = row;
            next += 1;
            index += 1;
        }
        table += 1;
    }
    assert!(next == COUNT);
    all
};

#[cfg(test)]
mod tests {
    use super::{ConditionType, Reason};

    #[test]
    fn names_match_the_variants() {
        for reason in Reason::ALL {
            assert_eq!(reason.name(), format!("{reason:?}"));
            assert!(!reason.meaning().is_empty(), "{reason:?}");
        }
        for type_ in ConditionType::ALL {
            assert_eq!(type_.name(), format!("{type_:?}"));
        }
        assert!(ConditionType::ALL.is_sorted());
        assert_eq!(
            ConditionType::ALL.len(),
            ConditionType::Stalled as usize + 1
        );
        assert!(ConditionType::ALL.starts_with(&ConditionType::JUDGED));
    }

    #[test]
    fn reasons_are_sorted_by_condition_and_name() {
        let place = |reason: &Reason| {
            let conditions = reason.conditions();
            let of_one = (conditions.len() == 1).then(|| conditions[0]);
            let group = match (of_one, conditions) {
                (Some(one), _) => one as usize,
                (None, []) => usize::MAX,
                (None, _) => ConditionType::Ready as usize,
            };
            (group, reason.name())
        };
        assert!(Reason::ALL.is_sorted_by_key(place));
    }
}
