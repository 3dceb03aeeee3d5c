//! Which of several operators works: the one that holds the Lease. It must not know what the work is.
//!
//! The protocol is that of client-go's leader election. Nobody's clock is compared with anybody else's: whoever
//! stands by measures by itself how long the Lease has not changed, and the leader how long ago it sent the
//! last renewal that came through. Each change carries the version that it was decided on, so of two that
//! reach for the Lease one is refused. The leader gives up after two thirds of the time that others wait.
//! (The crates that do this for the kube of today compare the holder's clock with their own.)
//!
//! What holds: no write is sent unless the Lease was surely held when it was handed to the client
//! ([`Gate`]). A write that is on its way by then, in a process that is stopped at this very moment, can still
//! arrive later; it is server-side apply of a plan, bound to the object's identity, and the new leader's
//! next look puts right whatever is in it.

mod candidate;
mod gate;
mod record;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::api::call::{Error, call};
use crate::error::chain;
use crate::kinds::Verb;
use crate::plan::names::manager_labels;

pub use candidate::Candidate;
pub use gate::Gate;
use record::Seen;

/// What it takes to become the leader.
pub struct Election {
    /// The API server; no other work goes over this client.
    pub client: Client,
    /// Who reaches for which Lease.
    pub candidate: Candidate,
    /// What holds back the writes of whoever does not lead.
    pub gate: Gate,
}

/// How it stands with whoever is not the leader yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Another one leads.
    By(String),
    /// It cannot be known who leads.
    Nowhere(String),
}

/// Why the work has to end.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another one has the Lease.
    #[error("{0} has the Lease now")]
    Taken(String),
    /// Someone deleted the Lease.
    #[error("the Lease was deleted")]
    Deleted,
    /// It was not renewed in time: the API server was out of reach, or this process was stopped.
    #[error("the Lease was not renewed in time")]
    Late,
}

/// Holds the Lease.
pub struct Leadership {
    leases: Api<Lease>,
    candidate: Candidate,
    lease: Lease,
    gate: Gate,
}

impl Election {
    /// Stands by until this one leads. `tell` hears how that stands, whenever it changes.
    pub async fn win(self, tell: impl Fn(Standing)) -> Leadership {
        let Self {
            client,
            candidate,
            gate,
        } = self;
        let leases = Api::namespaced(client, &candidate.namespace);
        let (mut seen, mut told) = (None, None);
        loop {
            let sent = Instant::now();
            let reached = reach(&leases, &candidate, &mut seen);
            let standing = match timeout(candidate.patience(), reached).await {
                Ok(Ok(Some(lease))) => {
                    gate.open_until(sent + candidate.deadline());
                    // This process may have been stopped since: then another one may lead by now.
                    if gate.deadline().is_some() {
                        info!(
                            lease = candidate.lease,
                            identity = candidate.identity,
                            "this operator leads"
                        );
                        return Leadership {
                            leases,
                            candidate,
                            lease,
                            gate,
                        };
                    }
                    Standing::Nowhere("the answer came too late".to_owned())
                }
                Ok(Ok(None)) => {
                    Standing::By(seen.as_ref().map_or("nobody", Seen::holder).to_owned())
                }
                Ok(Err(error)) => Standing::Nowhere(chain(&error)),
                // It may be held all the same: the next look tells.
                Err(_) => Standing::Nowhere("there is no answer".to_owned()),
            };
            if told.as_ref() != Some(&standing) {
                match &standing {
                    Standing::By(leader) => info!(leader, "standing by"),
                    Standing::Nowhere(error) => {
                        warn!(error, "failed to acquire the Lease; retrying");
                    }
                }
                tell(standing.clone());
                told = Some(standing);
            }
            sleep(candidate.pause()).await;
        }
    }
}

