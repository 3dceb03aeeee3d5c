//! All keys of the file, for the terminator's reference.
//!
//! It must not repeat what a key says of itself.

use crate::key::{Key, Required, Section, Visitor};
use crate::{
    ALPN_PROTOCOLS_MAX, Admin, Alpn, AlpnProtocol, Backend, CERTIFICATES, CERTIFICATES_MAX,
    CLIENT_RULES_MAX, CRLS_MAX, Candidate, Certificate, ClientAuth, ClientRule, Config, CrlUrl,
    Drain, HOSTS, HOSTS_MAX, Host, Identity, Limits, Naming, Revocation, RuleMatching, Timeouts,
    Tls, WithoutCertificate,
};

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name with its section's, as in `timeouts.handshake`.
    pub key: String,
    /// The values it takes, in words; empty for a section.
    pub values: String,
    /// The value that holds without it; `None` if it is required, or a section.
    pub default: Option<String>,
    /// What it is for.
    pub meaning: String,
}

/// Lists the keys in the order of the file, each section before its keys.
pub fn rows() -> Vec<Row> {
    let mut rows = Rows::default();
    rows.key(&Config::HOST);
    rows.required(&Config::PORT);
    rows.key(&Config::ALSO_LISTEN);
    rows.required(&Config::PEM);
    rows.candidate();
    rows.0.push(Row {
        key: CERTIFICATES.to_owned(),
        values: format!("a list of at most {CERTIFICATES_MAX} entries"),
        default: Some("none".to_owned()),
        meaning: "more certificates, chosen by SNI and by key type".to_owned(),
    });
    let mut entry = Rows::default();
    entry.required(&Certificate::PEM);
    rows.within(&format!("{CERTIFICATES}[]"), entry);
    rows.as_above(
        &format!("{CERTIFICATES}[].{}", Candidate::NAME),
        Candidate::NAME,
        "none",
        "a renewed certificate in its place",
    );
    rows.hosts();
    rows.key(&Config::UNKNOWN_NAMES);
    rows.key(&Config::SHARED_NAMES);
    rows.key(&Config::VERSION);
    rows.section::<Backend>();
    rows.key(&Config::PROTOCOL);
    rows.section::<ClientAuth>();
    rows.client_auth();
    rows.crls();
    rows.identity();
    rows.section::<Tls>();
    rows.alpn();
    rows.section::<Timeouts>();
    rows.section::<Limits>();
    rows.section::<Drain>();
    rows.section::<Admin>();
    rows.0
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Visitor for Rows {
    fn key<T>(&mut self, key: &Key<T>) -> T {
        let default = (key.default)();
        self.0.push(Row {
            key: key.name.to_owned(),
            values: key.values.expected(),
            default: Some(key.values.show(&default)),
            meaning: key.meaning.to_owned(),
        });
        default
    }
}

impl Rows {
    fn required<T>(&mut self, key: &Required<T>) {
        self.0.push(Row {
            key: key.name.to_owned(),
            values: key.values.expected(),
            default: None,
            meaning: key.meaning.to_owned(),
        });
    }

    fn section<S: Section>(&mut self) {
        self.parent(S::NAME, S::MEANING);
        let mut keys = Self::default();
        S::visit(&mut keys);
        self.within(S::NAME, keys);
    }

    /// Adds `hosts`, as a whole.
    fn hosts(&mut self) {
        self.0.push(Row {
            key: HOSTS.to_owned(),
            values: format!("a list of at most {HOSTS_MAX} entries"),
            default: Some("none".to_owned()),
            meaning: "names with certificates, mutual TLS and a broker of their own, behind the same port; what an entry leaves out, \
                      it takes from the file. A session is resumed under the host that issued it only"
                .to_owned(),
        });
        let mut host = Self::default();
        host.required(&Host::NAMES);
        host.key(&Host::PEM);
        self.within(&format!("{HOSTS}[]"), host);
        self.as_above(
            &format!("{HOSTS}[].{}", Candidate::NAME),
            Candidate::NAME,
            "none",
            "a renewed certificate in place of the host's `pem`",
        );
        self.0.push(Row {
            key: format!("{HOSTS}[].{}", Tls::NAME),
            values: String::new(),
            default: None,
            meaning: "what the host has of `tls`".to_owned(),
        });
        let of_tls = format!("{}.{}", Tls::NAME, Alpn::NAME);
        for (key, meaning) in [
            (
                CERTIFICATES,
                "more certificates of the host, with `pem` and `candidate`",
            ),
            (ClientAuth::NAME, "mutual TLS of the host"),
            (
                Identity::NAME,
                "user names and client IDs of the host's clients",
            ),
            (Backend::NAME, "the broker of the host"),
            (&of_tls, "the protocols of the host"),
        ] {
            self.as_above(&format!("{HOSTS}[].{key}"), key, "the file's", meaning);
        }
    }

    /// Adds `candidate`, as a whole.
    fn candidate(&mut self) {
        self.parent(Candidate::NAME, Candidate::MEANING);
        let mut keys = Self::default();
        keys.required(&Candidate::ID);
        keys.required(&Candidate::PEM);
        self.within(Candidate::NAME, keys);
    }

    /// Adds a row for what has the keys of another one.
    fn as_above(&mut self, key: &str, other: &str, default: &str, meaning: &str) {
        self.0.push(Row {
            key: key.to_owned(),
            values: format!("as `{other}`"),
            default: Some(default.to_owned()),
            meaning: meaning.to_owned(),
        });
    }

    /// Adds what `clientAuth` has beside its plain keys.
    fn client_auth(&mut self) {
        let (list, meaning) = ClientAuth::RULES;
        let mut section = Self::default();
        section.list(list, CLIENT_RULES_MAX, meaning);
        let mut rule = Self::default();
        rule.required(&ClientRule::FIELD);
        for matching in RuleMatching::ALL {
            rule.key(&matching.key());
        }
        section.within(&format!("{list}[]"), rule);
        section.section::<Revocation>();
        self.within(ClientAuth::NAME, section);
    }

    /// Adds `crls`, as a whole.
    fn crls(&mut self) {
        let (list, meaning) = CrlUrl::LIST;
        self.list(list, CRLS_MAX, meaning);
        let mut entry = Self::default();
        entry.required(&CrlUrl::URL);
        entry.key(&CrlUrl::CA);
        entry.key(&CrlUrl::REFRESH);
        self.within(&format!("{list}[]"), entry);
    }

    fn list(&mut self, key: &str, most: usize, meaning: &str) {
        self.0.push(Row {
            key: key.to_owned(),
            values: format!("a list of at most {most} entries"),
            default: Some("none".to_owned()),
            meaning: meaning.to_owned(),
        });
    }

    /// Adds `tls.alpn`, as a whole.
    fn alpn(&mut self) {
        let mut alpn = Self::default();
        let list = Alpn::PROTOCOLS;
        alpn.0.push(Row {
            key: list.to_owned(),
            values: format!("a list of at most {ALPN_PROTOCOLS_MAX} entries"),
            default: Some("none".to_owned()),
            meaning: "the protocols that are negotiated, the preferred one first. A client that offers ALPN, and none of them, \
                      is served without one"
                .to_owned(),
        });
        let mut entry = Self::default();
        entry.required(&AlpnProtocol::NAME);
        entry.0.push(Row {
            key: Backend::NAME.to_owned(),
            values: format!("as `{}`", Backend::NAME),
            default: Some("that of the host".to_owned()),
            meaning: "the broker for clients that negotiate this protocol. A host with a `backend` of its own, and without \
                      `tls.alpn`, has the file's protocols and not their brokers"
                .to_owned(),
        });
        alpn.within(&format!("{list}[]"), entry);
        Alpn::visit(&mut alpn);
        let mut section = Self::default();
        section.0.push(Row {
            key: Alpn::NAME.to_owned(),
            values: String::new(),
            default: None,
            meaning: Alpn::MEANING.to_owned(),
        });
        section.within(Alpn::NAME, alpn);
        self.within(Tls::NAME, section);
    }

    fn identity(&mut self) {
        self.parent(Identity::NAME, Identity::MEANING);
        let mut keys = Self::default();
        keys.key(&Identity::MODE);
        let (name, meaning) = Identity::USER_NAME;
        keys.parent(name, meaning);
        let mut user_name = Self::default();
        user_name.required(&Naming::TEMPLATE);
        user_name.key(&Naming::ACTION);
        user_name.key(&Naming::MISMATCH);
        keys.within(name, user_name);
        let (name, meaning) = Identity::CLIENT_ID;
        keys.0.push(Row {
            key: name.to_owned(),
            values: format!("as `{}.{}`", Identity::NAME, Identity::USER_NAME.0),
            default: Some("none".to_owned()),
            meaning: meaning.to_owned(),
        });
        keys.section::<WithoutCertificate>();
        self.within(Identity::NAME, keys);
    }

    /// Adds a row for what has keys of its own.
    fn parent(&mut self, name: &str, meaning: &str) {
        self.0.push(Row {
            key: name.to_owned(),
            values: String::new(),
            default: None,
            meaning: meaning.to_owned(),
        });
    }

    fn within(&mut self, parent: &str, keys: Self) {
        self.0.extend(keys.0.into_iter().map(|row| Row {
            key: format!("{parent}.{}", row.key),
            ..row
        }));
    }
}
