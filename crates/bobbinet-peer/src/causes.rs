//! Errors in words.

/// Characters that are told on: a peer's own words may be in them.
const TOLD_MAX: usize = 1_000;

/// An error in words, with its causes, and nothing else.
pub(crate) fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(&format!(": {cause}"));
        }
        next = error.source();
    }
    text.chars().take(TOLD_MAX).collect()
}
