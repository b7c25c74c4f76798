//! What a server says that it wants to be shown: `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750 section 3).

use std::collections::BTreeMap;

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// Bytes of one header that are read.
const CHALLENGE_LENGTH_MAX: usize = 8 << 10;

/// Challenges of one header that are read.
const CHALLENGES_MAX: usize = 16;

/// Bytes of an error's code that are told on: those of the standards are shorter.
const ERROR_LENGTH_MAX: usize = 64;

/// Scopes of one challenge.
const SCOPES_MAX: usize = 64;

/// What a server says of the bearer token that it wants. All of it is the server's word, and nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// What was wrong with the token that it was shown, by the standard's code: letters, digits, `_` and `-`.
    pub error: Option<String>,
    /// What the token must be good for.
    pub scopes: Vec<String>,
    /// Where the server says who gives out tokens for it (RFC 9728 section 5.1).
    pub resource_metadata: Option<String>,
}

impl BearerChallenge {
    /// The first challenge for a bearer token of an answer.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).find_map(Self::read)
    }

    /// The first challenge for a bearer token in the value of a header.
    pub fn read(text: &str) -> Option<Self> {
        let (_, mut parameters) =
            challenges(text).into_iter().find(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
        let mut take = |name: &str| parameters.remove(name);
        let is_code = |code: &String| {
            let is_word = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
            is_word && !code.is_empty() && code.len() <= ERROR_LENGTH_MAX
        };
        Some(Self {
            error: take("error").filter(is_code),
            scopes: take("scope").map(|text| scopes(&text)).unwrap_or_default(),
            resource_metadata: take("resource_metadata").filter(|url| !url.is_empty()),
        })
    }

    /// Whether a token was good, but not good enough for what was asked.
    pub fn is_insufficient_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

/// The words of a `scope` (RFC 6749 section 3.3), those that may stand there.
fn scopes(text: &str) -> Vec<String> {
    let is_scope = |word: &&str| word.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    text.split(' ').filter(|word| !word.is_empty()).filter(is_scope).take(SCOPES_MAX).map(str::to_owned).collect()
}

/// All challenges, each with its parameters in lower case. What cannot be read is passed over up to the next comma.
fn challenges(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    if text.len() > CHALLENGE_LENGTH_MAX {
        return found;
    }
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let (word, after) = token(rest);
        if word.is_empty() {
            rest = rest.split_once(',').map_or("", |(_, rest)| rest);
            continue;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=').map(|value| value.trim_start());
        let is_full = found.len() == CHALLENGES_MAX;
        match (value, found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = match value.strip_prefix('"') {
                    Some(quoted) => unquoted(quoted),
                    None => {
                        let (value, after) = token(value);
                        (value.to_owned(), after)
                    }
                };
                // An empty one is the padding of a `token68`. One that stands there twice is not believed the second time.
                if !value.is_empty() {
                    parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                }
                rest = after.trim_start_matches('=');
            }
            (Some(value), None) => rest = value,
            (None, _) if is_full => return found,
            (None, _) => {
                found.push((word.to_owned(), BTreeMap::new()));
                rest = after;
            }
        }
    }
}

/// A token (RFC 9110 section 5.6.2), and what comes after it.
fn token(text: &str) -> (&str, &str) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// The rest of a quoted string, and what comes after it. One that is not closed ends with the text.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match BearerChallenge::read(text) {
            Some(BearerChallenge { error, scopes, resource_metadata }) => {
                let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                format!("{} [{}] {}", or_none(error), scopes.join(" "), or_none(resource_metadata))
            }
            None => "none".to_owned(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_a_server_wants_is_read_however_it_is_written() {
        check("Bearer", "- [] -");
        check("bearer realm=x", "- [] -");
        check(
            r#"Bearer resource_metadata="https://a/.well-known/oauth-protected-resource", scope="r w""#,
            "- [r w] https://a/.well-known/oauth-protected-resource",
        );
        check(r#"Bearer error = "insufficient_scope" , scope="a:b  c""#, "insufficient_scope [a:b c] -");
        check(r#"Basic realm="a, Bearer scope=x", BEARER Scope=one"#, "- [one] -");
        check(r#"Negotiate YWJj/d==, Bearer error=invalid_token"#, "invalid_token [] -");
        check(r#"Negotiate YWJj==, Bearer error=invalid_token"#, "invalid_token [] -");
        check(r#"Bearer realm="a \"b\", c", error="invalid_token""#, "invalid_token [] -");
        check(r#"Bearer scope="one", scope="two""#, "- [one] -");
        check(r#"Bearer error="<b>no</b>", scope="a" b""#, "- [a] -");
        check(r#"Bearer scope="open"#, "- [open] -");
        check(r#"Bearer , ,, error=x"#, "x [] -");
        check("Basic realm=x", "none");
        check("", "none");
        check(", = \" Bearer", "none");
        check(&format!("Bearer {}", "a".repeat(CHALLENGE_LENGTH_MAX)), "none");
    }

    #[test]
    fn one_of_several_headers_is_found() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=x".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer scope=y".parse().unwrap());
        assert_eq!(BearerChallenge::of_headers(&headers).unwrap().scopes, ["y"]);
        assert_eq!(BearerChallenge::of_headers(&HeaderMap::new()), None);
    }
}
