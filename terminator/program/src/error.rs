//! Formats errors with their causes, for logs, status and conditions of both programs. It must not add text of
//! its own.

use std::error::Error;

/// Formats an error and its causes, separated by colons. Omits a cause whose text the error already includes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
