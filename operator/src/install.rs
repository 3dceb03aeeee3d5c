//! The command `crd --apply`: puts the resource definition of this release into the cluster, for Helm, which by
//! itself never changes one that is there. It must not delete anything, nor take away a version in which
//! listeners are stored, nor put an earlier release's definition in the place of a later one's.

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
use crate::run::{cluster, unavailable};
use crate::screen;

/// This release.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// How long the API server may take until listeners can be made.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(500);

/// Why it could not be installed.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Listeners would be lost.
    #[error(
        "{name} is left as it is: listeners are stored as {stored}, which this release does not know; use the \
         release that installed it, or a later one"
    )]
    Stored {
        /// The definition's name.
        name: String,
        /// The versions, separated by commas.
        stored: String,
    },
    /// It is being deleted.
    #[error(
        "{name} is being deleted, and still there after {} s: `kubectl describe crd {name}` tells what holds it",
        PATIENCE.as_secs()
    )]
    Remains {
        /// The definition's name.
        name: String,
    },
    /// The API server did not do it.
    #[error("the resource definition cannot be installed")]
    Call(#[from] call::Error),
    /// It is there, and cannot be used.
    #[error("{name} is applied, and not established after {} s: {why}", PATIENCE.as_secs())]
    NotEstablished {
        /// The definition's name.
        name: String,
        /// What the API server says.
        why: String,
    },
}

/// Applies the definition and waits until it can be used.
pub async fn run() -> ExitCode {
    let config = match cluster().await {
        Ok(config) => config,
        Err(code) => return code,
    };
    let client = match Client::try_from(config) {
        Ok(client) => client,
        Err(error) => return unavailable("the kubeconfig cannot be used", &error),
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
        Err(error) => unavailable("nothing is lost, and it can be tried again", &error),
    }
}

/// What was done, in the words of kubectl.
async fn install(client: Client) -> Result<String, Error> {
    let wanted = crd::definition();
    let name = wanted.name_any();
    let target = Target::one(Kind::CustomResourceDefinition, &name);
    let crds: Api<CustomResourceDefinition> = Api::all(client);
    let deadline = Instant::now() + PATIENCE;
    let before = there(&crds, &name, &target, deadline).await?;
    if let Some(later) = before.as_ref().and_then(later_release) {
        return Ok(format!(
            "customresourcedefinition {name} left as it is: it is of release {later}, and this is {RELEASE}"
        ));
    }
    let unknown = before
        .as_ref()
        .map(|before| unknown_versions(&wanted, before));
    if let Some(stored) = unknown.filter(|stored| !stored.is_empty()) {
        let stored = stored.join(", ");
        return Err(Error::Stored { name, stored });
    }
    // With force: earlier it may have been applied by kubectl or by Helm, and there is nobody to ask.
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

/// What is there. One that is being deleted is waited for: what is applied to it would go with it.
async fn there(
    crds: &Api<CustomResourceDefinition>,
    name: &str,
    target: &Target,
    deadline: Instant,
) -> Result<Option<CustomResourceDefinition>, Error> {
    let mut is_told = false;
    loop {
        let found = call(Verb::Get, target, crds.get_opt(name)).await?;
        if !found.as_ref().is_some_and(is_going) {
            return Ok(found);
        }
        if Instant::now() > deadline {
            let name = name.to_owned();
            return Err(Error::Remains { name });
        }
        if !std::mem::replace(&mut is_told, true) {
            info!("{name} is being deleted; waiting until it is gone");
        }
        sleep(PAUSE).await;
    }
}

fn is_going(definition: &CustomResourceDefinition) -> bool {
    definition.metadata.deletion_timestamp.is_some()
}

/// The release that a definition is of, if that is a later one. This release's operator can live with that one, and
/// another operator, of that release, could not live with this one.
fn later_release(found: &CustomResourceDefinition) -> Option<&str> {
    let release = found.annotations().get(crd::RELEASE)?;
    (number(release) > number(RELEASE)).then_some(release)
}

/// A release as what it is compared by: its three numbers, and whether it is no pre-release.
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

/// The versions in which listeners may be stored and that the wanted definition does not have.
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
    let mut why = "the API server does not say why".to_owned();
    let look = async {
        loop {
            let found = call(Verb::Get, target, crds.get_opt(name)).await?;
            let is_established = is_crd_established().matches_object(found.as_ref());
            if is_established && !found.as_ref().is_some_and(is_going) {
                return Ok(());
            }
            if let Some(said) = found.as_ref().and_then(obstacle) {
                why = said;
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

/// What the API server has against it.
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
