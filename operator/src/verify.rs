//! The command `verify`: whether an installation works, as `helm test` asks. The operator's permissions suffice. It must not
//! write.

mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use crate::api::call::{self, call};
use crate::args;
use crate::crd::Guarded;
use crate::kinds::{Kind, Target, Verb};
use crate::run::{client, unavailable};
use crate::screen;
use verdict::{Leader, Listeners, verdict};

/// Polling interval; a leader renews the Lease every two seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// Number of listeners that are read at once.
const PAGE: u32 = 500;

/// What is asked.
struct Question {
    leases: Api<Lease>,
    lease: String,
    listeners: Api<Guarded>,
}

/// Looks until everything is right, or the time is over, and says what is wrong.
pub async fn run(arguments: &args::Verify) -> ExitCode {
    let client = match client().await {
        Ok(client) => client,
        Err(code) => return code,
    };
    let question = question(&client, arguments);
    match answer(&question, arguments.patience).await {
        Ok(Ok(words)) => {
            for found in words {
                screen::say(&found);
            }
            ExitCode::SUCCESS
        }
        Ok(Err(problems)) => {
            for problem in problems {
                screen::say(&format!("FAILED: {problem}"));
            }
            ExitCode::FAILURE
        }
        Err(error) => unavailable("the installation could not be verified", &error),
    }
}

fn question(client: &Client, arguments: &args::Verify) -> Question {
    let namespace = arguments.namespace.as_deref();
    let listeners = namespace.filter(|namespace| !namespace.is_empty());
    Question {
        leases: Api::namespaced(client.clone(), &arguments.lease_namespace),
        lease: arguments.lease_name.clone(),
        listeners: listeners.map_or_else(
            || Api::all(client.clone()),
            |namespace| Api::namespaced(client.clone(), namespace),
        ),
    }
}

/// Returns what was found to be right, or what is wrong at the end of the time.
async fn answer(
    question: &Question,
    patience: Duration,
) -> Result<Result<Vec<String>, Vec<String>>, call::Error> {
    let deadline = Instant::now() + patience;
    let mut leader = Leader::default();
    loop {
        let verdict = look(question, &mut leader).await;
        // A new pod may be kept from the API server for a moment, until its node knows its NetworkPolicy.
        let is_final = match &verdict {
            Ok(verdict) => verdict.is_ok(),
            Err(error) => error.is_lasting(),
        };
        if is_final || Instant::now() > deadline {
            return verdict;
        }
        sleep(PAUSE).await;
    }
}

/// Looks once.
async fn look(
    question: &Question,
    leader: &mut Leader,
) -> Result<Result<Vec<String>, Vec<String>>, call::Error> {
    let target = Target::one(Kind::Lease, &question.lease);
    let lease = question.leases.get_opt(&question.lease);
    leader.look(call(Verb::Get, &target, lease).await?.as_ref());
    let found = listeners(&question.listeners).await?;
    Ok(verdict(leader, &found))
}

/// Reads all listeners, page by page: there may be thousands.
async fn listeners(api: &Api<Guarded>) -> Result<Listeners, call::Error> {
    let target = Target::of(Kind::MqttTlsListener, "the cluster");
    let mut found = Listeners::default();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match call(Verb::List, &target, api.list(&params)).await {
            Err(error) if error.is_not_found() => return Ok(Listeners::undefined()),
            page => page?,
        };
        page.items.iter().for_each(|one| found.look(one));
        match page.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => params = params.continue_token(&more),
            None => return Ok(found),
        }
    }
}
