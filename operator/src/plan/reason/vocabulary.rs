//! The types of conditions and the reasons. It must not define their meanings; the tables do.

/// The type of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The spec.
    Accepted,
    /// The objects that it references.
    ResolvedRefs,
    /// The certificates' validity.
    CertificateValid,
    /// The children.
    Programmed,
    /// The pods.
    Available,
    /// What the pods serve.
    CertificateServed,
    /// Whether the pods reach the broker.
    BackendReachable,
    /// The trials of renewed certificates.
    Trial,
    /// All of those above, but for trials.
    Ready,
    /// A change that goes on.
    Reconciling,
    /// A change that does not go on.
    Stalled,
}

/// The reason of a condition or an event. Sorted by condition and name; then those of several conditions, and last those
/// of events only.
#[expect(missing_docs, reason = "the tables contain the meanings")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    DuplicateCertificate,
    DuplicateHostName,
    InvalidBackend,
    InvalidCertificates,
    InvalidClientAuth,
    InvalidHost,
    InvalidHostNames,
    InvalidIdentity,
    InvalidLimits,
    InvalidName,
    InvalidPort,
    InvalidReplicas,
    InvalidTimeouts,
    InvalidTls,
    InvalidTrial,
    IssuerNotPermitted,
    MissingCaRef,
    SharedNames,
    UnreachableHost,
    BackendNotFound,
    BackendPortNotFound,
    BrokenPem,
    CaNotFound,
    CertManagerNotFound,
    CertificateNotIssued,
    ChainOutOfOrder,
    ChainTooLong,
    ConfigurationTooLarge,
    CrlNotFound,
    EncryptedPrivateKey,
    KeyMismatch,
    MissingKey,
    NoPrivateKey,
    NoSuite,
    PrivateKeyInBundle,
    RefNotPermitted,
    SecretNotFound,
    SeveralPrivateKeys,
    UnusableCertificate,
    UnusableCrl,
    UnusablePrivateKey,
    AuthorityIsLeaf,
    ClientAuthAvoidable,
    ClientIdKept,
    ClientsRefuse,
    CrlOutdated,
    DuplicateLeftOut,
    Expired,
    ExpiresSoon,
    IssuerCannotSign,
    IssuerExpired,
    IssuerExpiresSoon,
    IssuerNotYetValid,
    LargeHandshake,
    LeafIsCa,
    NameNotCovered,
    NeverChosen,
    NoNames,
    NotYetValid,
    OddDates,
    OddNames,
    PublicDemoKey,
    StapleRequired,
    WeakKey,
    WeakSignature,
    WrongKeyUsage,
    WrongPurpose,
    AddressPending,
    BeingDeleted,
    ConfigImmutable,
    ConfigType,
    Conflict,
    Invalid,
    NameTaken,
    NotRendered,
    NotStarted,
    NotWritten,
    PortOpening,
    PortTaken,
    Refused,
    RolloutStuck,
    TimedOut,
    Unanswered,
    Unreadable,
    CrashLoopBackOff,
    CreateContainerError,
    DeploymentPaused,
    ImagePullBackOff,
    NoTerminators,
    PodsAvailable,
    Progressing,
    ReplicaFailure,
    ScaledToZero,
    TooFewPods,
    Unschedulable,
    ConfigurationRefused,
    NotServedYet,
    OtherCertificate,
    RevocationListsNotLoaded,
    BackendUnreachable,
    NotReachedYet,
    RolledBack,
    TrialHeld,
    TrialRunning,
    TrialWaiting,
    BackendIsOwn,
    BlockLeftOut,
    Forbidden,
    IssuerNotCa,
    NameNotPermitted,
    NoCertificate,
    NoReadyPods,
    NotAccepted,
    NotRead,
    PathTooLong,
    PodsNotAsked,
    ReadFailed,
    SignatureMismatch,
    TemporaryCertificate,
    UnusableAuthority,
    CertificateLoaded,
    Malformed,
    NotReady,
    Ready,
    TrialEnded,
}

/// Number of reasons.
pub(super) const COUNT: usize = Reason::TrialEnded as usize + 1;

/// A reason with its meaning and remedy.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) reason: Reason,
    pub(super) name: &'static str,
    pub(super) conditions: &'static [ConditionType],
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
}

impl Row {
    pub(super) const fn new(
        reason: Reason,
        name: &'static str,
        conditions: &'static [ConditionType],
        meaning: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self {
            reason,
            name,
            conditions,
            meaning,
            remedy,
        }
    }
}
