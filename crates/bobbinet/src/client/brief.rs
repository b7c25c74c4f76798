//! Texts for eyes: what nobody reads, as megabytes of base64, is said to be there and not shown.

use std::borrow::Cow;

/// Characters in a row that are base64 and not words: longer than any name, path or number that is read.
const RUN_MAX: usize = 1_024;

/// The text with each long run of base64 in it as a word on how long it is.
pub(super) fn brief(text: &str) -> Cow<'_, str> {
    if text.len() < RUN_MAX {
        return Cow::Borrowed(text);
    }
    let mut brief = String::new();
    let (mut is_cut, mut rest) = (false, text);
    while !rest.is_empty() {
        let run = rest.find(|c| !is_base64(c)).unwrap_or(rest.len());
        let (encoded, after) = rest.split_at(run);
        if run > RUN_MAX {
            is_cut = true;
            brief.push_str(&format!("…({run} characters of base64: --verbose shows them, --save writes files)"));
        } else {
            brief.push_str(encoded);
        }
        let plain = after.find(is_base64).unwrap_or(after.len());
        let (between, next) = after.split_at(plain);
        brief.push_str(between);
        rest = next;
    }
    if is_cut { Cow::Owned(brief) } else { Cow::Borrowed(text) }
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_reads_is_left_out() {
        let long = "QUJD".repeat(1 << 18);
        let text = format!("{{\"a\": \"{long}\", \"b\": \"data:image/png;base64,{long}==\"}} ü");
        let said = brief(&text);
        assert!(said.len() < 300 && said.matches("…(").count() == 2, "{said}");
        assert!(said.starts_with("{\"a\": \"…(1048576 characters") && said.ends_with("files)\"} ü"), "{said}");
        let words = "some words, and more of them ".repeat(1_000);
        for text in ["short", &"a".repeat(RUN_MAX), &words] {
            assert_eq!(brief(text), text);
        }
    }
}
