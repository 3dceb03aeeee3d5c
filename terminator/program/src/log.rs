//! The log of both programs, on standard error. It never blocks, its lines are bounded, and clients can neither
//! forge lines nor flood it.
//!
//! A separate thread writes the lines. If standard error is not read, up to [`LINES_WAITING_MAX`] lines wait;
//! further lines are dropped and counted ([`lines_dropped`]). A level applies to this project's own code.
//! Libraries, which log single connections, are included from `debug` on, or if the filter names them.
//!
//! It must not decide what to log. [`Seldom`] limits lines that clients can cause.

mod filter;
mod lines;
mod seldom;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing::error;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::util::SubscriberInitExt as _;

use self::lines::Lines;

pub use self::lines::LINE_MAX;
pub use self::seldom::Seldom;

/// Maximum number of lines that wait for standard error; further lines are dropped.
pub const LINES_WAITING_MAX: usize = 1024;

/// Time that the end of a program waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Counter of dropped lines; global, like the log.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// Human-readable.
    Text,
}

/// Options of the log.
#[derive(Clone, Debug)]
pub struct Options<'o> {
    /// A level, or directives in the syntax of tracing-subscriber.
    pub filter: &'o str,
    /// Format of lines.
    pub format: Format,
    /// Targets that a level applies to. Other targets are only included from `debug` on.
    pub own: &'o [&'o str],
    /// Targets that are never logged, regardless of the filter.
    pub never: &'o [&'o str],
}

/// Errors in starting the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is invalid.
    #[error("invalid --log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// This process already has a log.
    #[error("failed to start the log: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps the log running. Dropping it waits for the last lines, for a limited time.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Log(Option<WorkerGuard>);

/// Starts the log of this process, including a hook that logs panics.
///
/// # Errors
///
/// Returns an error if the filter is invalid or the process already has a log.
pub fn start(options: &Options<'_>) -> Result<Log, Error> {
    let filter = filter::parse(options)?;
    let (to, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped = to.error_counter();
    let is_terminal = std::io::stderr().is_terminal();
    let lines = Lines::new(to, options.format, is_terminal);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        // They would go to standard error directly, and could block.
        .log_internal_errors(false)
        .with_writer(move || lines.clone());
    match options.format {
        Format::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init(),
        Format::Text => log.finish().try_init(),
    }?;
    // It is unset: try_init fails if there is a log already.
    let _ = DROPPED.set(dropped);
    // The default hook writes to standard error directly, and could block the thread that panics.
    std::panic::set_hook(Box::new(log_panic));
    Ok(Log(Some(guard)))
}

/// Returns the number of lines dropped because standard error was blocked.
pub fn lines_dropped() -> u64 {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(dropped).unwrap_or(u64::MAX)
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        // The guard's own drop may block on a standard output that is not read; then it ends with the process.
        let (flushed, flush) = mpsc::channel::<()>();
        let ending = thread::Builder::new().spawn(move || {
            drop(guard);
            drop(flushed);
        });
        if ending.is_ok() {
            let _ = flush.recv_timeout(LAST_LINES);
        }
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let current = thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let place = panic.location().map(ToString::to_string);
    error!(thread, place, "panic: {text}");
}
