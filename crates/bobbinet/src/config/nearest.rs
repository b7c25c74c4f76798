//! Which known word somebody meant.

/// The word that is nearest to what was written, if one is near enough: a letter wrong, left out, too many or swapped for
/// every three.
pub(crate) fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let wanted = simple(written);
    known
        .iter()
        .map(|word| (distance(&wanted, &simple(word)), *word))
        .filter(|(distance, word)| *distance <= (word.len().min(written.len()) / 3).max(1) && word.len() > 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `publicUrl`, `public-url` and `public_url` are one word.
fn simple(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// How many letters must be changed, put in, taken out or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut table = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let is_same = a[i - 1] == b[j - 1];
                let changed = table[(i - 1) * width + j - 1] + usize::from(!is_same);
                let moved = table[(i - 1) * width + j].min(table[i * width + j - 1]) + 1;
                let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if is_swap { table[(i - 2) * width + j - 2] + 1 } else { usize::MAX };
                changed.min(moved).min(swapped)
            };
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, expected: Option<&str>) {
        let known = ["command", "cwd", "env", "listen", "public_url", "trust_hints", "use"];
        assert_eq!(nearest(written, &known), expected, "{written}");
    }

    #[test]
    fn the_nearest_word_is_offered_if_it_is_near() {
        check("comand", Some("command"));
        check("listne", Some("listen"));
        check("publicUrl", Some("public_url"));
        check("trustHints", Some("trust_hints"));
        check("colour", None);
        check("headers", None);
    }
}
