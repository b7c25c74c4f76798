//! What can be had of a line that is no JSON: the line put right where that changes no meaning, or at least whose it was.

use std::borrow::Cow;

use rmcp::model::RequestId;

/// Bytes that are kept of a name or an id. Ours are numbers; a longer one is none of ours.
const KEPT_MAX: usize = 32;

/// Replies that are told apart in one line. A batch of more is not an answer to calls of ours.
const REPLIES_MAX: usize = 1_024;

/// The text of a line, with what no JSON text may hold put right: bytes that are no UTF-8 and halves of surrogate pairs
/// become U+FFFD. Most lines are borrowed as they are.
pub(crate) fn text(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    match has_surrogate(&text) {
        true => Cow::Owned(mend(&text)),
        false => text,
    }
}

/// Whether there is an escape that may be half of a surrogate pair.
pub(crate) fn has_surrogate(text: &str) -> bool {
    text.contains("\\ud") || text.contains("\\uD")
}

/// A text that is nearly JSON made into JSON: `NaN` and infinities, which some writers use for numbers, become `null`;
/// halves of surrogate pairs become U+FFFD; control characters in a string are escaped. Else as it was.
pub(crate) fn mend(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => {
                in_string = !in_string;
                1
            }
            '\\' if in_string => {
                let (taken, written) = escape(rest);
                mended.push_str(written);
                rest = &rest[taken..];
                continue;
            }
            control if in_string && control < ' ' => {
                mended.push_str(&format!("\\u{:04x}", u32::from(control)));
                rest = &rest[1..];
                continue;
            }
            'N' | 'I' | '-' if !in_string => match not_a_number(rest) {
                Some(taken) => {
                    mended.push_str("null");
                    rest = &rest[taken..];
                    continue;
                }
                None => 1,
            },
            other => other.len_utf8(),
        };
        mended.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    mended
}

/// The escape that the text begins with: how long it is, and what to write for it.
fn escape(text: &str) -> (usize, &str) {
    const LOST: &str = "\\ufffd";
    match unit(text) {
        Some(0xD800..=0xDBFF) => match unit(text.get(6..).unwrap_or_default()) {
            Some(0xDC00..=0xDFFF) => (12, &text[..12]),
            Some(_) | None => (6, LOST),
        },
        Some(0xDC00..=0xDFFF) => (6, LOST),
        Some(_) => (6, &text[..6]),
        None => {
            let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
            (length, &text[..length])
        }
    }
}

/// The number that an escape of the form `\uXXXX` at the beginning stands for.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

fn not_a_number(text: &str) -> Option<usize> {
    ["NaN", "Infinity", "-Infinity", "-NaN"].iter().find(|word| text.starts_with(**word)).map(|word| word.len())
}

/// Reads along a line, in any number of pieces, for the ids of the replies in it, whatever else is wrong with them.
///
/// Keeps a few bytes whatever the line's length. Only a line that begins as a message does is looked into: what a log
/// line quotes is no reply.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    depth: usize,
    is_junk: bool,
    /// How deep the fields of a message stand: 1, or 2 if the line is an array of messages.
    level: Option<usize>,
    in_string: bool,
    is_escaped: bool,
    /// The value of a field is next, not its name.
    is_value: bool,
    /// The string or word that is being read at the level of fields.
    token: Vec<u8>,
    is_text: bool,
    /// The value that comes is an id.
    is_id: bool,
    message: Seen,
    replies: Vec<RequestId>,
}

#[derive(Debug, Default)]
struct Seen {
    id: Option<RequestId>,
    has_version: bool,
    has_method: bool,
    has_outcome: bool,
}

impl Seen {
    /// Whether this is a reply: some servers log objects with ids of their own among their messages.
    fn is_reply(&self) -> bool {
        !self.has_method && (self.has_outcome || self.has_version)
    }
}

impl Scan {
    /// The ids of the replies in a whole line.
    pub(crate) fn ids_of(line: &[u8]) -> Vec<RequestId> {
        let mut scan = Self::default();
        scan.read(line);
        scan.finish()
    }

