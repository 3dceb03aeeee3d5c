//! A settled operator writes nothing, and makes no request that `deploy/base` does not allow.

use crate::fixture::{Fixture, installed, is_operator};

/// Values that the API server normalizes, and fields that it defaults.
const AWKWARD: &str = "  service: {type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerSourceRanges: []}
  pod:
    resources: {requests: {cpu: '0.5', memory: 1024Mi}, limits: {memory: 1Gi, cpu: '1000m'}}
    tolerations:
    - {key: edge, operator: Exists, effect: NoExecute, tolerationSeconds: 30, value: ''}
    - {key: '', operator: Exists, effect: ''}
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists, values: []}], matchFields: []}]
      podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: []}
      podAntiAffinity:
        preferredDuringSchedulingIgnoredDuringExecution:
        - {weight: 1, podAffinityTerm: {topologyKey: zone}}
        - {weight: 2, podAffinityTerm: {topologyKey: zone, labelSelector: {}, namespaceSelector: {}, namespaces: []}}
        - {weight: 3, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {}, matchExpressions: []}}}
    topologySpreadConstraints:
    - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}
    - {maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule, matchLabelKeys: [], labelSelector: {matchLabels: {}}}
    imagePullSecrets: [{name: pull}, {name: other}]
    nodeSelector: {}
    annotations: {example.com/a: ''}
";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_at_rest() {
    let cluster = Fixture::start("quiet").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", AWKWARD);
    cluster.run_pods("edge").await;
    cluster.assign_address("edge").await;
    cluster.make_pod("edge", "edge-mqtts-1").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    cluster.writes_nothing_more().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_forbidden() {
    let cluster = Fixture::start("rights").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "  backend: {service: {name: smart-mqtt}}\n");
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "BackendNotFound")
        .await;
    cluster.make_pod("edge", "edge-mqtts-1").await;
    cluster.settle().await;
    let refused: Vec<_> = installed()
        .await
        .audit_events()
        .into_iter()
        .filter(is_operator)
        .filter(|event| {
            event
                .response_status
                .as_ref()
                .is_some_and(|status| status.code == 403)
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
