//! Shortens texts. It must not change a text that is short enough.

/// Truncates a text to at most so many bytes, at a character boundary.
pub fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let border = (0..=most)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(border);
    }
    text
}
