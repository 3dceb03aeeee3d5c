//! Authorities, certificates, and revocation lists that the `openssl` program makes.

use std::fs;
use std::process::Command;

use mqtt_tls_judge::revocation::crl::{Crl, Issuer};
use mqtt_tls_judge::revocation::error::Error;
use mqtt_tls_judge::revocation::source::{Bounds, find};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use rustls::pki_types::CertificateDer;

/// Bounds that no list here exceeds.
pub(crate) const BOUNDS: Bounds = Bounds {
    bytes: 1 << 20,
    entries: 1000,
};

/// A CA.
pub(crate) struct Ca {
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
    key_pem: String,
}

fn ca_params(name: &str, usages: &[KeyUsagePurpose]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = usages.to_vec();
    params
}

impl Ca {
    pub(crate) fn root(name: &str) -> Self {
        let usages = [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self::with_usages(name, &usages)
    }

    pub(crate) fn with_usages(name: &str, usages: &[KeyUsagePurpose]) -> Self {
        let key = KeyPair::generate().unwrap();
        let key_pem = key.serialize_pem();
        let issuer = CertifiedIssuer::self_signed(ca_params(name, usages), key).unwrap();
        Self { issuer, key_pem }
    }

    /// A CA with the key of another.
    pub(crate) fn with_key_of(other: &Self, name: &str, usages: &[KeyUsagePurpose]) -> Self {
        let key = KeyPair::from_pem(&other.key_pem).unwrap();
        let issuer = CertifiedIssuer::self_signed(ca_params(name, usages), key).unwrap();
        let key_pem = other.key_pem.clone();
        Self { issuer, key_pem }
    }

    /// A CA below this one.
    pub(crate) fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let usages = [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let mut params = ca_params(name, &usages);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let key_pem = key.serialize_pem();
        let issuer = CertifiedIssuer::signed_by(params, key, &*self.issuer).unwrap();
        Self { issuer, key_pem }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(crate) fn as_issuer(&self) -> Issuer {
        Issuer::of(self.issuer.der()).unwrap()
    }

    /// A leaf with a serial number of one byte.
    pub(crate) fn leaf(
        &self,
        serial: u8,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.serial_number = Some(SerialNumber::from(vec![serial]));
        params.distinguished_name.push(DnType::CommonName, "device");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &*self.issuer).unwrap().der().clone()
    }

    /// A revocation list in PEM, of January 2026. Each entry is a serial number in hexadecimal and a reason, which may be
    /// empty.
    pub(crate) fn list(&self, entries: &[(&str, &str)]) -> String {
        self.list_with(entries, "authorityKeyIdentifier = keyid", &[])
    }

    /// A revocation list with extensions, in the language of OpenSSL's configuration.
    pub(crate) fn list_with(
        &self,
        entries: &[(&str, &str)],
        extensions: &str,
        arguments: &[&str],
    ) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let lines = entries.iter().map(|(serial, reason)| {
            let comma = if reason.is_empty() { "" } else { "," };
            format!("R\t301231235959Z\t251231000000Z{comma}{reason}\t{serial}\tunknown\t/CN=x\n")
        });
        fs::write(path("index"), lines.collect::<String>()).unwrap();
        fs::write(path("number"), "01\n").unwrap();
        fs::write(path("ca"), self.issuer.pem()).unwrap();
        fs::write(path("key"), &self.key_pem).unwrap();
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {}\ncrlnumber = {}\ndefault_md = sha256\n\
            crl_extensions = extensions\n[extensions]\n{extensions}\n",
            path("index"),
            path("number"),
        );
        fs::write(path("config"), config).unwrap();
        let made = Command::new("openssl")
            .args(["ca", "-gencrl", "-config", &path("config")])
            .args(["-cert", &path("ca"), "-keyfile", &path("key")])
            .args(["-crl_lastupdate", "20260101000000Z"])
            .args(["-crl_nextupdate", "20260201000000Z"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        String::from_utf8(made.stdout).unwrap()
    }
}

/// Loads the only list of a source.
pub(crate) fn load(source: &[u8], issuers: &[&Ca]) -> Result<Crl, Error> {
    let issuers: Vec<Issuer> = issuers.iter().map(|ca| ca.as_issuer()).collect();
    let found = find(source, BOUNDS)?;
    let [list] = &found.lists[..] else {
        panic!("{} lists", found.lists.len());
    };
    Crl::load(list, &issuers, BOUNDS)
}

/// Converts a list to DER.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    let found = find(pem.as_bytes(), BOUNDS).unwrap();
    found.lists[0].to_vec()
}
