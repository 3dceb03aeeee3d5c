//! From text to [`Config`], or to all that is wrong with it at once.
//!
//! It must not quote a value other than a number: any value may be a private key in the wrong place.

use crate::entries::{Entries, Report};
use crate::key::Visitor;
use crate::problem::{Problem, Problems};
use crate::sections::{conflict, repeated};
use crate::yaml::{self, Value};
use crate::{
    CERTIFICATES, CERTIFICATES_MAX, CRLS_MAX, Candidate, Certificate, ClientAuth, Config, CrlUrl,
    HOSTS, HOSTS_MAX, Host, Identity, Pem, Protocol, Tls, paste,
};

/// Reads the file's text.
pub(crate) fn config(text: &str) -> Result<Config, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let indented = paste::indent(text);
    let text = indented.as_ref().map_or(text, |indented| indented.as_str());
    let root = yaml::value(text).map_err(|error| {
        let message = format!("this is not YAML: {}", error.message);
        Problems::one(Problem {
            line: error.line,
            key: String::new(),
            message,
        })
    })?;
    let mut report = Report::new(text);
    let config = top(root, &mut report);
    Problems::check(report.into_problems())?;
    // What is no mapping has a problem.
    config.ok_or_else(|| {
        let message = "the file could not be read; please report this".to_owned();
        Problems::one(Problem {
            line: None,
            key: String::new(),
            message,
        })
    })
}

fn top(root: Value, report: &mut Report<'_>) -> Option<Config> {
    let mut file = Entries::new(root, Vec::new(), report)?;
    // A file without them has problems, and these stand-ins are never seen.
    let port = file.required(&Config::PORT).unwrap_or_default();
    let pem = file.required(&Config::PEM);
    let candidate = Candidate::read_if_any(&mut file);
    let pem = pem.unwrap_or_else(|| Pem::new(String::new()));
    let config = Config {
        host: file.key(&Config::HOST),
        port,
        also_listen: file.key(&Config::ALSO_LISTEN),
        version: file.key(&Config::VERSION),
        backend: file.section(),
        protocol: file.key(&Config::PROTOCOL),
        client_auth: ClientAuth::read_if_any(&mut file).unwrap_or_default(),
        crls: crls(&mut file),
        identity: Identity::read_if_any(&mut file),
        tls: Tls::read(&mut file),
        timeouts: file.section(),
        limits: file.section(),
        drain: file.section(),
        admin: file.section(),
        pem,
        candidate,
        certificates: certificates(&mut file),
        hosts: hosts(&mut file),
        unknown_names: file.key(&Config::UNKNOWN_NAMES),
        shared_names: file.key(&Config::SHARED_NAMES),
    };
    let gives = |identity: &Option<Identity>| identity.as_ref().is_some_and(Identity::gives_names);
    let has_identity =
        gives(&config.identity) || config.hosts.iter().any(|host| gives(&host.identity));
    if config.protocol != Protocol::Mqtt && has_identity {
        let message = "`identity` needs a CONNECT to write names into; set `protocol: mqtt`, or remove \
                       `identity`";
        file.complain(Config::PROTOCOL.name, message.to_owned());
    }
    file.finish();
    Some(config)
}

fn certificates(file: &mut Entries<'_, '_>) -> Vec<Certificate> {
    file.list(CERTIFICATES, CERTIFICATES_MAX, |entry| {
        let pem = entry.required(&Certificate::PEM);
        let candidate = Candidate::read_if_any(entry);
        Some(Certificate {
            pem: pem?,
            candidate,
        })
    })
}

fn crls(file: &mut Entries<'_, '_>) -> Vec<CrlUrl> {
    let crls = file.list(CrlUrl::LIST.0, CRLS_MAX, CrlUrl::read);
    let repeated = repeated(&crls).filter(|_| file.is_clean());
    if let Some(repeated) = repeated {
        file.complain(CrlUrl::LIST.0, repeated);
    }
    crls
}

fn hosts(file: &mut Entries<'_, '_>) -> Vec<Host> {
    let hosts = file.list(HOSTS, HOSTS_MAX, |entry| Host::read(entry, certificates));
    // The places would be wrong if an entry were left out.
    let conflict = conflict(&hosts).filter(|_| file.is_clean());
    if let Some(conflict) = conflict {
        file.complain(HOSTS, conflict);
    }
    hosts
}
