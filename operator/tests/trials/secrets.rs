//! What the Secret of a listener may contain: certificates of three classes, and each common way in which one can be bad.
//!
//! It must not know what a plan makes of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use mqtt_tls_judge::certificate;
use mqtt_tls_judge::class::Class;
use mqtt_tls_judge::pem::Part;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// The name for which all certificates are.
const HOST: &str = "edge.example.com";

type Ca = CertifiedIssuer<'static, KeyPair>;

/// A certificate that can be loaded, whether it is within its dates or not.
pub(crate) struct Leaf {
    /// Its name in these tests. It begins with the letter of its class.
    pub(crate) name: &'static str,
    /// The digest of its class.
    pub(crate) class: String,
    from: Timestamp,
    pub(crate) until: Timestamp,
    chain: String,
    key: String,
    /// The certificate of the CA that has issued it.
    issuer: String,
}

/// What the Secret contains.
pub(crate) struct Content {
    pub(crate) name: &'static str,
    /// `None` if there is no Secret.
    pub(crate) data: Option<BTreeMap<String, ByteString>>,
    pub(crate) is: Is,
}

/// What a content is good for.
pub(crate) enum Is {
    /// The certificate with this index among all can be loaded.
    Usable(usize),
    /// It is refused, for this reason.
    Refused(&'static str),
}

/// Number of the certificates that are good as long as the tests of all pairs last: the first of all.
const GOOD: usize = 5;

/// All of them.
pub(crate) struct Secrets {
    /// A CA certificate.
    pub(crate) ca: String,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) contents: Vec<Content>,
}

impl Leaf {
    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        self.from <= now && now <= self.until
    }

    pub(crate) fn chain_digest(&self) -> String {
        let parts = [
            Part::key("tls.crt", &self.chain),
            Part::key("tls.key", &self.key),
        ];
        certificate::judge(&parts).unwrap().chain_digest()
    }

    /// Reports whether a certificate of the configuration is this one.
    pub(crate) fn is(&self, pem: &str) -> bool {
        pem.starts_with(self.chain.trim_end())
    }
}

impl Secrets {
    pub(crate) fn new() -> Self {
        let leaves = leaves();
        let mut contents: Vec<Content> = leaves
            .iter()
            .enumerate()
            .map(|(index, leaf)| Content {
                name: leaf.name,
                data: Some(data(&[
                    ("tls.crt", &leaf.chain),
                    ("tls.key", &leaf.key),
                    ("ca.crt", &leaf.issuer),
                ])),
                is: Is::Usable(index),
            })
            .collect();
        contents.extend(bad(&leaves));
        Self {
            ca: root("device CA").pem(),
            leaves,
            contents,
        }
    }

    /// Returns the good certificate with this name.
    pub(crate) fn leaf(&self, name: &str) -> &Leaf {
        let mut leaves = self.leaves.iter();
        leaves.find(|leaf| leaf.name == name).unwrap()
    }

    /// Returns the certificates that are good.
    pub(crate) fn good(&self) -> impl DoubleEndedIterator<Item = &Leaf> {
        self.leaves[..GOOD].iter()
    }

    pub(crate) fn content(&self, name: &str) -> &Content {
        let mut contents = self.contents.iter();
        contents.find(|content| content.name == name).unwrap()
    }

    /// Returns the certificate of a text in the configuration.
    pub(crate) fn of_pem(&self, pem: &str) -> &Leaf {
        let mut leaves = self.leaves.iter();
        leaves.find(|leaf| leaf.is(pem)).expect("a known leaf")
    }

    /// Reports whether a text shows one of the private keys.
    pub(crate) fn shows_a_key(&self, text: &str) -> bool {
        // One line of the key is enough.
        let mut keys = self.leaves.iter().map(|leaf| leaf.key.lines().nth(1));
        keys.any(|line| text.contains(line.unwrap())) || text.contains("PRIVATE KEY---")
    }
}

fn data(entries: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
    let entries = entries.iter();
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    entries
        .map(|(key, text)| ((*key).to_owned(), bytes(text)))
        .collect()
}

