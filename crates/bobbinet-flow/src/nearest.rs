//! Which known word somebody meant.

/// Bytes of a word that is compared with others: comparing takes time by the product of the lengths.
const WRITTEN_MAX: usize = 256;

/// The word that is nearest to what was written, if one is near enough: a letter wrong, left out, too many or swapped for
/// every three.
pub(crate) fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    if written.len() > WRITTEN_MAX {
        return None;
    }
    let wanted = simple(written);
    known
        .iter()
        .map(|word| (strsim::osa_distance(&wanted, &simple(word)), *word))
        .filter(|(distance, word)| *distance <= (word.len().min(written.len()) / 3).max(1) && word.len() > 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `exceptWhen`, `except-when` and `except_when` are one word.
fn simple(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}
