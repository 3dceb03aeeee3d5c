//! The reasons of `Programmed` and of `Available`: what each means, and what to do. In the order of [`Reason`].

use super::vocabulary::{ConditionType, Reason, Row};

const PROGRAMMED: &[ConditionType] = &[ConditionType::Programmed];
const AVAILABLE: &[ConditionType] = &[ConditionType::Available];

pub(super) const ROWS: [Row; 18] = [
    Row::new(
        Reason::Conflict,
        "Conflict",
        PROGRAMMED,
        "the API server says that somebody else changes the same fields",
        "see the message; retried automatically",
    ),
    Row::new(
        Reason::Invalid,
        "Invalid",
        PROGRAMMED,
        "the API server refuses a child",
        "see the message: often a policy of the cluster, or a value under `spec.pod`",
    ),
    Row::new(
        Reason::NameTaken,
        "NameTaken",
        PROGRAMMED,
        "an object of a child's name is not the listener's",
        "rename or delete it; the message names it",
    ),
    Row::new(
        Reason::NotRendered,
        "NotRendered",
        PROGRAMMED,
        "there is nothing to serve with, or what was before stays",
        "see `ResolvedRefs`",
    ),
    Row::new(
        Reason::NotStarted,
        "NotStarted",
        PROGRAMMED,
        "only `standalone`: the terminator does not start",
        "see the message",
    ),
    Row::new(
        Reason::NotWritten,
        "NotWritten",
        PROGRAMMED,
        "only `standalone`: the configuration cannot be written",
        "see the message: is there room, and a right to write?",
    ),
    Row::new(
        Reason::PortTaken,
        "PortTaken",
        PROGRAMMED,
        "only `standalone`: another program has the port",
        "end it, or choose another port",
    ),
    Row::new(
        Reason::PredecessorRemains,
        "PredecessorRemains",
        PROGRAMMED,
        "an earlier listener of this name is still being collected",
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
        "the newest pods have not become ready within ten minutes; those of before go on serving",
        "`kubectl describe pods -l app.kubernetes.io/instance=NAME`: as a rule an image that cannot be pulled, or no \
         node with room",
    ),
    Row::new(
        Reason::TimedOut,
        "TimedOut",
        PROGRAMMED,
        "the API server has not answered in time",
        "retried automatically; check the API server",
    ),
    Row::new(
        Reason::Unanswered,
        "Unanswered",
        PROGRAMMED,
        "the API server could not be asked",
        "retried automatically; check the network and the API server",
    ),
    Row::new(
        Reason::Unreadable,
        "Unreadable",
        PROGRAMMED,
        "an answer made no sense",
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
        "the Deployment's controller has not seen the newest change",
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
        "`kubectl describe pods -l app.kubernetes.io/instance=NAME`; the log of one says what it waits for",
    ),
];
