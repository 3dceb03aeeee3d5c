//! Outcomes of each cell through each server, and their evaluation. It knows no sockets.

use std::fmt::Write as _;
use std::io;

use super::Cell;
use super::backend::{Seen, SocketEnd};

/// Outcome of one cell through one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Number of complete messages.
    pub(super) delivered: usize,
    /// Whether the client's will was published, or would have been.
    pub(super) willed: bool,
    /// How the broker saw the end.
    pub(super) end: String,
    /// Whether the end was in order.
    pub(super) in_order: bool,
    /// Other errors.
    pub(super) trouble: Option<String>,
}

impl Outcome {
    /// Makes the outcome that the scripted backend saw.
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

/// The outcomes of all servers, the terminator first.
#[derive(Default)]
pub(super) struct Report {
    servers: Vec<(&'static str, Vec<(Cell, Outcome)>)>,
}

impl Report {
    /// Adds the outcomes of a server's cells.
    pub(super) fn add(&mut self, server: &'static str, mut outcomes: Vec<(Cell, Outcome)>) {
        outcomes.sort_by_key(|(cell, _)| *cell);
        match self.servers.iter_mut().find(|(name, _)| *name == server) {
            Some((_, before)) => before.extend(outcomes),
            None => self.servers.push((server, outcomes)),
        }
    }

    /// Returns a summary. Panics with a table of all servers if the first server has lost complete messages, if
    /// a will was wrongly published or not published, or if the broker saw no orderly end.
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

    /// Formats the outcomes of all servers for a cell.
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

    /// Formats a line for each server.
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
