//! One thread: its sockets, its accept loop, and the connections that live and die on it.
//!
//! It must not do anything slow between two accepts: no cryptography, no dialing, no waiting for a
//! client.

use std::io;
use std::net::{SocketAddr, TcpListener as BoundListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{error, warn};

use crate::admission::Stage;
use crate::clients::Membership;
use crate::connection::{self, Accepted};
use crate::settings::Settings;
use crate::state::Worker;

/// How long to wait after a failure to accept: file descriptors come back as connections end.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How many connections are taken from the kernel's queue before a socket is closed.
const QUEUE_MAX: usize = 8192;

/// Threads for name resolution, which blocks, for each of the accepting threads.
const RESOLVERS: usize = 8;

/// What a thread is told.
pub(crate) enum Command {
    /// New connections get these.
    Settings(Arc<Settings>),
    /// Accept from this socket, and no longer from the one before.
    Listen(BoundListener),
    /// Answer, as a sign of life.
    Ping(oneshot::Sender<()>),
    /// Accept no more, and end within this time.
    Drain(Duration),
}

/// A thread that accepts.
pub(crate) struct Acceptor {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Resolves when the thread ends, for whatever reason.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// What the thread with this index is called.
pub(crate) fn name(index: usize) -> String {
    format!("acceptor-{index}")
}

/// Starts a thread on a bound socket.
pub(crate) fn spawn(
    listener: BoundListener,
    settings: Arc<Settings>,
    worker: Worker,
) -> io::Result<Acceptor> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVERS)
        .build()?;
    let (commands, received) = mpsc::unbounded_channel();
    let (alive, ended) = oneshot::channel();
    let worker = Arc::new(worker);
    thread::Builder::new()
        .name(name(worker.index))
        .spawn(move || {
            // Dropped when the thread ends, by a panic too.
            let _alive = alive;
            if let Err(error) = runtime.block_on(run(listener, settings, worker, received)) {
                error!(%error, "a thread could not go on");
            }
            // A name resolution that hangs must not hold up the end.
            runtime.shutdown_background();
        })?;
    Ok(Acceptor { commands, ended })
}

/// Accepts until told to drain.
async fn run(
    listener: BoundListener,
    mut settings: Arc<Settings>,
    worker: Arc<Worker>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) -> io::Result<()> {
    let mut listener = TcpListener::from_std(listener)?;
    let serve = |(client, address): (TcpStream, SocketAddr), settings: &Arc<Settings>| {
        tokio::spawn(connection::serve(Accepted {
            client,
            address,
            at: Instant::now(),
            settings: Arc::clone(settings),
            worker: Arc::clone(&worker),
            membership: Membership::new(&worker.clients),
        }));
    };
    // So that it is told once, and not twenty times a second.
    let mut is_failing = false;
    let deadline = loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Settings(new)) => settings = new,
                Some(Command::Listen(new)) => {
                    let old = std::mem::replace(&mut listener, TcpListener::from_std(new)?);
                    empty(old, |accepted| serve(accepted, &settings))?;
                }
                Some(Command::Ping(answer)) => pong(answer),
                Some(Command::Drain(within)) => break within,
                // Whoever started this is gone.
                None => return Ok(()),
            },
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    is_failing = false;
                    serve(accepted, &settings);
                }
                Err(error) => {
                    worker.counts().accept_errors.add(1);
                    if is_about_one(&error) {
                        continue;
                    }
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(%error, "connections cannot be accepted for now");
                    }
                    sleep(ACCEPT_RETRY).await;
                }
            },
        }
    };
    empty(listener, |accepted| serve(accepted, &settings))?;
    // Clients that have said nothing lose nothing.
    worker.admission.empty(Stage::Silent);
    tokio::select! {
        () = worker.clients.drain(deadline) => {}
        () = only_answer(commands) => {}
    }
    Ok(())
}

fn pong(answer: oneshot::Sender<()>) {
    // Who asked may have gone.
    let _ = answer.send(());
}

/// Gives signs of life, and does nothing else that is asked.
async fn only_answer(mut commands: mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        if let Command::Ping(answer) = command {
            pong(answer);
        }
    }
    // The control thread is gone; that is no reason to end early.
    std::future::pending::<()>().await;
}

/// Whether an error of accept is that of one connection, and the next may be fine (accept(2)).
fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Takes what the kernel has queued, and closes the socket: what is left in a queue is reset. Asks the
/// kernel and not the runtime, which may not have heard of the newest yet.
fn empty(listener: TcpListener, serve: impl Fn((TcpStream, SocketAddr))) -> io::Result<()> {
    let listener = listener.into_std()?;
    for _ in 0..QUEUE_MAX {
        match listener.accept() {
            Ok((client, from)) => {
                client.set_nonblocking(true)?;
                serve((TcpStream::from_std(client)?, from));
            }
            Err(error) if is_about_one(&error) => {}
            // As a rule because nothing is left.
            Err(_) => break,
        }
    }
    Ok(())
}
