//! Chooses what is served, from the current objects and from the previous configuration.
//!
//! An invalid or missing object never takes down what serves: its last good content stays. It must never weaken
//! client authentication because a CA is missing.

mod staged;

use std::time::Duration;

use jiff::Timestamp;
use mqtt_tls_config::{ClientAuth, CrlUrl, Pem, Tls};
use mqtt_tls_judge::authorities::Authorities;

use super::entry::Entry;
use super::lists::Lists;
use super::previous::Previous;
use super::secret;
use super::served::Served;
use super::serving::Warning;
use crate::kinds::Kind;
use crate::plan::host_key::HostKey;
use crate::plan::listener::{self, Authentication};
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};
use crate::plan::source::{DataKey, HostSources, Source, UrlSource, Withdrawn};
use crate::plan::trials::stage::{Staged, Trials};
use crate::plan::world::World;

/// The input of a choice for the listener itself, or for one of its hosts.
pub struct Choice<'c> {
    /// Whose it is.
    pub key: &'c HostKey,
    /// Sources of the certificates, the default first; empty for a host that has the listener's.
    pub certificates: &'c [Source],
    /// Those of them that may be missing.
    pub optional: &'c [Source],
    /// Mutual TLS.
    pub client_auth: &'c Authentication,
    /// TLS options, whose suites the certificates must fit: terminators refuse a file with another.
    pub tls: &'c Tls,
    /// How long a certificate stays in use after its ReferenceGrant was withdrawn.
    pub grace: Duration,
    /// The current objects.
    pub world: &'c World,
    /// The previous configuration.
    pub previous: &'c Previous,
    /// The trials of renewed certificates.
    pub trials: &'c Trials<'c>,
    /// What it has for the same names, if anything.
    pub before: Option<&'c Entry>,
    /// Whether this process has just started and does not know what was served before.
    pub is_at_start: bool,
    /// The current time.
    pub now: Timestamp,
}

/// The result of a choice.
#[derive(Default)]
pub struct Chosen {
    /// The certificates, the default first.
    pub served: Vec<Served>,
    /// Renewed certificates of another class, which are not served in place of those before.
    pub staged: Vec<Staged>,
    /// Those of them whose ReferenceGrant was withdrawn.
    pub withdrawn: Vec<Withdrawn>,
    /// Sources of which nothing is served any more, because their ReferenceGrant was withdrawn for too long.
    pub gone: Vec<Source>,
    /// Mutual TLS; `None` if it is wanted and no CA is usable, or if it is the listener's.
    pub client_auth: Option<ClientAuth>,
    /// The sources of the CA bundle, if known.
    pub ca_sources: Vec<DataKey>,
    /// The sources of the revocation lists.
    pub crls: Vec<DataKey>,
    /// The revocation lists, as far as they were read.
    pub lists: Vec<Lists>,
    /// The revocation lists that the pods fetch.
    pub urls: Vec<CrlUrl>,
    /// The same, with the sources of their servers' CA certificates.
    pub url_sources: Vec<listener::CrlUrl>,
    /// Warnings about the CA bundle.
    pub ca_warnings: Vec<Warning>,
    /// The CA certificates, unless they are the listener's.
    pub authorities: Option<Authorities>,
    /// The problems.
    pub problems: Vec<Problem>,
    /// Dates at which a certificate becomes valid or expires.
    pub dates: Vec<Timestamp>,
}

impl Chosen {
    /// Returns what a previous configuration has, as it is; `None` if any of it cannot be served.
    pub fn of(before: &Entry) -> Option<Self> {
        let served: Vec<Served> = before.served().cloned().collect();
        let is_all = served.len() == before.sources().len();
        is_all.then_some(())?;
        let mut chosen = Self {
            dates: served.iter().flat_map(Served::dates).collect(),
            served,
            withdrawn: before.withdrawn().to_vec(),
            client_auth: before.client_auth()?,
            crls: before.crls().to_vec(),
            urls: before.urls().cloned().collect(),
            url_sources: before.url_sources(),
            ..Self::default()
        };
        chosen.keep_ca(before);
        Some(chosen)
    }

    /// Takes source and warnings of the CA bundle from a previous configuration, whose bundle it has.
    pub fn keep_ca(&mut self, before: &Entry) {
        if let Some((source, bundle)) = before.authorities() {
            self.ca_sources = source.to_vec();
            self.ca_warnings = bundle.warnings();
            self.authorities = Some(bundle.authorities.clone());
        }
    }

