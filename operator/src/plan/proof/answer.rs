//! A pod's answer: whether it serves what is wanted, and whether it reaches the broker. Texts come from the pod, so
//! they are escaped and bounded here. It must not decide what follows.

use std::time::Duration;

use mqtt_tls_judge::escape::escaped;

use crate::plan::trials::seen::Said;

/// Maximum length of a pod's text in a condition, in bytes.
const TEXT_MAX: usize = 512;

/// How long a pod must have failed to reach the broker before that counts: a broker that restarts must not make a
/// listener unready.
pub const OUTAGE_MIN: Duration = Duration::from_secs(60);

/// How long the kubelet may take to deliver a configuration, even without a mark on the pod.
pub const DELIVERY_MAX: Duration = Duration::from_secs(120);

/// A pod's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it serves what is wanted.
    pub configuration: Configuration,
    /// Whether it reaches the broker.
    pub backend: Backend,
    /// The hosts whose own broker it does not reach, as far as it knows, by the first of their names.
    pub hosts: Vec<(String, Backend)>,
    /// The protocols of the listener whose own broker it does not reach, as far as it knows, by their names.
    pub protocols: Vec<(String, Backend)>,
    /// The first source of revocation lists that is not good, with what is wrong. Lists that it brought before still count.
    pub unloaded: Option<String>,
    /// What it says about trials; `None` if it could not be asked.
    pub said: Option<Said>,
}

/// Whether a pod serves the wanted configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// It runs the wanted version, and each handshake returned the wanted certificate.
    Served,
    /// It refuses the file that it has, and says why.
    Refused(String),
    /// It runs another version. The kubelet may not have delivered the wanted one yet.
    Behind,
    /// It runs the wanted version, but a handshake with this server name returned another certificate.
    OtherCertificate(String),
    /// It could not be asked.
    Unasked(String),
}

/// Whether a pod reaches the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Its last attempt succeeded.
    Reached,
    /// All attempts have failed for this long. With the broker's address and the last error.
    Unreached {
        /// Time since the first failure.
        since: Duration,
        /// The broker's address.
        address: String,
        /// The last error.
        error: String,
    },
    /// It has not tried yet, or could not be asked.
    Unknown,
}

impl Answer {
    /// The answer of a pod that could not be asked.
    pub fn unasked(why: &str) -> Self {
        Self {
            configuration: Configuration::Unasked(text(why)),
            backend: Backend::Unknown,
            hosts: Vec::new(),
            protocols: Vec::new(),
            unloaded: None,
            said: None,
        }
    }

    /// Returns the listener's broker and the others that it does not reach, with whose they are.
    pub fn backends(&self) -> impl Iterator<Item = (Option<(&'static str, &str)>, &Backend)> {
        let hosts = self.hosts.iter().map(|one| ("host", one));
        let protocols = self.protocols.iter().map(|one| ("protocol", one));
        let others = hosts.chain(protocols);
        let others = others.map(|(kind, (name, backend))| (Some((kind, &**name)), backend));
        std::iter::once((None, &self.backend)).chain(others)
    }

    /// Reports whether asking again at once may give another answer: the kubelet may be about to deliver another file.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.configuration,
            Configuration::Behind | Configuration::Refused(_)
        )
    }

    /// Reports whether the pod serves what is wanted, reaches the broker as far as it knows, or cannot be asked.
    pub fn is_settled(&self) -> bool {
        let is_served = matches!(
            self.configuration,
            Configuration::Served | Configuration::Unasked(_)
        );
        let is_unreached = |backend: &Backend| matches!(backend, Backend::Unreached { .. });
        is_served && !self.backends().any(|(_, backend)| is_unreached(backend))
    }

    /// Returns the answer without what pods say about trials, without texts that may change with each try, and with the time of an outage replaced by
    /// whether it is over [`OUTAGE_MIN`].
    #[must_use]
    pub fn outline(mut self) -> Self {
        if let Configuration::Unasked(why) = &mut self.configuration {
            why.clear();
        }
        self.unloaded.iter_mut().for_each(String::clear);
        // What they mean is asked of the trials.
        self.said = None;
        let others = self.hosts.iter_mut().chain(&mut self.protocols);
        let others = others.map(|(_, backend)| backend);
        for backend in std::iter::once(&mut self.backend).chain(others) {
            backend.outline();
        }
        self
    }
}

impl Backend {
    /// Reports whether it has not been reached for so long that it counts.
    pub fn is_out(&self) -> bool {
        matches!(self, Self::Unreached { since, .. } if *since >= OUTAGE_MIN)
    }

    fn outline(&mut self) {
        let is_out = self.is_out();
        if let Self::Unreached {
            since,
            address,
            error,
        } = self
        {
            address.clear();
            error.clear();
            *since = if is_out { OUTAGE_MIN } else { Duration::ZERO };
        }
    }
}

/// Bounds and escapes a text of a pod.
pub fn text(text: &str) -> String {
    escaped(text, TEXT_MAX)
}
