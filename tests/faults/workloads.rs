//! What users do with listeners, as tables of acts. It must not know about faults.

/// One act of a user, or of a controller that the bare API server lacks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Puts a certificate and its key into a Secret.
    Tls(&'static str, Pair),
    /// Puts a CA bundle into a ConfigMap.
    Ca(&'static str),
    /// Applies a listener with one certificate, from a Secret, and with more fields of its spec.
    Listener(&'static str, &'static str, &'static str),
    /// Deletes a listener; its children stay.
    Delete(&'static str),
    /// Creates a Service of another owner.
    Foreign(&'static str),
    /// Merges a patch into a child of a kind, as another manager might.
    Edit(usize, &'static str, &'static str),
    /// Deletes an object of a child's kind.
    Remove(usize, &'static str),
    /// Deletes the children whose owner is gone, as the garbage collector would, and their pods.
    Collect,
    /// Makes two pods of a listener's Deployment.
    Pods(&'static str),
    /// Writes the status of a listener's Deployment as its controller would when all pods run.
    Available(&'static str),
    /// Lets the first of these pods serve what is rendered, from now on.
    Serve(&'static str),
    /// Waits until a listener's Service leads to a port, which follows the pods seconds later.
    Led(&'static str, u16),
    /// Waits until reconciliations of these listeners that saw all of the above have written nothing.
    Settle(&'static [&'static str]),
    /// The same for one listener, but goes on as soon as the fault has happened.
    SettleOrFault(&'static str),
    /// Ends the operator after the reconciliations in progress.
    Stop,
}

/// A certificate and a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pair {
    First,
    Renewed,
    /// The key of another certificate.
    Mismatch,
}

/// A workload: what is there before, and the acts during which a write meets a fault.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) before: &'static [Act],
    pub(crate) acts: &'static [Act],
    /// Whether a fault ends it early, so that fewer writes than without a fault are right.
    pub(crate) is_cut_short: bool,
    /// Whether a pod serves, whose answers come when they come: how often the status changes is not the operator's choice.
    pub(crate) is_served: bool,
    /// Whether its writes also meet the fault that takes long.
    pub(crate) is_slow: bool,
}

use tests::state::{DEPLOYMENT, SECRET as SECRETS, SERVICE};

use Act::{
    Available, Ca, Collect, Delete, Edit, Foreign, Led, Listener, Pods, Remove, Serve, Settle,
    SettleOrFault, Stop, Tls,
};

const EDGE: &str = "edge";
const SECRET: &str = "edge-tls";
const REQUIRE: &str =
    r#"{"clientAuth": {"mode": "Require", "caRef": {"kind": "ConfigMap", "name": "device-ca"}}}"#;

/// A listener that is ready.
const READY: &[Act] = &[
    Tls(SECRET, Pair::First),
    Listener(EDGE, SECRET, "{}"),
    Settle(&[EDGE]),
    Pods(EDGE),
    Available(EDGE),
    Settle(&[EDGE]),
];

/// All workloads.
pub(crate) const ALL: &[Workload] = &[
    Workload {
        is_slow: true,
        ..of("create", &[], READY)
    },
    of(
        "rotate",
        READY,
        &[Tls(SECRET, Pair::Renewed), Settle(&[EDGE])],
    ),
    of(
        "bad-secret",
        READY,
        &[
            Tls(SECRET, Pair::Mismatch),
            Settle(&[EDGE]),
            Tls(SECRET, Pair::Renewed),
            Settle(&[EDGE]),
        ],
    ),
    of(
        "port",
        READY,
        &[
            Listener(EDGE, SECRET, r#"{"port": 9443}"#),
            Led(EDGE, 9443),
            Settle(&[EDGE]),
        ],
    ),
    of(
        "backend",
        READY,
        &changed(r#"{"backend": {"address": {"host": "192.0.2.7", "port": 1884}}}"#),
    ),
    of(
        "settings",
        READY,
        &changed(
            r#"{"tls": {"tickets": "None"}, "limits": {"connections": 9000}, "timeouts": {"dial": "3s"}}"#,
        ),
    ),
    of(
        "client-auth",
        READY,
        &[
            Ca("device-ca"),
            Listener(EDGE, SECRET, REQUIRE),
            Settle(&[EDGE]),
        ],
    ),
    of(
        "service",
        READY,
        &changed(
            r#"{"service": {"type": "NodePort", "labels": {"team": "iot"}, "annotations": {"example.com/a": "b"}}}"#,
        ),
    ),
    of(
        "pod",
        READY,
        &changed(
            r#"{"pod": {"labels": {"team": "iot"}, "resources": {"requests": {"cpu": "0.5"}, "limits": {"memory": "2Gi"}}}}"#,
        ),
    ),
    of(
        "certificates",
        READY,
        &[
            Tls("more-tls", Pair::Renewed),
            Listener(
                EDGE,
                SECRET,
                r#"{"certificates": [{"secretRef": {"name": "edge-tls"}}, {"secretRef": {"name": "more-tls"}}]}"#,
            ),
            Settle(&[EDGE]),
            Listener(EDGE, "more-tls", "{}"),
            Settle(&[EDGE]),
        ],
    ),
    of("scale-up", READY, &changed(r#"{"replicas": 3}"#)),
    of("scale-down", READY, &changed(r#"{"replicas": 1}"#)),
    of(
        "scale-to-zero",
        READY,
        &[
            Listener(EDGE, SECRET, r#"{"replicas": 0}"#),
            Settle(&[EDGE]),
            Available(EDGE),
            Settle(&[EDGE]),
            Listener(EDGE, SECRET, "{}"),
            Settle(&[EDGE]),
            Available(EDGE),
            Settle(&[EDGE]),
        ],
    ),
    of(
        "edited",
        READY,
        &[
            // Together with the operator's port, which has a name, this one is invalid.
            Edit(
                SERVICE,
                "edge-mqtts",
                r#"{"spec": {"ports": [{"port": 1}]}}"#,
            ),
            Settle(&[EDGE]),
            Edit(DEPLOYMENT, "edge-mqtts", r#"{"spec": {"replicas": 7}}"#),
            Settle(&[EDGE]),
            Available(EDGE),
            Settle(&[EDGE]),
        ],
    ),
    of(
        "removed",
        READY,
        &[
            Remove(SECRETS, "edge-mqtts"),
            Settle(&[EDGE]),
            Remove(SERVICE, "edge-mqtts"),
            Settle(&[EDGE]),
            Remove(DEPLOYMENT, "edge-mqtts"),
            Settle(&[EDGE]),
            Available(EDGE),
            Settle(&[EDGE]),
        ],
    ),
    of(
        "name-taken",
        &[Tls(SECRET, Pair::First), Foreign("edge-mqtts")],
        &[
            Listener(EDGE, SECRET, "{}"),
            Settle(&[EDGE]),
            Remove(SERVICE, "edge-mqtts"),
            Settle(&[EDGE]),
        ],
    ),
    Workload {
        name: "delete",
        before: &[Listener("witness", "none", "{}"), Settle(&["witness"])],
        acts: &[
            Tls(SECRET, Pair::First),
            Listener(EDGE, SECRET, "{}"),
            SettleOrFault(EDGE),
            Delete(EDGE),
            Settle(&["witness"]),
            Stop,
            Collect,
        ],
        is_cut_short: true,
        is_served: false,
        is_slow: false,
    },
    Workload {
        is_served: true,
        ..of(
            "accepted",
            READY,
            &[
                Serve(EDGE),
                Settle(&[EDGE]),
                Ca("device-ca"),
                // Stricter: what was accepted is removed first.
                Listener(EDGE, SECRET, REQUIRE),
                Settle(&[EDGE]),
                Tls(SECRET, Pair::Renewed),
                Settle(&[EDGE]),
            ],
        )
    },
    of(
        "again",
        READY,
        &[
            Delete(EDGE),
            Listener(EDGE, SECRET, "{}"),
            Settle(&[EDGE]),
            Collect,
            Settle(&[EDGE]),
            Available(EDGE),
            Settle(&[EDGE]),
        ],
    ),
    of(
        "shared-secret",
        &[
            Tls(SECRET, Pair::First),
            Listener(EDGE, SECRET, "{}"),
            Listener("other", SECRET, "{}"),
            Settle(&[EDGE, "other"]),
            Pods(EDGE),
            Pods("other"),
            Settle(&[EDGE, "other"]),
        ],
        &[Tls(SECRET, Pair::Renewed), Settle(&[EDGE, "other"])],
    ),
];

const fn of(name: &'static str, before: &'static [Act], acts: &'static [Act]) -> Workload {
    Workload {
        name,
        before,
        acts,
        is_cut_short: false,
        is_served: false,
        is_slow: false,
    }
}

/// A change of a ready listener's spec, after which its pods become available again.
const fn changed(more: &'static str) -> [Act; 4] {
    [
        Listener(EDGE, SECRET, more),
        Settle(&[EDGE]),
        Available(EDGE),
        Settle(&[EDGE]),
    ]
}
