//! Chooses what is served: between what the objects hold now and what was served before.
//!
//! A bad or missing object never takes down what serves: the last good rendering of it stays. It must
//! never weaken client authentication for want of a CA.

use jiff::Timestamp;
use mqtt_tls_config::ClientAuth;

use super::authorities::{self, Bundle};
use super::previous::Previous;
use super::secret;
use super::served::Served;
use super::serving::Warning;
use crate::plan::listener::Listener;
use crate::plan::problem::Problem;
use crate::plan::reason::ConditionType;
use crate::plan::source::{CaSource, Source, Sources};
use crate::plan::world::World;

/// What there is to choose from.
pub struct Choice<'c> {
    /// Who chooses.
    pub listener: &'c Listener,
    /// What there is now.
    pub world: &'c World,
    /// What was served before.
    pub previous: &'c Previous,
    /// Whether this process begins, and does not know what served before it.
    pub is_at_start: bool,
    /// The time.
    pub now: Timestamp,
}

/// What was chosen.
#[derive(Default)]
pub struct Chosen {
    /// The certificates, the default first.
    pub served: Vec<Served>,
    /// Mutual TLS; none if it is wanted and there is no CA to do it with.
    pub client_auth: Option<ClientAuth>,
    /// Where the CA bundle came from, if anyone knows.
    pub ca_source: Option<CaSource>,
    /// What someone should look at in the CA bundle.
    pub ca_warnings: Vec<Warning>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// When a certificate begins or ends.
    pub dates: Vec<Timestamp>,
}

impl Chosen {
    /// Where all of it came from.
    pub fn sources(&self) -> Sources {
        let served = self.served.iter();
        Sources {
            certificates: served.map(|one| one.source.clone()).collect(),
            client_ca: self.ca_source.clone(),
        }
    }
}

/// Chooses certificates and CA bundle, and says what is wrong with those that cannot be chosen.
pub fn choose(choice: &Choice<'_>) -> Chosen {
    let mut chosen = Chosen::default();
    for (index, source) in choice.listener.certificates.iter().enumerate() {
        let fresh = choice.certificate(source);
        if let Ok(fresh) = &fresh {
            chosen.dates.extend(fresh.dates());
        }
        let one = choice.between(fresh, source, &mut chosen.problems);
        // Only the default has a stand-in: it is what a device gets that asks for no name.
        let stand_in = || (index == 0).then(|| choice.stand_in()).flatten();
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
    /// Whether the first certificate that was chosen is one for the first place: other certificates are
    /// shown only to those who ask for their names.
    pub fn has_default(&self, chosen: &Chosen) -> bool {
        let Some(first) = chosen.served.first() else {
            return false;
        };
        let before = || self.previous.served().next();
        self.listener.certificates.first() == Some(&first.source)
            || before().is_some_and(|before| before.source == first.source)
    }

    /// What there is now. What can never verify is refused, unless it is what serves already: an upgrade
    /// takes no listener down.
    fn certificate(&self, source: &Source) -> Result<Served, Problem> {
        let Source::Secret(name) = source;
        let served = secret::read(name, self.world.secrets.get(name))?;
        match served.refusal() {
            Some(refusal) if !self.is_at_start && !self.previous.serves(&served) => Err(refusal),
            Some(_) | None => Ok(served),
        }
    }

    /// The CA certificates that there are now, by the same rule.
    fn bundle(&self, source: &CaSource) -> Result<Bundle, Problem> {
        let bundle = authorities::read(source, self.world)?;
        match bundle.refusal() {
            Some(refusal) if !self.is_at_start && !self.previous.trusts(&bundle) => Err(refusal),
            Some(_) | None => Ok(bundle),
        }
    }

    /// Between what there is now and what was served before.
    fn between(
        &self,
        fresh: Result<Served, Problem>,
        source: &Source,
        problems: &mut Vec<Problem>,
    ) -> Option<Served> {
        let before = || self.previous.certificate(source);
        match fresh {
            Ok(fresh) => {
                let Some(reason) = fresh.invalidity(self.now) else {
                    return Some(fresh);
                };
                let Some(before) = before().filter(|before| before.is_valid(self.now)) else {
                    return Some(fresh);
                };
                problems.push(Problem {
                    about: ConditionType::CertificateValid,
                    reason,
                    message: format!(
                        "{}; the valid certificate that was served before stays until {}",
                        fresh.validity(self.now),
                        before.facts.not_after
                    ),
                });
                Some(before.clone())
            }
            Err(problem) => {
                let before = before();
                problems.push(match before {
                    Some(_) => problem.until_then("the certificate that was served before stays"),
                    None => problem,
                });
                before.cloned()
            }
        }
    }

    /// The default certificate that was served before, from another place than the one that is wanted.
    fn stand_in(&self) -> Option<Served> {
        let before = self.previous.served().next()?;
        if !self.listener.certificates.contains(&before.source) {
            return Some(before.clone());
        }
        // It is still named, further behind, where its problems are reported.
        let fresh = self.certificate(&before.source);
        self.between(fresh, &before.source, &mut Vec::new())
    }

    /// Chooses the CA bundle.
    fn client_auth(&self, chosen: &mut Chosen) {
        let Some(wanted) = &self.listener.client_auth else {
            chosen.client_auth = Some(ClientAuth::default());
            return;
        };
        let (source, bundle) = match self.bundle(&wanted.ca) {
            Ok(bundle) => (Some(wanted.ca.clone()), bundle),
            Err(problem) => {
                let before = self.previous.authorities();
                chosen.problems.push(problem.until_then(match before {
                    Some(_) => "the CA certificates used before stay",
                    None => {
                        "until then no configuration is made that would let devices in unchecked"
                    }
                }));
                let Some((source, bundle)) = before else {
                    return;
                };
                (source.cloned(), bundle.clone())
            }
        };
        chosen.ca_source = source;
        chosen.ca_warnings = bundle.warnings();
        chosen.client_auth = Some(ClientAuth {
            mode: wanted.mode,
            ca: Some(bundle.pem),
        });
    }
}