/// Reaches for the Lease once: `None` if another one has it, or was quicker.
async fn reach(
    leases: &Api<Lease>,
    candidate: &Candidate,
    seen: &mut Option<Seen>,
) -> Result<Option<Lease>, Error> {
    let (name, lease) = (&candidate.lease, candidate.target());
    let found = call(Verb::Get, &lease, leases.get_opt(name)).await?;
    let now = Instant::now();
    *seen = record::look(seen.take(), found.as_ref(), now);
    if seen
        .as_ref()
        .is_some_and(|seen| seen.is_held_from(&candidate.identity, now, candidate.duration))
    {
        return Ok(None);
    }
    let params = PostParams::default();
    let was_there = found.is_some();
    let claimed = if let Some(mut found) = found {
        found.spec = Some(candidate.claim(found.spec.as_ref()));
        let claimed = leases.replace(name, &params, &found);
        call(Verb::Update, &lease, claimed).await
    } else {
        let new = Lease {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(manager_labels()),
                ..ObjectMeta::default()
            },
            spec: Some(candidate.claim(None)),
        };
        call(Verb::Create, &lease, leases.create(&params, &new)).await
    };
    match claimed {
        Ok(lease) => Ok(Some(lease)),
        Err(error) if error.is_conflict() => Ok(None),
        // Deleted since. Where there was none, it is the namespace that is not there.
        Err(error) if error.is_not_found() && was_there => Ok(None),
        Err(error) => Err(error),
    }
}

impl Leadership {
    /// Renews the Lease for as long as that goes, and tells why it does not.
    pub async fn hold(&mut self) -> Lost {
        let lost = loop {
            sleep(self.candidate.pause()).await;
            // Late, another one may lead by now, even if the Lease does not say so yet.
            let Some(deadline) = self.gate.deadline() else {
                break Lost::Late;
            };
            match timeout_at(deadline, self.renew()).await {
                Ok(Ok(())) => {}
                Ok(Err(lost)) => break lost,
                Err(_) => break Lost::Late,
            }
        };
        self.gate.close();
        lost
    }

    /// Renews it once, however often that has to be tried.
    async fn renew(&mut self) -> Result<(), Lost> {
        let name = self.candidate.lease.clone();
        let (target, params) = (self.candidate.target(), PostParams::default());
        loop {
            let mut lease = self.lease.clone();
            lease.spec = Some(self.candidate.claim(lease.spec.as_ref()));
            let sent = Instant::now();
            let update = call(
                Verb::Update,
                &target,
                self.leases.replace(&name, &params, &lease),
            );
            // A connection that died without a word must not take all the time that there is.
            match timeout(self.candidate.patience(), update).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    self.gate.open_until(sent + self.candidate.deadline());
                    return Ok(());
                }
                Ok(Err(error)) if error.is_conflict() => self.look().await?,
                // It is not made again: whoever takes this operator off a cluster deletes it too.
                Ok(Err(error)) if error.is_not_found() => return Err(Lost::Deleted),
                Ok(Err(error)) => {
                    warn!(error = chain(&error), "failed to renew the Lease; retrying");
                    sleep(self.candidate.pause() / 2).await;
                }
                Err(_) => warn!("renewing the Lease timed out; retrying"),
            }
        }
    }

    /// Looks who changed it: someone may only have put a label on it, or an earlier renewal came through after all.
    async fn look(&mut self) -> Result<(), Lost> {
        let name = &self.candidate.lease;
        match call(
            Verb::Get,
            &self.candidate.target(),
            self.leases.get_opt(name),
        )
        .await
        {
            Ok(Some(lease)) => match record::holder(&lease) {
                Some(holder) if holder == self.candidate.identity => {
                    debug!("the Lease was changed, and is held still");
                    self.lease = lease;
                    Ok(())
                }
                holder => Err(Lost::Taken(holder.unwrap_or("nobody").to_owned())),
            },
            Ok(None) => Err(Lost::Deleted),
            // The renewal is tried again, and leads here again.
            Err(error) => {
                warn!(error = chain(&error), "failed to read the Lease; retrying");
                sleep(self.candidate.pause() / 2).await;
                Ok(())
            }
        }
    }

    /// Gives the Lease back at the end, so that the next one need not wait for it to run out.
    pub async fn release(mut self) {
        self.gate.close();
        let patience = self.candidate.patience();
        let given = async {
            match self.give_back().await {
                // A renewal that nobody waited for any more may have come through. It is looked at once.
                Err(error) if error.is_conflict() && self.look().await.is_ok() => {
                    self.give_back().await
                }
                given => given,
            }
        };
        match timeout(patience, given).await {
            Ok(Ok(())) => info!("the Lease is given back"),
            Ok(Err(error)) => warn!(error = chain(&error), "the Lease is left to run out"),
            Err(_) => warn!("the Lease is left to run out: there is no answer"),
        }
    }

    async fn give_back(&self) -> Result<(), Error> {
        let mut lease = self.lease.clone();
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        let name = &self.candidate.lease;
        let (target, params) = (self.candidate.target(), PostParams::default());
        let update = self.leases.replace(name, &params, &lease);
        call(Verb::Update, &target, update).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
