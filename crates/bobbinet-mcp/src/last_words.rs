//! What a server said last before its end, below the reason for that: for the log, and for those alone who shared it with nobody.

/// What stands between the reason of an end and the server's last words.
const LAST_WORDS: &str = ". Its last words:";

/// A reason for an end, and below it what the server said at last.
pub(crate) fn with_last_words(why: &str, words: &str) -> String {
    if words.is_empty() { why.to_owned() } else { format!("{why}{LAST_WORDS}\n{words}") }
}

/// The first line of such a reason: for those who are nobody to the server.
pub(crate) fn headline(why: &str) -> &str {
    let line = why.lines().next().unwrap_or_default();
    line.strip_suffix(LAST_WORDS).unwrap_or(line)
}
