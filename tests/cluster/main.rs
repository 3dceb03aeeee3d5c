//! The journeys of those who use this, on a real cluster: from the installation to the last byte that is left
//! behind. One file a journey.
//!
//! `E2E` says where: `local` (the default) is a whole node on this machine, in an enclosure; `kind` makes a
//! cluster with kind; `context` takes the current kubeconfig, and asks before it touches it. See [`place`].
//!
//! The journeys run one after the other, in the order of [`journeys`]: two cores carry one of them, the later
//! ones use what the earlier have installed, and the last looks for keys in what all of them have left.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too, and its words are for whoever runs it"
)]

mod bad_secrets;
mod canary;
mod cluster;
mod diagnostics;
mod disruption;
mod editors;
mod install;
mod listener;
mod operator;
mod place;
mod readme;
mod restricted;
mod rotation;
mod several;
mod upgrade;
mod watching;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use cluster::Cluster;
use place::{Place, Way};
use tests::node::enclosure::Ended;

/// A journey's name and what it does.
type Journey = (&'static str, fn(&'static Cluster));

/// All of them, in their order.
fn journeys() -> Vec<Journey> {
    vec![
        (
            "install::kustomize_and_a_first_message",
            install::kustomize_and_a_first_message,
        ),
        (
            "install::helm_and_a_first_message",
            install::helm_and_a_first_message,
        ),
        (
            "restricted::everything_is_admitted_without_a_warning",
            restricted::everything_is_admitted_without_a_warning,
        ),
        (
            "editors::kubernetes_own_roles_hold_for_listeners",
            editors::kubernetes_own_roles_hold_for_listeners,
        ),
        (
            "several::two_listeners_keep_apart",
            several::two_listeners_keep_apart,
        ),
        (
            "several::the_plugins_file_becomes_a_secret",
            several::the_plugins_file_becomes_a_secret,
        ),
        (
            "bad_secrets::each_is_told_and_changes_nothing",
            bad_secrets::each_is_told_and_changes_nothing,
        ),
        (
            "bad_secrets::each_is_told_by_an_operator_that_is_killed",
            bad_secrets::each_is_told_by_an_operator_that_is_killed,
        ),
        (
            "rotation::renewals_under_load",
            rotation::renewals_under_load,
        ),
        (
            "rotation::renewals_with_an_operator_that_is_killed",
            rotation::renewals_with_an_operator_that_is_killed,
        ),
        ("disruption::pods_come_and_go", disruption::pods_come_and_go),
        (
            "disruption::pods_come_and_go_while_the_operator_is_killed",
            disruption::pods_come_and_go_while_the_operator_is_killed,
        ),
        ("disruption::brokers_restart", disruption::brokers_restart),
        (
            "watching::prometheus_sees_all_and_the_alert_fires",
            watching::prometheus_sees_all_and_the_alert_fires,
        ),
        (
            "canary::keys_are_in_secrets_only",
            canary::keys_are_in_secrets_only,
        ),
        (
            "upgrade::upgrade_rollback_and_uninstall_with_clients_connected",
            upgrade::upgrade_rollback_and_uninstall_with_clients_connected,
        ),
    ]
}

/// The README's commands that the journeys run.
const COMMANDS: [&str; 11] = [
    "broker",
    "cert-manager",
    "crd-uninstall",
    "first-listener",
    "first-message",
    "helm-install",
    "helm-uninstall",
    "helm-upgrade",
    "kustomize-install",
    "kustomize-uninstall",
    "port-forward",
];

fn main() -> ExitCode {
    readme::all_commands_are_run(&COMMANDS);
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if arguments.list {
        let trials = journeys()
            .into_iter()
            .map(|(name, _)| Trial::test(name, || Ok(())))
            .collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    match place::find() {
        Way::Enclosed(ended) => report(&ended),
        Way::Here(place) => run(&arguments, place),
        Way::Nowhere(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// A node that leaves something behind on this machine is a failure, whatever became of the journeys.
fn report(ended: &Ended) -> ExitCode {
    for line in &ended.left_behind {
        eprintln!("left behind on this machine: {line}");
    }
    match ended.code {
        Some(0) if !ended.left_behind.is_empty() => ExitCode::FAILURE,
        Some(code) => ExitCode::from(code),
        None => {
            eprintln!("a signal ended the node and the journeys on it");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, place: Place) -> ExitCode {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::new(place)));
    let trials = journeys().into_iter().map(|(name, journey)| {
        Trial::test(name, move || {
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
                journey(cluster);
                canary::no_key_is_logged(cluster);
            }));
            let outcome = outcome.map_err(|panic| {
                diagnostics::write(cluster, name);
                diagnostics::text(&*panic).into()
            });
            cluster.make_room();
            outcome
        })
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    cluster.end();
    conclusion.exit_code()
}
