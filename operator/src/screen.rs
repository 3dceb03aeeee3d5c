//! The one place that writes to the screen. It is for commands whose result is their output, and for
//! `demo`; everything else goes to the log.

use std::io::Write;

/// Writes a line to standard output. Whoever reads it may be gone: then there is nobody to tell.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
