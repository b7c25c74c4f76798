//! Simple values, read alike in every dialect, as leniently as ProtoJSON says, and as queries need it: integers, true and false also as
//! texts, bytes in either base64 alphabet, null as absence. A dialect that wants one of them otherwise reads a type of its own.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bobbinet_core::{Base64, Json, Timestamp};
use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{
    dialect::Dialect,
    faults::{At, Author},
    from_proto::{Field, FromProto},
    json_value::{JsonKind, Scalar},
};

impl Scalar<'_> {
    /// Notes that it is not what it must be; null is no fault.
    pub(crate) fn mismatch<T, V: Dialect>(&self, at: &At<'_, V>, expected: &str) -> Field<T> {
        let kind = match self {
            Self::Null => return Field::Absent,
            Self::Boolean(_) => JsonKind::Boolean,
            Self::Integer(_) | Self::Float(_) => JsonKind::Number,
            Self::Text(_) => JsonKind::Text,
            Self::Nested(kind) => *kind,
        };
        at.wrong(format!("must be {expected}, not {kind}"));
        Field::Wrong
    }
}

/// Any text, also an empty one.
#[derive(Debug)]
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de, V: Dialect> FromProto<'de, V> for Text<'de> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        Ok(match Scalar::read(from)?.into_text() {
            Ok(text) => Field::Given(Self(text)),
            Err(other) => other.mismatch(at, "a string"),
        })
    }
}

/// A text that says something. In proto3 an empty text is the same as none.
#[derive(Debug)]
pub(crate) struct NonEmpty<'de>(pub(crate) Cow<'de, str>);

impl<'de, V: Dialect> FromProto<'de, V> for NonEmpty<'de> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        Ok(match Text::read(from, at)? {
            Field::Given(Text(text)) if text.is_empty() => Field::Absent,
            Field::Given(Text(text)) => Field::Given(Self(text)),
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        })
    }
}

impl NonEmpty<'_> {
    pub(crate) fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

impl<'de, V: Dialect> FromProto<'de, V> for bool {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        let scalar = Scalar::read(from)?;
        let value = match &scalar {
            Scalar::Boolean(value) => *value,
            Scalar::Text(text) if text == "true" => true,
            Scalar::Text(text) if text == "false" => false,
            Scalar::Text(_) | Scalar::Null | Scalar::Integer(_) | Scalar::Float(_) | Scalar::Nested(_) => {
                return Ok(scalar.mismatch(at, "true or false"));
            }
        };
        Ok(Field::Given(value))
    }
}

/// An int32 of proto: a number without a fraction, or the same as a text.
impl<'de, V: Dialect> FromProto<'de, V> for i32 {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        let scalar = Scalar::read(from)?;
        let value = match &scalar {
            Scalar::Integer(value) => i32::try_from(*value).ok(),
            Scalar::Float(value) => integral(*value),
            Scalar::Text(text) => text.parse().ok(),
            Scalar::Null | Scalar::Boolean(_) | Scalar::Nested(_) => return Ok(scalar.mismatch(at, "an integer")),
        };
        Ok(value.map_or_else(
            || {
                at.wrong("must be an integer of 32 bits");
                Field::Wrong
            },
            Field::Given,
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
impl<'de, V: Dialect> FromProto<'de, V> for Json {
    fn read<D: Deserializer<'de>>(from: D, _: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        Ok(Field::Given(Self::from(raw.to_owned())))
    }
}

/// A JSON object as its own text.
#[derive(Debug)]
pub(crate) struct Struct(pub(crate) Json);

impl<'de, V: Dialect> FromProto<'de, V> for Struct {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        let kind = match raw.get().as_bytes().first() {
            Some(b'{') => return Ok(Field::Given(Self(Json::from(raw.to_owned())))),
            Some(b'n') => return Ok(Field::Absent),
            Some(b'[') => JsonKind::Array,
            Some(b'"') => JsonKind::Text,
            Some(b't' | b'f') => JsonKind::Boolean,
            Some(_) | None => JsonKind::Number,
        };
        at.wrong(format!("must be an object, not {kind}"));
        Ok(Field::Wrong)
    }
}

/// Either alphabet, padded or not: what ProtoJSON readers take.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl<'de, V: Dialect> FromProto<'de, V> for Base64 {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        let text = match Scalar::read(from)?.into_text() {
            Ok(text) => text,
            Err(other) => return Ok(other.mismatch(at, "base64 in a string")),
        };
        let is_url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
        let engine = if is_url_safe { LENIENT_URL_SAFE } else { LENIENT_STANDARD };
        Ok(match engine.decode(text.as_bytes()) {
            Ok(bytes) => Field::Given(Self::from_checked(&STANDARD.encode(bytes))),
            Err(error) => {
                at.wrong(format!("must be base64: {error}"));
                Field::Wrong
            }
        })
    }
}

/// RFC 3339 with any offset; rounded up to the next millisecond, since what is asked for is "not before".
impl<'de, V: Dialect> FromProto<'de, V> for Timestamp {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        let text = match Scalar::read(from)?.into_text() {
            Ok(text) => text,
            Err(other) => return Ok(other.mismatch(at, "a timestamp in a string")),
        };
        let Ok(instant) = text.parse::<jiff::Timestamp>() else {
            // Agents have been seen to leave the offset out, and no one needs to know the time to read a task.
            if at.author() == Author::Agent {
                return Ok(Field::Absent);
            }
            at.wrong("must be a timestamp of RFC 3339, such as 2026-11-21T11:00:00Z");
            return Ok(Field::Wrong);
        };
        let floor = instant.as_millisecond();
        let has_rest = instant.as_nanosecond() > i128::from(floor) * 1_000_000;
        // Nothing of ours is older than 1970.
        Ok(Field::Given(Self::from_millis(u64::try_from(floor + i64::from(has_rest)).unwrap_or(0))))
    }
}