    /// Reads the next piece of the line.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.is_junk {
                return;
            }
            self.step(byte);
        }
    }

    /// Whether nothing will be found in the line, however it goes on.
    pub(crate) fn is_in_vain(&self) -> bool {
        self.is_junk
    }

    /// The id of the reply that is being read, once it is certain: it has an id and a result, and is no request.
    pub(crate) fn certain(&self) -> Option<RequestId> {
        let seen = &self.message;
        let open = seen.id.as_ref().filter(|_| seen.has_outcome && !seen.has_method);
        self.replies.first().or(open).filter(|_| self.level == Some(1)).cloned()
    }

    /// The ids of all replies found, at the end of the line: also of a message that is cut off.
    pub(crate) fn finish(mut self) -> Vec<RequestId> {
        if self.depth > 0 {
            self.end_word();
            self.end_message();
        }
        self.replies
    }

    fn is_field_level(&self) -> bool {
        self.level == Some(self.depth)
    }

    fn step(&mut self, byte: u8) {
        let is_before_all = self.level.is_none() && !self.is_junk;
        if is_before_all && !matches!(byte, b'{' | b'[' | b' ' | b'\t' | b'\r' | 0xEF | 0xBB | 0xBF) {
            self.is_junk = true;
        }
        if self.is_junk {
            return;
        }
        if self.in_string {
            match byte {
                _ if std::mem::take(&mut self.is_escaped) => {}
                b'\\' => self.is_escaped = true,
                b'"' => {
                    self.in_string = false;
                    self.is_text = true;
                    if self.is_field_level() && self.is_value {
                        self.end_word();
                    }
                    return;
                }
                _ => {}
            }
            self.keep(byte);
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.token.clear();
                self.is_text = false;
            }
            b'{' | b'[' => {
                self.is_id = false;
                if self.level.is_none() {
                    self.level = Some(if byte == b'[' { 2 } else { 1 });
                }
                self.depth += 1;
                self.is_value = false;
                self.token.clear();
            }
            b'}' | b']' => {
                self.end_word();
                if self.is_field_level() {
                    self.end_message();
                }
                self.depth = self.depth.saturating_sub(1);
                self.is_value = false;
            }
            b':' if self.is_field_level() && !self.is_value => {
                self.is_id = self.token == b"id";
                match self.token.as_slice() {
                    b"jsonrpc" => self.message.has_version = true,
                    b"method" => self.message.has_method = true,
                    b"result" | b"error" => self.message.has_outcome = true,
                    _ => {}
                }
                self.token.clear();
                self.is_text = false;
                self.is_value = true;
            }
            b',' if self.is_field_level() => {
                self.end_word();
                self.is_value = false;
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.is_field_level() && self.token.len() < KEPT_MAX {
            self.token.push(byte);
        }
    }

    /// A value that is a string or a word has been read.
    fn end_word(&mut self) {
        let is_read = self.is_text || !self.token.is_empty();
        if self.is_field_level() && self.is_value && is_read && std::mem::take(&mut self.is_id) {
            self.message.id = id(&self.token, self.is_text);
        }
        self.token.clear();
        self.is_text = false;
    }

    fn end_message(&mut self) {
        let seen = std::mem::take(&mut self.message);
        let is_kept = seen.is_reply() && self.replies.len() < REPLIES_MAX;
        self.replies.extend(seen.id.filter(|_| is_kept));
    }
}

/// An id as some servers write ours: a number, perhaps with a fraction of nothing, or a text.
fn id(token: &[u8], is_text: bool) -> Option<RequestId> {
    let token = std::str::from_utf8(token).ok()?;
    if is_text {
        return Some(RequestId::String(token.into()));
    }
    number(token).map(RequestId::Number)
}

