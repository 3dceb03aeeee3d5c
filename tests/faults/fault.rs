//! The faults that a write can meet. It must not know how they are produced.

/// What happens to one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operator is killed before the API server gets the write, and started again.
    CrashBefore,
    /// The operator is killed after the write and before its response, and started again.
    CrashAfter,
    /// The API server refuses it with 409.
    Conflict,
    /// The API server refuses it with 429, and asks to wait for a second.
    TooManyRequests,
    /// The API server refuses it with 500.
    Internal,
    /// The connection is reset before the API server gets the write.
    Reset,
    /// The API server executes the write, and its response is lost.
    Lost,
    /// The API server executes the write, and no response comes until the operator gives up, which takes half a minute.
    Silent,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Conflict,
        Self::TooManyRequests,
        Self::Internal,
        Self::Reset,
        Self::Lost,
        Self::Silent,
    ];

    /// The last part of a plan's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash-before",
            Self::CrashAfter => "crash-after",
            Self::Conflict => "409",
            Self::TooManyRequests => "429",
            Self::Internal => "500",
            Self::Reset => "reset",
            Self::Lost => "lost",
            Self::Silent => "silent",
        }
    }

    pub(crate) fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter)
    }

    /// Reports whether the API server executes the write.
    pub(crate) fn is_executed(self) -> bool {
        matches!(self, Self::CrashAfter | Self::Lost | Self::Silent)
    }

    /// Reports whether the operator's reconciliation fails. The API client itself repeats what met a 429.
    pub(crate) fn is_seen(self) -> bool {
        matches!(
            self,
            Self::Conflict | Self::Internal | Self::Reset | Self::Lost | Self::Silent
        )
    }
}
