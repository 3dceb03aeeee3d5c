//! Tests of the harness's API server, one for each guarantee.

use super::*;
use k8s_openapi::api::core::v1::ConfigMap;

fn config_map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    ConfigMap {
        metadata,
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn it_reports_its_version_and_creates_namespaces() {
    let server = ApiServer::shared();
    let version = server.client().await.apiserver_version().await.unwrap();
    assert!(version.git_version.starts_with("v1."), "{version:?}");
    assert_eq!(version.major, "1");
    assert_ne!(
        server.namespace("twice").await,
        server.namespace("twice").await
    );
}

#[tokio::test]
async fn rbac_applies_to_service_accounts_and_the_audit_log_records_it() {
    let server = ApiServer::shared();
    let namespace = server.namespace("rbac").await;
    let kubeconfig = server.kubeconfig_for_service_account(&namespace, "reader");
    let maps: Api<ConfigMap> = Api::namespaced(server.client_from(&kubeconfig).await, &namespace);
    let refused = maps
        .create(&PostParams::default(), &config_map("mine"))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 403),
        "{refused:?}"
    );

    let account = format!("--serviceaccount={namespace}:reader");
    let name = format!("--namespace={namespace}");
    let role = [
        "create",
        "role",
        "writer",
        "--verb=create",
        "--resource=configmaps",
        &name,
    ];
    server.kubectl(&role).expect_success();
    let bind = [
        "create",
        "rolebinding",
        "writer",
        "--role=writer",
        &account,
        &name,
    ];
    server.kubectl(&bind).expect_success();
    eventually_async(SOON, "the binding takes effect", || async {
        maps.create(&PostParams::default(), &config_map("mine"))
            .await
            .ok()
    })
    .await;

    let user = format!("system:serviceaccount:{namespace}:reader");
    let codes: Vec<_> = server
        .audit_events()
        .iter()
        .filter(|event| event.user.username == user && event.is_write() && event.is_in(&namespace))
        .filter_map(|event| Some(event.response_status.as_ref()?.code))
        .collect();
    assert_eq!(
        (codes.first(), codes.last()),
        (Some(&403), Some(&201)),
        "{codes:?}"
    );
}

#[tokio::test]
async fn a_crd_can_be_used_once_it_is_installed() {
    let server = ApiServer::shared();
    let crd = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.harness.test}
spec:
  group: harness.test
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
";
    server.install_crd_yaml(crd).await;
    server.install_crd_yaml(crd).await;
    let namespace = server.namespace("crd").await;
    let thing = "{apiVersion: harness.test/v1, kind: Thing, metadata: {name: one}}";
    server
        .kubectl_with_input(&["apply", "-n", &namespace, "-f", "-"], thing)
        .expect_success();
}

#[tokio::test]
async fn objects_survive_an_outage() {
    let mut server = ApiServer::start();
    let namespace = server.namespace("outage").await;
    let maps: Api<ConfigMap> = Api::namespaced(server.client().await, &namespace);
    maps.create(&PostParams::default(), &config_map("kept"))
        .await
        .unwrap();
    server.stop();
    assert!(std::net::TcpStream::connect(server.addr()).is_err());
    server.start_again();
    maps.get("kept").await.expect("the same client works again");
}
