//! Words as a form has them (`application/x-www-form-urlencoded`).

use reqwest::Url;

/// Pairs as a form has them; a value alone, without its name.
pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("x:/").expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    let text = url.query().unwrap_or_default();
    text.strip_prefix('=').unwrap_or(text).to_owned()
}

/// The pairs of a form.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let mut url = Url::parse("x:/").expect("a URL");
    url.set_query(Some(text));
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(
            encoded(&[("grant_type", "client_credentials"), ("scope", "a b")]),
            "grant_type=client_credentials&scope=a+b"
        );
        assert_eq!(encoded(&[("", "a:b c")]), "a%3Ab+c");
        assert_eq!(pairs("a=b%20c&d"), [("a".to_owned(), "b c".to_owned()), ("d".to_owned(), String::new())]);
    }
}
