//! The only place that writes to standard output and standard error: for commands whose result is their
//! output, and for `demo`. Everything else must go to the log.

use std::io::Write;

/// Writes a line to standard output. Errors are ignored: the reader of the pipe may have exited.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
