//! The CA certificates that a server's clients are to trust: those at which its chain ends.
//!
//! It must not give out anything but certificates, whatever else the texts contain.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::Certificate;
use super::leaf::is_ca;
use super::pem::{self, Content, Part};
use super::signature::{Fit, fit};

/// Returns the CA certificates at which a chain ends: its own last certificate if that has issued itself, or else those in texts that
/// have issued it. None if they are elsewhere, such as in the clients of a public CA. Texts that cannot be read have none.
pub fn of(certificate: &Certificate, texts: &[&str]) -> Vec<CertificateDer<'static>> {
    let Some(top) = certificate.certified().cert.last() else {
        return Vec::new();
    };
    let found = texts.iter().flat_map(|text| certificates(text));
    let own = std::iter::once(top.clone().into_owned());
    let mut anchors: Vec<CertificateDer<'static>> = Vec::new();
    for candidate in own.chain(found) {
        if has_issued(&candidate, top) && !anchors.contains(&candidate) {
            anchors.push(candidate);
        }
    }
    anchors
}

fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
    let blocks = pem::blocks(&[Part::object(text)]).unwrap_or_default();
    let contents = blocks.into_iter().map(|block| block.content);
    contents
        .filter_map(|content| match content {
            Content::Certificate { der, .. } => Some(der),
            Content::PrivateKey(_) | Content::EncryptedKey | Content::Other(_) => None,
        })
        .collect()
}

/// Reports whether a CA has issued a certificate, by its signature.
fn has_issued(candidate: &CertificateDer<'_>, child: &CertificateDer<'_>) -> bool {
    let parsed = X509Certificate::from_der(candidate);
    let child_parsed = X509Certificate::from_der(child);
    let (Ok((_, parsed)), Ok((_, child_parsed))) = (parsed, child_parsed) else {
        return false;
    };
    is_ca(&parsed)
        && parsed.subject().as_raw() == child_parsed.issuer().as_raw()
        && fit(child, parsed.subject_pki.raw) == Fit::Fits
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::of;
    use crate::certificate::{Certificate, judge};
    use crate::pem::Part;

    fn ca() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(vec!["ca".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn issued(ca: &CertifiedIssuer<'_, KeyPair>, with_ca: bool) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, ca).unwrap();
        let chain = if with_ca { ca.pem() } else { String::new() };
        let pem = format!("{}{chain}{}", leaf.pem(), key.serialize_pem());
        judge(&[Part::object(&pem)]).unwrap()
    }

    #[test]
    fn a_chain_ends_at_its_own_ca_or_at_one_of_the_texts() {
        let (own, other) = (ca(), ca());
        let key = KeyPair::generate().unwrap().serialize_pem();
        let text = format!("{key}{}{}", other.pem(), own.pem());
        let found = of(&issued(&own, false), &["no PEM", &text, &own.pem()]);
        assert_eq!(found, [own.der().clone()]);
        assert_eq!(of(&issued(&own, true), &[]), [own.der().clone()]);
        assert_eq!(of(&issued(&own, false), &[&other.pem(), "-----BEGIN"]), []);
    }

    #[test]
    fn a_leaf_that_signs_itself_is_no_ca() {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let pem = format!(
            "{}{}",
            leaf.self_signed(&key).unwrap().pem(),
            key.serialize_pem()
        );
        assert_eq!(of(&judge(&[Part::object(&pem)]).unwrap(), &[&pem]), []);
    }
}
