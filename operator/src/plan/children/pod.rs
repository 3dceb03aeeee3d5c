//! The pod template of the terminators.
//!
//! It must change only when pods must be replaced: settings that the mounted file can carry do not belong here. It
//! must comply with the restricted pod security standard.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, HTTPGetAction, KeyToPath, Lifecycle,
    LifecycleHandler, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecretProjection, SecurityContext,
    SleepAction, Sysctl, Toleration, TopologySpreadConstraint, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::crd::ADMIN_PORT;
use crate::kinds::Child;
use crate::plan::environment::Environment;
use crate::plan::listener::Listener;
use crate::plan::names::{ACCEPTED_KEY, CONFIG_KEY, CRLS, TICKET_KEYS, TRIALS_KEY};

/// Mount point of the configuration: a directory, because a file mounted by subPath is never refreshed.
const CONFIG_DIRECTORY: &str = "/etc/mqtt-tls";

/// Names of the container, the volume, and the admin port.
const CONTAINER: &str = "terminator";
const VOLUME: &str = "config";
const ADMIN: &str = "admin";

/// The terminator's setting with the file to start from if it refuses its configuration.
const FALLBACK: &str = "MQTT_TLS_FALLBACK";

/// The terminator's setting with the file of session ticket keys.
const TICKET_FILE: &str = "MQTT_TLS_TICKET_KEYS";

/// The terminator's setting with the file of revocation lists.
const CRL_FILE: &str = "MQTT_TLS_CRLS";

/// The terminator's setting with the file of trials. Terminators without it refuse a configuration with a candidate.
pub const TRIAL_FILE: &str = "MQTT_TLS_TRIALS";

/// The user and group of the terminator, as in its image.
const USER: i64 = 65_532;

/// Lowest port that needs no privilege: any. It is set for every listener, so that a change to a port below 1024
/// replaces no pod, and no pod refuses it.
const FIRST_UNPRIVILEGED_PORT: u16 = 0;

/// Range of local ports for connections to the backend. Each open connection uses one, and Linux's default range
/// allows about 28,000 per backend address. The range starts above common listening ports (8883, 9443, the admin
/// port): a connection from such a port would block a listener that changes to it.
const OUTGOING_PORTS: &str = "10240 65535";

/// How long a pod accepts connections after its deletion, in seconds: some nodes still route new connections to it.
const PRE_STOP: i64 = 5;

/// Remainder of the grace period after the drain, in seconds.
const GRACE_MARGIN: i64 = 10;

/// Builds the pod template.
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
            security_context: Some(pod_security()),
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
    // The port for devices is not declared: that has no effect, and a change would replace every pod.
    let admin = ContainerPort {
        name: Some(ADMIN.to_owned()),
        container_port: i32::from(ADMIN_PORT),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let sleep = LifecycleHandler {
        // The image has no shell to run `sleep`.
        sleep: Some(SleepAction { seconds: PRE_STOP }),
        ..LifecycleHandler::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(environment.terminator_image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(vec![format!("{CONFIG_DIRECTORY}/{CONFIG_KEY}")]),
        // Variables and not arguments: an earlier terminator ignores them.
        env: Some(vec![
            variable(FALLBACK, ACCEPTED_KEY),
            variable(TICKET_FILE, TICKET_KEYS),
            variable(CRL_FILE, CRLS),
            variable(TRIAL_FILE, TRIALS_KEY),
        ]),
        ports: Some(vec![admin]),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(sleep),
            ..Lifecycle::default()
        }),
        // Two minutes to start; then three failed liveness probes restart it, and one failed readiness probe takes
        // it out of the Service.
        startup_probe: Some(probe("/livez", 1, 120)),
        liveness_probe: Some(probe("/livez", 5, 3)),
        readiness_probe: Some(probe("/readyz", 5, 1)),
        // Shows the reason of a failure in `kubectl describe pod`.
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

/// Returns a variable with the path of a mounted file.
fn variable(name: &str, file: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(format!("{CONFIG_DIRECTORY}/{file}")),
        ..EnvVar::default()
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

fn pod_security() -> PodSecurityContext {
    // Kubernetes classifies both sysctls as safe, and restricted pod security allows them; the capability to bind
    // low ports would violate it.
    let sysctl = |name: &str, value: String| Sysctl {
        name: name.to_owned(),
        value,
    };
    let outgoing = sysctl("net.ipv4.ip_local_port_range", OUTGOING_PORTS.to_owned());
    let unprivileged = sysctl(
        "net.ipv4.ip_unprivileged_port_start",
        FIRST_UNPRIVILEGED_PORT.to_string(),
    );
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        // The group of the mounted files.
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        sysctls: Some(vec![outgoing, unprivileged]),
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
        // No CPU limit: it would throttle handshakes when many devices reconnect.
        None => ResourceRequirements {
            requests: Some(amounts(&[("cpu", "100m"), ("memory", "64Mi")])),
            limits: Some(amounts(&[("memory", "1Gi")])),
            ..ResourceRequirements::default()
        },
    }
}

/// Returns the volume with the configuration, the session ticket keys, the revocation lists, the trials, and the last accepted configuration, as far as
/// there are any.
fn volume(listener: &Listener) -> Volume {
    let source = |child, key: &str, is_optional: bool| VolumeProjection {
        secret: Some(SecretProjection {
            name: listener.identity.name_of(child),
            items: Some(vec![KeyToPath {
                key: key.to_owned(),
                path: key.to_owned(),
                mode: None,
            }]),
            optional: is_optional.then_some(true),
        }),
        ..VolumeProjection::default()
    };
    let sources = vec![
        source(Child::Configuration, CONFIG_KEY, false),
        // Of the same Secret: a key that may be missing has to be a source of its own.
        source(Child::Configuration, TICKET_KEYS, true),
        source(Child::Configuration, CRLS, true),
        source(Child::Configuration, TRIALS_KEY, true),
        source(Child::Accepted, ACCEPTED_KEY, true),
    ];
    Volume {
        name: VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            // Readable by the owner and the pod's group only.
            default_mode: Some(0o440),
        }),
        ..Volume::default()
    }
}

/// Returns the user's tolerations without empty strings: the API server omits them, so the operator would write them
/// again and again.
fn tolerations(listener: &Listener) -> Vec<Toleration> {
    let non_empty = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let tolerations = listener.pod.tolerations.iter();
    tolerations
        .map(|one| Toleration {
            effect: non_empty(&one.effect),
            key: non_empty(&one.key),
            operator: non_empty(&one.operator),
            toleration_seconds: one.toleration_seconds,
            value: non_empty(&one.value),
        })
        .collect()
}

/// Returns the user's constraints, or one that spreads the pods over the nodes.
fn spread(listener: &Listener) -> Vec<TopologySpreadConstraint> {
    let mut constraints = listener.pod.topology_spread_constraints.clone();
    if constraints.is_empty() {
        constraints.push(TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            // During a rollout, only the new pods count.
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

/// Converts to whole seconds, rounded up.
fn seconds(duration: Duration) -> i64 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(whole).unwrap_or(i64::MAX)
}
