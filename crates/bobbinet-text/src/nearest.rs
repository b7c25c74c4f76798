//! Which known word somebody meant.

/// Bytes of a word that is compared with others.
const WRITTEN_MAX: usize = 256;

/// The word that is nearest to what was written, if one is near enough: a letter wrong, left out, too many or swapped for
/// every three.
pub fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    // Comparing takes time by the product of the lengths, and nothing so long is meant for a word that we know.
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

/// `publicUrl`, `public-url` and `public_url` are one word.
fn simple(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
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
        check(&format!("public_url{}", "_".repeat(WRITTEN_MAX)), None);
    }
}
