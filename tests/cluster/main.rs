//! End-to-end tests of users' journeys on a real cluster, from installation to complete removal. One file for each
//! journey.
//!
//! `E2E` selects the cluster: `local` (the default) is a whole node on this machine, in an enclosure; `context`
//! uses the current kubeconfig, after a confirmation. See [`place`].
//!
//! The journeys run one after the other, in the order of [`journeys`]: later ones use what earlier ones have
//! installed, and the last one searches for keys in what all of them have left. A full run on this machine has two
//! lanes ([`Lane`]), each with its own node.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too, and prints its progress"
)]

mod bad_secrets;
mod canary;
mod cluster;
mod crl_urls;
mod diagnostics;
mod disruption;
mod dry_run;
mod editors;
mod grants;
mod hosts;
mod identity;
mod install;
mod listener;
mod operator;
mod place;
mod ports;
mod processes;
mod readme;
mod refused;
mod restricted;
mod revocation;
mod rollout;
mod rotation;
mod several;
mod tickets;
mod tls_policy;
mod trial;
mod upgrade;
mod values;
mod verify;
mod watching;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};

use cluster::Cluster;
use place::{Lane, Place, Way};
use tests::node::enclosure::Ended;

/// A journey's name and function.
type Journey = (&'static str, fn(&'static Cluster));

const ORDER: [Journey; 8] = [
    (
        "install::kustomize_and_a_first_message",
        install::kustomize_and_a_first_message,
    ),
    (
        "values::every_ci_case_of_the_chart_serves",
        values::every_ci_case_of_the_chart_serves,
    ),
    ("values::every_overlay_serves", values::every_overlay_serves),
    (
        "install::helm_and_a_first_message",
        install::helm_and_a_first_message,
    ),
    (
        "bad_secrets::each_is_reported_and_changes_nothing",
        bad_secrets::each_is_reported_and_changes_nothing,
    ),
    (
        "rotation::renewals_under_load",
        rotation::renewals_under_load,
    ),
    ("disruption::pods_come_and_go", disruption::pods_come_and_go),
    (
        "upgrade::upgrade_rollback_and_uninstall_with_clients_connected",
        upgrade::upgrade_rollback_and_uninstall_with_clients_connected,
    ),
];
const TROUBLE: [Journey; 22] = [
    // First, because it is about all listeners, and later journeys leave some that are not ready.
    (
        "verify::helm_test_says_whether_the_release_works",
        verify::helm_test_says_whether_the_release_works,
    ),
    (
        "restricted::everything_is_admitted_without_a_warning",
        restricted::everything_is_admitted_without_a_warning,
    ),
    (
        "editors::the_default_roles_apply_to_listeners",
        editors::the_default_roles_apply_to_listeners,
    ),
    (
        "several::two_listeners_are_independent",
        several::two_listeners_are_independent,
    ),
    (
        "several::the_plugins_file_works_as_a_secret",
        several::the_plugins_file_works_as_a_secret,
    ),
    (
        "hosts::tenants_behind_one_port_do_not_meet",
        hosts::tenants_behind_one_port_do_not_meet,
    ),
    (
        "identity::the_broker_knows_a_device_by_its_certificate",
        identity::the_broker_knows_a_device_by_its_certificate,
    ),
    (
        "revocation::a_revoked_device_is_cut_off",
        revocation::a_revoked_device_is_cut_off,
    ),
    (
        "crl_urls::a_device_that_is_revoked_at_a_url_is_cut_off",
        crl_urls::a_device_that_is_revoked_at_a_url_is_cut_off,
    ),
    (
        "grants::a_certificate_of_another_namespace_is_served_while_it_is_granted",
        grants::a_certificate_of_another_namespace_is_served_while_it_is_granted,
    ),
    (
        "dry_run::a_dry_run_says_whom_require_would_refuse",
        dry_run::a_dry_run_says_whom_require_would_refuse,
    ),
    (
        "tls_policy::a_change_is_previewed_and_then_made",
        tls_policy::a_change_is_previewed_and_then_made,
    ),
    (
        "tickets::a_session_is_resumed_at_another_pod_and_over_a_rotation",
        tickets::a_session_is_resumed_at_another_pod_and_over_a_rotation,
    ),
    (
        "trial::what_devices_refuse_is_rolled_back_until_it_is_resumed",
        trial::what_devices_refuse_is_rolled_back_until_it_is_resumed,
    ),
    (
        "ports::a_change_of_the_port_refuses_nothing",
        ports::a_change_of_the_port_refuses_nothing,
    ),
    (
        "refused::pods_that_are_replaced_serve_what_was_accepted",
        refused::pods_that_are_replaced_serve_what_was_accepted,
    ),
    (
        "bad_secrets::each_is_reported_despite_operator_kills",
        bad_secrets::each_is_reported_despite_operator_kills,
    ),
    (
        "rotation::renewals_despite_operator_kills",
        rotation::renewals_despite_operator_kills,
    ),
    (
        "disruption::pods_come_and_go_despite_operator_kills",
        disruption::pods_come_and_go_despite_operator_kills,
    ),
    ("disruption::brokers_restart", disruption::brokers_restart),
    (
        "rollout::what_holds_pods_up_is_reported",
        rollout::what_holds_pods_up_is_reported,
    ),
    (
        "watching::prometheus_sees_all_and_the_alert_fires",
        watching::prometheus_sees_all_and_the_alert_fires,
    ),
];
/// Searches what the other journeys of its node have left.
const LAST: Journey = (
    "canary::keys_are_in_secrets_only",
    canary::keys_are_in_secrets_only,
);

/// The journeys of a lane, or all of them, in order.
fn journeys(lane: Option<Lane>) -> Vec<Journey> {
    let (order, trouble) = (&ORDER[..], &TROUBLE[..]);
    let mut journeys = match lane {
        Some(Lane::Order) => order.to_vec(),
        Some(Lane::Trouble) => trouble.to_vec(),
        None => [order, trouble].concat(),
    };
    journeys.push(LAST);
    journeys
}

fn main() -> ExitCode {
    readme::each_command_has_its_comment();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if arguments.list {
        let trials = journeys(None)
            .into_iter()
            .map(|(name, _)| Trial::test(name, || Ok(())))
            .collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let of_all = arguments.filter.is_none();
    match place::find(of_all) {
        Way::Enclosed(ended) => {
            let codes: Vec<ExitCode> = ended.iter().map(Ended::report).collect();
            let failed = codes.into_iter().find(|code| *code != ExitCode::SUCCESS);
            failed.unwrap_or(ExitCode::SUCCESS)
        }
        Way::Here(place, lane) => run(&arguments, place, lane),
        Way::Nowhere(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, place: Place, lane: Option<Lane>) -> ExitCode {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::new(place)));
    let trials = journeys(lane).into_iter().map(|(name, journey)| {
        Trial::test(name, move || {
            let begun = Instant::now();
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
                journey(cluster);
                canary::no_key_is_logged(cluster);
            }));
            let outcome = outcome.map_err(|panic| {
                diagnostics::write(cluster, name);
                diagnostics::text(&*panic).into()
            });
            cluster.make_room();
            println!("took {} s", begun.elapsed().as_secs());
            outcome
        })
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    cluster.end();
    let left_out = readme::left_out();
    let all_were_run =
        conclusion.num_filtered_out == 0 && lane != Some(Lane::Trouble) && !conclusion.has_failed();
    if all_were_run && !left_out.is_empty() {
        eprintln!("README.md has commands that no journey has run: {left_out:?}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
