//! Chains and keys with one problem each, made with rcgen and the `openssl` program.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use mqtt_tls_judge::certificate::{Certificate, Error, judge};
use mqtt_tls_judge::finding::{Finding, Grade, Reason};
use mqtt_tls_judge::pem::Part;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tests::pki::DAY;
use tests::process::run;
use tests::workdir;

/// A chain, leaf first, with its key.
#[derive(Clone)]
pub(crate) struct Material {
    pub(crate) chain: Vec<String>,
    pub(crate) key: String,
}

impl Material {
    pub(crate) fn new(chain: &[&str], key: &KeyPair) -> Self {
        Self {
            chain: chain.iter().map(|&pem| pem.to_owned()).collect(),
            key: key.serialize_pem(),
        }
    }

    /// Returns chain and key in one text, as in smart-mqtt's `pem`.
    pub(crate) fn pem(&self) -> String {
        format!("{}{}", self.chain.concat(), self.key)
    }

    pub(crate) fn judged(&self) -> Result<Certificate, Error> {
        judge_text(&self.pem())
    }
}

pub(crate) fn judge_text(pem: &str) -> Result<Certificate, Error> {
    judge(&[Part::file(pem)])
}

/// A CA.
pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Returns parameters of a CA, valid from yesterday for ten years.
pub(crate) fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 3650 * DAY).into();
    params
}

/// Returns parameters of a server's leaf, valid from yesterday for 90 days.
pub(crate) fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "edge");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 90 * DAY).into();
    params
}

pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate().unwrap()
}

pub(crate) fn root(name: &str) -> Issuer {
    Issuer::self_signed(ca_params(name), new_key()).unwrap()
}

/// Makes a CA below another one.
pub(crate) fn below(
    issuer: &Issuer,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> Issuer {
    let mut params = ca_params(name);
    change(&mut params);
    Issuer::signed_by(params, new_key(), issuer).unwrap()
}

/// Makes a leaf, with the certificates above it.
pub(crate) fn leaf(
    issuer: &Issuer,
    above: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> Material {
    let mut params = leaf_params();
    change(&mut params);
    let key = new_key();
    let leaf = params.signed_by(&key, issuer).unwrap().pem();
    Material::new(&[&[leaf.as_str()], above].concat(), &key)
}

/// Makes a leaf below an intermediate with changed parameters.
pub(crate) fn through(change: impl FnOnce(&mut CertificateParams)) -> Material {
    let middle = below(&root("root"), "middle", change);
    leaf(&middle, &[&middle.pem()], |_| {})
}

/// Runs `openssl` and returns its output.
#[track_caller]
pub(crate) fn openssl(folder: &Path, args: &str) -> String {
    let mut command = Command::new("openssl");
    command
        .args(args.split_ascii_whitespace())
        .current_dir(folder);
    let finished = run(command, b"", Duration::from_secs(60));
    finished.expect_success().stdout
}

pub(crate) fn folder() -> std::path::PathBuf {
    workdir::scratch("judge")
}

/// Makes a self-signed certificate and its key, of a kind that `openssl genpkey` makes.
pub(crate) fn self_signed(genpkey: &str, req: &str) -> Material {
    let folder = folder();
    openssl(&folder, &format!("genpkey {genpkey} -out key.pem"));
    let args = "req -x509 -key key.pem -out cert.pem -days 30 -subj /CN=edge -addext \
                subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
    openssl(&folder, &format!("{args}{req}"));
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    Material {
        chain: vec![read("cert.pem")],
        key: read("key.pem"),
    }
}

/// Makes a leaf with `openssl x509 -req`, below a CA made with `openssl`.
pub(crate) fn by_openssl(ca_key: &str, sign: &str, extensions: &str) -> Material {
    let folder = folder();
    std::fs::write(folder.join("ext"), extensions).unwrap();
    openssl(&folder, &format!("genpkey {ca_key} -out ca.key"));
    openssl(
        &folder,
        "req -x509 -key ca.key -out ca.pem -days 300 -subj /CN=ca",
    );
    openssl(
        &folder,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem",
    );
    openssl(&folder, "req -new -key key.pem -out csr.pem -subj /CN=edge");
    let args =
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -out cert.pem";
    openssl(&folder, &format!("{args} {sign}"));
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    Material {
        chain: vec![read("cert.pem"), read("ca.pem")],
        key: read("key.pem"),
    }
}

/// Encodes a PEM block.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// Returns a block with another label.
pub(crate) fn relabelled(pem: &str, label: &str) -> String {
    let old = pem
        .split("-----")
        .nth(1)
        .unwrap()
        .strip_prefix("BEGIN ")
        .unwrap();
    pem.replace(&format!("BEGIN {old}-----"), &format!("BEGIN {label}-----"))
        .replace(&format!("END {old}-----"), &format!("END {label}-----"))
}

/// Expected result of a validation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// There are no findings.
    Fine,
    /// It is served with this warning.
    Warns(Reason, &'static str),
    /// It is served if it was served before, and refused if it is new.
    Never(Reason, &'static str),
    /// It cannot be served.
    Refused(&'static str, &'static str),
}

pub(crate) fn assert_judged(what: &str, judged: Result<Certificate, Error>, verdict: Verdict) {
    let judged = judged.map(|certificate| {
        let findings = certificate.findings_at(Timestamp::now());
        let strictly = certificate.strictly();
        (
            findings,
            strictly.map(drop).map_err(|error| describe(&error)),
        )
    });
    assert_verdict(what, judged.map_err(|error| describe(&error)), verdict);
}

fn describe(error: &Error) -> (&'static str, String) {
    (error.reason().name(), error.to_string())
}

type Described = (&'static str, String);

/// `judged`: the findings if it was served before, and the error if it is new.
pub(crate) fn assert_verdict(
    what: &str,
    judged: Result<(Vec<Finding>, Result<(), Described>), Described>,
    verdict: Verdict,
) {
    match (verdict, judged) {
        (Verdict::Fine, Ok((findings, strictly))) => {
            assert_eq!(findings, [], "{what}");
            assert_eq!(strictly, Ok(()), "{what}");
        }
        (Verdict::Warns(reason, words), Ok((findings, strictly))) => {
            let found = findings.iter().find(|one| one.reason == reason);
            let found = found.unwrap_or_else(|| panic!("{what}: {findings:?}"));
            assert_eq!(found.grade, Grade::Warning, "{what}");
            assert!(found.message.contains(words), "{what}: {}", found.message);
            assert_eq!(
                findings.len(),
                1,
                "{what}: unexpected findings: {findings:?}"
            );
            assert_eq!(strictly, Ok(()), "{what}");
        }
        (Verdict::Never(reason, words), Ok((findings, strictly))) => {
            assert!(findings.iter().any(|one| one.reason == reason), "{what}");
            let (refused, message) = strictly.expect_err(what);
            assert_eq!(refused, reason.name(), "{what}: {message}");
            assert!(message.contains(words), "{what}: {message}");
        }
        (Verdict::Refused(reason, words), Err((found, message))) => {
            assert_eq!(found, reason, "{what}: {message}");
            assert!(message.contains(words), "{what}: {message}");
        }
        (verdict, judged) => panic!("{what}: {judged:?}, and not {verdict:?}"),
    }
}
