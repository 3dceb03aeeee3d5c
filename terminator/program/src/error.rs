//! Errors as one text, for logs, status and conditions, of both programs. It must not add anything to what
//! they say.

use std::error::Error;

/// An error and its causes, each after a colon. A cause that an error has told already is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
