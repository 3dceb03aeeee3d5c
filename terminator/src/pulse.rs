//! Whether the accepting threads still do their work: each is asked for a sign of life.
//!
//! It must not ask without end: many who want to know are told the same.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::acceptor::Command;

/// How long a thread may take to answer. What it does between two answers takes milliseconds.
const ANSWER: Duration = Duration::from_secs(2);

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(1);

/// The threads, and what was found last.
pub(crate) struct Pulse {
    threads: Vec<mpsc::UnboundedSender<Command>>,
    found: Mutex<Option<Found>>,
}

#[derive(Clone, Copy)]
struct Found {
    at: Instant,
    silent: Option<usize>,
}

impl Pulse {
    pub(crate) fn new(threads: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        Self {
            threads,
            found: Mutex::new(None),
        }
    }

    /// The first thread that does not answer, if there is one.
    pub(crate) async fn silent(&self) -> Option<usize> {
        let mut found = self.found.lock().await;
        if let Some(found) = found.filter(|found| found.at.elapsed() < FRESH) {
            return found.silent;
        }
        let silent = self.ask(ANSWER).await;
        *found = Some(Found {
            at: Instant::now(),
            silent,
        });
        silent
    }

    async fn ask(&self, within: Duration) -> Option<usize> {
        let deadline = Instant::now() + within;
        let asked: Vec<_> = self
            .threads
            .iter()
            .map(|thread| {
                let (answer, answered) = oneshot::channel();
                // One that has ended is noticed by the control thread.
                thread.send(Command::Ping(answer)).ok().map(|()| answered)
            })
            .collect();
        for (index, answered) in asked.into_iter().enumerate() {
            if let Some(answered) = answered
                && timeout_at(deadline, answered).await.is_err()
            {
                return Some(index);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::{ANSWER, Command, Pulse};

    #[tokio::test]
    async fn a_thread_that_does_not_answer_is_named() {
        let (first, mut commands) = mpsc::unbounded_channel();
        let (second, hung) = mpsc::unbounded_channel();
        let (ended, _) = mpsc::unbounded_channel();
        let answering = tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                if let Command::Ping(answer) = command {
                    answer.send(()).unwrap();
                }
            }
        });
        let pulse = Pulse::new(vec![ended, first, second]);
        assert_eq!(pulse.ask(Duration::from_millis(50)).await, Some(2));

        drop(hung);
        assert_eq!(pulse.ask(ANSWER).await, None);
        assert!(!answering.is_finished());
    }

    #[tokio::test]
    async fn many_who_want_to_know_ask_once() {
        let (thread, hung) = mpsc::unbounded_channel();
        let pulse = Pulse::new(vec![thread]);
        for _ in 0..3 {
            assert_eq!(pulse.silent().await, Some(0));
        }
        assert_eq!(hung.len(), 1);
    }
}
