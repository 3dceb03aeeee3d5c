//! Certificates for tests: a CA, intermediates, and leaves of every supported kind and of some that must be rejected.
//! For tests only: keys are written to plain files.

mod leaf;
mod openssl;

use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::Ed25519KeyPair;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};

use rustls::pki_types::PrivatePkcs8KeyDer;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use leaf::{Leaf, LeafBuilder};

/// One day, the unit of validity here.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// The kinds of private keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA, 2048 bits
    Rsa2048,
    /// ECDSA on P-256
    P256,
    /// ECDSA on P-384
    P384,
    /// Ed25519
    Ed25519,
}

impl KeyKind {
    /// All of them, for tests that go through the list.
    pub const ALL: [Self; 4] = [Self::Rsa2048, Self::P256, Self::P384, Self::Ed25519];

    /// The encodings that exist for this kind.
    pub fn encodings(self) -> &'static [KeyEncoding] {
        match self {
            Self::Rsa2048 => &[KeyEncoding::Pkcs8, KeyEncoding::Pkcs1],
            Self::P256 | Self::P384 => &[KeyEncoding::Pkcs8, KeyEncoding::Sec1],
            Self::Ed25519 => &[KeyEncoding::Pkcs8],
        }
    }

    fn generate(self) -> KeyPair {
        if self == Self::Ed25519 {
            return generate_ed25519();
        }
        let algorithm = match self {
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
        };
        KeyPair::generate_for(algorithm).expect("aws-lc supports each of these")
    }
}

/// rcgen writes PKCS#8 version 2, with the public key, which OpenSSL 3.0 cannot read.
fn generate_ed25519() -> KeyPair {
    let key = Ed25519KeyPair::generate().expect("randomness is available");
    let der = key.to_pkcs8v1().expect("a key can be encoded");
    let der = PrivatePkcs8KeyDer::from(der.as_ref());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519).expect("it is an Ed25519 key")
}

/// The PEM encodings of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyEncoding {
    /// `BEGIN PRIVATE KEY`
    Pkcs8,
    /// `BEGIN RSA PRIVATE KEY`
    Pkcs1,
    /// `BEGIN EC PRIVATE KEY`
    Sec1,
}

/// A certificate authority: a root, or an intermediate below one.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The intermediates from this one up, without the root.
    above: Vec<String>,
    name: String,
}

impl Ca {
    /// A root with a P-256 key, valid from yesterday for ten years. `name` is its common name.
    pub fn new(name: &str) -> Self {
        Self::with_key(name, KeyKind::P256)
    }

    /// Like [`Ca::new`], with a key of another kind.
    pub fn with_key(name: &str, kind: KeyKind) -> Self {
        let issuer = CertifiedIssuer::self_signed(params(name), kind.generate());
        Self {
            issuer: issuer.expect("the parameters are valid"),
            above: vec![],
            name: name.to_owned(),
        }
    }

    /// Issues an intermediate CA, which is part of the chain of its leaves.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyKind::P256.generate();
        let issuer = CertifiedIssuer::signed_by(params(name), key, &self.issuer)
            .expect("the parameters are valid");
        let above = [vec![issuer.pem()], self.above.clone()].concat();
        Self {
            issuer,
            above,
            name: name.to_owned(),
        }
    }

    /// The common name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its certificate in PEM, for clients that trust it.
    pub fn cert_pem(&self) -> String {
        self.issuer.pem()
    }

    /// [`Ca::cert_pem`] in DER.
    pub fn cert_der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Its private key, PKCS#8 in PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Builds a leaf: by default a server certificate with a P-256 key, valid from yesterday for 90 days, without names.
    pub fn leaf(&self) -> LeafBuilder<'_> {
        LeafBuilder::new(self)
    }

    /// Issues a revocation list in PEM with these leaves, valid from an hour ago until a day from now.
    pub fn crl(&self, revoked: &[&Leaf]) -> String {
        let now = SystemTime::now();
        self.crl_of(revoked, now - Duration::from_secs(3600), now + DAY)
    }

    /// Issues a revocation list like [`Ca::crl_of`], from and until so many seconds from now.
    pub fn crl_between(&self, revoked: &[&Leaf], from: i64, until: i64) -> String {
        let at = |seconds: i64| {
            let distance = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 {
                SystemTime::now() - distance
            } else {
                SystemTime::now() + distance
            }
        };
        self.crl_of(revoked, at(from), at(until))
    }

    /// Issues a revocation list in PEM with these leaves, which counts from one time until another.
    pub fn crl_of(&self, revoked: &[&Leaf], from: SystemTime, until: SystemTime) -> String {
        let serials: Vec<&[u8]> = revoked.iter().map(|leaf| &*leaf.serial).collect();
        self.crl_of_serials(&serials, from, until)
    }

    /// Issues a revocation list like [`Ca::crl`], with an intermediate of this CA.
    pub fn crl_of_ca(&self, revoked: &Self) -> String {
        let der = revoked.cert_der();
        let (_, parsed) = X509Certificate::from_der(&der).expect("it was issued here");
        let now = SystemTime::now();
        self.crl_of_serials(&[parsed.raw_serial()], now, now + DAY)
    }

    /// Issues a revocation list like [`Ca::crl_of`], with these serial numbers.
    pub fn crl_of_serials(
        &self,
        revoked: &[impl AsRef<[u8]>],
        from: SystemTime,
        until: SystemTime,
    ) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial.as_ref()),
            revocation_time: from.into(),
            reason_code: None,
            invalidity_date: None,
        });
        CertificateRevocationListParams {
            this_update: from.into(),
            next_update: until.into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .and_then(|crl| crl.pem())
        .expect("the parameters are valid")
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 3650 * DAY).into();
    params
}

