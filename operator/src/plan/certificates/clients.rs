//! Chooses the CA certificates and revocation lists for client certificates. The last good ones stay where an object is invalid or
//! missing.
//!
//! It must never weaken client authentication because one is missing.

use mqtt_tls_config::{ClientAuth, CrlUrl, Pem};

use super::authorities::{self, Bundle, Wanted};
use super::choose::{Choice, Chosen};
use super::entry::Entry;
use super::lists::{self, Lists};
use super::serving::Warning;
use crate::plan::listener::{self, Authentication};
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;
use crate::plan::source::DataKey;

impl Choice<'_> {
    /// Reads the current CA certificates, by the same rule as certificates.
    fn bundle(&self, sources: &[DataKey]) -> Result<Bundle, Problem> {
        let bundle = authorities::read(self.key, sources, self.world)?;
        match bundle.refusal() {
            Some(refusal) if !self.is_at_start && !self.previous.trusts(&bundle) => Err(refusal),
            Some(_) | None => Ok(bundle),
        }
    }

    /// Returns the CA bundle that the previous configuration has from these sources, or else the one from any that this host had:
    /// the spec may just have named others.
    fn last_good_bundle(&self, sources: &[DataKey]) -> Option<(&[DataKey], &Bundle)> {
        let own = self.before.and_then(Entry::authorities);
        let is_wanted = |(found, _): &(&[DataKey], &Bundle)| *found == sources;
        own.filter(is_wanted)
            .or_else(|| self.previous.authorities(sources))
            .or(own)
    }

    /// Chooses the CA bundle and the revocation lists.
    pub(super) fn client_auth(&self, chosen: &mut Chosen) {
        let wanted = match self.client_auth {
            Authentication::AsListener => return,
            Authentication::Off => {
                chosen.client_auth = Some(ClientAuth::default());
                return;
            }
            Authentication::Mutual(wanted) => wanted,
        };
        let fresh = match self.bundle(&wanted.cas) {
            Ok(bundle) => self.with(wanted, wanted.cas.clone(), bundle),
            Err(problem) => Err(problem),
        };
        let found = fresh.or_else(|problem| {
            // A CA may have been replaced, and its list not yet: what was signed by the former one stays with it.
            let last = self.last_good_bundle(&wanted.cas);
            let last =
                last.map(|(sources, bundle)| self.with(wanted, sources.to_vec(), bundle.clone()));
            let Some(Ok(mut found)) = last else {
                return Err(problem);
            };
            let what = "the previous CA certificates stay in use";
            found.problems.insert(0, problem.until_then(what));
            Ok(found)
        });
        match found {
            Ok(found) => chosen.take(found, wanted),
            Err(problem) => chosen.problems.push(self.unverified(problem)),
        }
    }

    /// Returns CA certificates with all wanted lists: without one of them, revoked devices would be accepted.
    fn with(
        &self,
        wanted: &listener::ClientAuth,
        sources: Vec<DataKey>,
        bundle: Bundle,
    ) -> Result<Found, Problem> {
        let mut found = Found {
            warnings: bundle.warnings(),
            sources,
            bundle,
            lists: Vec::new(),
            urls: Vec::new(),
            problems: Vec::new(),
        };
        for source in &wanted.crls {
            self.list(source, &mut found)?;
        }
        for url in &wanted.urls {
            let ca = self.server_ca(url, &mut found.problems)?;
            found.urls.push(CrlUrl {
                url: url.url.clone(),
                ca,
                refresh: url.refresh,
            });
        }
        Ok(found)
    }

    /// Adds the lists of a source, or those that it had. A CA that is not trusted any more takes its list with it.
    fn list(&self, source: &DataKey, found: &mut Found) -> Result<(), Problem> {
        let authorities = &found.bundle.authorities;
        let read = lists::read(self.key, source, authorities, self.world, self.now);
        // Parsing them takes time, and mostly nothing has changed.
        let is_known = read
            .as_ref()
            .is_ok_and(|read| self.previous.crls().has(read));
        let before = || self.previous.crls().lists(source, authorities, self.now);
        let before = (!is_known).then(before).flatten();
        let read = read.and_then(|read| match (read.foreign(), &before) {
            (Some(problem), None) if self.previous.crls().knows(source) => {
                let what = "until then no certificate is known to be revoked by it";
                found.problems.push(problem.until_then(what));
                Ok(read)
            }
            (Some(problem), _) => Err(problem),
            (None, Some(before)) => read.instead_of(before, self.now).map(|()| read),
            (None, None) => Ok(read),
        });
        let lists = match (read, before) {
            (Ok(read), _) => read,
            (Err(problem), None) => return Err(problem),
            (Err(problem), Some(before)) => {
                let what = "the previous list stays in use";
                found.problems.push(problem.until_then(what));
                before
            }
        };
        found.warnings.extend_from_slice(&lists.warnings);
        found.lists.push(lists);
        Ok(())
    }

    /// Reads the CA certificates of the server of a list, or returns those that it had. Terminators take no others than those that
    /// can verify a server.
    fn server_ca(
        &self,
        url: &listener::CrlUrl,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Pem>, Problem> {
        let Some(source) = &url.ca else {
            return Ok(None);
        };
        let wanted = Wanted {
            field: self.key.field("clientAuth.revocation.crlUrls.caRef"),
            what: "the CA certificates of the server",
            missing: Reason::CaNotFound,
        };
        let read = authorities::one(source, &wanted, self.world);
        let read = read.and_then(|bundle| bundle.refusal().map_or(Ok(bundle), Err));
        match read {
            Ok(bundle) => Ok(Some(bundle.pem)),
            Err(problem) => {
                let mut known = self.previous.urls().iter();
                let before = known.find(|known| known.url == url.url);
                let before = before.ok_or_else(|| problem.clone())?;
                let what = "the previous CA certificates of the server stay in use";
                problems.push(problem.until_then(what));
                Ok(before.ca.clone())
            }
        }
    }

    /// Returns a problem without which devices would be accepted unverified. What happens to a host is decided where it is chosen.
    fn unverified(&self, problem: Problem) -> Problem {
        let is_listener = self.key.name().is_none();
        if is_listener {
            let what = "until then no new configuration is rendered, because it would accept devices that are to be refused";
            problem.until_then(what)
        } else {
            problem
        }
    }
}

/// CA certificates with all wanted lists.
struct Found {
    sources: Vec<DataKey>,
    bundle: Bundle,
    lists: Vec<Lists>,
    urls: Vec<CrlUrl>,
    warnings: Vec<Warning>,
    problems: Vec<Problem>,
}

impl Chosen {
    fn take(&mut self, found: Found, wanted: &listener::ClientAuth) {
        self.problems.extend(found.problems);
        self.dates
            .extend(found.lists.iter().flat_map(|lists| &lists.dates));
        self.ca_warnings = found.warnings;
        self.ca_sources = found.sources;
        self.crls.clone_from(&wanted.crls);
        self.lists = found.lists;
        self.urls = found.urls;
        self.url_sources.clone_from(&wanted.urls);
        self.authorities = Some(found.bundle.authorities);
        self.client_auth = Some(ClientAuth {
            ca: Some(found.bundle.pem),
            ..wanted.settings.clone()
        });
    }
}
