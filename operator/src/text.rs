//! Texts cut to where they go. It must not change what is short enough.

/// A text cut to so many bytes, at a character's border.
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
