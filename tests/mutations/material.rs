//! Good and bad certificates and bundles, the same for all listeners. It must not put them anywhere.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::pki::Ca;

/// Secrets and ConfigMaps by name.
pub(crate) struct Material {
    /// The issuer of the server certificates.
    pub(crate) ca: Ca,
    pub(crate) secrets: BTreeMap<&'static str, Value>,
    pub(crate) maps: BTreeMap<&'static str, Value>,
}

impl Material {
    pub(crate) fn new() -> Self {
        let ca = Ca::new("server CA");
        let leaf = || ca.leaf().dns("edge.example.com").issue();
        let (edge, other) = (leaf(), leaf());
        let pair = |chain: &str, key: &str| json!({"tls.crt": chain, "tls.key": key});
        let devices = Ca::new("device CA");
        let list = devices.crl(&[]);
        let devices = devices.cert_pem();
        let secrets = [
            ("edge-tls", pair(&edge.chain_pem, &edge.key_pem)),
            ("other-tls", pair(&other.chain_pem, &other.key_pem)),
            ("bad-tls", pair(&edge.chain_pem, &other.key_pem)),
            ("empty-tls", json!({})),
            ("device-ca", json!({"ca.crt": devices})),
            ("bad-ca", json!({"ca.crt": "no certificate"})),
        ];
        let maps = [
            ("device-ca", json!({"ca.crt": devices})),
            (
                "bad-ca",
                json!({"ca.crt": "no certificate", "ca.crl": "no list"}),
            ),
            ("device-crl", json!({"ca.crl": list})),
        ];
        Self {
            ca,
            secrets: secrets.into(),
            maps: maps.into(),
        }
    }
}
