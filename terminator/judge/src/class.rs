//! The class of a served chain: what clients may depend on in it beside its dates and its key itself, such as the root and the
//! kind of key. A renewed certificate of another class may be refused by devices that take the one before.
//!
//! It must not decide what follows from a change, nor whether clients take a chain.

mod change;
mod uses;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::slice::from_ref;

use x509_parser::der_parser::Oid;
use x509_parser::extensions::{KeyIdentifier, ParsedExtension};
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

use super::algorithm::Algorithm;
use super::certificate::Certificate;
use super::facts::sha256;
use super::signature::{self, Fit};
use super::{escape, name};
pub use change::Change;
use change::{LISTED_MAX, listed};
use uses::Uses;

/// Growth of a chain that is no change, in bytes. Renewed certificates vary by some bytes, and by a few hundred with a longer
/// name or another extension; what exceeds this may not fit into the receive buffer of a small device.
pub const CHAIN_GROWTH_MAX: usize = 512;

/// What a client may depend on in a chain, beside its dates and its key itself.
///
/// Two classes that are not equal may still be without changes, see [`Class::changes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Authority that issued the leaf.
    issuer: Authority,
    /// Authorities at which the chain ends: one, or several if it leads to the roots of several paths.
    roots: Vec<Authority>,
    /// Kind of the leaf's key; for RSA with its size.
    key: String,
    /// Algorithms of the signatures that clients verify: the leaf's first, then the others in order, each once.
    signatures: Vec<String>,
    /// Number of certificates.
    length: usize,
    /// Sum of the certificates' sizes, in bytes.
    size: usize,
    /// What its keys may be used for, and which extensions clients must know.
    uses: Uses,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    /// The leaf's common name, if that is one of its DNS names: some clients look at nothing else.
    common_name: Option<String>,
}

/// An authority, known by its own certificate or by one that it issued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Authority {
    /// Its name as it is shown.
    shown: String,
    /// Its name as it is compared.
    name: String,
    /// Digest of its key, if its certificate is in the chain.
    key: Option<String>,
    /// Digests of the identifiers of its key: its own one, and the one that the certificate it issued refers to.
    key_ids: BTreeSet<String>,
}

impl Class {
    /// Returns the class of a chain.
    pub fn of(certificate: &Certificate) -> Self {
        let (chain, facts) = (&certificate.certified().cert, certificate.facts());
        let parsed = chain.iter().map(|der| X509Certificate::from_der(der));
        // All could be parsed when they were judged.
        let links: Vec<X509Certificate<'_>> = parsed.flatten().map(|(_, link)| link).collect();
        let mut roots: Vec<Authority> = Vec::new();
        for link in &links {
            let issuer = issuer_of(link, &links);
            let authority = Authority::of(link, issuer);
            let is_root = issuer.is_none_or(is_self_signed);
            if is_root && !authority.is_among(&roots) {
                roots.push(authority);
            }
        }
        let leaf = links.first();
        let issuer = leaf.map(|leaf| Authority::of(leaf, issuer_of(leaf, &links)));
        Self {
            issuer: issuer.unwrap_or_default(),
            roots,
            key: leaf.map(key).unwrap_or_default(),
            signatures: signatures(&links),
            length: chain.len(),
            size: chain.iter().map(|der| der.len()).sum(),
            uses: Uses::of(&links),
            dns_names: facts.dns_names.clone(),
            ip_addresses: facts.ip_addresses.clone(),
            common_name: leaf
                .and_then(common_name)
                .filter(|name| facts.dns_names.contains(name)),
        }
    }

    /// Returns what a chain of class `now` changes for clients that take this one; empty if it is of the same class.
    ///
    /// Keys of authorities are compared by what is known of both: a chain that includes a certificate which the other omits
    /// has another length, and not another issuer for that.
    pub fn changes(&self, now: &Self) -> Vec<Change> {
        let limit = self.size.saturating_add(CHAIN_GROWTH_MAX);
        let uses = self.uses.lost(&now.uses, self.key == now.key);
        let extensions = self.uses.added(&now.uses);
        let changes = [
            difference(from_ref(&self.issuer), from_ref(&now.issuer))
                .map(|(before, now)| Change::Issuer { before, now }),
            difference(&self.roots, &now.roots).map(|(before, now)| Change::Root { before, now }),
            (self.key != now.key).then(|| Change::Key {
                before: self.key.clone(),
                now: now.key.clone(),
            }),
            (self.signatures != now.signatures).then(|| Change::Signature {
                before: listed(&self.signatures, self.signatures.len(), ", "),
                now: listed(&now.signatures, now.signatures.len(), ", "),
            }),
            (self.length != now.length).then_some(Change::ChainLength {
                before: self.length,
                now: now.length,
            }),
            (now.size > limit).then_some(Change::ChainSize {
                before: self.size,
                now: now.size,
            }),
            (!uses.is_empty()).then_some(Change::UsesLost { uses }),
            (!extensions.is_empty()).then_some(Change::CriticalAdded { extensions }),
            self.names_lost(now),
        ];
        changes.into_iter().flatten().collect()
    }

