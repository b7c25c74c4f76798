//! Commands that a person is advised to type, each word quoted for a POSIX shell: a name that another has chosen stays
//! a word, and never becomes a command.

use bobbinet_core::text;

/// A command to copy.
#[derive(Clone, Debug)]
pub(crate) struct Typed(String);

impl Typed {
    /// A command of ours, as it is.
    pub(crate) fn new(command: &'static str) -> Self {
        Self(command.to_owned())
    }

    /// With a flag and its value.
    pub(crate) fn flag(self, flag: &'static str, value: &str) -> Self {
        // A value that begins like a flag is one only when it stands in the flag's own word.
        let between = if value.starts_with('-') { '=' } else { ' ' };
        Self(format!("{} {flag}{between}{}", self.0, quoted(value)))
    }

    /// With words after all flags.
    pub(crate) fn words(self, words: &[&str]) -> Self {
        let end_of_flags = if words.iter().any(|word| word.starts_with('-')) { " --" } else { "" };
        let words: String = words.iter().map(|word| format!(" {}", quoted(word))).collect();
        Self(format!("{}{end_of_flags}{words}", self.0))
    }
}

impl std::fmt::Display for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Typed> for String {
    fn from(typed: Typed) -> Self {
        typed.0
    }
}

/// One word of a shell: as it is where that is safe, else in single quotes, in which nothing but their end has a meaning
/// (POSIX.1-2024, Shell Command Language, section 2.2.2). What cannot be shown cannot be copied either: such a word is
/// seen to be another, and does no harm.
pub(crate) fn quoted(word: &str) -> String {
    let word = text::line(word);
    let is_safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '%' | '+' | ',');
    if !word.is_empty() && word.chars().all(is_safe) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What a shell makes of a word.
    fn in_shell(word: &str) -> String {
        let script = format!("printf %s {}", quoted(word));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_word_of_another_is_one_word_and_no_command() {
        for word in [
            "plain-1.2",
            "$(touch /tmp/x)",
            "a'; touch x; '",
            "`id`",
            "a b\\c\"d",
            "!!",
            "~root",
            "*",
            "#x",
            "",
            "{\"a\":[1]}",
            "größe",
            "a=b",
        ] {
            assert_eq!(in_shell(word), word, "{word}");
        }
        assert_eq!(in_shell("a\nb\u{1b}"), "a b\u{fffd}");
    }

    #[test]
    fn what_begins_like_a_flag_is_none() {
        let typed = Typed::new("bobbinet task get").flag("-a", "-x").flag("--timeout", "5s").words(&["--wait", "it's"]);
        assert_eq!(String::from(typed), r"bobbinet task get -a=-x --timeout 5s -- --wait 'it'\''s'");
    }
}
