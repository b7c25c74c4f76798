//! What a server was given that nobody is to read in what it says: in the log, or in its last words before a caller.

use std::{borrow::Cow, sync::Arc};

use reqwest::Url;

/// A value that is shorter is no secret, but a word like any other.
const LENGTH_MIN: usize = 6;

/// What is left of a secret.
const HIDDEN: &str = "…";

/// Words in the name of an option whose value is one.
const NAMES: [&str; 7] = ["token", "key", "secret", "password", "passwd", "auth", "credential"];

/// Values that are not to be repeated, the longest first: one may be part of another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Arc<[String]>);

impl Secrets {
    /// All of these that are long enough, and the lines of those that have several: what is looked through is a line, mostly.
    pub(crate) fn of(values: impl IntoIterator<Item = String>) -> Self {
        let lines = |value: &String| value.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        let each = values.into_iter().flat_map(|value| lines(&value).into_iter().chain([value]));
        let mut secrets: Vec<String> = each.filter(|secret| secret.len() >= LENGTH_MIN).collect();
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Self(secrets.into())
    }

    /// The bytes of the longest.
    pub(crate) fn longest(&self) -> usize {
        self.0.first().map_or(0, String::len)
    }

    /// The beginning of a text, of so many bytes at the most, without them. Half of one is known for none, so it is cut before one that
    /// would be cut.
    pub(crate) fn hide_in_beginning<'a>(&self, text: &'a str, max: usize) -> Cow<'a, str> {
        let found: Vec<_> = self.0.iter().flat_map(|secret| text.match_indices(secret.as_str())).collect();
        let mut end = text.floor_char_boundary(max);
        while let Some((at, _)) = found.iter().find(|(at, secret)| *at < end && at + secret.len() > end) {
            end = *at;
        }
        self.hide(&text[..end])
    }

    /// The text without them.
    pub(crate) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.iter().filter(|secret| text.contains(secret.as_str())).fold(Cow::Borrowed(text), |text, secret| {
            // Another may have stood in it.
            Cow::Owned(text.replace(secret.as_str(), HIDDEN))
        })
    }
}

/// Those among the values of headers: also a word of several, as in `Bearer …`.
pub(crate) fn of_headers<'a>(values: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = String> {
    values
        .into_iter()
        .flat_map(|value| std::iter::once(value.as_str()).chain(value.split_whitespace()))
        .map(str::to_owned)
}

/// Those among variables whose names say that they are some.
pub(crate) fn of_variables(variables: &[(String, String)]) -> impl Iterator<Item = String> {
    variables.iter().filter(|(name, _)| is_secretive(name)).map(|(_, value)| value.clone())
}

/// Those among the arguments of a command: `--api-key=…`, `--token …`, and the passwords of URLs.
pub(crate) fn of_arguments(arguments: &[String]) -> impl Iterator<Item = String> {
    let before = std::iter::once(None).chain(arguments.iter().map(Some));
    arguments.iter().zip(before).filter_map(|(argument, before)| {
        let named = argument.split_once('=').filter(|(name, _)| is_secretive(name)).map(|(_, value)| value.to_owned());
        let follows =
            before.is_some_and(|before| before.starts_with('-') && !before.contains('=') && is_secretive(before));
        named.or_else(|| follows.then(|| argument.clone())).or_else(|| password(argument))
    })
}

fn is_secretive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|word| name.contains(word))
}

/// The password in a URL, as it stands there.
pub(crate) fn password(text: &str) -> Option<String> {
    text.contains("://").then(|| Url::parse(text).ok()?.password().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_was_given_is_not_repeated() {
        let arguments = [
            "-y",
            "server",
            "--api-key=abcdef123456",
            "--access-token",
            "tok-987654",
            "--verbose",
            "plain-word",
            "postgresql://me:pass-word@db.example/x",
        ];
        let arguments = arguments.map(str::to_owned);
        let found: Vec<String> = of_arguments(&arguments).collect();
        assert_eq!(found, ["abcdef123456", "tok-987654", "pass-word"]);
        let secrets =
            Secrets::of(found.into_iter().chain(of_headers(&["Bearer long-secret".to_owned(), "short".to_owned()])));
        let said = "abcdef123456 tok-987654 at postgresql://me:pass-word@db with Bearer long-secret; long-secret, plain-word short";
        assert_eq!(secrets.hide(said), "… … at postgresql://me:…@db with …; …, plain-word short");
    }

    #[test]
    fn lines_of_a_secret_and_what_a_cut_would_leave_of_one_are_hidden_too() {
        let secrets = Secrets::of(["-----BEGIN KEY-----\nAAAA1111BBBB\n-----END KEY-----\n".to_owned()]);
        assert_eq!(secrets.hide("read AAAA1111BBBB"), "read …");
        for (max, expected) in [(100, "a … b"), (14, "a …"), (13, "a "), (4, "a "), (2, "a "), (1, "a")] {
            assert_eq!(secrets.hide_in_beginning("a AAAA1111BBBB b", max), expected, "{max}");
        }
        let words = Secrets::of(["ä".repeat(4)]);
        assert_eq!(words.hide_in_beginning("ääää!", 3), "");
    }
}