    /// Returns a digest of the class, without names and sizes, of 32 lower-case hexadecimal digits. All that it is of is public.
    ///
    /// Chains with the same digest are of the same class but for names and sizes. Chains with different digests may be, too,
    /// if one of them identifies the key of an authority and the other does not.
    pub fn digest(&self) -> String {
        let mut roots: Vec<String> = self.roots.iter().map(Authority::identity).collect();
        roots.sort_unstable();
        // Neither line breaks nor tabs are in the texts, so no two classes have the same lines.
        let lines = [
            self.issuer.identity(),
            roots.join("\t"),
            self.key.clone(),
            self.signatures.join("\t"),
            self.length.to_string(),
            self.uses.identity(),
        ];
        sha256(lines.join("\n").as_bytes())[..32].to_owned()
    }

    fn names_lost(&self, now: &Self) -> Option<Change> {
        let names = self.dns_names.iter().filter(|name| !now.covers(name));
        let kept = &now.ip_addresses;
        let addresses = self.ip_addresses.iter().filter(|ip| !kept.contains(ip));
        let addresses = addresses.map(IpAddr::to_string);
        // A name that is lost altogether is among the others.
        let common_name = self.common_name.iter();
        let common_name = common_name
            .filter(|name| now.covers(name) && now.common_name.as_ref() != Some(name))
            .map(|name| format!("CN={name}"));
        let lost = names.cloned().chain(addresses).chain(common_name);
        let lost: BTreeSet<String> = lost.collect();
        let count = lost.len();
        let names = lost.into_iter().take(LISTED_MAX).collect();
        (count > 0).then_some(Change::NamesLost { names, count })
    }

    /// Reports whether the leaf is for a DNS name (RFC 6125, section 6.4).
    fn covers(&self, name: &str) -> bool {
        let wildcard = name
            .split_once('.')
            .map(|(_, parent)| format!("*.{parent}"));
        let mut own = self.dns_names.iter();
        own.any(|own| own == name || Some(own) == wildcard.as_ref())
    }
}

/// Reports whether a certificate's key signed another one, or itself. The name alone does not prove it: an authority may have
/// the name of what it issues, such as its own one before it changed its key.
fn has_issued(issuer: &X509Certificate<'_>, child: &X509Certificate<'_>) -> bool {
    name::is_same(child.issuer(), issuer.subject())
        && signature::fit(child.as_raw(), issuer.subject_pki.raw) != Fit::Broken
}

fn is_self_signed(link: &X509Certificate<'_>) -> bool {
    has_issued(link, link)
}

/// Returns the certificate in a chain that issued another one, which may be that itself.
fn issuer_of<'l, 'a>(
    child: &'l X509Certificate<'a>,
    chain: &'l [X509Certificate<'a>],
) -> Option<&'l X509Certificate<'a>> {
    let mut candidates = from_ref(child).iter().chain(chain);
    candidates.find(|one| has_issued(one, child))
}

fn key(link: &X509Certificate<'_>) -> String {
    match Algorithm::of_public(link.subject_pki.raw) {
        Algorithm::Rsa(bits) => format!("RSA {bits}"),
        algorithm => algorithm.name().to_owned(),
    }
}

/// Returns a certificate's common name, in lower case.
fn common_name(link: &X509Certificate<'_>) -> Option<String> {
    let name = link.subject().iter_common_name().next()?;
    Some(name.as_str().ok()?.to_ascii_lowercase())
}

/// Returns the digests of the identifiers of a certificate's own key and of its issuer's.
fn key_ids(link: &X509Certificate<'_>) -> (Option<String>, Option<String>) {
    let (mut own, mut issuers) = (None, None);
    for extension in link.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(id),
            ParsedExtension::AuthorityKeyIdentifier(id) => issuers = id.key_identifier.as_ref(),
            _ => {}
        }
    }
    let digest = |id: &KeyIdentifier<'_>| sha256(id.0);
    (own.map(digest), issuers.map(digest))
}

