//! Chooses between a renewed certificate and the one that is served, where both are good: at once, or as a candidate beside it. It must
//! not decide how a trial goes on.

use jiff::Timestamp;
use mqtt_tls_config as file;

use super::{Choice, Chosen};
use crate::plan::certificates::served::Served;
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};
use crate::plan::source::Source;

/// A certificate outside its dates, which is left out.
struct Undated {
    fresh: Served,
    reason: Reason,
}

impl Undated {
    /// Returns the problem while another one is served.
    fn instead_of(self, served: &Served, now: Timestamp) -> Problem {
        Problem {
            about: ConditionType::CertificateValid,
            reason: self.reason,
            message: format!(
                "{}; the previous certificate stays in use, valid until {}",
                self.fresh.validity(now),
                served.facts.not_after
            ),
        }
    }
}

impl Chosen {
    /// Returns the certificates as the configuration has them, the default first.
    pub fn rendered(&self) -> impl Iterator<Item = file::Certificate> {
        self.served.iter().map(|one| file::Certificate {
            pem: one.pem.clone(),
            candidate: self.candidate(&one.source),
        })
    }

    /// Returns the candidate of a certificate, as the configuration has it.
    fn candidate(&self, source: &Source) -> Option<file::Candidate> {
        let mut staged = self.staged.iter();
        staged.find(|one| one.source == *source)?.rendered()
    }
}

impl Choice<'_> {
    /// Chooses between the current certificate and the previous one. A renewed one of another class is tried beside the one before.
    pub(super) fn staged(
        &self,
        fresh: Result<Served, Problem>,
        source: &Source,
        chosen: &mut Chosen,
    ) -> Option<Served> {
        let current = fresh.as_ref().ok().map(|one| one.certificate.clone());
        let (newest, undated) = self.between(fresh, source, &mut chosen.problems)?;
        let is_fresh = current.is_some_and(|one| one.is_same(&newest.certificate));
        // Judging the one before takes a while, and is seldom needed.
        if is_fresh && self.is_served(&newest) {
            return Some(newest);
        }
        let stage = self.trials.stage(
            newest,
            is_fresh,
            (self.last_good(source), self.candidate(source)),
        );
        let undated = undated.map(|undated| undated.instead_of(&stage.served, self.now));
        chosen.problems.extend(undated);
        if let Some(staged) = stage.staged {
            let candidate = staged.candidate.iter();
            chosen
                .dates
                .extend(candidate.flat_map(|(one, _)| one.dates()));
            chosen.staged.push(staged);
        }
        Some(stage.served)
    }

    /// Chooses between the current certificate and the previous one. The current one is returned as well if it is left out because of its
    /// dates.
    fn between(
        &self,
        fresh: Result<Served, Problem>,
        source: &Source,
        problems: &mut Vec<Problem>,
    ) -> Option<(Served, Option<Undated>)> {
        let before = || self.newest_good(source);
        match fresh {
            Ok(fresh) => {
                let Some(reason) = fresh.invalidity(self.now) else {
                    return Some((fresh, None));
                };
                let Some(before) = before().filter(|before| before.is_valid(self.now)) else {
                    let fresh = self.undated(fresh, reason, problems)?;
                    return Some((fresh, None));
                };
                Some((before.clone(), Some(Undated { fresh, reason })))
            }
            Err(problem) => {
                let before = before();
                problems.push(match before {
                    Some(_) => problem.until_then("the previous certificate stays in use"),
                    None => problem,
                });
                Some((before?.clone(), None))
            }
        }
    }

    /// Reports whether the previous configuration has the text of a certificate from its source.
    fn is_served(&self, one: &Served) -> bool {
        self.before(|entry| entry.pem(&one.source)) == Some(&one.pem)
    }

    /// Returns the last good certificate from a source: the candidate of a trial, or else the one that is served.
    pub(super) fn newest_good(&self, source: &Source) -> Option<&Served> {
        let candidate = self.candidate(source);
        let candidate = candidate.filter(|served| {
            let is_good = served.is_valid(self.now) && self.misfit(served).is_none();
            is_good && self.trials.goes_on(source)
        });
        candidate.or_else(|| self.last_good(source))
    }

    /// Returns the candidate that the previous configuration has from a source.
    fn candidate(&self, source: &Source) -> Option<&Served> {
        self.before(|entry| entry.candidate(source))
    }
}
