//! What can happen to a trial beside its Secret: what a user asks, what the pod counts, and a pod of an earlier release. Each leaves the
//! listener alone, and works on a copy.

use mqtt_tls_operator::plan::trials::evidence::OfShare;
use mqtt_tls_operator::plan::trials::state::Record;

use crate::edge::{Edge, Look, SECRETS, STEPS, is_rolled_back};
use crate::secrets::{Content, Is};

/// Where an event meets a listener.
struct Meeting<'m> {
    content: &'m Content,
    edge: &'m Edge,
    look: &'m Look,
}

/// Asserts what comes of each.
pub(crate) fn all(content: &Content, edge: &Edge, look: &Look) {
    let meeting = Meeting {
        content,
        edge,
        look,
    };
    meeting.old_pod();
    if let Some(record) = &look.record {
        meeting.end(record);
        meeting.skip(record);
        meeting.resume(record);
    }
    meeting.refusal();
}

impl Meeting<'_> {
    /// Returns what is seen after an event, with the listener then.
    fn after(&self, event: impl FnOnce(&mut Edge)) -> Look {
        let mut edge = self.edge.clone();
        edge.pass(1);
        event(&mut edge);
        let after = edge.plan();
        edge.assert_settled(&after);
        assert!(after.served.is_valid(edge.now), "{}", after.served.name);
        after
    }

    fn stays(&self, after: &Look) {
        assert_eq!(after.served.name, self.look.served.name);
    }

    /// Reports whether the certificate of a trial can be read.
    fn can_read(&self, record: &Record) -> bool {
        match self.content.is {
            Is::Usable(index) => {
                let leaf = &SECRETS.leaves[index];
                leaf.is_valid(self.edge.now) && leaf.class == record.class
            }
            Is::Refused(_) => false,
        }
    }

    /// No candidate may be in the configuration of such a pod.
    fn old_pod(&self) {
        let after = self.after(|edge| edge.old_pod(true));
        self.stays(&after);
        assert!(after.candidate.is_none());
        let id = |look: &Look| look.record.as_ref().map(|record| record.id.clone());
        assert_eq!(id(&after), id(self.look));
        let expected = self.look.trial().map(|before| match before {
            "RolledBack" => "RolledBack",
            _ => "TrialWaiting",
        });
        assert_eq!(after.trial(), expected);
    }

    fn is_rolled_back(&self, after: &Look) {
        self.stays(after);
        assert!(after.candidate.is_none());
        assert!(after.record.as_ref().is_some_and(is_rolled_back));
        assert_eq!(after.trial(), Some("RolledBack"));
    }

    fn end(&self, record: &Record) {
        let after = self.after(|edge| edge.ask("end", &record.id));
        self.is_rolled_back(&after);
    }

    /// Devices refuse the candidate.
    fn refusal(&self) {
        let Some(candidate) = &self.look.candidate else {
            return;
        };
        let refused = OfShare {
            unable: 3000,
            unable_devices: 3000,
            ..OfShare::default()
        };
        let after = self.after(|edge| edge.count(candidate, refused));
        self.is_rolled_back(&after);
    }

    fn skip(&self, record: &Record) {
        let after = self.after(|edge| edge.ask("skip", &record.id));
        let candidate = self.look.candidate.as_ref();
        let newest = match self.content.is {
            Is::Usable(index) if self.can_read(record) => Some(&SECRETS.leaves[index]),
            Is::Usable(_) | Is::Refused(_) => candidate.map(|one| one.leaf),
        };
        assert!(after.candidate.is_none());
        if let Some(newest) = newest {
            assert_eq!(after.served.name, newest.name);
            assert!(after.record.is_none() && after.trial().is_none());
        } else {
            // It is served when it can be read.
            self.stays(&after);
            assert_eq!(after.trial(), Some("TrialWaiting"));
        }
    }

    fn resume(&self, record: &Record) {
        let after = self.after(|edge| edge.ask("resume", &record.id));
        self.stays(&after);
        let resumed = after.record.as_ref().unwrap();
        assert!(resumed.is_running());
        assert_eq!(resumed.id != record.id, is_rolled_back(record));
        let candidate = after.candidate.as_ref();
        if record.is_running() {
            let before = self.look.candidate.as_ref();
            assert_eq!(candidate.map(|one| &one.id), before.map(|one| &one.id));
        } else {
            let is_shown = self.can_read(record) && !self.edge.has_old_pod();
            let expected = is_shown.then_some(STEPS[0]);
            assert_eq!(candidate.map(|one| one.percent), expected);
        }
    }
}