/// SHA-256 of a certificate in DER, as lower-case hexadecimal digits.
pub fn fingerprint(cert_der: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, cert_der);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String succeeds");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::run;
    use crate::workdir::scratch;
    use std::process::Command;

    /// Verifies a leaf with `openssl verify`, and returns its output as an error.
    fn verify(ca: &Ca, leaf: &Leaf, purpose: &str) -> Result<(), String> {
        let folder = scratch("verify");
        let (root, chain, cert) = (folder.join("ca"), folder.join("chain"), folder.join("cert"));
        for (path, text) in [
            (&root, ca.cert_pem()),
            (&chain, leaf.chain_pem.clone()),
            (&cert, leaf.cert_pem.clone()),
        ] {
            std::fs::write(path, text).expect("the folder is writable");
        }
        let mut command = Command::new("openssl");
        command
            .args(["verify", "-purpose", purpose, "-CAfile"])
            .arg(root);
        command.arg("-untrusted").arg(chain).arg(cert);
        let finished = run(command, b"", Duration::from_secs(20));
        if finished.status.success() {
            Ok(())
        } else {
            Err(finished.stdout + &finished.stderr)
        }
    }

    #[test]
    fn openssl_accepts_each_kind_of_key() {
        let ca = Ca::new("root");
        for kind in KeyKind::ALL {
            let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").key(kind).issue();
            assert_eq!(verify(&ca, &leaf, "sslserver"), Ok(()), "{kind:?}");
            assert!(verify(&ca, &leaf, "sslclient").is_err(), "{kind:?}");
        }
        let device = ca.leaf().common_name("device 1").client_auth().issue();
        assert_eq!(verify(&ca, &device, "sslclient"), Ok(()));
    }

    #[test]
    fn openssl_accepts_a_chain_of_three() {
        let root = Ca::new("root");
        let leaf = root
            .intermediate("middle")
            .intermediate("lower")
            .leaf()
            .dns("localhost")
            .issue();
        assert_eq!(leaf.chain_pem.matches("BEGIN CERTIFICATE").count(), 3);
        assert_eq!(verify(&root, &leaf, "sslserver"), Ok(()));
        assert!(verify(&Ca::new("root"), &leaf, "sslserver").is_err());
    }

    #[test]
    fn openssl_rejects_expired_and_future_leaves() {
        let ca = Ca::new("root");
        let complaint =
            |leaf: LeafBuilder<'_>| verify(&ca, &leaf.issue(), "sslserver").unwrap_err();
        assert!(complaint(ca.leaf().expired()).contains("has expired"));
        assert!(complaint(ca.leaf().not_yet_valid()).contains("not yet valid"));
    }

    #[test]
    fn openssl_reads_the_same_key_from_each_encoding() {
        let ca = Ca::new("root");
        for kind in KeyKind::ALL {
            let leaf = ca.leaf().key(kind).issue();
            for &encoding in kind.encodings() {
                let label = match encoding {
                    KeyEncoding::Pkcs8 => "-----BEGIN PRIVATE KEY-----",
                    KeyEncoding::Pkcs1 => "-----BEGIN RSA PRIVATE KEY-----",
                    KeyEncoding::Sec1 => "-----BEGIN EC PRIVATE KEY-----",
                };
                let key = leaf.key_as(encoding);
                assert!(
                    key.starts_with(label),
                    "{kind:?} {encoding:?}: {}",
                    key.lines().next().unwrap()
                );
                assert_eq!(
                    openssl::public_key(&key),
                    openssl::public_key(&leaf.key_pem)
                );
            }
        }
    }

    #[test]
    fn openssl_encrypts_keys_and_a_crl_names_the_serial() {
        let ca = Ca::new("root");
        let leaf = ca.leaf().issue();
        assert!(
            leaf.encrypted_key("secret")
                .starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        );
        assert!(ca.crl(&[&leaf]).contains("BEGIN X509 CRL"));
    }
}
