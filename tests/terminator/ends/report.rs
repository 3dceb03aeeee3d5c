//! What came of each cell through each server, and what of that is wrong. It knows no sockets.

use std::fmt::Write as _;
use std::io;

use super::Cell;
use super::backend::{Seen, SocketEnd};

/// What came of one cell through one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How many messages came whole.
    pub(super) delivered: usize,
    /// Whether the client's will was published, or would have been.
    pub(super) willed: bool,
    /// How the broker saw the end.
    pub(super) end: String,
    /// Whether that was in order.
    pub(super) in_order: bool,
    /// What else went wrong.
    pub(super) trouble: Option<String>,
}

impl Outcome {
    /// As the scripted backend has seen it.
    pub(super) fn scripted(cell: Cell, server: &str, sent: io::Result<()>, seen: &Seen) -> Self {
        let (_, size) = cell.sent.messages();
        let each = 2 + cell.id(server).len() + size;
        let altered = (seen.bytes != seen.publishes * each)
            .then(|| format!("{} bytes in {} messages", seen.bytes, seen.publishes));
        Self {
            delivered: seen.publishes,
            willed: !seen.disconnect,
            end: format!("{:?}", seen.end).to_lowercase(),
            in_order: seen.end == SocketEnd::Fin,
            trouble: sent.err().map(|error| error.to_string()).or(altered),
        }
    }

    fn is_complete(&self, cell: Cell) -> bool {
        self.delivered == cell.sent.messages().0 && self.willed != cell.says_disconnect
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let will = if self.willed { "will" } else { "-" };
        write!(f, "{:>5} {will:<4} {:<8}", self.delivered, self.end)?;
        self.trouble
            .iter()
            .try_for_each(|trouble| write!(f, " ({trouble})"))
    }
}

/// The outcomes of all servers, ours first.
#[derive(Default)]
pub(super) struct Report {
    servers: Vec<(&'static str, Vec<(Cell, Outcome)>)>,
}

impl Report {
    /// Adds what came of a server's cells.
    pub(super) fn add(&mut self, server: &'static str, mut outcomes: Vec<(Cell, Outcome)>) {
        outcomes.sort_by_key(|(cell, _)| *cell);
        match self.servers.iter_mut().find(|(name, _)| *name == server) {
            Some((_, before)) => before.extend(outcomes),
            None => self.servers.push((server, outcomes)),
        }
    }

    /// Says how many cells are complete. Panics with a table if the first server has lost what came whole, if a will
    /// was published that should not be, or was not, or if the broker saw no end in order; the table shows what
    /// the other servers made of the same cells.
    #[track_caller]
    pub(super) fn judge(&self) -> String {
        let ours = &self.servers.first().unwrap().1;
        let is_wrong = |(cell, outcome): &&(Cell, Outcome)| {
            !outcome.is_complete(*cell) || !outcome.in_order || outcome.trouble.is_some()
        };
        let wrong: Vec<_> = ours.iter().filter(is_wrong).collect();
        let summary = self.summary();
        if wrong.is_empty() {
            return summary;
        }
        let lost = |(cell, outcome): &&(Cell, Outcome)| {
            cell.sent.messages().0.saturating_sub(outcome.delivered)
        };
        let lost: usize = wrong.iter().map(lost).sum();
        let table = wrong.iter().map(|(cell, _)| self.row(*cell));
        panic!(
            "{lost} messages lost\n{summary}{}",
            table.collect::<String>()
        );
    }

    /// What all servers made of a cell.
    fn row(&self, cell: Cell) -> String {
        let mut row = format!("{:<44}", cell.id(""));
        for (name, outcomes) in &self.servers {
            let found = outcomes.iter().find(|(other, _)| *other == cell);
            match found {
                Some((_, outcome)) => write!(row, " | {name} {outcome}").unwrap(),
                None => write!(row, " | {name} has no such cell").unwrap(),
            }
        }
        row + "\n"
    }

    /// A line for each server.
    fn summary(&self) -> String {
        let mut text = String::new();
        for (name, outcomes) in &self.servers {
            let complete = outcomes
                .iter()
                .filter(|(cell, outcome)| outcome.is_complete(*cell));
            let wills = outcomes
                .iter()
                .filter(|(cell, outcome)| outcome.willed == cell.says_disconnect);
            let (complete, wills, of) = (complete.count(), wills.count(), outcomes.len());
            writeln!(
                text,
                "{name}: {complete} of {of} cells complete, {wills} wrong wills"
            )
            .unwrap();
        }
        text
    }
}
