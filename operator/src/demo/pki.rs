//! A CA and a certificate for this machine, which expire after 30 days. They must not be used outside the demo.

use std::time::SystemTime;

use mqtt_tls_config::{Pem, yaml};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use serde::Serialize;

/// Lifetime of the certificates, in seconds.
const VALID: u64 = 30 * 24 * 3600;

/// A CA and a certificate that it issued.
pub(super) struct Pki {
    /// The CA's certificate.
    pub(super) ca_pem: String,
    certificate: String,
    key: Pem,
}

impl Pki {
    /// Creates both.
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let mut params = params("MQTT over TLS demo CA", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let names = ["localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec();
        let mut params = self::params("localhost", names)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &ca)?.pem();
        Ok(Self {
            ca_pem: ca.pem(),
            certificate,
            key: Pem::new(key.serialize_pem()),
        })
    }

    /// Returns the Secret's manifest, as for a cluster.
    pub(super) fn secret_manifest(&self) -> Pem {
        let manifest = Manifest {
            api_version: "v1",
            kind: "Secret",
            metadata: Metadata { name: "demo-tls" },
            type_: "kubernetes.io/tls",
            string_data: Data {
                certificate: &self.certificate,
                key: &self.key,
            },
        };
        Pem::new(yaml::to_string(&manifest))
    }
}

fn params(name: &str, alternatives: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(alternatives)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    params.not_before = (now - std::time::Duration::from_secs(3600)).into();
    params.not_after = (now + std::time::Duration::from_secs(VALID)).into();
    Ok(params)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'m> {
    api_version: &'m str,
    kind: &'m str,
    metadata: Metadata<'m>,
    #[serde(rename = "type")]
    type_: &'m str,
    string_data: Data<'m>,
}

#[derive(Serialize)]
struct Metadata<'m> {
    name: &'m str,
}

#[derive(Serialize)]
struct Data<'m> {
    #[serde(rename = "tls.crt")]
    certificate: &'m str,
    #[serde(rename = "tls.key")]
    key: &'m Pem,
}
