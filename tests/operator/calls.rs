//! How many requests a change costs: an event about an own write, or about a version that was read already, causes no
//! other look.

use tests::apiserver::AuditEvent;

use crate::fixture::{Fixture, installed, is_operator};

/// Maximum number of requests from a new listener to its first status, events included.
const CREATE_MAX: usize = 14;

/// Maximum number of requests for a renewed certificate, events included.
const RENEWAL_MAX: usize = 11;

/// Returns the operator's requests in the namespace, but not those of its watches.
async fn requests(cluster: &Fixture) -> Vec<AuditEvent> {
    let mut events = installed().await.audit_events();
    events.retain(|event| {
        let is_of_watch = event.verb == "watch"
            || (event.verb == "list" && !event.request_uri.contains("instance%3Dedge"));
        !is_of_watch && event.is_in(&cluster.namespace) && is_operator(event)
    });
    events
}

fn shown(requests: &[AuditEvent]) -> String {
    let lines = requests.iter().map(|one| {
        let object = one.object_ref.clone().unwrap_or_default();
        format!("{} {} {}", one.verb, object.resource, object.subresource)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_and_a_renewal_cost_few_requests() {
    let cluster = Fixture::start("calls").await;
    cluster.programmed("edge", "").await;
    cluster.settle().await;
    let created = requests(&cluster).await;
    assert!(
        created.len() <= CREATE_MAX,
        "{}:\n{}",
        created.len(),
        shown(&created)
    );

    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.settle().await;
    let all = requests(&cluster).await;
    let renewed = &all[created.len()..];
    let writes = renewed.iter().filter(|one| one.is_write()).count();
    assert!(writes > 0, "the certificate is rendered");
    assert!(
        renewed.len() <= RENEWAL_MAX,
        "{}:\n{}",
        renewed.len(),
        shown(renewed)
    );
}
