//! The draw of one connection: which certificate its client gets, fixed when that is chosen first, and what came of it.
//!
//! It must count a connection at most once; a draw that is dropped counts nothing.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::abort::Abort;
use super::ledger::{Fit, Seat, Ticket};
use super::{Trial, Trials};

/// When a candidate is valid, in Unix time.
pub(crate) type Term = RangeInclusive<u64>;

/// A draw.
pub(crate) struct Draw {
    /// `None` for a probe of the candidate.
    ballot: Option<Ballot>,
    /// What was drawn, once a certificate with a candidate was chosen.
    taken: Option<Taken>,
    /// How often a certificate was chosen: twice after a HelloRetryRequest.
    pub(crate) chosen: u8,
}

/// What a client's draw depends on.
struct Ballot {
    trials: Arc<Trials>,
    address: IpAddr,
    fingerprint: Vec<u8>,
    number: u16,
}

/// What was drawn. It leaves its trial when it is dropped.
struct Taken {
    trial: Arc<Trial>,
    ticket: Ticket,
}

impl Draw {
    /// Returns the draw of a probe, which gets the candidate and counts nothing.
    pub(crate) fn of_probe() -> Self {
        Self {
            ballot: None,
            taken: None,
            chosen: 0,
        }
    }

    /// Returns the draw of a client, with a random number below [`SHARE_ALL`](mqtt_tls_config::SHARE_ALL).
    pub(super) fn of_client(
        trials: &Arc<Trials>,
        address: IpAddr,
        fingerprint: Vec<u8>,
        number: u16,
    ) -> Self {
        let ballot = Ballot {
            trials: Arc::clone(trials),
            address,
            fingerprint,
            number,
        };
        Self {
            ballot: Some(ballot),
            ..Self::of_probe()
        }
    }

    /// Reports whether a client gets the candidate of a trial, as whose certificate's it was chosen, which is valid in a time. Later
    /// answers are the same.
    pub(crate) fn choose(&mut self, id: &str, fit: Fit, term: &Term) -> bool {
        let Some(ballot) = &self.ballot else {
            return fit == Fit::Fits;
        };
        self.chosen = self.chosen.saturating_add(1);
        if self.taken.is_none() {
            self.taken = ballot.take(id, fit, term);
        }
        let taken = self.taken.as_ref();
        taken.is_some_and(|taken| taken.trial.id == id && taken.ticket.seat == Seat::Candidate)
    }

    /// Reports whether the device is remembered. A session that began with the candidate would show that again.
    pub(crate) fn is_avoided(&self) -> bool {
        self.taken
            .as_ref()
            .is_some_and(|taken| taken.ticket.is_avoided)
    }

    /// Returns what is left of it once the certificate is shown, if anything was drawn.
    pub(crate) fn settled(mut self: Box<Self>) -> Option<Box<Self>> {
        self.ballot = None;
        self.taken.is_some().then_some(self)
    }

    /// Returns the trial's ID, if the client gets its candidate.
    pub(crate) fn candidate(&self) -> Option<&str> {
        let taken = self.taken.as_ref()?;
        (taken.ticket.seat == Seat::Candidate).then_some(&taken.trial.id)
    }

    /// Takes note that the client was served.
    pub(crate) fn served(self) {
        if let Some(mut taken) = self.taken {
            let ticket = taken.over();
            taken.trial.lock().served(ticket, super::now());
        }
    }

    /// Gives back the place that is kept for a client which may take any time, such as one that waits for the other side.
    pub(crate) fn relax(&mut self) {
        if let Some(taken) = &mut self.taken {
            taken.leave();
        }
    }

    /// Takes note that the client aborted; returns the trial's ID if it aborted on the candidate.
    pub(crate) fn aborted(self, abort: Abort) -> Option<String> {
        let candidate = self.candidate().map(str::to_owned);
        let mut taken = self.taken?;
        let ticket = taken.over();
        taken.trial.lock().aborted(ticket, abort, super::now());
        candidate
    }
}

impl Ballot {
    fn take(&self, id: &str, fit: Fit, term: &Term) -> Option<Taken> {
        let now = super::now();
        if !term.contains(&now) {
            return None;
        }
        let trial = self.trials.find(id)?;
        let keys = trial.keyer.keys(self.address, &self.fingerprint);
        let ticket = trial.lock().draw(self.number, keys, fit, now)?;
        Some(Taken { trial, ticket })
    }
}

impl Taken {
    /// Takes the ticket, with the place that is kept for it.
    fn over(&mut self) -> Ticket {
        let ticket = self.ticket;
        self.ticket.keeps = false;
        ticket
    }

    fn leave(&mut self) {
        if self.ticket.keeps {
            self.trial.lock().leave(&mut self.ticket);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.leave();
    }
}
