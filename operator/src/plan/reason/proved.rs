//! The reasons of `CertificateServed` and `BackendReachable` with meaning and remedy, in the order of [`Reason`]. It
//! must not decide which one applies.

use super::vocabulary::{ConditionType, Reason, Row};

const SERVED: &[ConditionType] = &[ConditionType::CertificateServed];
const REACHABLE: &[ConditionType] = &[ConditionType::BackendReachable];

pub(super) const ROWS: [Row; 6] = [
    Row::new(
        Reason::ConfigurationRefused,
        "ConfigurationRefused",
        SERVED,
        "a pod cannot use the configuration, and keeps its previous one",
        "see the message, which is the pod's own; a common cause is `spec.host`",
    ),
    Row::new(
        Reason::NotServedYet,
        "NotServedYet",
        SERVED,
        "a pod still runs an earlier configuration; false after two minutes",
        "wait for two minutes; then see the pod's log and the kubelet's",
    ),
    Row::new(
        Reason::OtherCertificate,
        "OtherCertificate",
        SERVED,
        "a pod runs the current configuration, but a TLS handshake returned another certificate",
        "something between the operator and the pod answers in its place: see the message, and the cluster's mesh or \
         policies",
    ),
    Row::new(
        Reason::RevocationListsNotLoaded,
        "RevocationListsNotLoaded",
        SERVED,
        "true, but a pod cannot load the revocation lists of a source; those that it has brought before still count",
        "see the message, which is the pod's own: check the URL, NetworkPolicies between the pods and its server, and the list",
    ),
    Row::new(
        Reason::BackendUnreachable,
        "BackendUnreachable",
        REACHABLE,
        "for a minute or longer, pods have not reached the broker, or it has answered none of their clients with MQTT",
        "check `spec.backend`, the broker's pods and log, and NetworkPolicies between the terminators and the broker",
    ),
    Row::new(
        Reason::NotReachedYet,
        "NotReachedYet",
        REACHABLE,
        "for less than a minute, pods have not reached the broker, or it has answered none of their clients with MQTT",
        "wait",
    ),
];
