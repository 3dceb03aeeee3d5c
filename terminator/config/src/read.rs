//! From text to [`Config`], or to all that is wrong with it at once.
//!
//! It must not quote a value other than a number: any value may be a private key in the wrong place.

use crate::entries::{Entries, Report, kind};
use crate::key::{Section, Visitor};
use crate::problem::{Problem, Problems};
use crate::yaml::{self, Step, Value};
use crate::{CERTIFICATES, CERTIFICATES_MAX, Certificate, ClientAuth, Config, Pem, paste};

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
    let pem = pem.unwrap_or_else(|| Pem::new(String::new()));
    if file.is_empty(ClientAuth::NAME) {
        // The default mode would let everyone in, which is not why one writes the key.
        file.complain(ClientAuth::NAME, CLIENT_AUTH_EMPTY.to_owned());
    }
    let config = Config {
        host: file.key(&Config::HOST),
        port,
        also_listen: file.key(&Config::ALSO_LISTEN),
        version: file.key(&Config::VERSION),
        backend: file.section(),
        client_auth: file
            .nested(ClientAuth::NAME, ClientAuth::read)
            .unwrap_or_default(),
        tls: file.section(),
        timeouts: file.section(),
        limits: file.section(),
        drain: file.section(),
        admin: file.section(),
        pem,
        certificates: certificates(&mut file),
    };
    file.finish();
    Some(config)
}

fn certificates(file: &mut Entries<'_, '_>) -> Vec<Certificate> {
    let Some(value) = file.remove(CERTIFICATES) else {
        return Vec::new();
    };
    let Value::Sequence(entries) = value else {
        file.complain(
            CERTIFICATES,
            format!("expected a list, found {}", kind(&value)),
        );
        return Vec::new();
    };
    if entries.len() > CERTIFICATES_MAX {
        let message = format!(
            "{} entries; at most {CERTIFICATES_MAX} are allowed",
            entries.len()
        );
        file.complain(CERTIFICATES, message);
        return Vec::new();
    }
    let mut path = file.path.clone();
    path.push(Step::Key(CERTIFICATES.to_owned()));
    let mut certificates = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let mut path = path.clone();
        path.push(Step::Index(index));
        let Some(mut entry) = Entries::new(entry, path, file.report) else {
            continue;
        };
        let pem = entry.required(&Certificate::PEM);
        entry.finish();
        certificates.extend(pem.map(|pem| Certificate { pem }));
    }
    certificates
}

const CLIENT_AUTH_EMPTY: &str = "it is there and says nothing: set `mode: Require` or `mode: Optional`, with the \
     CA certificates as `ca`, or `mode: None`";
