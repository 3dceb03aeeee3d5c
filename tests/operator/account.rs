//! Users that the audit log distinguishes, with the permissions that `deploy/base` grants to the operator, in one
//! namespace only. The permissions are read from the API server, so that they are not a copy that can differ.

use std::path::PathBuf;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::Api;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use tests::apiserver::{ApiServer, AuditEvent};

use crate::fixture::NAMESPACE;

/// A user with Roles in one namespace.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) kubeconfig: PathBuf,
    server: &'static ApiServer,
    namespace: String,
}

impl Account {
    /// A user without any permission.
    pub(crate) fn new(server: &'static ApiServer, namespace: &str, name: &str) -> Self {
        let name = format!("{namespace}:{name}");
        let kubeconfig = server.kubeconfig_for(&name, &[]);
        Self {
            name,
            kubeconfig,
            server,
            namespace: namespace.to_owned(),
        }
    }

    /// A user with the operator's permissions for its listeners and its Lease.
    pub(crate) async fn operator(server: &'static ApiServer, namespace: &str, name: &str) -> Self {
        let account = Self::new(server, namespace, name);
        let mut rules = working_rules(server).await;
        rules.extend(any_name(lease_rules(server).await));
        account.grant(rules).await;
        account
    }

    /// Replaces the user's permissions.
    pub(crate) async fn grant(&self, rules: Vec<PolicyRule>) {
        let metadata = ObjectMeta {
            name: Some(self.name.replace(':', "-")),
            ..ObjectMeta::default()
        };
        let role = Role {
            metadata: metadata.clone(),
            rules: Some(rules),
        };
        let binding = RoleBinding {
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "Role".to_owned(),
                name: self.name.replace(':', "-"),
            },
            subjects: Some(vec![Subject {
                kind: "User".to_owned(),
                name: self.name.clone(),
                ..Subject::default()
            }]),
            metadata,
        };
        let client = self.server.client().await;
        let params = PatchParams::apply("user").force();
        let name = role.metadata.name.clone().unwrap();
        let api: Api<Role> = Api::namespaced(client.clone(), &self.namespace);
        api.patch(&name, &params, &Patch::Apply(&role))
            .await
            .unwrap();
        let api: Api<RoleBinding> = Api::namespaced(client, &self.namespace);
        api.patch(&name, &params, &Patch::Apply(&binding))
            .await
            .unwrap();
    }

    /// This user's requests so far, in the order of the responses.
    pub(crate) fn requests(&self) -> Vec<AuditEvent> {
        let mut events = self.server.audit_events();
        events.retain(|event| event.user.username == self.name);
        events
    }
}

/// The operator's permissions in each namespace with listeners.
pub(crate) async fn working_rules(server: &ApiServer) -> Vec<PolicyRule> {
    let roles: Api<ClusterRole> = Api::all(server.client().await);
    roles.get("mqtt-tls-operator").await.unwrap().rules.unwrap()
}

/// The operator's permissions in its own namespace.
pub(crate) async fn lease_rules(server: &ApiServer) -> Vec<PolicyRule> {
    let api: Api<Role> = Api::namespaced(server.client().await, NAMESPACE);
    let found = api.list(&ListParams::default()).await.unwrap().items;
    let roles = found.into_iter().filter_map(|role| role.rules);
    let mut leading = roles.filter(|rules| {
        let mut resources = rules
            .iter()
            .flat_map(|rule| rule.resources.iter().flatten());
        resources.any(|one| one == "leases")
    });
    leading.next().expect("deploy/base has a Role for Leases")
}

/// The same, for objects of any name: tests have several of them.
fn any_name(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let unnamed = rules.into_iter().map(|rule| PolicyRule {
        resource_names: None,
        ..rule
    });
    unnamed.collect()
}

/// The rules without one verb on one resource.
pub(crate) fn without(rules: &[PolicyRule], verb: &str, resource: &str) -> Vec<PolicyRule> {
    let mut rules = rules.to_vec();
    for rule in &mut rules {
        if rule.resources.iter().flatten().any(|one| one == resource) {
            rule.verbs.retain(|one| one != verb);
        }
    }
    rules
}
