//! The command `crd --apply`: applies this release's CustomResourceDefinition, because Helm never upgrades an
//! existing one. It must not delete anything, remove a version in which listeners are stored, or replace a
//! later release's definition.

use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Patch;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::Condition;
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;

use crate::api::call::{self, call};
use crate::api::patch;
use crate::crd;
use crate::kinds::{Kind, Target, Verb};
use crate::run::{client, unavailable};
use crate::screen;

/// The version of this release.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Time limit for the API server to establish the definition.
const PATIENCE: Duration = Duration::from_secs(60);

/// Polling interval.
const PAUSE: Duration = Duration::from_millis(500);

/// Why the definition could not be installed.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Listeners would be lost.
    #[error(
        "{name} is left unchanged: listeners are stored in version {stored}, which this release does not \
         support; use the release that installed it, or a later one"
    )]
    Stored {
        /// The definition's name.
        name: String,
        /// The versions, separated by commas.
        stored: String,
    },
    /// It is being deleted.
    #[error(
        "timed out after {} s waiting for the deletion of {name}; see `kubectl describe crd {name}` for what blocks it",
        PATIENCE.as_secs()
    )]
    Remains {
        /// The definition's name.
        name: String,
    },
    /// A call to the API server failed.
    #[error("failed to install the CustomResourceDefinition")]
    Call(#[from] call::Error),
    /// It was applied, and cannot be used.
    #[error("timed out after {} s waiting for {name} to be established: {why}", PATIENCE.as_secs())]
    NotEstablished {
        /// The definition's name.
        name: String,
        /// The API server's message.
        why: String,
    },
}

/// Applies the definition and waits until it can be used.
pub async fn run() -> ExitCode {
    let client = match client().await {
        Ok(client) => client,
        Err(code) => return code,
    };
    match install(client).await {
        Ok(done) => {
            screen::say(&done);
            ExitCode::SUCCESS
        }
        Err(error @ Error::Stored { .. }) => {
            screen::complain(&error.to_string());
            ExitCode::FAILURE
        }
        Err(error) => unavailable("no data was lost; try again", &error),
    }
}

/// Applies the definition and returns what was done, in the words of kubectl.
async fn install(client: Client) -> Result<String, Error> {
    let wanted = crd::definition();
    let name = wanted.name_any();
    let target = Target::one(Kind::CustomResourceDefinition, &name);
    let crds: Api<CustomResourceDefinition> = Api::all(client);
    let deadline = Instant::now() + PATIENCE;
    let before = there(&crds, &name, &target, deadline).await?;
    if let Some(later) = before.as_ref().and_then(later_release) {
        return Ok(format!(
            "customresourcedefinition {name} left unchanged: it belongs to release {later}, and this is {RELEASE}"
        ));
    }
    let unknown = before
        .as_ref()
        .map(|before| unknown_versions(&wanted, before));
    if let Some(stored) = unknown.filter(|stored| !stored.is_empty()) {
        let stored = stored.join(", ");
        return Err(Error::Stored { name, stored });
    }
    // Forced: kubectl or Helm may own the fields from an earlier installation.
    let params = patch::apply().force();
    let patch = Patch::Apply(&wanted);
    let after = call(Verb::Apply, &target, crds.patch(&name, &params, &patch)).await?;
    let done = match before {
        None => "created",
        Some(before) if before.resource_version() == after.resource_version() => "unchanged",
        Some(_) => "updated",
    };
    established(&crds, &name, &target, deadline).await?;
    Ok(format!("customresourcedefinition {name} {done}"))
}

/// Returns the existing definition. Waits for the end of a deletion, which would also remove what is applied.
async fn there(
    crds: &Api<CustomResourceDefinition>,
    name: &str,
    target: &Target,
    deadline: Instant,
) -> Result<Option<CustomResourceDefinition>, Error> {
    let mut is_logged = false;
    loop {
        let found = call(Verb::Get, target, crds.get_opt(name)).await?;
        if !found.as_ref().is_some_and(is_going) {
            return Ok(found);
        }
        if Instant::now() > deadline {
            let name = name.to_owned();
            return Err(Error::Remains { name });
        }
        if !std::mem::replace(&mut is_logged, true) {
            info!("{name} is being deleted; waiting");
        }
        sleep(PAUSE).await;
    }
}

