//! Whether the accepting threads still do their work: each is asked for a sign of life.
//!
//! It must not ask without end: many who want to know are told the same.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::acceptor::Command;

/// How long an answer is waited for. What a thread does between two answers takes milliseconds, or seconds
/// where many devices come at once and there is little CPU for them.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a thread may owe an answer. A busy one must not be taken for a dead one: its pod would be killed in
/// the very storm that it serves.
const OVERDUE: Duration = Duration::from_secs(30);

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(1);

/// The threads, and what was asked of them last.
pub(crate) struct Pulse {
    threads: Vec<mpsc::UnboundedSender<Command>>,
    answer: Duration,
    overdue: Duration,
    asked: Mutex<Option<Asked>>,
}

struct Asked {
    at: Instant,
    /// Whose answer is owed.
    owed: Vec<(usize, oneshot::Receiver<()>)>,
}

impl Pulse {
    pub(crate) fn new(threads: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        Self {
            threads,
            answer: ANSWER,
            overdue: OVERDUE,
            asked: Mutex::new(None),
        }
    }

    /// The first thread that has not answered for too long, if there is one.
    pub(crate) async fn silent(&self) -> Option<usize> {
        let mut asked = self.asked.lock().await;
        let stale = |asked: &Asked| asked.owed.is_empty() && asked.at.elapsed() >= FRESH;
        if asked.as_ref().is_none_or(stale) {
            *asked = Some(self.ask());
        }
        let asked = asked.as_mut()?;
        let until = Instant::now() + self.answer;
        while let Some((_, answer)) = asked.owed.first_mut() {
            // One that has ended is noticed by the control thread.
            if timeout_at(until, answer).await.is_err() {
                break;
            }
            asked.owed.remove(0);
        }
        let (index, _) = asked.owed.first()?;
        (asked.at.elapsed() >= self.overdue).then_some(*index)
    }

    fn ask(&self) -> Asked {
        let owed = self.threads.iter().enumerate().map(|(index, thread)| {
            let (answer, answered) = oneshot::channel();
            // An ended one drops its question, and that is an answer too.
            let _ = thread.send(Command::Ping(answer));
            (index, answered)
        });
        Asked {
            at: Instant::now(),
            owed: owed.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::{Command, OVERDUE, Pulse};

    /// One that waits for no answer for long, and for an owed one so long.
    fn pulse(threads: Vec<mpsc::UnboundedSender<Command>>, overdue: Duration) -> Pulse {
        Pulse {
            answer: Duration::from_millis(20),
            overdue,
            ..Pulse::new(threads)
        }
    }

    fn answering() -> mpsc::UnboundedSender<Command> {
        let (thread, mut commands) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                if let Command::Ping(answer) = command {
                    answer.send(()).unwrap();
                }
            }
        });
        thread
    }

    #[tokio::test]
    async fn a_thread_that_does_not_answer_for_long_is_named() {
        let (hung, _commands) = mpsc::unbounded_channel();
        let (ended, _) = mpsc::unbounded_channel();
        let threads = vec![ended, answering(), hung];
        assert_eq!(
            pulse(threads.clone(), Duration::ZERO).silent().await,
            Some(2)
        );
        // A busy one is not taken for dead.
        assert_eq!(pulse(threads, OVERDUE).silent().await, None);
        let threads = vec![answering(), answering()];
        assert_eq!(Pulse::new(threads).silent().await, None);
    }

    #[tokio::test]
    async fn a_thread_that_owes_an_answer_is_not_asked_again() {
        let (thread, hung) = mpsc::unbounded_channel();
        let pulse = pulse(vec![thread], OVERDUE);
        for _ in 0..3 {
            assert_eq!(pulse.silent().await, None);
        }
        assert_eq!(hung.len(), 1);
        drop(hung);
        assert_eq!(pulse.silent().await, None);
    }
}
