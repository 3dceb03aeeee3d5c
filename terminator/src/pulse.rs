//! Liveness of the accepting threads: sends each a ping.
//!
//! It must not send a ping for each request: concurrent requests share one result.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::acceptor::Command;

/// Time to wait for an answer. A thread answers within milliseconds, or seconds if many devices connect at once
/// and CPU is scarce.
const ANSWER: Duration = Duration::from_secs(2);

/// Time after which a thread without an answer counts as dead. It must be long: a busy thread that counted as
/// dead would get its pod killed during a connection storm.
const OVERDUE: Duration = Duration::from_secs(30);

/// Time for which an answer is valid.
const FRESH: Duration = Duration::from_secs(1);

/// The threads and their last ping.
pub(crate) struct Pulse {
    threads: Vec<mpsc::UnboundedSender<Command>>,
    answer: Duration,
    overdue: Duration,
    asked: Mutex<Option<Asked>>,
}

struct Asked {
    at: Instant,
    /// Threads that have not answered yet.
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

    /// Returns the first thread that counts as dead, if there is one.
    pub(crate) async fn silent(&self) -> Option<usize> {
        let mut asked = self.asked.lock().await;
        let stale = |asked: &Asked| asked.owed.is_empty() && asked.at.elapsed() >= FRESH;
        if asked.as_ref().is_none_or(stale) {
            *asked = Some(self.ask());
        }
        let asked = asked.as_mut()?;
        let until = Instant::now() + self.answer;
        while let Some((_, answer)) = asked.owed.first_mut() {
            // The control thread notices threads that have ended.
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
            // A thread that has ended drops its sender, which counts as an answer.
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

    /// Makes a pulse with a short wait for answers.
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
    async fn an_unresponsive_thread_is_reported() {
        let (hung, _commands) = mpsc::unbounded_channel();
        let (ended, _) = mpsc::unbounded_channel();
        let threads = vec![ended, answering(), hung];
        assert_eq!(
            pulse(threads.clone(), Duration::ZERO).silent().await,
            Some(2)
        );
        // A busy thread does not count as dead.
        assert_eq!(pulse(threads, OVERDUE).silent().await, None);
        let threads = vec![answering(), answering()];
        assert_eq!(Pulse::new(threads).silent().await, None);
    }

    #[tokio::test]
    async fn a_thread_that_owes_an_answer_gets_no_second_ping() {
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
