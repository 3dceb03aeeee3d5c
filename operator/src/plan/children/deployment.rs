//! The Deployment of the terminators. It must not define the pods; `pod` does.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod;
use crate::kinds::Child;
use crate::plan::environment::Environment;
use crate::plan::listener::Listener;

/// Builds the Deployment.
pub(super) fn build(listener: &Listener, environment: &Environment) -> Deployment {
    let identity = &listener.identity;
    let strategy = RollingUpdateDeployment {
        // A new pod must be ready before an old one is stopped.
        max_surge: Some(IntOrString::Int(1)),
        max_unavailable: Some(IntOrString::Int(0)),
    };
    Deployment {
        metadata: identity.child(Child::Deployment, &BTreeMap::new(), BTreeMap::new()),
        spec: Some(DeploymentSpec {
            replicas: Some(listener.replicas),
            revision_history_limit: Some(3),
            selector: identity.selector(),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(strategy),
            }),
            template: pod::template(listener, environment),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}
