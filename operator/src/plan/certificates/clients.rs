//! Chooses the CA certificates and revocation lists for client certificates. The last good ones stay where an object is invalid or
//! missing.
//!
//! It must never weaken client authentication because one is missing.

use mqtt_tls_config::{ClientAuth, CrlUrl, Pem};
use mqtt_tls_judge::authorities::Authorities;

use super::authorities::{self, Bundle, Wanted};
use super::choose::{Choice, Chosen};
use super::entry::Entry;
use super::lists;
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
        let (sources, bundle) = match self.bundle(&wanted.cas) {
            Ok(bundle) => (wanted.cas.clone(), bundle),
            Err(problem) => {
                let Some((sources, bundle)) = self.last_good_bundle(&wanted.cas) else {
                    chosen.problems.push(self.unverified(problem));
                    return;
                };
                let problem = problem.until_then("the previous CA certificates stay in use");
                chosen.problems.push(problem);
                (sources.to_vec(), bundle.clone())
            }
        };
        chosen.ca_warnings = bundle.warnings();
        if !self.revocation(wanted, &bundle.authorities, chosen) {
            return;
        }
        chosen.ca_sources = sources;
        chosen.authorities = Some(bundle.authorities);
        chosen.client_auth = Some(ClientAuth {
            ca: Some(bundle.pem),
            ..wanted.settings.clone()
        });
    }

    /// Chooses the revocation lists, and reports whether there are all of them: without one, revoked devices would be accepted.
    fn revocation(
        &self,
        wanted: &listener::ClientAuth,
        authorities: &Authorities,
        chosen: &mut Chosen,
    ) -> bool {
        let stays = "the previous list stays in use";
        for source in &wanted.crls {
            let read = lists::read(self.key, source, authorities, self.world, self.now);
            let found = read.or_else(|problem| {
                let before = self.previous.crls().lists(source, authorities, self.now);
                let Some(before) = before else {
                    return Err(problem);
                };
                chosen.problems.push(problem.until_then(stays));
                Ok(before)
            });
            match found {
                Ok(found) => {
                    chosen.ca_warnings.extend_from_slice(&found.warnings);
                    chosen.dates.extend_from_slice(&found.dates);
                    chosen.crls.push(source.clone());
                    chosen.lists.push(found);
                }
                Err(problem) => {
                    chosen.problems.push(self.unverified(problem));
                    return false;
                }
            }
        }
        for url in &wanted.urls {
            let read = self.server_ca(url).or_else(|problem| {
                let mut known = self.previous.urls().iter();
                let Some(before) = known.find(|known| known.url == url.url) else {
                    return Err(problem);
                };
                let stays = "the previous CA certificates stay in use";
                chosen.problems.push(problem.until_then(stays));
                Ok(before.ca.clone())
            });
            match read {
                Ok(ca) => chosen.urls.push(CrlUrl {
                    url: url.url.clone(),
                    ca,
                    refresh: url.refresh,
                }),
                Err(problem) => {
                    chosen.problems.push(self.unverified(problem));
                    return false;
                }
            }
        }
        true
    }

    /// Reads the CA certificates of the server of a list.
    fn server_ca(&self, url: &listener::CrlUrl) -> Result<Option<Pem>, Problem> {
        let Some(source) = &url.ca else {
            return Ok(None);
        };
        let wanted = Wanted {
            field: self.key.field("clientAuth.revocation.crlUrls.caRef"),
            what: "the CA certificates of the server",
            missing: Reason::CaNotFound,
        };
        authorities::one(source, &wanted, self.world).map(|bundle| Some(bundle.pem))
    }

    /// Returns a problem without which devices would be accepted unverified. What happens to a host is decided where it is chosen.
    fn unverified(&self, problem: Problem) -> Problem {
        let is_listener = self.key.name().is_none();
        if is_listener {
            let what = "until then no new configuration is rendered, because it would accept devices unverified";
            problem.until_then(what)
        } else {
            problem
        }
    }
}
