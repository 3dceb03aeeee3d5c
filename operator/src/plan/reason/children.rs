//! The reasons of `Programmed` and `Available` with meaning and remedy, in the order of [`Reason`]. It must not decide
//! which one applies.

use super::vocabulary::{ConditionType, Reason, Row};

const PROGRAMMED: &[ConditionType] = &[ConditionType::Programmed];
const AVAILABLE: &[ConditionType] = &[ConditionType::Available];

pub(super) const ROWS: [Row; 28] = [
    Row::new(
        Reason::AddressPending,
        "AddressPending",
        PROGRAMMED,
        "the load balancer has not assigned an address to the Service yet",
        "wait; if it stays so, check that the cluster has a load balancer controller for `spec.service.loadBalancerClass`, \
         or choose another `spec.service.type`",
    ),
    Row::new(
        Reason::BeingDeleted,
        "BeingDeleted",
        PROGRAMMED,
        "a child is being deleted, and a finalizer holds it; it is created again afterwards",
        "wait; if it remains, find out who must remove the finalizer in the message",
    ),
    Row::new(
        Reason::ConfigImmutable,
        "ConfigImmutable",
        PROGRAMMED,
        "someone made the config Secret immutable, so it cannot be written",
        "delete it and restart the pods, as the message says",
    ),
    Row::new(
        Reason::ConfigType,
        "ConfigType",
        PROGRAMMED,
        "the config Secret has another type, which is immutable, so it cannot be written",
        "delete it; it is created again at once",
    ),
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
        Reason::PortOpening,
        "PortOpening",
        PROGRAMMED,
        "unknown, because the pods open a new port beside the current one, which the Service still leads to",
        "wait; the Service follows within seconds",
    ),
    Row::new(
        Reason::PortTaken,
        "PortTaken",
        PROGRAMMED,
        "only in `standalone`: another program uses the port",
        "stop it, or choose another port",
    ),
    Row::new(
        Reason::Refused,
        "Refused",
        PROGRAMMED,
        "the API server refuses a child, because of a quota, a webhook or a namespace that is being deleted; or it, or \
         the webhook, does not answer",
        "see the message; for a Secret, whose message is withheld, see the API server's audit log",
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
        Reason::CrashLoopBackOff,
        "CrashLoopBackOff",
        AVAILABLE,
        "a container of a pod ends again and again; the message contains its last words",
        "see the message, and `kubectl logs --previous` of the pod",
    ),
    Row::new(
        Reason::CreateContainerError,
        "CreateContainerError",
        AVAILABLE,
        "a container of a pod cannot be created or started",
        "see the message",
    ),
    Row::new(
        Reason::DeploymentPaused,
        "DeploymentPaused",
        AVAILABLE,
        "someone has paused the Deployment, so a change of the pods waits",
        "run the command in the message",
    ),
    Row::new(
        Reason::ImagePullBackOff,
        "ImagePullBackOff",
        AVAILABLE,
        "an image of a pod cannot be pulled",
        "check the image's name, the registry, and `spec.pod.imagePullSecrets`",
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
        "a rollout is in progress, or the Deployment controller has not observed the latest change",
        "wait",
    ),
    Row::new(
        Reason::ReplicaFailure,
        "ReplicaFailure",
        AVAILABLE,
        "the API server refuses the pods: a quota, a LimitRange, pod security, a missing PriorityClass or a webhook",
        "see the message",
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
    Row::new(
        Reason::Unschedulable,
        "Unschedulable",
        AVAILABLE,
        "no node takes a pod",
        "see the message; change `spec.pod`, or add a node",
    ),
];
