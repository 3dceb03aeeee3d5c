//! Certificates for the tests of hosts. It must not be used by anything else.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// Makes a certificate with its key, or that of a CA, as PEM.
pub(super) fn pem(name: &str, is_ca: bool) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        return params.self_signed(&key).unwrap().pem();
    }
    let chain = params.self_signed(&key).unwrap().pem();
    format!("{chain}{}", key.serialize_pem())
}
