//! The simple values of ProtoJSON, read as leniently as it says: integers also as texts, bytes in either base64 alphabet, null as absence.

use std::{borrow::Cow, fmt};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bobbinet_core::{Base64, Json, Timestamp};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::form::{At, Author, Form, Slot};

/// The kinds of JSON values, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Number,
    Text,
    Array,
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// An object's key; borrowed unless it has escapes.
pub(crate) struct Name<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_str(ScalarVisitor)? {
            Scalar::Text(text) => Ok(Self(text)),
            Scalar::Null | Scalar::Boolean(_) | Scalar::Integer(_) | Scalar::Float(_) | Scalar::Nested(_) => {
                Err(D::Error::custom("a key is a string"))
            }
        }
    }
}

/// A value that is at most a scalar; what is more has been passed over.
#[derive(Debug)]
pub(crate) enum Scalar<'de> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'de, str>),
    Nested(Kind),
}

impl<'de> Scalar<'de> {
    /// Reads any value.
    pub(crate) fn read<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }

    /// The text, if it is one.
    pub(crate) fn into_text(self) -> Result<Cow<'de, str>, Self> {
        if let Self::Text(text) = self { Ok(text) } else { Err(self) }
    }

    /// Notes that it is not what it must be; null is no fault.
    pub(crate) fn no<T>(&self, at: &At<'_>, expected: &str) -> Slot<T> {
        let kind = match self {
            Self::Null => return Slot::Absent,
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) | Self::Float(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::Nested(kind) => *kind,
        };
        at.wrong(format!("must be {expected}, not {kind}"));
        Slot::Wrong
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        // No field of ours is wider than 63 bits: what is, is out of range in any case.
        Ok(Scalar::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested(Kind::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested(Kind::Object))
    }
}

/// Any text, also an empty one.
#[derive(Debug)]
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Form<'de> for Text<'de> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        Ok(match Scalar::read(from)?.into_text() {
            Ok(text) => Slot::Given(Self(text)),
            Err(other) => other.no(at, "a string"),
        })
    }
}

/// A text that says something. In proto3 an empty text is the same as none.
#[derive(Debug)]
pub(crate) struct Word<'de>(pub(crate) Cow<'de, str>);

impl<'de> Form<'de> for Word<'de> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        Ok(match Text::read(from, at)? {
            Slot::Given(Text(text)) if text.is_empty() => Slot::Absent,
            Slot::Given(Text(text)) => Slot::Given(Self(text)),
            Slot::Absent => Slot::Absent,
            Slot::Wrong => Slot::Wrong,
        })
    }
}

impl Word<'_> {
    pub(crate) fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

impl<'de> Form<'de> for bool {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        let scalar = Scalar::read(from)?;
        Ok(if let Scalar::Boolean(value) = scalar { Slot::Given(value) } else { scalar.no(at, "true or false") })
    }
}

/// An int32 of proto: a number without a fraction, or the same as a text.
impl<'de> Form<'de> for i32 {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        let scalar = Scalar::read(from)?;
        let value = match &scalar {
            Scalar::Integer(value) => i32::try_from(*value).ok(),
            Scalar::Float(value) => integral(*value),
            Scalar::Text(text) => text.parse().ok(),
            Scalar::Null | Scalar::Boolean(_) | Scalar::Nested(_) => return Ok(scalar.no(at, "an integer")),
        };
        Ok(value.map_or_else(
            || {
                at.wrong("must be an integer of 32 bits");
                Slot::Wrong
            },
            Slot::Given,
        ))
    }
}

/// `1.0` and `1e2` are integers, too.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked, and there is no fraction")]
fn integral(value: f64) -> Option<i32> {
    let range = f64::from(i32::MIN)..=f64::from(i32::MAX);
    (range.contains(&value) && value.fract() == 0.0).then_some(value as i32)
}

/// Any JSON value, null included, as its own text.
impl<'de> Form<'de> for Json {
    fn read<D: Deserializer<'de>>(from: D, _: &At<'_>) -> Result<Slot<Self>, D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        Ok(Slot::Given(Self::from(raw.to_owned())))
    }
}

/// A JSON object as its own text.
#[derive(Debug)]
pub(crate) struct Struct(pub(crate) Json);

impl<'de> Form<'de> for Struct {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        let kind = match raw.get().as_bytes().first() {
            Some(b'{') => return Ok(Slot::Given(Self(Json::from(raw.to_owned())))),
            Some(b'n') => return Ok(Slot::Absent),
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Boolean,
            Some(_) | None => Kind::Number,
        };
        at.wrong(format!("must be an object, not {kind}"));
        Ok(Slot::Wrong)
    }
}

/// Either alphabet, padded or not: what ProtoJSON readers take.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl<'de> Form<'de> for Base64 {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        let text = match Scalar::read(from)?.into_text() {
            Ok(text) => text,
            Err(other) => return Ok(other.no(at, "base64 in a string")),
        };
        let is_url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
        let engine = if is_url_safe { LENIENT_URL_SAFE } else { LENIENT_STANDARD };
        Ok(match engine.decode(text.as_bytes()) {
            Ok(bytes) => Slot::Given(Self::from_checked(&STANDARD.encode(bytes))),
            Err(error) => {
                at.wrong(format!("must be base64: {error}"));
                Slot::Wrong
            }
        })
    }
}

/// RFC 3339 with any offset; rounded up to the next millisecond, since what is asked for is "not before".
impl<'de> Form<'de> for Timestamp {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        let text = match Scalar::read(from)?.into_text() {
            Ok(text) => text,
            Err(other) => return Ok(other.no(at, "a timestamp in a string")),
        };
        let Ok(instant) = text.parse::<jiff::Timestamp>() else {
            // Agents have been seen to leave the offset out, and no one needs to know the time to read a task.
            if at.author() == Author::Agent {
                return Ok(Slot::Absent);
            }
            at.wrong("must be a timestamp of RFC 3339, such as 2026-11-21T11:00:00Z");
            return Ok(Slot::Wrong);
        };
        let floor = instant.as_millisecond();
        let has_rest = instant.as_nanosecond() > i128::from(floor) * 1_000_000;
        // Nothing of ours is older than 1970.
        Ok(Slot::Given(Self::from_millis(u64::try_from(floor + i64::from(has_rest)).unwrap_or(0))))
    }
}
