//! The words themselves. It must not say what they mean: that is in the tables beside it.

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The spec.
    Accepted,
    /// The objects that it names.
    ResolvedRefs,
    /// The certificates' dates and keys.
    CertificateValid,
    /// The children.
    Programmed,
    /// The pods.
    Available,
    /// All of these.
    Ready,
}

/// Why a condition is as it is, or why there is an event. Those of one condition stand together, by their names; then those
/// of several, and last those of events alone.
#[expect(missing_docs, reason = "what each means is in the tables")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    DuplicateCertificate,
    InvalidBackend,
    InvalidCertificates,
    InvalidHost,
    InvalidLimits,
    InvalidName,
    InvalidPort,
    InvalidReplicas,
    InvalidTimeouts,
    MissingCaRef,
    UnreachableHost,
    BackendNotFound,
    BackendPortNotFound,
    BrokenPem,
    CaNotFound,
    ChainOutOfOrder,
    ChainTooLong,
    ConfigurationTooLarge,
    EncryptedPrivateKey,
    KeyMismatch,
    MissingKey,
    NoPrivateKey,
    PrivateKeyInBundle,
    SecretNotFound,
    SeveralPrivateKeys,
    UnusableCertificate,
    UnusablePrivateKey,
    AuthorityIsLeaf,
    ClientsRefuse,
    DuplicateLeftOut,
    Expired,
    IssuerCannotSign,
    IssuerExpired,
    IssuerExpiresSoon,
    IssuerNotYetValid,
    LeafIsCa,
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
    Conflict,
    Invalid,
    NameTaken,
    NotRendered,
    NotStarted,
    NotWritten,
    PortTaken,
    PredecessorRemains,
    Refused,
    RolloutStuck,
    TimedOut,
    Unanswered,
    Unreadable,
    NoTerminators,
    PodsAvailable,
    Progressing,
    ScaledToZero,
    TooFewPods,
    BlockLeftOut,
    Forbidden,
    IssuerNotCa,
    NameNotPermitted,
    NoCertificate,
    NotAccepted,
    NotRead,
    PathTooLong,
    ReadFailed,
    SignatureMismatch,
    UnusableAuthority,
    CertificateLoaded,
    Malformed,
}

/// How many reasons there are.
pub(super) const COUNT: usize = Reason::Malformed as usize + 1;

/// What there is to say about a reason.
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
