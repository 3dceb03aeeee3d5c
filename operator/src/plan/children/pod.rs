//! A terminator's pod, as its Deployment's template.
//!
//! It must change only when the pods themselves must: everything that the mounted file can carry is not in it. It
//! must stay within the restricted pod security standard.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler,
    LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, SleepAction, Sysctl,
    Toleration, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::crd::ADMIN_PORT;
use crate::plan::environment::Environment;
use crate::plan::listener::Listener;
use crate::plan::names::CONFIG_KEY;

/// Where the configuration is mounted: a directory, because a file mounted alone is never refreshed.
const CONFIG_DIRECTORY: &str = "/etc/mqtt-tls";

/// The name of the container, the volume, and the admin port.
const CONTAINER: &str = "terminator";
const VOLUME: &str = "config";
const ADMIN: &str = "admin";

/// The user and group of the terminator, as in its image.
const USER: i64 = 65_532;

/// The lowest port that needs no privilege.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// The ports that connections to the backend are made from, first and last. Each connection takes one for as
/// long as it lives, and Linux's own range ends at some 28,000 of them for each address of the backend. It
/// begins above the ports that people listen on (8883, 9443, the admin port): a connection that happened to
/// have one of those would be in the way when a listener changes to it.
const OUTGOING_PORTS: &str = "10240 65535";

/// How long a pod goes on accepting after it was told to end, in seconds: until then, some nodes still
/// send it new connections.
const PRE_STOP: i64 = 5;

/// What is left of the grace period after the drain, in seconds.
const GRACE_MARGIN: i64 = 10;

/// The template of a pod.
pub(super) fn template(listener: &Listener, environment: &Environment) -> PodTemplateSpec {
    let (identity, pod) = (&listener.identity, &listener.pod);
    let annotations = pod.annotations.clone();
    let grace = PRE_STOP
        .saturating_add(seconds(environment.drain_deadline))
        .saturating_add(GRACE_MARGIN);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(identity.labels(&pod.labels)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(grace),
            security_context: Some(pod_security(listener.port)),
            containers: vec![container(listener, environment)],
            volumes: Some(vec![volume(listener)]),
            topology_spread_constraints: Some(spread(listener)),
            node_selector: filled_map(&pod.node_selector),
            tolerations: filled(&tolerations(listener)),
            affinity: pod.affinity.clone(),
            priority_class_name: pod.priority_class_name.clone(),
            image_pull_secrets: filled(&pod.image_pull_secrets).map(|secrets| {
                secrets
                    .into_iter()
                    .map(|secret| LocalObjectReference { name: secret.name })
                    .collect()
            }),
            ..PodSpec::default()
        }),
    }
}

fn container(listener: &Listener, environment: &Environment) -> Container {
    // The port for devices is not declared: that has no effect, and would replace every pod when it
    // changes, which cuts connections.
    let admin = ContainerPort {
        name: Some(ADMIN.to_owned()),
        container_port: i32::from(ADMIN_PORT),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let sleep = LifecycleHandler {
        // The image has no shell that could sleep.
        sleep: Some(SleepAction { seconds: PRE_STOP }),
        ..LifecycleHandler::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(environment.terminator_image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(vec![format!("{CONFIG_DIRECTORY}/{CONFIG_KEY}")]),
        ports: Some(vec![admin]),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(sleep),
            ..Lifecycle::default()
        }),
        // Two minutes to start, then ten seconds of silence end it, and a missed one takes it out.
        startup_probe: Some(probe("/livez", 1, 120)),
        liveness_probe: Some(probe("/livez", 5, 3)),
        readiness_probe: Some(probe("/readyz", 5, 1)),
        // Why it ended, in `kubectl describe pod`, without a look at the log.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        resources: Some(resources(listener)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: None,
                drop: Some(vec!["ALL".to_owned()]),
            }),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: CONFIG_DIRECTORY.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn pod_security(port: u16) -> PodSecurityContext {
    // Both are among the sysctls that Kubernetes counts as safe, and restricted pod security allows. For the
    // second one, a capability would need more than that.
    let sysctl = |name: &str, value: String| Sysctl {
        name: name.to_owned(),
        value,
    };
    let outgoing = sysctl("net.ipv4.ip_local_port_range", OUTGOING_PORTS.to_owned());
    let unprivileged = (port < FIRST_UNPRIVILEGED_PORT)
        .then(|| sysctl("net.ipv4.ip_unprivileged_port_start", port.to_string()));
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        // The mounted files belong to this group.
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        sysctls: Some(std::iter::once(outgoing).chain(unprivileged).collect()),
        ..PodSecurityContext::default()
    }
}

fn resources(listener: &Listener) -> ResourceRequirements {
    let amounts = |amounts: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        amounts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Quantity((*text).to_owned())))
            .collect()
    };
    match &listener.pod.resources {
        Some(resources) => ResourceRequirements {
            requests: filled_map(&resources.requests),
            limits: filled_map(&resources.limits),
            ..ResourceRequirements::default()
        },
        // No limit on CPU: it would throttle the handshakes of a reconnecting fleet.
        None => ResourceRequirements {
            requests: Some(amounts(&[("cpu", "100m"), ("memory", "64Mi")])),
            limits: Some(amounts(&[("memory", "1Gi")])),
            ..ResourceRequirements::default()
        },
    }
}

fn volume(listener: &Listener) -> Volume {
    Volume {
        name: VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(listener.identity.child_name()),
            // Readable by the owner and the pod's group, by nobody else.
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The user's, without texts that are empty: the API server leaves them out, and would be asked for them for ever.
fn tolerations(listener: &Listener) -> Vec<Toleration> {
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let tolerations = listener.pod.tolerations.iter();
    tolerations
        .map(|one| Toleration {
            effect: said(&one.effect),
            key: said(&one.key),
            operator: said(&one.operator),
            toleration_seconds: one.toleration_seconds,
            value: said(&one.value),
        })
        .collect()
}

/// The user's constraints, or one that spreads the pods over the nodes.
fn spread(listener: &Listener) -> Vec<TopologySpreadConstraint> {
    let mut constraints = listener.pod.topology_spread_constraints.clone();
    if constraints.is_empty() {
        constraints.push(TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            // During a rollout the new pods are spread among themselves.
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        });
    }
    for constraint in &mut constraints {
        constraint
            .label_selector
            .get_or_insert_with(|| listener.identity.selector());
    }
    constraints
}

fn filled<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn filled_map<T: Clone>(map: &BTreeMap<String, T>) -> Option<BTreeMap<String, T>> {
    (!map.is_empty()).then(|| map.clone())
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> i64 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(whole).unwrap_or(i64::MAX)
}
