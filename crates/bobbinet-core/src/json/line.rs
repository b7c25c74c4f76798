//! JSON on one line, whatever its reader takes for the end of a line.
//!
//! Whoever reads line by line (an event stream, standard input of a server, one document to a line) splits at more than line feeds,
//! depending on who wrote the reader: Python's `str.splitlines` knows twelve ends. Most of them are control characters, which JSON
//! has only as escapes; three may stand in a text as they are, and are escaped here. A line feed or a carriage return between two
//! tokens is white space, and is left out.

use std::borrow::Cow;

/// Adds `json`, which must be JSON, to `out`, on one line.
pub fn push(out: &mut Vec<u8>, json: &str) {
    push_escaped(out, json.as_bytes());
}

/// The same as a text of its own; borrowed if it is on one line already.
pub fn of(json: &str) -> Cow<'_, str> {
    if next_end(json.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    let mut line = Vec::with_capacity(json.len() + 16);
    push(&mut line, json);
    // Nothing was added but ASCII, and nothing taken out but whole characters.
    String::from_utf8(line).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Escapes what was added to `out` from `begin` on.
pub fn escape_from(out: &mut Vec<u8>, begin: usize) {
    let Some(first) = next_end(&out[begin..]) else { return };
    let rest = out.split_off(begin + first);
    push_escaped(out, &rest);
}

fn push_escaped(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(at) = next_end(rest) {
        out.extend_from_slice(&rest[..at]);
        let (length, escape) = end_at(&rest[at..]);
        out.extend_from_slice(escape);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
}

/// Whether a text is written in JSON as it is, between quotation marks: ASCII without quotes, backslashes and control characters,
/// as nearly all ids and most words are.
pub fn is_plain(text: &str) -> bool {
    let is_special = |byte: u8| !(b' '..0x80).contains(&byte) || byte == b'"' || byte == b'\\';
    text.as_bytes().chunks(SPAN).all(|span| !span.iter().fold(false, |found, byte| found | is_special(*byte)))
}

/// So many bytes are looked at together, without asking after each: the compiler makes vector instructions of that.
const SPAN: usize = 128;

/// Where the next end of a line is.
fn next_end(text: &[u8]) -> Option<usize> {
    let may_end = |byte: u8| matches!(byte, b'\n' | b'\r' | 0xC2 | 0xE2);
    for (number, span) in text.chunks(SPAN).enumerate() {
        if !span.iter().fold(false, |found, byte| found | may_end(*byte)) {
            continue;
        }
        let begin = number * SPAN;
        let is_end = |at: &usize| may_end(text[*at]) && end_at(&text[*at..]).0 > 0;
        if let Some(at) = (begin..begin + span.len()).find(is_end) {
            return Some(at);
        }
    }
    None
}

/// How many bytes of the end of a line stand at the beginning, and what is written instead.
fn end_at(text: &[u8]) -> (usize, &'static [u8]) {
    match text {
        [b'\n' | b'\r', ..] => (1, b""),
        // U+0085, U+2028 and U+2029 in UTF-8.
        [0xC2, 0x85, ..] => (2, b"\\u0085"),
        [0xE2, 0x80, 0xA8, ..] => (3, b"\\u2028"),
        [0xE2, 0x80, 0xA9, ..] => (3, b"\\u2029"),
        _ => (0, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that Python's `str.splitlines` takes for the end of a line.
    const ENDS: &str = "\n\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}";

    #[test]
    fn no_end_of_a_line_is_left_and_the_text_means_the_same() {
        let text = format!("a{ENDS}ä“…”\u{80}\u{84}\u{86}\u{2027}\u{202a}€ 🧶{ENDS}");
        for json in [
            serde_json::to_string(&text).unwrap(),
            serde_json::to_string_pretty(&serde_json::json!({ &text: [&text, 1], "k": {} })).unwrap(),
        ] {
            let line = of(&json);
            assert!(!line.contains(|c| ENDS.contains(c)), "{line:?}");
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&line), value(&json));
            let mut out = b"before \xE2".to_vec();
            let begin = out.len();
            out.extend_from_slice(json.as_bytes());
            escape_from(&mut out, begin);
            assert_eq!(&out[begin..], line.as_bytes());
        }
        assert!(matches!(of(r#"{"ä":"€ — “ä”"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn an_end_is_found_wherever_it_stands() {
        for length in 0..3 * SPAN {
            let before = "x".repeat(length);
            for end in ["\n", "\u{85}", "\u{2028}"] {
                assert_eq!(next_end(format!("{before}{end}ä").as_bytes()), Some(length), "{end:?}");
            }
            assert_eq!(next_end(format!("{before}ä€").as_bytes()), None);
        }
    }

    #[test]
    fn a_plain_text_is_its_own_json() {
        for byte in 0..=u8::MAX {
            for length in [0, 1, SPAN - 1, SPAN, 2 * SPAN] {
                let text = format!("{}{}", "x".repeat(length), char::from(byte));
                let is_same = byte.is_ascii() && serde_json::to_string(&text).unwrap() == format!("\"{text}\"");
                assert_eq!(is_plain(&text), is_same, "{text:?}");
            }
        }
    }
}
