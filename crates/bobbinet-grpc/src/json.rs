//! JSON as protobuf has it (`google.protobuf.Value` and `Struct`), and back.
//!
//! There a number is a double and the names of an object have no order: integers beyond 2^53 lose their last digits, and a document comes
//! back with its names in alphabetical order. What is neither is kept.

use std::collections::BTreeMap;

use bobbinet_core::Json;
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::{Serialize, Serializer, ser::Error as _};

/// From here on a double no longer tells neighbouring integers apart.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// How deep a value may be nested: what is deeper no reader of protobuf takes.
const DEPTH_MAX: usize = 128;

/// A value that is written as JSON.
struct Written<'a>(&'a Value);

/// The same value; null, if a number in it is more than a double can be, such as `1e999`, or it is nested too deep.
pub(crate) fn value(json: &Json) -> Value {
    Reader { text: json.as_str(), at: 0 }.value(0).unwrap_or_else(|| of(Kind::NullValue(0)))
}

/// The same object; an empty one if it is none.
pub(crate) fn object(json: &Json) -> Struct {
    match value(json).kind {
        Some(Kind::StructValue(fields)) => fields,
        Some(
            Kind::NullValue(_) | Kind::NumberValue(_) | Kind::StringValue(_) | Kind::BoolValue(_) | Kind::ListValue(_),
        )
        | None => Struct::default(),
    }
}

/// The JSON of a value.
///
/// # Errors
/// If a number in it is none that JSON has: infinite, or no number at all.
pub(crate) fn json(value: &Value) -> Result<Json, serde_json::Error> {
    serde_json::value::to_raw_value(&Written(value)).map(Json::from)
}

/// The JSON of an object.
///
/// # Errors
/// As [`json`].
pub(crate) fn json_object(fields: Struct) -> Result<Json, serde_json::Error> {
    json(&of(Kind::StructValue(fields)))
}

fn of(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

/// Reads a text that is JSON. By hand, as the usual reader takes a number to be off by its last digit, for speed.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        Some(of(match self.peek()? {
            b'{' => Kind::StructValue(self.object(depth)?),
            b'[' => Kind::ListValue(self.list(depth)?),
            b'"' => Kind::StringValue(self.string()?),
            b't' => self.word("true", Kind::BoolValue(true))?,
            b'f' => self.word("false", Kind::BoolValue(false))?,
            b'n' => self.word("null", Kind::NullValue(0))?,
            _ => Kind::NumberValue(self.number()?),
        }))
    }

    fn object(&mut self, depth: usize) -> Option<Struct> {
        let mut fields = BTreeMap::new();
        self.take(b'{')?;
        while self.peek()? != b'}' {
            let name = self.string()?;
            self.take(b':')?;
            fields.insert(name, self.value(depth + 1)?);
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(Struct { fields })
    }

    fn list(&mut self, depth: usize) -> Option<ListValue> {
        let mut values = Vec::new();
        self.take(b'[')?;
        while self.peek()? != b']' {
            values.push(self.value(depth + 1)?);
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(ListValue { values })
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let begin = self.at;
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', bytes.get(self.at..)?)?;
            if bytes[self.at] == b'"' {
                break;
            }
            has_escapes = true;
            self.at += 2;
        }
        let end = self.at;
        self.at += 1;
        if has_escapes {
            return serde_json::from_str(self.text.get(begin - 1..=end)?).ok();
        }
        self.text.get(begin..end).map(str::to_owned)
    }

    fn number(&mut self) -> Option<f64> {
        let rest = self.text.get(self.at..)?;
        let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let length = rest.find(|c| !is_of_number(c)).unwrap_or(rest.len());
        self.at += length;
        rest[..length].parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn word(&mut self, word: &str, kind: Kind) -> Option<Kind> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())?;
        Some(kind)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.text.as_bytes().get(self.at).copied()
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            // A value that is none says nothing.
            None | Some(Kind::NullValue(_)) => out.serialize_unit(),
            Some(Kind::NumberValue(number)) => write_number(*number, out),
            Some(Kind::StringValue(text)) => out.serialize_str(text),
            Some(Kind::BoolValue(value)) => out.serialize_bool(*value),
            Some(Kind::StructValue(Struct { fields })) => {
                out.collect_map(fields.iter().map(|(name, value)| (name, Written(value))))
            }
            Some(Kind::ListValue(ListValue { values })) => out.collect_seq(values.iter().map(Written)),
        }
    }
}

/// An integer as one: a tool that wants an integer does not take `1.0`.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked, and there is no fraction")]
fn write_number<S: Serializer>(number: f64, out: S) -> Result<S::Ok, S::Error> {
    if !number.is_finite() {
        return Err(S::Error::custom("a number must be finite"));
    }
    let is_integer = number.fract() == 0.0 && number.abs() < INTEGER_MAX;
    if is_integer { out.serialize_i64(number as i64) } else { out.serialize_f64(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let json = Json::parse(text).unwrap();
        assert_eq!(super::json(&value(&json)).unwrap().as_str(), expected, "{text}");
    }

    #[test]
    fn json_is_the_same_on_the_other_side() {
        for text in ["null", "true", "7", "-7.25", "\"a\\n\u{2028}ä\"", "[]", "{}", r#"[1,[null,{"a":{"b":[]}}]]"#] {
            check(text, text);
        }
    }

    #[test]
    fn what_protobuf_cannot_hold_has_a_form_of_its_own() {
        check("1.0", "1");
        check("-0.0", "0");
        check(r#"{ "b":1e2, "a":2 }"#, r#"{"a":2,"b":100}"#);
        check("9007199254740993", "9007199254740992.0");
        check("1e30", "1e+30");
        for number in [f64::NAN, f64::INFINITY] {
            assert!(json(&of(Kind::NumberValue(number))).is_err());
        }
        assert_eq!(json(&Value { kind: None }).unwrap().as_str(), "null");
        assert_eq!(object(&Json::of(&1)), Struct::default());
        let deep = |levels| value(&Json::parse(&format!("{}{}", "[".repeat(levels), "]".repeat(levels))).unwrap());
        assert_ne!(deep(DEPTH_MAX), of(Kind::NullValue(0)));
        assert_eq!(deep(100_000), of(Kind::NullValue(0)));
        assert_eq!(value(&Json::parse("[1e999]").unwrap()), of(Kind::NullValue(0)));
    }

    #[test]
    fn numbers_and_texts_are_exact() {
        for number in [-434_098_279.338_278_35, 5e-324, f64::MAX, 0.1] {
            assert_eq!(value(&Json::of(&number)), of(Kind::NumberValue(number)));
        }
        check(r#" [ "a\"b\\", "\u0041\ud83e\udde3" , { "\n" : 1.5e-3 } ] "#, r#"["a\"b\\","A🧣",{"\n":0.0015}]"#);
    }
}