fn is_going(definition: &CustomResourceDefinition) -> bool {
    definition.metadata.deletion_timestamp.is_some()
}

/// Returns the release of a definition if it is later than this one. This release's operator works with a later
/// definition, while an operator of that release would not work with this one.
fn later_release(found: &CustomResourceDefinition) -> Option<&str> {
    let release = found.annotations().get(crd::RELEASE)?;
    (number(release) > number(RELEASE)).then_some(release)
}

/// Parses a release for comparison: its three numbers, and whether it is final.
fn number(release: &str) -> Option<(u64, u64, u64, bool)> {
    let release = release.split('+').next()?;
    let (numbers, is_final) = match release.split_once('-') {
        Some((numbers, _)) => (numbers, false),
        None => (release, true),
    };
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    let number = (
        numbers.next()??,
        numbers.next()??,
        numbers.next()??,
        is_final,
    );
    numbers.next().is_none().then_some(number)
}

/// Returns the versions in which listeners may be stored and that the wanted definition lacks.
fn unknown_versions(
    wanted: &CustomResourceDefinition,
    found: &CustomResourceDefinition,
) -> Vec<String> {
    let stored = found
        .status
        .as_ref()
        .and_then(|status| status.stored_versions.clone());
    let is_known = |version: &String| wanted.spec.versions.iter().any(|one| one.name == *version);
    stored
        .unwrap_or_default()
        .into_iter()
        .filter(|version| !is_known(version))
        .collect()
}

async fn established(
    crds: &Api<CustomResourceDefinition>,
    name: &str,
    target: &Target,
    deadline: Instant,
) -> Result<(), Error> {
    let mut why = "the API server gave no reason".to_owned();
    let look = async {
        loop {
            let found = call(Verb::Get, target, crds.get_opt(name)).await?;
            let is_established = is_crd_established().matches_object(found.as_ref());
            if is_established && !found.as_ref().is_some_and(is_going) {
                return Ok(());
            }
            if let Some(obstacle) = found.as_ref().and_then(obstacle) {
                why = obstacle;
            }
            sleep(PAUSE).await;
        }
    };
    match timeout_at(deadline, look).await {
        Ok(looked) => looked,
        Err(_) => Err(Error::NotEstablished {
            name: name.to_owned(),
            why,
        }),
    }
}

/// Returns the first false condition of the definition.
fn obstacle(crd: &CustomResourceDefinition) -> Option<String> {
    let conditions = crd.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions.iter().find(|one| one.status == "False")?;
    let message = failed.message.as_deref().unwrap_or_default();
    Some(format!("{}: {message}", failed.type_))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, CustomResourceDefinitionStatus,
    };

    use super::{number, unknown_versions};
    use crate::crd::definition;

    #[test]
    fn versions_of_another_release_are_found() {
        let wanted = definition();
        let found = |versions: &[&str]| CustomResourceDefinition {
            status: Some(CustomResourceDefinitionStatus {
                stored_versions: Some(versions.iter().map(|one| (*one).to_owned()).collect()),
                ..CustomResourceDefinitionStatus::default()
            }),
            ..definition()
        };
        assert_eq!(unknown_versions(&wanted, &found(&["v1alpha1"])), [""; 0]);
        assert_eq!(
            unknown_versions(&wanted, &found(&["v1alpha1", "v1"])),
            ["v1"]
        );
        assert_eq!(unknown_versions(&wanted, &definition()), [""; 0]);
    }

    #[test]
    fn releases_are_compared_by_their_numbers() {
        let order = [
            "",
            "0.9.9-rc.1",
            "0.9.9",
            "0.10.0-alpha",
            "0.10.0",
            "0.10.1",
            "1.0.0",
            "10.0.0",
        ];
        for pair in order.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        assert_eq!(number("1.2.3+build"), number("1.2.3"));
        for bad in ["1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1..2", "of mine"] {
            assert_eq!(number(bad), None, "{bad}");
        }
        assert!(number(super::RELEASE).is_some());
    }
}
