//! The operator's program as tests start it, and what a proxy between it and the API server needs. It must not decide which
//! faults happen.

use std::path::{Path, PathBuf};
use std::process::Command;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::apiserver::ApiServer;
use crate::process::Process;
use crate::{ports, programs, workdir};

/// The operator's namespace and service account, as in `deploy/base`.
pub const NAMESPACE: &str = "smart-mqtt-tls";
/// See [`NAMESPACE`].
pub const ACCOUNT: &str = "mqtt-tls-operator";

/// The terminator's image, which is never started.
const IMAGE: &str = "mqtt-tls-terminator:test";

/// Installs `deploy/base` beside the definition. Panics if the API server refuses it.
pub fn install_base(server: &ApiServer) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let base = root
        .expect("tests is a folder of the workspace")
        .join("deploy/base");
    let base = base.to_str().expect("the path is UTF-8");
    let apply = ["apply", "--server-side", "-k", base];
    server.kubectl(&apply).expect_success();
}

/// Returns a kubeconfig with the operator's own permissions.
pub fn kubeconfig(server: &ApiServer) -> PathBuf {
    server.kubeconfig_for_service_account(NAMESPACE, ACCOUNT)
}

/// Starts the operator as any user. `--terminator-image` among the arguments overrides the default.
pub fn spawn(kubeconfig: &Path, args: &[&str]) -> Process {
    Process::spawn("operator", command(kubeconfig, args))
}

/// The operator as [`spawn`] starts it.
pub fn command(kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = run(programs::operator(), kubeconfig);
    command.args(["--log", "info,mqtt_tls_operator=debug"]);
    command.args(args);
    command
}

/// Returns the command that runs any build of the operator as any user.
pub fn run(program: &Path, kubeconfig: &Path) -> Command {
    let admin = ports::free_addr().to_string();
    let mut command = Command::new(program);
    command
        .env("KUBECONFIG", kubeconfig)
        // The tests may themselves run in a pod.
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("POD_NAMESPACE")
        .env_remove("POD_NAME")
        .env("MQTT_TLS_TERMINATOR_IMAGE", IMAGE)
        .args(["run", "--admin", &admin]);
    command
}

/// Writes a kubeconfig file that leads to a proxy, which adds a user. Panics if the folder is not writable.
pub fn kubeconfig_to(url: &str) -> PathBuf {
    let kubeconfig = workdir::scratch("proxy").join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    // JSON is YAML.
    std::fs::write(&kubeconfig, config.to_string()).expect("the folder is writable");
    kubeconfig
}

/// An error in the API server's format.
pub fn refusal(code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": "fault of a test",
    });
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (code, headers, status.to_string()).into_response()
}
