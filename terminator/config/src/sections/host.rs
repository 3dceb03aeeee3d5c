//! `hosts`: names with certificates, mutual TLS and a backend of their own, behind the same port.
//!
//! What a host leaves out, it takes from the file. It must not decide which host a client gets.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::is_default;
use crate::entries::Entries;
use crate::key::{Key, Required, Section, Values, Visitor};
use crate::{Backend, Candidate, Certificate, ClientAuth, HostTls, Identity, NAMES_MAX, Pem};

/// Names with settings of their own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// The names, in lower case: DNS names, or `*.` and one, which stands for one label. At least one.
    pub names: Vec<String>,
    /// Its default certificate; without one, the file's certificates are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<Pem>,
    /// The certificate that may take the place of the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// More certificates, chosen by SNI and by key type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Mutual TLS; by default the file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
    /// User names and client IDs from clients' certificates; by default the file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The broker; by default the file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// ALPN; by default the file's.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: HostTls,
}

/// What clients get that ask for a name that no host and no certificate of the file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum UnknownNames {
    /// What clients without SNI get.
    #[default]
    Serve,
    /// The alert unrecognized_name.
    Refuse,
}

/// What is done with a file in which clients of one host could take names that certificates give at another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum SharedNames {
    /// It is refused.
    #[default]
    Refuse,
    /// It is served.
    Accept,
}

/// Reports whether two hosts have the same names, in any order.
pub fn are_same_names(one: &[String], other: &[String]) -> bool {
    one.iter().collect::<BTreeSet<_>>() == other.iter().collect()
}

impl Host {
    /// Returns a host that has nothing but names of its own.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            names,
            pem: None,
            candidate: None,
            certificates: Vec::new(),
            client_auth: None,
            identity: None,
            backend: None,
            tls: HostTls::default(),
        }
    }

    pub(crate) const NAMES: Required<Vec<String>> = Required {
        name: "names",
        values: Values::NAMES,
        meaning: "the names that clients request (SNI): DNS names, or `*.` and a DNS name, which stands for one label. An exact \
                  name comes before a wildcard. Each name belongs to one host; all hosts together have at most 1,000",
    };

    pub(crate) const PEM: Key<Option<Pem>> = Key {
        name: "pem",
        values: Values::optional_pem("the text of a PEM"),
        default: || None,
        meaning: "the host's certificate chain and key; without one, the file's certificates are served",
    };

    /// Reads one entry, with its list of certificates; `None` without names.
    pub(crate) fn read(
        entry: &mut Entries<'_, '_>,
        certificates: impl FnOnce(&mut Entries<'_, '_>) -> Vec<Certificate>,
    ) -> Option<Self> {
        let names = entry.required(&Self::NAMES);
        let pem = entry.key(&Self::PEM);
        let candidate = Candidate::read_if_any(entry);
        let certificates = certificates(entry);
        if pem.is_none() && candidate.is_some() {
            let message = "missing: a host with a `candidate` needs the certificate whose place that may take";
            entry.complain(Self::PEM.name, message.to_owned());
        } else if pem.is_none() && !certificates.is_empty() {
            let message = "missing: a host with `certificates` needs a default one";
            entry.complain(Self::PEM.name, message.to_owned());
        }
        let client_auth = ClientAuth::read_if_any(entry);
        let identity = Identity::read_if_any(entry);
        let backend = entry.nested(Backend::NAME, |entries| Backend::visit(entries));
        let tls = HostTls::read(entry);
        Some(Self {
            names: names?,
            pem,
            candidate,
            certificates,
            client_auth,
            identity,
            backend,
            tls,
        })
    }
}

/// Returns what is wrong with the names of all hosts together.
pub(crate) fn conflict(hosts: &[Host]) -> Option<String> {
    let count: usize = hosts.iter().map(|host| host.names.len()).sum();
    if count > NAMES_MAX {
        return Some(format!("{count} names; at most {NAMES_MAX} are allowed"));
    }
    let mut known = HashMap::new();
    for (host, names) in hosts.iter().map(|host| &host.names).enumerate() {
        for (index, name) in names.iter().enumerate() {
            if let Some((first, first_index)) = known.insert(name, (host, index)) {
                return Some(format!(
                    "hosts[{host}].names[{index}] is the same name as hosts[{first}].names[{first_index}]; each name belongs \
                     to one host"
                ));
            }
        }
    }
    None
}
