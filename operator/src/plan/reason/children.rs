//! The reasons of `Programmed` and `Available` with meaning and remedy, in the order of [`Reason`]. It must not decide
//! which one applies.

use super::vocabulary::{ConditionType, Reason, Row};

const PROGRAMMED: &[ConditionType] = &[ConditionType::Programmed];
const AVAILABLE: &[ConditionType] = &[ConditionType::Available];

pub(super) const ROWS: [Row; 18] = [
    Row::new(
        Reason::Conflict,
        "Conflict",
        PROGRAMMED,
        "another field manager owns or changed the same fields",
        "see the message; retried automatically",
    ),
    Row::new(
        Reason::Invalid,
        "Invalid",
        PROGRAMMED,
        "the API server rejects a child as invalid",
        "see the message; the cause is often a policy of the cluster, or a value under `spec.pod`",
    ),
    Row::new(
        Reason::NameTaken,
        "NameTaken",
        PROGRAMMED,
        "an object with a child's name does not belong to the listener",
        "delete the object in the message, or rename the listener",
    ),
    Row::new(
        Reason::NotRendered,
        "NotRendered",
        PROGRAMMED,
        "there is no configuration yet, or the previous one stays in use",
        "see `ResolvedRefs`",
    ),
    Row::new(
        Reason::NotStarted,
        "NotStarted",
        PROGRAMMED,
        "only in `standalone`: the terminator does not start",
        "see the message",
    ),
    Row::new(
        Reason::NotWritten,
        "NotWritten",
        PROGRAMMED,
        "only in `standalone`: the configuration cannot be written",
        "see the message; check free space and permissions",
    ),
    Row::new(
        Reason::PortTaken,
        "PortTaken",
        PROGRAMMED,
        "only in `standalone`: another program uses the port",
        "stop it, or choose another port",
    ),
    Row::new(
        Reason::PredecessorRemains,
        "PredecessorRemains",
        PROGRAMMED,
        "children of an earlier listener of this name are still being garbage-collected",
        "wait",
    ),
    Row::new(
        Reason::Refused,
        "Refused",
        PROGRAMMED,
        "the API server or a webhook refuses a child",
        "see the message",
    ),
    Row::new(
        Reason::RolloutStuck,
        "RolloutStuck",
        PROGRAMMED,
        "the new pods have not become ready within ten minutes; the old pods keep serving",
        "see `kubectl describe pods -l app.kubernetes.io/instance=NAME`; common causes are an image that cannot be \
         pulled, and no node with enough resources",
    ),
    Row::new(
        Reason::TimedOut,
        "TimedOut",
        PROGRAMMED,
        "a call to the API server timed out",
        "retried automatically; check the API server",
    ),
    Row::new(
        Reason::Unanswered,
        "Unanswered",
        PROGRAMMED,
        "the API server could not be reached",
        "retried automatically; check the network and the API server",
    ),
    Row::new(
        Reason::Unreadable,
        "Unreadable",
        PROGRAMMED,
        "a response of the API server could not be parsed",
        "retried automatically; check that operator and cluster have compatible versions",
    ),
    Row::new(
        Reason::NoTerminators,
        "NoTerminators",
        AVAILABLE,
        "there is no Deployment yet",
        "see `Programmed`",
    ),
    Row::new(
        Reason::PodsAvailable,
        "PodsAvailable",
        AVAILABLE,
        "all pods are ready",
        "",
    ),
    Row::new(
        Reason::Progressing,
        "Progressing",
        AVAILABLE,
        "the Deployment controller has not observed the latest change",
        "wait",
    ),
    Row::new(
        Reason::ScaledToZero,
        "ScaledToZero",
        AVAILABLE,
        "`spec.replicas` is 0",
        "scale up",
    ),
    Row::new(
        Reason::TooFewPods,
        "TooFewPods",
        AVAILABLE,
        "some pods are not ready",
        "see `kubectl describe pods -l app.kubernetes.io/instance=NAME`, and the log of a pod that is not ready",
    ),
];
