//! Which issuers of cert-manager listeners may name: users who may write listeners can have certificates issued by those.
//!
//! It must not know whether an issuer exists.

use std::str::FromStr;

use crate::crd::IssuerRef;

/// Stands for any kind, or any name.
const ANY: &str = "*";

/// The issuers that listeners may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers(Vec<Pattern>);

/// Issuers of a kind and of a name, each of which may be any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    kind: String,
    /// Any if none.
    group: Option<String>,
    name: String,
}

/// A text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be KIND/NAME or KIND.GROUP/NAME, such as ClusterIssuer/devices or Issuer/*")]
pub struct NoPattern;

impl Default for Issuers {
    /// All of them.
    fn default() -> Self {
        Self(vec![Pattern {
            kind: ANY.to_owned(),
            group: None,
            name: ANY.to_owned(),
        }])
    }
}

impl Issuers {
    /// Permits these.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    /// Reports whether a listener may name an issuer.
    pub fn permit(&self, issuer: &IssuerRef) -> bool {
        self.0.iter().any(|pattern| pattern.fits(issuer))
    }
}

impl Pattern {
    fn fits(&self, issuer: &IssuerRef) -> bool {
        let fits = |pattern: &str, value: &str| pattern == ANY || pattern == value;
        let group = self.group.as_deref();
        fits(&self.kind, issuer.kind())
            && group.is_none_or(|group| group == issuer.group())
            && fits(&self.name, &issuer.name)
    }
}

impl FromStr for Pattern {
    type Err = NoPattern;

    /// A kind without a group is one of cert-manager.
    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let (kind, name) = text.split_once('/').ok_or(NoPattern)?;
        let (kind, group) = match kind.split_once('.') {
            Some((kind, group)) => (kind, Some(group)),
            None if kind == ANY => (kind, None),
            None => (kind, Some("cert-manager.io")),
        };
        let is_good =
            |part: &str| !part.is_empty() && (part == ANY || !part.contains([' ', '*', '/']));
        if !is_good(kind)
            || !is_good(name)
            || group.is_some_and(|group| !is_good(group) || group == ANY)
        {
            return Err(NoPattern);
        }
        Ok(Self {
            kind: kind.to_owned(),
            group: group.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{IssuerRef, Issuers, NoPattern, Pattern};

    fn issuer(kind: Option<&str>, group: Option<&str>, name: &str) -> IssuerRef {
        IssuerRef {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            group: group.map(str::to_owned),
        }
    }

    fn permits(patterns: &[&str], issuer: &IssuerRef) -> bool {
        let patterns = patterns.iter().map(|one| one.parse().unwrap());
        Issuers::new(patterns.collect()).permit(issuer)
    }

    #[test]
    fn an_issuer_is_permitted_by_kind_group_and_name() {
        let own = issuer(None, None, "a");
        let shared = issuer(Some("ClusterIssuer"), None, "a");
        let foreign = issuer(Some("ClusterIssuer"), Some("other.example"), "a");
        for (patterns, expected) in [
            (&["*/*"][..], [true, true, true]),
            (&["Issuer/*"], [true, false, false]),
            (&["ClusterIssuer/a"], [false, true, false]),
            (&["ClusterIssuer/b", "Issuer/b"], [false, false, false]),
            (&["ClusterIssuer.other.example/*"], [false, false, true]),
            (&[], [false, false, false]),
        ] {
            let found = [&own, &shared, &foreign].map(|issuer| permits(patterns, issuer));
            assert_eq!(found, expected, "{patterns:?}");
        }
        assert!(Issuers::default().permit(&foreign));
    }

    #[test]
    fn a_pattern_has_a_kind_and_a_name() {
        for bad in [
            "",
            "*",
            "/",
            "Issuer/",
            "/a",
            "Issuer/a/b",
            "Is suer/a",
            "Issuer.*/a",
            "Issuer/a*",
            "Issuer./a",
        ] {
            assert_eq!(bad.parse::<Pattern>(), Err(NoPattern), "{bad}");
        }
    }
}
