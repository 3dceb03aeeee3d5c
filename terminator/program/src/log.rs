//! The log of both programs: lines to standard error that never hold anything up, that are bounded, and that
//! nobody outside can forge or cause without end.
//!
//! A thread of its own writes them. While nobody reads standard error, [`LINES_WAITING_MAX`] lines wait, and
//! what comes on top is dropped and counted ([`lines_dropped`]); whoever logs never waits. A level says what
//! this project's own code logs; libraries tell of single connections as they like, and are heard from `debug`
//! on, or where the filter names them.
//!
//! It must not decide what is worth a line; for what anyone outside can cause there is [`Seldom`].

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

/// How many lines wait for standard error before more are dropped.
pub const LINES_WAITING_MAX: usize = 1024;

/// How long the end of a program waits for its last lines to be taken.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What counts the lines that were dropped. Global as the log itself is.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Options<'o> {
    /// A level, or directives as tracing-subscriber has them.
    pub filter: &'o str,
    /// How lines are written.
    pub format: Format,
    /// The targets that a level is about; those of libraries are not heard below `debug`.
    pub own: &'o [&'o str],
    /// Targets that are not heard whatever the filter says.
    pub never: &'o [&'o str],
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is none.
    #[error("--log is not a filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another log was started in this process.
    #[error("there is a log already: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps the log going. Dropping it, at the very end, waits for the last lines, but not for ever.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Log(Option<WorkerGuard>);

/// Starts the log of this process; panics are logged too.
///
/// # Errors
///
/// Nothing is logged then.
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
        // That would go to standard error, and wait for it.
        .log_internal_errors(false)
        .with_writer(move || lines.clone());
    match options.format {
        Format::Json => log.json().finish().try_init(),
        Format::Text => log.finish().try_init(),
    }?;
    // There was none before, as there was no log.
    let _ = DROPPED.set(dropped);
    // The usual hook writes to standard error itself, and would hold up the thread that panics.
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok(Log(Some(guard)))
}

/// How many lines were dropped because standard error did not take them.
pub fn lines_dropped() -> u64 {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(dropped).unwrap_or(u64::MAX)
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        // The library's own end may wait for a standard output that nobody reads. It then ends with the process.
        let (tell, told) = mpsc::channel::<()>();
        let ending = thread::Builder::new().spawn(move || {
            drop(guard);
            drop(tell);
        });
        if ending.is_ok() {
            let _ = told.recv_timeout(LAST_LINES);
        }
    }
}

fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let current = thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let place = panic.location().map(ToString::to_string);
    error!(thread, place, "a panic: {text}");
}
