//! The command `crd --apply`: puts the resource definition of this release into the cluster, for Helm, which by
//! itself never changes one that is there. It must not delete anything, nor take away a version in which
//! listeners are stored.

use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::Condition;
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use tokio::time::{sleep, timeout};

use crate::call::{self, call};
use crate::crd::MqttTlsListener;
use crate::plan::names::MANAGER;
use crate::run::{cluster, unavailable};
use crate::screen;

/// How long the API server may take until listeners can be made.
const ESTABLISHED: Duration = Duration::from_secs(60);

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
    /// The API server did not do it.
    #[error("the resource definition cannot be installed")]
    Call(#[from] call::Error),
    /// It is there, and cannot be used.
    #[error("{name} is applied, and not established after {} s: {why}", ESTABLISHED.as_secs())]
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
    let wanted = MqttTlsListener::crd();
    let name = wanted.name_any();
    let object = format!("CustomResourceDefinition {name}");
    let crds: Api<CustomResourceDefinition> = Api::all(client);
    let before = call("get", &object, crds.get_opt(&name)).await?;
    let unknown = before
        .as_ref()
        .map(|before| unknown_versions(&wanted, before));
    if let Some(stored) = unknown.filter(|stored| !stored.is_empty()) {
        let stored = stored.join(", ");
        return Err(Error::Stored { name, stored });
    }
    // With force: earlier it may have been applied by kubectl or by Helm, and there is nobody to ask.
    let params = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(&wanted);
    let after = call("apply", &object, crds.patch(&name, &params, &patch)).await?;
    let done = match before {
        None => "created",
        Some(before) if before.resource_version() == after.resource_version() => "unchanged",
        Some(_) => "updated",
    };
    established(&crds, &name, &object).await?;
    Ok(format!("customresourcedefinition {name} {done}"))
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
    object: &str,
) -> Result<(), Error> {
    let mut why = "the API server does not say why".to_owned();
    let look = async {
        loop {
            let found = call("get", object, crds.get_opt(name)).await?;
            if is_crd_established().matches_object(found.as_ref()) {
                return Ok(());
            }
            if let Some(said) = found.as_ref().and_then(obstacle) {
                why = said;
            }
            sleep(PAUSE).await;
        }
    };
    match timeout(ESTABLISHED, look).await {
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
    use kube::CustomResourceExt;

    use super::unknown_versions;
    use crate::crd::MqttTlsListener;

    #[test]
    fn versions_of_another_release_are_found() {
        let wanted = MqttTlsListener::crd();
        let found = |versions: &[&str]| CustomResourceDefinition {
            status: Some(CustomResourceDefinitionStatus {
                stored_versions: Some(versions.iter().map(|one| (*one).to_owned()).collect()),
                ..CustomResourceDefinitionStatus::default()
            }),
            ..MqttTlsListener::crd()
        };
        assert_eq!(unknown_versions(&wanted, &found(&["v1alpha1"])), [""; 0]);
        assert_eq!(
            unknown_versions(&wanted, &found(&["v1alpha1", "v1"])),
            ["v1"]
        );
        assert_eq!(unknown_versions(&wanted, &MqttTlsListener::crd()), [""; 0]);
    }
}
