//! Leader election: among several operators, the one that holds the Lease works. It must not know the work.
//!
//! The protocol is that of client-go. Clocks of different processes are never compared: a standby measures how
//! long the Lease has not changed, and the leader how long ago it sent its last successful renewal. Each update
//! carries the resource version that it is based on, so that of two concurrent updates one is refused. The
//! leader gives up after two thirds of the Lease duration. (The existing crates for this version of kube
//! compare the holder's clock with their own.)
//!
//! Guarantee: a write is sent only if the Lease was certainly held when it was handed to the client ([`Gate`]).
//! If the process is paused at that moment, the write may still arrive later. It is a server-side apply bound
//! to the object's uid, and the new leader's next reconciliation corrects it.

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
use record::{NO_HOLDER, Seen};

/// A candidate for leadership.
pub struct Election {
    /// The API client, used for nothing else.
    pub client: Client,
    /// The Lease, and this candidate's identity.
    pub candidate: Candidate,
    /// Blocks writes while this process does not lead.
    pub gate: Gate,
}

/// State of a candidate that does not lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This one leads.
    By(String),
    /// The leader is unknown, because of this error.
    Nowhere(String),
}

/// Why leadership ended.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another operator holds the Lease.
    #[error("the Lease is now held by {0}")]
    Taken(String),
    /// The Lease was deleted.
    #[error("the Lease was deleted")]
    Deleted,
    /// The API server was unreachable, or this process was paused.
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
    /// Stands by until this process leads. Calls `report` whenever the standing changes.
    pub async fn win(self, report: impl Fn(Standing)) -> Leadership {
        let Self {
            client,
            candidate,
            gate,
        } = self;
        let leases = Api::namespaced(client, &candidate.namespace);
        let (mut seen, mut reported) = (None, None);
        loop {
            let sent = Instant::now();
            let reached = reach(&leases, &candidate, &mut seen);
            let standing = match timeout(candidate.patience(), reached).await {
                Ok(Ok(Some(lease))) => {
                    gate.open_until(sent + candidate.deadline());
                    // If this process was paused meanwhile, another one may lead by now.
                    if gate.deadline().is_some() {
                        info!(
                            lease = candidate.lease,
                            identity = candidate.identity,
                            "acquired the Lease"
                        );
                        return Leadership {
                            leases,
                            candidate,
                            lease,
                            gate,
                        };
                    }
                    Standing::Nowhere("the response arrived too late".to_owned())
                }
                Ok(Ok(None)) => {
                    Standing::By(seen.as_ref().map_or(NO_HOLDER, Seen::holder).to_owned())
                }
                Ok(Err(error)) => Standing::Nowhere(chain(&error)),
                // The claim may have succeeded; the next try finds out.
                Err(_) => Standing::Nowhere("timed out".to_owned()),
            };
            if reported.as_ref() != Some(&standing) {
                match &standing {
                    Standing::By(leader) => info!(leader, "standing by"),
                    Standing::Nowhere(error) => {
                        warn!(error, "failed to acquire the Lease; retrying");
                    }
                }
                report(standing.clone());
                reported = Some(standing);
            }
            sleep(candidate.pause()).await;
        }
    }
}

/// Tries once to acquire the Lease. Returns `None` if another candidate holds it, or was faster.
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
        // The Lease was deleted meanwhile. If there was none, the namespace is missing.
        Err(error) if error.is_not_found() && was_there => Ok(None),
        Err(error) => Err(error),
    }
}

impl Leadership {
    /// Renews the Lease until it is lost, and returns why.
    pub async fn hold(&mut self) -> Lost {
        let lost = loop {
            sleep(self.candidate.pause()).await;
            // After the deadline another one may lead, even if the Lease does not show it yet.
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

    /// Renews the Lease once, and retries until that succeeds.
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
            // A dead connection must not use up the whole deadline.
            match timeout(self.candidate.patience(), update).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    self.gate.open_until(sent + self.candidate.deadline());
                    return Ok(());
                }
                Ok(Err(error)) if error.is_conflict() => self.look().await?,
                // Not created again: uninstalling the operator deletes the Lease.
                Ok(Err(error)) if error.is_not_found() => return Err(Lost::Deleted),
                Ok(Err(error)) => {
                    warn!(error = chain(&error), "failed to renew the Lease; retrying");
                    sleep(self.candidate.pause() / 2).await;
                }
                Err(_) => warn!("renewing the Lease timed out; retrying"),
            }
        }
    }

    /// Reads the Lease after a conflict: it may only have a new label, or an earlier renewal succeeded after all.
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
                    debug!("the Lease was modified and is still held");
                    self.lease = lease;
                    Ok(())
                }
                holder => Err(Lost::Taken(holder.unwrap_or(NO_HOLDER).to_owned())),
            },
            Ok(None) => Err(Lost::Deleted),
            // The retried renewal conflicts again and returns here.
            Err(error) => {
                warn!(error = chain(&error), "failed to read the Lease; retrying");
                sleep(self.candidate.pause() / 2).await;
                Ok(())
            }
        }
    }

    /// Releases the Lease, so that the next leader need not wait until it expires.
    pub async fn release(mut self) {
        self.gate.close();
        let patience = self.candidate.patience();
        let given = async {
            match self.give_back().await {
                // An abandoned renewal may have succeeded, so read the Lease once and retry.
                Err(error) if error.is_conflict() && self.look().await.is_ok() => {
                    self.give_back().await
                }
                given => given,
            }
        };
        match timeout(patience, given).await {
            Ok(Ok(())) => info!("released the Lease"),
            Ok(Err(error)) => warn!(
                error = chain(&error),
                "failed to release the Lease; it will expire"
            ),
            Err(_) => warn!("releasing the Lease timed out; it will expire"),
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
