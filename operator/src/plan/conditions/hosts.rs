//! `status.hosts`: the hosts that are not right, each once. It must not judge them.

use super::judged::Judged;
use crate::crd::{HOSTS_MAX, HostStatus};
use crate::plan::proof::answer::Backend;
use crate::plan::reason::Reason;

/// Returns the hosts that are not right: those with problems, with certificates outside their validity period, or whose
/// broker is not reached.
pub(super) fn hosts(judged: &Judged<'_>) -> Vec<HostStatus> {
    let before = judged.before.map_or(&[][..], |before| &before.hosts);
    let of_pods = judged.proofs.pods.iter();
    let unreached: Vec<HostStatus> = of_pods
        .flat_map(|(pod, answer)| {
            let hosts = answer.hosts.iter();
            hosts.filter_map(move |(name, backend)| unreached(pod, name, backend, before))
        })
        .collect();
    // Pods may take turns; what is still true of one of them stays.
    let is_known = |host: &&HostStatus| before.contains(host);
    let (known, new): (Vec<_>, Vec<_>) = unreached.iter().partition(is_known);
    let unreached = known.into_iter().chain(new).cloned();
    let report = judged.report.hosts.iter().cloned();
    let all = report.chain(judged.serving.hosts.iter().cloned());
    let mut hosts: Vec<HostStatus> = Vec::new();
    for host in all.chain(unreached) {
        if hosts.len() < HOSTS_MAX && !hosts.iter().any(|known| known.name == host.name) {
            hosts.push(host);
        }
    }
    hosts
}

/// Returns the entry of a host whose broker is not reached; as before if only the error differs, which may change with each
/// try.
fn unreached(
    pod: &str,
    name: &str,
    backend: &Backend,
    before: &[HostStatus],
) -> Option<HostStatus> {
    let Backend::Unreached { address, error, .. } = backend else {
        return None;
    };
    if !backend.is_out() {
        return None;
    }
    let reason = Reason::BackendUnreachable.name();
    let what = format!("pod {pod} has not reached the broker {address} for a minute or longer: ");
    let mut before = before.iter();
    let known = before.find(|known| {
        known.name == name && known.reason == reason && known.message.starts_with(&what)
    });
    Some(known.cloned().unwrap_or_else(|| HostStatus {
        name: name.to_owned(),
        reason: reason.to_owned(),
        message: format!("{what}{error}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::{Backend, HostStatus, unreached};
    use crate::plan::proof::answer::OUTAGE_MIN;

    fn out(address: &str, error: &str) -> Backend {
        Backend::Unreached {
            since: OUTAGE_MIN,
            address: address.to_owned(),
            error: error.to_owned(),
        }
    }

    #[test]
    fn an_outage_keeps_its_entry_while_only_the_error_differs() {
        let ask = |pod: &str, backend: &Backend, before: &[HostStatus]| {
            unreached(pod, "a.example", backend, before).map(|host| host.message)
        };
        let first = unreached("p", "a.example", &out("x:1883", "refused"), &[]).unwrap();
        assert_eq!(first.reason, "BackendUnreachable");
        let before = [first.clone()];
        let again = ask("p", &out("x:1883", "timed out"), &before);
        assert_eq!(again.as_deref(), Some(&*first.message));
        for (pod, address) in [("p", "y:1883"), ("q", "x:1883")] {
            let other = ask(pod, &out(address, "refused"), &before).unwrap();
            let said = format!("pod {pod} has not reached the broker {address} ");
            assert!(other.starts_with(&said), "{other}");
        }
        let short = Backend::Unreached {
            since: OUTAGE_MIN / 2,
            address: "x:1883".to_owned(),
            error: String::new(),
        };
        assert_eq!(ask("p", &short, &before), None);
        assert_eq!(ask("p", &Backend::Reached, &before), None);
    }
}