impl Authority {
    /// Returns the authority that issued a certificate, whose own one may be in the chain.
    fn of(child: &X509Certificate<'_>, issuer: Option<&X509Certificate<'_>>) -> Self {
        let (shown, name) = names(child.issuer());
        let own = issuer.and_then(|issuer| key_ids(issuer).0);
        let key_ids = key_ids(child).1.into_iter().chain(own).collect();
        Self {
            shown,
            name,
            key: issuer.map(|issuer| sha256(issuer.subject_pki.raw)),
            key_ids,
        }
    }

    /// Reports whether both have the same name, and as far as is known of both the same key.
    fn is_same(&self, other: &Self) -> bool {
        let is_same_key = match (&self.key, &other.key) {
            (Some(key), Some(others)) => key == others,
            _ if self.key_ids.is_empty() || other.key_ids.is_empty() => true,
            _ => !self.key_ids.is_disjoint(&other.key_ids),
        };
        self.name == other.name && is_same_key
    }

    fn is_among(&self, others: &[Self]) -> bool {
        others.iter().any(|other| self.is_same(other))
    }

    /// Returns what a digest is made of.
    fn identity(&self) -> String {
        let key_ids = || self.key_ids.iter().cloned().collect::<String>();
        let key = self.key.clone().unwrap_or_else(key_ids);
        format!("{}\t{key}", self.name)
    }
}

/// Returns how authorities are shown before and now if they are not the same; alike if only their keys are others.
fn difference(before: &[Authority], now: &[Authority]) -> Option<(String, String)> {
    let are_among = |some: &[Authority], others| some.iter().all(|one| one.is_among(others));
    if are_among(before, now) && are_among(now, before) {
        return None;
    }
    let listed = |all: &[Authority]| {
        let shown: Vec<String> = all.iter().map(|one| one.shown.clone()).collect();
        listed(&shown, shown.len(), " and ")
    };
    let names = |all: &[Authority]| -> BTreeSet<String> {
        all.iter().map(|one| one.name.clone()).collect()
    };
    let is_same_name = names(before) == names(now);
    let before = if is_same_name { now } else { before };
    Some((listed(before), listed(now)))
}

/// Returns a name as it is shown, and as it is compared: regardless of string types, case and whitespace (RFC 5280, section 7.1).
/// One that is too long to be shown in full is compared byte by byte, and shown with the start of its digest.
fn names(name: &X509Name<'_>) -> (String, String) {
    let shown = name::shown(name);
    if shown.is_empty() {
        return ("(no name)".to_owned(), shown);
    }
    if shown.ends_with('…') {
        let digest = sha256(name.as_raw());
        return (format!("{shown} ({})", &digest[..8]), digest);
    }
    let folded = shown.to_lowercase();
    let words: Vec<&str> = folded.split_whitespace().collect();
    (shown, words.join(" "))
}

/// Returns the algorithms of the signatures in a chain. Clients do not verify how a certificate signs itself.
fn signatures(chain: &[X509Certificate<'_>]) -> Vec<String> {
    let verified = |links: &[X509Certificate<'_>]| -> BTreeSet<String> {
        let verified = links.iter().filter(|link| !is_self_signed(link));
        let algorithms = verified.map(|link| signature(&link.signature_algorithm));
        algorithms.collect()
    };
    let (leaf, others) = chain.split_at(chain.len().min(1));
    let (leaf, others) = (verified(leaf), verified(others));
    let algorithms = leaf.iter().chain(others.difference(&leaf));
    algorithms.cloned().collect()
}

/// Returns the name of a signature's algorithm, for RSA-PSS with the hash.
fn signature(algorithm: &AlgorithmIdentifier<'_>) -> String {
    let name = object(&algorithm.algorithm);
    match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
            format!("{name} with {}", object(parameters.hash_algorithm_oid()))
        }
        _ => name,
    }
}

