//! Asks ready pods what they serve: their `/status`, and a handshake for each certificate, as a device would get it.
//!
//! It must not change anything, and must not take longer than [`DEADLINE`]. What an answer means is decided in `plan`.

mod handshake;
pub mod latest;
mod status;

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::crd::ADMIN_PORT;
use crate::plan::proof::answer::{Answer, Configuration};
use crate::plan::proof::question::{Handshake, Place, Question};
use crate::plan::proof::{Proofs, ReadyPod};

/// Maximum time for all pods of a listener. Within it a pod that runs another version is asked again: the kubelet
/// delivers a configuration within half a second after its pod was marked.
const DEADLINE: Duration = Duration::from_secs(2);

/// Maximum time for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Maximum number of pods that are asked; the others of a larger listener have the same file.
const PODS_MAX: usize = 100;

/// Maximum number of pods of one listener that are asked at the same time.
const PARALLEL_MAX: usize = 16;

/// Maximum number of handshakes with one pod at the same time.
const HANDSHAKES_PARALLEL_MAX: usize = 4;

/// Pause before a pod is asked again; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(25);

/// Maximum pause before a pod is asked again.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Asks the ready pods until they serve what is wanted, or the deadline passes.
pub async fn prove(question: &Question, pods: &[ReadyPod]) -> Proofs {
    let deadline = Instant::now() + DEADLINE;
    let ask = |pod, place| until_served(pod, question, place, deadline);
    ask_all(pods, deadline, ask).await
}

/// Asks the ready pods once more: for their `/status`, and by handshakes only those whose last answer came from one.
async fn look(question: &Question, pods: &[ReadyPod], last: &Proofs) -> Proofs {
    let deadline = Instant::now() + DEADLINE;
    let ask = |pod: ReadyPod, place: Place| async move {
        if last.came_from_a_handshake(&pod.name) {
            asked(&pod, question, place, deadline).await
        } else {
            reported(&pod, question).await
        }
    };
    ask_all(pods, deadline, ask).await
}

async fn ask_all<F>(
    pods: &[ReadyPod],
    deadline: Instant,
    ask: impl Fn(ReadyPod, Place) -> F,
) -> Proofs
where
    F: Future<Output = Answer>,
{
    let pods = pods.iter().take(PODS_MAX).cloned();
    let of = pods.len();
    let asked: Vec<_> = pods
        .enumerate()
        .map(|(index, pod)| {
            let (name, answer) = (pod.name.clone(), ask(pod, Place { index, of }));
            async move {
                let answer = timeout_at(deadline, answer).await;
                (
                    name,
                    answer.unwrap_or_else(|_| Answer::unasked("timed out")),
                )
            }
        })
        .collect();
    let asked = stream::iter(asked).buffered(PARALLEL_MAX);
    Proofs {
        pods: asked.collect().await,
    }
}

async fn until_served(
    pod: ReadyPod,
    question: &Question,
    place: Place,
    deadline: Instant,
) -> Answer {
    let mut pause = PAUSE;
    loop {
        let answer = asked(&pod, question, place, deadline).await;
        if !answer.is_transient() || Instant::now() + pause >= deadline {
            return answer;
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// Asks one pod for its `/status`, and for its share of the certificates.
async fn asked(pod: &ReadyPod, question: &Question, place: Place, deadline: Instant) -> Answer {
    let mut answer = reported(pod, question).await;
    if answer.configuration == Configuration::Served {
        let address = SocketAddr::new(pod.ip, question.port);
        let wanted = question.of_pod(place).cloned();
        let shaken: Vec<_> = wanted
            .map(|wanted| shaken(address, wanted, deadline))
            .collect();
        let contrary = stream::iter(shaken).buffered(HANDSHAKES_PARALLEL_MAX);
        let contrary = contrary.filter_map(std::future::ready);
        if let Some(found) = pin!(contrary).next().await {
            answer.configuration = found;
        }
    }
    answer
}

/// Returns what a handshake shows that is not wanted.
async fn shaken(
    address: SocketAddr,
    wanted: Handshake,
    deadline: Instant,
) -> Option<Configuration> {
    let deadline = deadline.min(Instant::now() + ANSWER_WAIT);
    let shaken = timeout_at(deadline, handshake::shake(address, &wanted)).await;
    let shaken = shaken.unwrap_or(Err(handshake::Error::Timeout));
    handshake::contrary(&wanted, shaken)
}

/// Asks one pod for its `/status`.
async fn reported(pod: &ReadyPod, question: &Question) -> Answer {
    let address = SocketAddr::new(pod.ip, ADMIN_PORT);
    let status = timeout(ANSWER_WAIT, status::get(address)).await;
    match status.unwrap_or(Err(status::Error::Timeout)) {
        Ok(status) => status.answer(question),
        Err(error) => Answer::unasked(&format!(
            "GET http://{address}/status: {}",
            crate::error::chain(&error)
        )),
    }
}
