//! The operator's program, which can crash. It must not know why it does.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use tests::operator;
use tests::process::Process;

/// Upper bound for its end, which waits for reconciliations in progress.
const END: Duration = Duration::from_secs(60);

/// An operator for one namespace, without a Lease.
#[derive(Clone)]
pub(crate) struct Operator {
    kubeconfig: PathBuf,
    namespace: String,
    running: Arc<Mutex<Option<Process>>>,
}

impl Operator {
    pub(crate) fn new(kubeconfig: PathBuf, namespace: &str) -> Self {
        let (namespace, running) = (namespace.to_owned(), Arc::default());
        Self {
            kubeconfig,
            namespace,
            running,
        }
    }

    pub(crate) async fn start(&self) {
        self.apart(|operator| {
            let started = spawn(&operator.kubeconfig, &operator.namespace);
            *operator.running.lock().unwrap() = Some(started);
        })
        .await;
    }

    /// Kills it and starts it again.
    pub(crate) async fn crash(&self) {
        self.apart(|operator| {
            let mut running = operator.running.lock().unwrap();
            if let Some(process) = running.take() {
                process.kill();
            }
            *running = Some(spawn(&operator.kubeconfig, &operator.namespace));
        })
        .await;
    }

    /// Ends it by SIGTERM, after the reconciliations in progress.
    pub(crate) async fn stop(&self) {
        self.apart(|operator| {
            if let Some(process) = operator.running.lock().unwrap().take() {
                process.signal(Signal::TERM);
                process.wait_exit(END);
            }
        })
        .await;
    }

    /// Kills it.
    pub(crate) async fn kill(&self) {
        self.apart(|operator| drop(operator.running.lock().unwrap().take()))
            .await;
    }

    /// Stops or continues the process.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.running.lock().unwrap() {
            process.signal(signal);
        }
    }

    /// The end of its log, for messages.
    pub(crate) fn log(&self) -> String {
        let running = self.running.lock().unwrap();
        running.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Runs what blocks.
    async fn apart(&self, work: impl FnOnce(&Self) + Send + 'static) {
        let operator = self.clone();
        let work = tokio::task::spawn_blocking(move || work(&operator));
        work.await.unwrap();
    }
}

fn spawn(kubeconfig: &Path, namespace: &str) -> Process {
    operator::spawn(kubeconfig, &["--namespace", namespace])
}