    /// Puts the CA bundle back to that of a previous configuration; `None` if there is none to put back.
    pub fn put_ca_back(&mut self, before: &Entry) -> Option<()> {
        self.client_auth.as_mut()?.ca = Some(before.authorities()?.1.pem.clone());
        self.keep_ca(before);
        Some(())
    }

    /// Reports whether each certificate has a suite of a policy.
    pub fn fits(&self, tls: &Tls) -> bool {
        let mut served = self.served.iter();
        served.all(|one| tls.misfit(one.facts.is_rsa()).is_none())
    }

    /// Returns the CA bundle.
    pub fn ca(&self) -> Option<&Pem> {
        self.client_auth.as_ref()?.ca.as_ref()
    }

    /// Returns the size of each certificate and of the CA bundle in bytes, with the source.
    pub fn sizes(&self) -> Vec<(usize, String)> {
        let served = self.served.iter();
        let certificates = served.map(|one| (one.pem.expose().len(), one.source.to_string()));
        let ca = self.ca();
        let sources = || DataKey::all(&self.ca_sources);
        certificates
            .chain(ca.map(|ca| (ca.expose().len(), sources())))
            .collect()
    }

    /// Returns the sources of certificates, CA bundle and lists; those that the pods fetch by their place among all.
    pub fn sources(&self, all: &[CrlUrl]) -> HostSources {
        let served = self.served.iter();
        let place = |url: &str| all.iter().position(|one| one.url == url);
        let urls = self.url_sources.iter().filter_map(|url| {
            Some(UrlSource {
                place: place(&url.url)?,
                ca: url.ca.clone(),
            })
        });
        HostSources {
            certificates: served.map(|one| one.source.clone()).collect(),
            withdrawn: self.withdrawn.clone(),
            crls: self.crls.clone(),
            urls: urls.collect(),
            ..HostSources::default()
        }
        .with_client_cas(&self.ca_sources)
    }
}

/// Chooses certificates and CA bundle, and collects the problems of those that cannot be chosen.
pub fn choose(choice: &Choice<'_>) -> Chosen {
    let mut chosen = Chosen::default();
    for (index, source) in choice.certificates.iter().enumerate() {
        let fresh = choice.certificate(source);
        if fresh
            .as_ref()
            .is_err_and(|problem| choice.is_left_out(source, problem))
        {
            continue;
        }
        if let Ok(fresh) = &fresh {
            chosen.dates.extend(fresh.dates());
        }
        let one = match fresh {
            Err(problem) if problem.reason == Reason::RefNotPermitted => {
                choice.withdrawn(problem, source, &mut chosen)
            }
            fresh => choice.staged(fresh, source, &mut chosen),
        };
        // The default always has a stand-in: it serves devices that request no name.
        let stand_in = || match index {
            0 => choice.stand_in(),
            _ => choice.predecessor(source, &chosen.served),
        };
        let Some(one) = one.or_else(stand_in) else {
            continue;
        };
        let is_chosen = |served: &Served| served.source == one.source;
        if !chosen.served.iter().any(is_chosen) {
            chosen.dates.extend(one.dates());
            chosen.served.push(one);
        }
    }
    choice.client_auth(&mut chosen);
    chosen
}

