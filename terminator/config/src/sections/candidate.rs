//! `candidate`: the renewed certificate that a share of the clients gets in place of the one beside it.
//!
//! It must not say which share: that is in the file of trials, which changes while the configuration stays.

use serde::Serialize;

use crate::Pem;
use crate::entries::Entries;
use crate::key::{Required, Values};

/// A certificate that may take the place of the one beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The trial that it belongs to: 1 to 40 of a-z, 0-9 and hyphens. All candidates with an ID are one trial.
    pub id: String,
    /// The certificate chain and its key.
    pub pem: Pem,
}

impl Candidate {
    /// The key whose value it is.
    pub(crate) const NAME: &'static str = "candidate";

    /// What it is for, as the reference shows it.
    pub(crate) const MEANING: &'static str =
        "a renewed certificate, which a share of the clients gets in place of the one beside it";

    pub(crate) const ID: Required<String> = Required {
        name: "id",
        values: Values::<String>::TRIAL,
        meaning: "the trial that it belongs to, of the file `--trials`; without that file, or without this ID in it, no client gets the \
                  candidate. The same certificate at several hosts may have the same ID: they are one trial",
    };

    pub(crate) const PEM: Required<Pem> = Required {
        name: "pem",
        values: Values::pem("the text of a PEM"),
        meaning: "as the file's `pem`; it is judged as the certificate beside it is",
    };

    /// Reads it, if it is there.
    pub(crate) fn read_if_any(entries: &mut Entries<'_, '_>) -> Option<Self> {
        let read = entries.nested(Self::NAME, |entries| {
            let id = entries.required(&Self::ID);
            let pem = entries.required(&Self::PEM);
            Some(Self { id: id?, pem: pem? })
        });
        read.flatten()
    }
}
