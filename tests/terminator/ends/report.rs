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

    /// Panics with a table if the first server has lost what came whole, published a will that it should not have
    /// (or none), or has left the broker without an end in order. In a cell in which it falls short of a peer,
    /// the table says so.
    #[track_caller]
    pub(super) fn judge(&self) {
        let (ours, peers) = self.servers.split_first().unwrap();
        let mut wrong = String::new();
        let (mut lost, mut sent, mut wills, mut disordered) = (0, 0, 0, 0);
        for (cell, outcome) in &ours.1 {
            let (count, _) = cell.sent.messages();
            sent += count;
            lost += count.saturating_sub(outcome.delivered);
            wills += usize::from(outcome.willed == cell.says_disconnect);
            disordered += usize::from(!outcome.in_order);
            if outcome.is_complete(*cell) && outcome.in_order && outcome.trouble.is_none() {
                continue;
            }
            write!(wrong, "{:<44} {outcome}", cell.id("")).unwrap();
            for (name, outcomes) in peers {
                let peer = outcomes.iter().find(|(other, _)| other == cell);
                match peer {
                    Some((_, peer)) => write!(wrong, " | {name} {peer}").unwrap(),
                    None => write!(wrong, " | {name} has no such cell").unwrap(),
                }
            }
            wrong.push('\n');
        }
        let summary = self.summary();
        assert!(
            wrong.is_empty(),
            "{lost} of {sent} messages lost, {wills} wrong wills, {disordered} ends not in order\n{summary}{wrong}",
        );
    }

    /// A line for each server.
    fn summary(&self) -> String {
        let mut text = String::new();
        for (name, outcomes) in &self.servers {
            let complete = outcomes
                .iter()
                .filter(|(cell, outcome)| outcome.is_complete(*cell));
            let of = outcomes.len();
            writeln!(text, "{name}: {} of {of} cells complete", complete.count()).unwrap();
        }
        text
    }
}