impl Choice<'_> {
    /// Reports whether clients can be authenticated as wanted.
    pub fn has_client_auth(&self, chosen: &Chosen) -> bool {
        matches!(self.client_auth, Authentication::AsListener) || chosen.client_auth.is_some()
    }

    /// Reports whether the first chosen certificate may be the default; others serve only devices that request
    /// their names.
    pub fn has_default(&self, chosen: &Chosen) -> bool {
        let mut left = self.certificates.iter();
        let wanted = left.find(|source| !chosen.gone.contains(source));
        // A host without any has the listener's.
        if wanted.is_none() && self.key.name().is_some() {
            return true;
        }
        let Some(first) = chosen.served.first() else {
            return false;
        };
        let before = || self.before?.served().next();
        wanted == Some(&first.source)
            || before().is_some_and(|before| before.source == first.source)
    }

    /// Reports whether a problem is that a certificate is missing that may be.
    fn is_left_out(&self, source: &Source, problem: &Problem) -> bool {
        let is_missing = matches!(
            problem.reason,
            Reason::SecretNotFound | Reason::CertificateNotIssued
        );
        // What serves stays: it may have been deleted by mistake.
        is_missing && self.optional.contains(source) && self.last_good(source).is_none()
    }

    /// Reads the current certificate. One that can never verify is refused unless it already serves: an upgrade must
    /// not take a listener down.
    fn certificate(&self, source: &Source) -> Result<Served, Problem> {
        let served = secret::read(self.key, source, self.world)?;
        if let Some(misfit) = self.misfit(&served) {
            let message = format!("{source}: {misfit}");
            return Err(Problem::of_reference(Reason::NoSuite, message));
        }
        match served.refusal() {
            Some(refusal) if !self.is_at_start && !self.previous.serves(&served) => Err(refusal),
            Some(_) | None => Ok(served),
        }
    }

    /// Returns the last good certificate from a source that the listener may not use any more, for the time of grace.
    fn withdrawn(&self, problem: Problem, source: &Source, chosen: &mut Chosen) -> Option<Served> {
        let Some(before) = self.last_good(source) else {
            chosen.problems.push(problem);
            return None;
        };
        chosen.staged.extend(self.trials.kept(source));
        let since = self.previous.withdrawn(source).unwrap_or(self.now);
        let end = since.checked_add(self.grace).ok();
        if end.is_some_and(|end| end <= self.now) {
            chosen.problems.push(problem);
            chosen.gone.push(source.clone());
            return None;
        }
        let until = end.map_or_else(String::new, |end| format!(" until {end:.0}"));
        let kept = format!("the previous certificate stays in use{until}");
        chosen.problems.push(problem.until_then(&kept));
        chosen.dates.extend(end);
        let source = source.clone();
        chosen.withdrawn.push(Withdrawn { source, since });
        Some(before.clone())
    }

    /// Returns why no suite fits a certificate, if so.
    fn misfit(&self, served: &Served) -> Option<String> {
        self.tls.misfit(served.facts.is_rsa())
    }

    /// Returns the certificate that the previous configuration has from a source, if a suite fits it.
    fn last_good(&self, source: &Source) -> Option<&Served> {
        let last = self.before(|entry| entry.certificate(source));
        last.filter(|served| self.misfit(served).is_none())
    }

    /// Returns what the previous configuration has for the same names, or else anywhere.
    fn before<'s, T: ?Sized>(&'s self, of: impl Fn(&'s Entry) -> Option<&'s T>) -> Option<&'s T> {
        self.before.and_then(&of).or_else(|| self.previous.find(of))
    }

    /// Decides about a certificate outside its dates without a valid predecessor. While all that is served is valid, it
    /// is left out: terminators refuse a file that would make it worse.
    fn undated(
        &self,
        fresh: Served,
        reason: Reason,
        problems: &mut Vec<Problem>,
    ) -> Option<Served> {
        if !self.would_be_worse(&fresh) {
            return Some(fresh);
        }
        problems.push(Problem {
            about: ConditionType::CertificateValid,
            reason,
            message: format!(
                "{}; it is left out, because the certificates that are served are valid",
                fresh.validity(self.now)
            ),
        });
        None
    }

    /// Reports whether terminators would refuse a certificate outside its dates: it would be new, and all certificates that the
    /// same names have now are valid.
    fn would_be_worse(&self, fresh: &Served) -> bool {
        let Some(own) = self.before else {
            return false;
        };
        let has_own = own.pems().next().is_some();
        let shown = if has_own {
            own
        } else {
            self.previous.listener()
        };
        let mut served = shown.served().peekable();
        let is_known = own.certificate(&fresh.source).is_some();
        !is_known && served.peek().is_some() && served.all(|one| one.is_valid(self.now))
    }

    /// Returns the previous default certificate, which came from another source than the wanted one.
    fn stand_in(&self) -> Option<Served> {
        let before = self.before?.served().next()?;
        if self.misfit(before).is_some() || !self.may_use(&before.source) {
            return None;
        }
        if !self.certificates.contains(&before.source) {
            return Some(before.clone());
        }
        // It is still listed, at a later place, where its problems are reported.
        let fresh = self.certificate(&before.source);
        self.staged(fresh, &before.source, &mut Chosen::default())
    }

    /// Returns the previous certificate in whose place another one is to be issued, until that is there.
    fn predecessor(&self, source: &Source, chosen: &[Served]) -> Option<Served> {
        let is_issued = |source: &Source| matches!(source, Source::Issued(_));
        let mut before = self.before?.served().filter(|before| {
            let is_known = chosen.iter().any(|one| one.source == before.source);
            is_issued(&before.source) && !is_known && !self.certificates.contains(&before.source)
        });
        let before = before.find(|before| self.misfit(before).is_none());
        before.filter(|_| is_issued(source)).cloned()
    }

    /// Reports whether the listener may use the Secret of a certificate.
    fn may_use(&self, source: &Source) -> bool {
        self.world.permits(Kind::Secret, source.secret())
    }
}