/// A whole number, also one that is written with a fraction or an exponent.
pub(crate) fn number(text: &str) -> Option<i64> {
    /// Beyond this a double skips whole numbers.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let float = text.parse::<f64>().ok().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT_MAX)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number that an i64 can hold")]
    Some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_json_becomes_json_and_nothing_else_changes() {
        for (text, expected) in [
            (r#"{"a":NaN,"b":[-Infinity,Infinity,-1.5]}"#, r#"{"a":null,"b":[null,null,-1.5]}"#),
            (r#"{"a":"NaN -Infinity \" NaN"}"#, r#"{"a":"NaN -Infinity \" NaN"}"#),
            (
                r#"["\ud83d\ude00","\ud83d","\ude00x","\ud83d\ud83d\ude00"]"#,
                r#"["\ud83d\ude00","\ufffd","\ufffdx","\ufffd\ud83d\ude00"]"#,
            ),
            (r#"["\\ud83d","\uD83Dé","é"]"#, r#"["\\ud83d","\ufffdé","é"]"#),
            ("[\"a\tb\u{1}\",\t1]", "[\"a\\u0009b\\u0001\",\t1]"),
            (r#"["\"#, r#"["\"#),
            (r#"["\u12"#, r#"["\u12"#),
        ] {
            assert_eq!(mend(text), expected, "{text}");
        }
        assert_eq!(text(b"[\"a\xff\xfeb\"]"), "[\"a\u{fffd}\u{fffd}b\"]");
        assert_eq!(text(br#"["\udead"]"#), r#"["\ufffd"]"#);
        assert!(matches!(text(br#"["\u00e9"]"#), Cow::Borrowed(_)));
    }

    fn check(line: &str, expected: &[&str]) {
        let said = |ids: Vec<RequestId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(said(Scan::ids_of(line.as_bytes())), expected, "{line}");
        let mut scan = Scan::default();
        line.as_bytes().chunks(1).for_each(|piece| scan.read(piece));
        assert_eq!(said(scan.finish()), expected, "in pieces: {line}");
    }

    #[test]
    fn ids_are_found_wherever_they_stand_and_whatever_is_wrong_beside_them() {
        check(r#"{"jsonrpc":"2.0","id":5,"result":{"id":6,"x":[{"id":7}]}}"#, &["5"]);
        check(r#"{"result":{"text":"\"id\":9"},"jsonrpc":"2.0","id":5}"#, &["5"]);
        check(r#" { "id" : "5" , "result" : NaN }"#, &["5"]);
        check(r#"{"id":5.0,"error":{"code":"x"}} trailing"#, &["5"]);
        check(r#"{"id":5,"result":{"content":[{"te"#, &["5"]);
        check(r#"{"id":5,"result":}"#, &["5"]);
        check(r#"{"id":5,"id":6,"result":1}"#, &["6"]);
        check(r#"{"jsonrpc":"2.0","id":5}"#, &["5"]);
        check(r#"{"level":"info","id":5}"#, &[]);
        check(r#"sending {"jsonrpc":"2.0","id":5,"result":{}}"#, &[]);
        check(r#"[debug] {"jsonrpc":"2.0","id":5,"result":{}}"#, &[]);
        check(r#"{"id":5,"method":"ping"}"#, &[]);
        check(r#"{"method":"x","params":{"id":1},"id":5"#, &[]);
        check(r#"{"id":null,"error":1}"#, &[]);
        check(r#"{"id":{"id":3},"result":1}"#, &[]);
        check(r#"{"x":"id","y":5}"#, &[]);
        check(r#"[{"id":1,"result":NaN},{"id":2,"method":"m"},{"id":3,"error":"e"}]"#, &["1", "3"]);
        check("this is no message", &[]);
        check(r#""id":5"#, &[]);
    }

    #[test]
    fn a_reply_is_certain_before_its_end() {
        let mut scan = Scan::default();
        scan.read(br#"{"jsonrpc":"2.0","id":5,"#);
        assert_eq!(scan.certain(), None, "it may be a request yet");
        scan.read(br#""result":{"#);
        assert_eq!(scan.certain(), Some(RequestId::Number(5)));
    }
}
