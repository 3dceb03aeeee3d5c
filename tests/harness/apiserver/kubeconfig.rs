//! kubeconfig files: a client certificate names the user, and the CA signs certificates for any user.

use std::path::Path;

use serde_json::json;

use crate::pki::Ca;

/// Writes a kubeconfig file and a client certificate: its common name is the user, its organizations are the groups.
pub(super) fn write(path: &Path, url: &str, ca: &Ca, user: &str, groups: &[&str]) {
    let name = path
        .file_stem()
        .expect("a kubeconfig has a name")
        .to_string_lossy();
    let folder = path.parent().expect("a kubeconfig is in a folder");
    let (cert, key) = (
        folder.join(format!("{name}.crt")),
        folder.join(format!("{name}.key")),
    );
    let leaf = ca
        .leaf()
        .common_name(user)
        .organizations(groups)
        .client_auth()
        .issue();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": url,
            "certificate-authority": folder.join("ca.crt"),
        }}],
        "users": [{"name": "test", "user": {"client-certificate": cert, "client-key": key}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    // JSON is YAML.
    for (path, text) in [
        (&cert, leaf.chain_pem),
        (&key, leaf.key_pem),
        (&path.to_owned(), config.to_string()),
    ] {
        std::fs::write(path, text).expect("the folder is writable");
    }
}