/// Certificates, each with its class, and the months in which it is valid.
fn leaves() -> Vec<Leaf> {
    let [first, second, third] = ["first CA", "second CA", "third CA"].map(root);
    // It must be in the chain.
    let middle = below("middle CA", &third);
    [
        ("a", &first, (2025, 1), (2027, 1)),
        ("a, renewed", &first, (2025, 1), (2027, 6)),
        ("b", &second, (2025, 1), (2028, 1)),
        ("b, renewed", &second, (2025, 1), (2028, 6)),
        ("c", &middle, (2025, 1), (2029, 1)),
        ("a, expired", &first, (2020, 1), (2021, 1)),
        ("b, expired", &second, (2020, 1), (2021, 1)),
        ("a, early", &first, (2026, 12), (2029, 1)),
        ("b, early", &second, (2026, 12), (2029, 1)),
        ("b, short", &second, (2025, 1), (2026, 7)),
    ]
    .into_iter()
    .map(|(name, ca, from, until)| leaf(name, ca, (from, until), &middle))
    .collect()
}

fn leaf(name: &'static str, ca: &Ca, (from, until): ((i32, u8), (i32, u8)), middle: &Ca) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
    let issued = params.signed_by(&key, ca).unwrap().pem();
    let rest = if name == "c" {
        middle.pem()
    } else {
        String::new()
    };
    let (chain, key) = (format!("{issued}{rest}"), key.serialize_pem());
    let parts = [Part::key("tls.crt", &chain), Part::key("tls.key", &key)];
    let judged = certificate::judge(&parts).unwrap();
    let date =
        |(year, month)| -> Timestamp { format!("{year}-{month:02}-01T00:00:00Z").parse().unwrap() };
    Leaf {
        name,
        class: Class::of(&judged).digest(),
        from: date(from),
        until: date(until),
        chain,
        key,
        issuer: ca.pem(),
    }
}

fn root(name: &str) -> Ca {
    CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap()
}

fn below(name: &str, ca: &Ca) -> Ca {
    CertifiedIssuer::signed_by(authority(name), KeyPair::generate().unwrap(), ca).unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Returns the contents that are refused: those of the tests in a cluster, and some more.
fn bad(leaves: &[Leaf]) -> Vec<Content> {
    let of = |name: &str| leaves.iter().find(|leaf| leaf.name == name).unwrap();
    let (a, b, c) = (of("a"), of("b"), of("c"));
    let (chain, key) = (b.chain.as_str(), b.key.as_str());
    let lines = |text: &str, count: usize| {
        let lines: Vec<&str> = text.lines().take(count).collect();
        lines.join("\n")
    };
    let (cut, end) = (lines(chain, 3), key.lines().last().unwrap());
    let half_a_key = format!("{}\n{end}\n", lines(key, 2));
    let nonsense =
        "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let pair = |chain: &str, key: &str| data(&[("tls.crt", chain), ("tls.key", key)]);
    let pem = |text: String| data(&[("pem", text.as_str())]);
    let long = long();
    [
        ("other key", pair(chain, &a.key), "KeyMismatch"),
        ("cut", pair(&cut, key), "BrokenPem"),
        ("no text", pair("\u{0}", key), "NoCertificate"),
        ("only keys", pair(key, key), "NoCertificate"),
        ("nonsense", pair(nonsense, key), "UnusableCertificate"),
        ("half a key", pair(chain, &half_a_key), "UnusablePrivateKey"),
        ("long", pair(&long.0, &long.1), "ChainTooLong"),
        ("no key", data(&[("tls.crt", chain)]), "MissingKey"),
        ("other name", data(&[("certificate", chain)]), "MissingKey"),
        ("blank", pair(" \n", key), "MissingKey"),
        ("nothing", BTreeMap::new(), "MissingKey"),
        ("alone", pem(chain.to_owned()), "NoPrivateKey"),
        (
            "two keys",
            pem(format!("{chain}{key}{}", a.key)),
            "SeveralPrivateKeys",
        ),
        (
            "encrypted",
            pem(format!("{chain}{encrypted}")),
            "EncryptedPrivateKey",
        ),
        (
            "out of order",
            pem(format!("{chain}{}{}", c.chain, c.key)),
            "ChainOutOfOrder",
        ),
    ]
    .into_iter()
    .map(|(name, data, reason)| (name, Some(data), reason))
    .chain([("deleted", None, "SecretNotFound")])
    .map(|(name, data, reason)| Content {
        name,
        data,
        is: Is::Refused(reason),
    })
    .collect()
}

/// Returns a chain with more certificates than any client takes, and its key.
fn long() -> (String, String) {
    let mut ca = root("deep CA");
    let mut above = String::new();
    for number in 0..12 {
        ca = below(&format!("CA {number}"), &ca);
        above.insert_str(0, &ca.pem());
    }
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &ca).unwrap().pem();
    (format!("{leaf}{above}"), key.serialize_pem())
}