/// Returns the short name of an object identifier, or its digits if it has none.
fn object(id: &Oid<'_>) -> String {
    let name = oid2sn(id, oid_registry()).map(str::to_owned);
    name.unwrap_or_else(|_| escape::shown(&id.to_id_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
        ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
        NameConstraints, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA384,
        RsaKeySize,
    };
    use x509_parser::prelude::FromDer;
    use x509_parser::x509::AlgorithmIdentifier;

    use super::{CHAIN_GROWTH_MAX, Change, Class, Uses, signature};
    use crate::certificate::{Certificate, judge};
    use crate::pem::Part;

    type Ca = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str, names: &[&str]) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params
    }

    fn ca_params(name: &str) -> CertificateParams {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn copy(key: &KeyPair) -> KeyPair {
        KeyPair::from_pem(&key.serialize_pem()).unwrap()
    }

    fn root(name: &str) -> Ca {
        root_with(name, new_key())
    }

    fn root_with(name: &str, key: KeyPair) -> Ca {
        CertifiedIssuer::self_signed(ca_params(name), key).unwrap()
    }

    /// A CA below another one.
    fn below(ca: &Ca, name: &str, key: KeyPair) -> Ca {
        CertifiedIssuer::signed_by(ca_params(name), key, &**ca).unwrap()
    }

    fn new_key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    /// A leaf with certificates after it.
    fn served(leaf: &CertificateParams, key: &KeyPair, ca: &Ca, above: &[&Ca]) -> Certificate {
        let above: String = above.iter().map(|ca| ca.pem()).collect();
        let leaf = leaf.signed_by(key, &**ca).unwrap().pem();
        let pem = format!("{leaf}{above}{}", key.serialize_pem());
        judge(&[Part::object(&pem)]).unwrap()
    }

    /// The class of a leaf with a new key and certificates after it.
    fn class(ca: &Ca, above: &[&Ca]) -> Class {
        class_for(&["a.example"], ca, above)
    }

    fn class_for(names: &[&str], ca: &Ca, above: &[&Ca]) -> Class {
        Class::of(&served(&params("leaf", names), &new_key(), ca, above))
    }

    fn class_without_key_id(ca: &Ca, above: &[&Ca]) -> Class {
        let mut leaf = params("leaf", &["a.example"]);
        leaf.use_authority_key_identifier_extension = false;
        Class::of(&served(&leaf, &new_key(), ca, above))
    }

    fn self_signed(key: &KeyPair) -> Class {
        let leaf = params("leaf", &["a.example"]).self_signed(key).unwrap();
        let pem = format!("{}{}", leaf.pem(), key.serialize_pem());
        Class::of(&judge(&[Part::object(&pem)]).unwrap())
    }

    /// What changes, as it is shown.
    fn shown(before: &Class, now: &Class) -> Vec<String> {
        let changes = before.changes(now);
        changes.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn assert_same(before: &Class, now: &Class) {
        assert_eq!(before.changes(now), []);
        assert_eq!(before.digest(), now.digest());
    }

    #[track_caller]
    fn assert_changes(before: &Class, now: &Class, expected: &[&str]) {
        assert_eq!(shown(before, now), expected);
        assert_ne!(before.digest(), now.digest());
    }

    #[test]
    fn a_renewal_with_a_new_key_is_of_the_same_class() {
        let root = root("root");
        let ca = below(&root, "R10", new_key());
        for above in [&[][..], &[&ca], &[&ca, &root]] {
            let (before, now) = (class(&ca, above), class(&ca, above));
            assert_same(&before, &now);
            let digest = now.digest();
            assert_eq!(digest.len(), 32);
            assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert_eq!(digest, digest.to_lowercase());
        }
    }

    #[test]
    fn another_intermediate_of_the_same_root_is_another_issuer_only() {
        let root = root("root");
        let (old, new) = (
            below(&root, "R10", new_key()),
            below(&root, "R11", new_key()),
        );
        let expected = ["issuer CN=R11 instead of CN=R10"];
        assert_changes(&class(&old, &[&old]), &class(&new, &[&new]), &expected);
        let (before, now) = (class(&old, &[&old, &root]), class(&new, &[&new, &root]));
        assert_changes(&before, &now, &expected);
    }

    #[test]
    fn a_name_is_compared_regardless_of_case() {
        let (root, key) = (root("root"), new_key());
        let old = below(&root, "ca 1", copy(&key));
        let (new, other) = (below(&root, "CA 1", copy(&key)), below(&root, "ca 2", key));
        let before = class(&old, &[&old]);
        assert_same(&before, &class(&new, &[&new]));
        let expected = ["issuer CN=ca 2 instead of CN=ca 1"];
        assert_changes(&before, &class(&other, &[&other]), &expected);
        let new = below(&root, "CA 1", new_key());
        let expected = ["issuer CN=CA 1 with another key"];
        assert_changes(&before, &class(&new, &[&new]), &expected);
    }

    #[test]
    fn a_ca_that_changed_its_key_is_another_issuer() {
        let root = root("root");
        let (old, new) = (below(&root, "ca", new_key()), below(&root, "ca", new_key()));
        let other_key = "issuer CN=ca with another key";
        assert_changes(&class(&old, &[&old]), &class(&new, &[&new]), &[other_key]);
        let other_root = "root CN=ca with another key";
        let expected = [other_key, other_root];
        assert_changes(&class(&old, &[]), &class(&new, &[]), &expected);
        // One chain has the CA's certificate, and the other its key's identifier only.
        let expected = [
            other_key,
            "root CN=root instead of CN=ca",
            "chain of 2 certificates instead of 1",
        ];
        assert_changes(&class(&old, &[]), &class(&new, &[&new]), &expected);
        // Where nothing is known of the key, the name decides.
        let (before, now) = (
            class_without_key_id(&old, &[]),
            class_without_key_id(&new, &[]),
        );
        assert_same(&before, &now);
        assert_eq!(shown(&before, &class(&new, &[])), [""; 0]);
        // The CA's own identifier is compared with the one in a leaf.
        let before = class_without_key_id(&old, &[&old]);
        let expected = [
            other_key,
            "root CN=ca instead of CN=root",
            "chain of 1 certificate instead of 2",
        ];
        assert_changes(&before, &class(&new, &[]), &expected);
    }

    #[test]
    fn a_key_decides_before_its_identifier() {
        let root = root("root");
        let ca = || {
            let mut params = ca_params("ca");
            params.key_identifier_method = KeyIdMethod::PreSpecified(vec![1, 2, 3]);
            CertifiedIssuer::signed_by(params, new_key(), &*root).unwrap()
        };
        let (old, new) = (ca(), ca());
        let expected = ["issuer CN=ca with another key"];
        assert_changes(&class(&old, &[&old]), &class(&new, &[&new]), &expected);
        assert_same(&class(&old, &[]), &class(&new, &[]));
    }

    #[test]
    fn an_included_root_is_another_length_only() {
        let (root, other) = (root("root"), root("root"));
        let ca = below(&root, "ca", new_key());
        let direct = (class(&root, &[]), class(&root, &[&root]));
        let through = (class(&ca, &[&ca]), class(&ca, &[&ca, &root]));
        for (count, (omitted, included)) in [(1, direct), (2, through)] {
            let longer = format!("chain of {} certificates instead of {count}", count + 1);
            let many = if count == 1 { "" } else { "s" };
            let shorter = format!(
                "chain of {count} certificate{many} instead of {}",
                count + 1
            );
            assert_changes(&omitted, &included, &[&longer]);
            assert_changes(&included, &omitted, &[&shorter]);
        }
        // A root of the same name with another key is another one.
        let new = below(&other, "ca", copy(ca.key()));
        let expected = [
            "root CN=root with another key",
            "chain of 3 certificates instead of 2",
        ];
        let now = class(&new, &[&new, &other]);
        assert_changes(&class(&ca, &[&ca]), &now, &expected);
    }

    #[test]
    fn an_omitted_intermediate_is_not_another_issuer() {
        let root = root("root");
        let ca = below(&root, "ca", new_key());
        let expected = [
            "root CN=ca instead of CN=root",
            "chain of 1 certificate instead of 2",
        ];
        assert_changes(&class(&ca, &[&ca]), &class(&ca, &[]), &expected);
    }

    #[test]
    fn a_self_signed_leaf_is_its_own_issuer_and_root() {
        let key = new_key();
        assert_same(&self_signed(&key), &self_signed(&key));
        let expected = [
            "issuer CN=leaf with another key",
            "root CN=leaf with another key",
        ];
        assert_changes(&self_signed(&key), &self_signed(&new_key()), &expected);
        // A leaf with the name of its CA has not signed itself.
        let ca = root("leaf");
        for above in [&[][..], &[&ca]] {
            let (before, now) = (
                class_without_key_id(&ca, above),
                class_without_key_id(&ca, above),
            );
            assert_same(&before, &now);
        }
    }

    #[test]
    fn a_cross_signed_root_is_another_root() {
        let (dst, isrg) = (root("DST"), root("X1"));
        let cross = below(&dst, "X1", copy(isrg.key()));
        let ca = below(&isrg, "R3", new_key());
        let (before, now) = (class(&ca, &[&ca]), class(&ca, &[&ca, &cross]));
        let expected = [
            "root CN=DST instead of CN=X1",
            "chain of 3 certificates instead of 2",
        ];
        assert_changes(&before, &now, &expected);
        let both = class(&ca, &[&ca, &isrg, &cross]);
        let changes = shown(&before, &both);
        assert_eq!(changes[0], "root CN=X1 and CN=DST instead of CN=X1");
        let changes = shown(&both, &before);
        assert_eq!(changes[0], "root CN=X1 instead of CN=X1 and CN=DST");
        // One of two roots is replaced.
        let other = below(&root("GTS"), "X1", copy(isrg.key()));
        let expected = ["root CN=X1 and CN=GTS instead of CN=X1 and CN=DST"];
        assert_changes(&both, &class(&ca, &[&ca, &isrg, &other]), &expected);
        // The order of the paths is no change.
        assert_same(&both, &class(&ca, &[&ca, &cross, &isrg]));
    }

    #[test]
    fn another_kind_or_size_of_key_is_a_change() {
        let ca = root("ca");
        let class = |key: &KeyPair| {
            let leaf = params("leaf", &["a.example"]);
            Class::of(&served(&leaf, key, &ca, &[]))
        };
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
        let (p256, p384) = (
            new_key(),
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        );
        let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let keys = [
            ("ECDSA P-256", p256),
            ("ECDSA P-384", p384),
            ("Ed25519", ed25519),
            ("RSA 2048", rsa(RsaKeySize::_2048)),
            ("RSA 3072", rsa(RsaKeySize::_3072)),
        ];
        for pair in keys.windows(2) {
            let ((before, old), (now, new)) = (&pair[0], &pair[1]);
            let expected = format!("key {now} instead of {before}");
            assert_changes(&class(old), &class(new), &[&expected]);
        }
    }

    #[test]
    fn a_signature_by_another_algorithm_is_a_change() {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256)
            .unwrap()
            .serialize_pem();
        let sha256 = || KeyPair::from_pem_and_sign_algo(&key, &PKCS_RSA_SHA256).unwrap();
        let sha384 = || KeyPair::from_pem_and_sign_algo(&key, &PKCS_RSA_SHA384).unwrap();
        let (old, new) = (root_with("ca", sha256()), root_with("ca", sha384()));
        let expected = ["signature sha384WithRSAEncryption instead of sha256WithRSAEncryption"];
        assert_changes(&class(&old, &[]), &class(&new, &[]), &expected);
        // Clients do not verify how a root signs itself.
        assert_same(&class(&old, &[&old]), &class(&old, &[&new]));
        // They do verify how an intermediate is signed.
        let ec = new_key();
        let (low, high) = (below(&old, "sub", copy(&ec)), below(&new, "sub", ec));
        let expected = [
            "signature ecdsa-with-SHA256, sha384WithRSAEncryption instead of ecdsa-with-SHA256, \
             sha256WithRSAEncryption",
        ];
        assert_changes(&class(&low, &[&low]), &class(&high, &[&high]), &expected);
    }

    #[test]
    fn the_leaf_s_signature_is_not_mixed_up_with_others() {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256)
            .unwrap()
            .serialize_pem();
        let with = |algorithm| KeyPair::from_pem_and_sign_algo(&key, algorithm).unwrap();
        let root = |algorithm| root_with("root", with(algorithm));
        let ca = |root: &Ca, algorithm| below(root, "ca", with(algorithm));
        let old = ca(&root(&PKCS_RSA_SHA384), &PKCS_RSA_SHA256);
        let new = ca(&root(&PKCS_RSA_SHA256), &PKCS_RSA_SHA384);
        let changes = class(&old, &[&old]).changes(&class(&new, &[&new]));
        assert!(
            matches!(&changes[..], [Change::Signature { .. }]),
            "{changes:?}"
        );
    }

    #[test]
    fn rsa_pss_is_an_algorithm_of_its_own_with_each_hash() {
        // 1.2.840.113549.1.1.10, with the default parameters and with SHA-256 (RFC 4055, section 3.1).
        let name = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 10];
        let sha256 = [0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
        let default = [&[0x30, 13][..], &name, &[0x30, 0]].concat();
        let with_sha256 = [
            &[0x30, 28][..],
            &name,
            &[0x30, 15, 0xA0, 13, 0x30, 11],
            &sha256,
        ];
        let with_sha256 = with_sha256.concat();
        for (der, expected) in [
            (default, "rsassa-pss with id-SHA1"),
            (with_sha256, "rsassa-pss with sha256"),
            (vec![0x30, 4, 0x06, 2, 0x2A, 3], "1.2.3"),
        ] {
            let (_, algorithm) = AlgorithmIdentifier::from_der(&der).unwrap();
            assert_eq!(signature(&algorithm), expected);
        }
    }

    #[test]
    fn names_that_are_lost_are_a_change() {
        let ca = root("ca");
        let cases: [(&[&str], &[&str], Option<&str>); 9] = [
            (
                &["a.example"],
                &["b.example"],
                Some("name a.example missing"),
            ),
            (&["a.example"], &["a.example", "b.example"], None),
            (&["A.example"], &["a.EXAMPLE"], None),
            (
                &["a.example", "*.b.example"],
                &["*.example", "*.b.example"],
                None,
            ),
            (
                &["x.a.example"],
                &["*.example"],
                Some("name x.a.example missing"),
            ),
            (
                &["*.example"],
                &["a.example"],
                Some("name *.example missing"),
            ),
            (
                &["192.0.2.1", "2001:db8::1"],
                &["192.0.2.1", "*.0.2.1", "*.db8"],
                Some("name 2001:db8::1 missing"),
            ),
            (&["c", "b", "x", "a"], &["x"], Some("names a, b, c missing")),
            (
                &["d", "c", "b", "x", "a", "e", "a"],
                &["x"],
                Some("names a, b, c and 2 more missing"),
            ),
        ];
        for (before, now, expected) in cases {
            let (before, now) = (class_for(before, &ca, &[]), class_for(now, &ca, &[]));
            let expected: Vec<&str> = expected.into_iter().collect();
            assert_eq!(shown(&before, &now), expected);
            assert_eq!(before.digest(), now.digest(), "names are not digested");
        }
    }

    #[test]
    fn a_common_name_is_lost_if_clients_may_look_at_it() {
        let ca = root("ca");
        let class = |common_name: &str, names: &[&str]| {
            Class::of(&served(&params(common_name, names), &new_key(), &ca, &[]))
        };
        let both = &["a.example", "b.example"];
        let before = class("A.example", both);
        for (common_name, names, expected) in [
            ("a.example", &both[..], vec![]),
            ("b.example", both, vec!["name CN=a.example missing"]),
            ("", both, vec!["name CN=a.example missing"]),
            ("", &both[1..], vec!["name a.example missing"]),
        ] {
            assert_eq!(shown(&before, &class(common_name, names)), expected);
        }
        // It was none of the names, so no client has compared it with one.
        assert_eq!(class("pump 7", both).changes(&class("", both)), []);
    }

    /// As a CA of ESP-IDF's issue 14239 did, and one that reissued its cross-signed certificates.
    #[test]
    fn what_the_keys_may_not_be_used_for_any_more_is_a_change() {
        use KeyUsagePurpose::{DigitalSignature, KeyAgreement, KeyEncipherment};
        let (root, key) = (root("root"), new_key());
        let ca = below(&root, "ca", copy(&key));
        let leaf = |usages: &[KeyUsagePurpose], purposes: &[ExtendedKeyUsagePurpose]| {
            let mut leaf = params("leaf", &["a.example"]);
            leaf.key_usages = usages.to_vec();
            leaf.extended_key_usages = purposes.to_vec();
            Class::of(&served(&leaf, &new_key(), &ca, &[&ca]))
        };
        let server = [ExtendedKeyUsagePurpose::ServerAuth];
        let both = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let all = [DigitalSignature, KeyEncipherment, KeyAgreement];
        let (free, full) = (leaf(&[], &[]), leaf(&all, &both));
        // No server and no client needs what was taken away.
        assert_same(&free, &full);
        assert_same(&full, &leaf(&all, &server));
        let signs = leaf(&[DigitalSignature], &server);
        assert_changes(
            &full,
            &signs,
            &["uses keyAgreement, keyEncipherment missing"],
        );
        assert_eq!(signs.changes(&full), []);
        let client = leaf(&all, &both[1..]);
        assert_changes(&full, &client, &["use serverAuth missing"]);
        let agrees = leaf(&all[1..], &server);
        assert_changes(&full, &agrees, &["use digitalSignature missing"]);

        let issuer = |purposes: &[ExtendedKeyUsagePurpose]| {
            let mut ca = ca_params("ca");
            ca.extended_key_usages = purposes.to_vec();
            let key = copy(&key);
            CertifiedIssuer::signed_by(ca, key, &*root).unwrap()
        };
        let (before, now) = (issuer(&[]), issuer(&both[1..]));
        assert_same(
            &class(&before, &[&before]),
            &class(&before, &[&issuer(&server)]),
        );
        let expected = ["use serverAuth by an issuer missing"];
        assert_changes(
            &class(&before, &[&before]),
            &class(&now, &[&now]),
            &expected,
        );
    }

    #[test]
    fn a_critical_extension_that_came_is_a_change() {
        let (root, key) = (root("root"), new_key());
        let before = below(&root, "ca", copy(&key));
        let mut params = ca_params("ca");
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
        let now = CertifiedIssuer::signed_by(params, key, &*root).unwrap();
        let (before, now) = (class(&before, &[&before]), class(&now, &[&now]));
        let expected = ["critical extension nameConstraints added"];
        assert_changes(&before, &now, &expected);
        assert_ne!(before.digest(), now.digest());
        assert_eq!(now.changes(&before), []);
    }

    #[test]
    fn a_chain_may_shrink_and_grow_a_little() {
        let ca = root("ca");
        let certificate = served(&params("leaf", &["a.example"]), &new_key(), &ca, &[&ca]);
        let before = Class::of(&certificate);
        let sent = &certificate.certified().cert;
        assert_eq!(before.size, sent[0].len() + sent[1].len());
        let of_size = |size| Class {
            size,
            ..before.clone()
        };
        assert_same(&before, &of_size(before.size + CHAIN_GROWTH_MAX));
        assert_same(&before, &of_size(1));
        let now = before.size + CHAIN_GROWTH_MAX + 1;
        let expected = format!("chain of {now} bytes instead of {}", before.size);
        assert_eq!(shown(&before, &of_size(now)), [expected]);
        assert_eq!(before.digest(), of_size(now).digest());
    }

    #[test]
    fn the_digest_differs_with_each_part() {
        let root = root("root");
        let ca = below(&root, "ca", new_key());
        let other = below(&root, "other", new_key());
        let (base, others) = (class(&ca, &[&ca]), class(&other, &[&other]));
        let rest = || base.clone();
        let classes = [
            rest(),
            Class {
                issuer: others.issuer.clone(),
                ..rest()
            },
            Class {
                roots: vec![others.issuer.clone()],
                ..rest()
            },
            Class {
                roots: [base.roots.clone(), vec![others.issuer]].concat(),
                ..rest()
            },
            Class {
                key: "RSA 2048".to_owned(),
                ..rest()
            },
            Class {
                signatures: vec!["ed25519".to_owned()],
                ..rest()
            },
            Class {
                length: 3,
                ..rest()
            },
            Class {
                uses: Uses::default(),
                ..rest()
            },
        ];
        let digests: BTreeSet<String> = classes.iter().map(Class::digest).collect();
        assert_eq!(digests.len(), classes.len());
        for class in &classes[1..] {
            assert_eq!(base.changes(class).len(), 1, "{class:?}");
        }
    }

    #[test]
    fn at_most_three_names_are_kept() {
        let ca = root("ca");
        let before = class_for(&["a", "b", "c", "d", "e"], &ca, &[]);
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let expected = [Change::NamesLost { names, count: 4 }];
        assert_eq!(before.changes(&class_for(&["e"], &ca, &[])), expected);
    }

    #[test]
    fn untrusted_names_are_escaped_and_bounded() {
        let (long, key) = ("x".repeat(5000), new_key());
        let ca = |end| root_with(&format!("a\n{long}{end}"), copy(&key));
        let (old, new) = (class(&ca(1), &[]), class(&ca(2), &[]));
        let other = class(&root("b\u{202e}\n"), &[]);
        let changes = [shown(&old, &new), shown(&old, &other)];
        for text in changes.iter().flatten() {
            assert!(text.len() < 600, "{text}");
            assert!(text.contains(" instead of CN=a\\nxxx"), "{text}");
        }
        assert_eq!(changes.map(|shown| shown.len()), [2, 2]);
        let text = &shown(&old, &other)[0];
        assert!(
            text.starts_with("issuer CN=b\\u{202e}\\n instead"),
            "{text}"
        );
        assert_same(&old, &class(&ca(1), &[]));
    }

    #[test]
    fn an_issuer_without_a_name_is_shown() {
        let mut params = ca_params("");
        params.distinguished_name = DistinguishedName::new();
        let nameless = CertifiedIssuer::self_signed(params, new_key()).unwrap();
        let text = &shown(&class(&root("ca"), &[]), &class(&nameless, &[]))[0];
        assert_eq!(text, "issuer (no name) instead of CN=ca");
    }
}
