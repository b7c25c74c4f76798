//! Reading JSON into our types in one pass, with every fault named by its path.
//!
//! A type is read in a [`Dialect`] `V` by its [`FromProto`]: simple values and lists alike in all of them (`scalar.rs`, `list.rs`), objects
//! whose fields are called alike by one [`ObjectBuilder`] (`read_message.rs`, `read_task.rs`), what else is A2A's by each dialect for
//! itself (`v1_0/`). An object is read a field at a time.
//!
//! Serde's derived readers stop at the first fault. Here a wrong value is noted and passed over, so that one answer names them all; what
//! serde reports itself is only what is not JSON.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    dialect::Dialect,
    error::FieldViolation,
    faults::{At, Author, Faults},
    json_value::{JsonKind, ObjectKey},
};

/// Something that can be read from the JSON of this dialect.
pub(crate) trait FromProto<'de, V: Dialect>: Sized {
    /// Reads it, or notes what is wrong. An error is one of the JSON itself.
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error>;
}

/// What stood in a field, in a list or at the root.
#[derive(Debug, Default)]
pub(crate) enum Field<T> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// Something wrong, which has been noted.
    Wrong,
    /// What could be read.
    Given(T),
}

/// The fields of an object while they are read.
pub(crate) trait ObjectBuilder<'de, V: Dialect>: Default {
    /// What the fields make together.
    type Output;

    /// Reads the value of the field that the dialect calls so, or skips it if the name says nothing.
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error>;

    /// Puts them together, once all have been read. `None` if they do not fit, which has been noted.
    fn finish(self, at: &At<'_, V>) -> Option<Self::Output>;
}

/// What has values in it: an object or a list. Each reads its own kind; the other is passed over and noted.
pub(crate) trait Nested<'de, V: Dialect> {
    /// What comes of it.
    type Output;

    /// What it must be, for people.
    const EXPECTED: &'static str;

    /// What a null in its place is.
    fn null() -> Field<Self::Output>;

    /// Reads an object's fields.
    fn map<A: MapAccess<'de>>(mut map: A, at: &At<'_, V>) -> Result<Field<Self::Output>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::mismatch(at, JsonKind::Object))
    }

    /// Reads a list's elements.
    fn seq<A: SeqAccess<'de>>(mut seq: A, at: &At<'_, V>) -> Result<Field<Self::Output>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::mismatch(at, JsonKind::Array))
    }

    /// Notes that it is something else.
    fn mismatch(at: &At<'_, V>, kind: JsonKind) -> Field<Self::Output> {
        at.wrong(format!("must be {}, not {kind}", Self::EXPECTED));
        Field::Wrong
    }
}

/// Reads a whole text; its faults come in the order of the text.
pub(crate) fn read<'de, V: Dialect, T: FromProto<'de, V>>(
    text: &'de str,
    author: Author,
) -> Result<T, Vec<FieldViolation>> {
    let missing = || vec![FieldViolation { field: String::new(), description: "is missing".to_owned() }];
    read_optional(text, author)?.ok_or_else(missing)
}

/// The same for what may also be nothing.
pub(crate) fn read_optional<'de, V: Dialect, T: FromProto<'de, V>>(
    text: &'de str,
    author: Author,
) -> Result<Option<T>, Vec<FieldViolation>> {
    let faults = Faults::new(author);
    let root = At::<V>::root(&faults);
    let mut json = serde_json::Deserializer::from_str(text);
    let read = T::read(&mut json, &root).and_then(|field| json.end().map(|()| field));
    let value = match read {
        Ok(Field::Given(value)) => Some(value),
        Ok(Field::Absent | Field::Wrong) => None,
        Err(error) => {
            root.wrong(format!("cannot be read: {error}"));
            None
        }
    };
    let found = faults.into_found();
    if found.is_empty() { Ok(value) } else { Err(found) }
}

/// Reads a field's value. The same name twice never gets this far; both of a field's names do, and readers differ in
/// which of the two counts.
pub(crate) fn read_field<'de, V: Dialect, T: FromProto<'de, V>, A: MapAccess<'de>>(
    field: &mut Field<T>,
    map: &mut A,
    at: &At<'_, V>,
    name: &'static str,
) -> Result<(), A::Error> {
    let place = at.field(name);
    let is_again = !matches!(field, Field::Absent) && at.author() == Author::Client;
    *field = map.next_value_seed(Seed(&place, PhantomData))?;
    if is_again {
        place.wrong("is given twice");
        *field = Field::Wrong;
    }
    Ok(())
}

/// Passes over a field's value.
pub(crate) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Reads an object.
pub(crate) fn read_object<'de, B: ObjectBuilder<'de, V>, V: Dialect, D: Deserializer<'de>>(
    from: D,
    at: &At<'_, V>,
) -> Result<Field<B::Output>, D::Error> {
    read_nested::<AsObject<B>, _, _>(from, at)
}

/// Reads an object or a list, whichever it must be.
pub(crate) fn read_nested<'de, N: Nested<'de, V>, V: Dialect, D: Deserializer<'de>>(
    from: D,
    at: &At<'_, V>,
) -> Result<Field<N::Output>, D::Error> {
    from.deserialize_any(NestedVisitor::<N, V>(at, PhantomData))
}

impl<T> Field<T> {
    /// Whether something wrong stood there: then its place is not empty, and need not be noted again.
    pub(crate) fn is_wrong(&self) -> bool {
        match self {
            Self::Wrong => true,
            Self::Absent | Self::Given(_) => false,
        }
    }

    /// The same with what becomes of the value.
    pub(crate) fn map<U>(self, into: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Given(value) => Field::Given(into(value)),
            Self::Absent => Field::Absent,
            Self::Wrong => Field::Wrong,
        }
    }

    /// The value, if there is one.
    pub(crate) fn optional(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// The value of a field that must be there.
    pub(crate) fn required<V: Dialect>(self, at: &At<'_, V>, name: &'static str) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Wrong => None,
            Self::Absent => {
                at.field(name).wrong("is required");
                None
            }
        }
    }

    /// The value read further, or what is wrong with it.
    pub(crate) fn parse<U, E: fmt::Display, V: Dialect>(
        self,
        at: &At<'_, V>,
        name: &'static str,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Wrong => Field::Wrong,
            Self::Given(value) => match parse(value) {
                Ok(value) => Field::Given(value),
                Err(error) => {
                    at.field(name).wrong(format!("is wrong: {error}"));
                    Field::Wrong
                }
            },
        }
    }
}

/// Reads what stands at a place.
pub(crate) struct Seed<'a, 'p, T, V>(pub(crate) &'a At<'p, V>, pub(crate) PhantomData<fn() -> T>);

impl<'de, V: Dialect, T: FromProto<'de, V>> DeserializeSeed<'de> for Seed<'_, '_, T, V> {
    type Value = Field<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        T::read(from, self.0)
    }
}

/// An object whose fields this builder takes.
struct AsObject<B>(PhantomData<fn() -> B>);

impl<'de, V: Dialect, B: ObjectBuilder<'de, V>> Nested<'de, V> for AsObject<B> {
    type Output = B::Output;

    const EXPECTED: &'static str = "an object";

    fn null() -> Field<Self::Output> {
        Field::Absent
    }

    fn map<A: MapAccess<'de>>(mut map: A, at: &At<'_, V>) -> Result<Field<Self::Output>, A::Error> {
        let mut builder = B::default();
        while let Some(ObjectKey(key)) = map.next_key()? {
            builder.field(&V::field_name(&key), &mut map, at)?;
        }
        Ok(builder.finish(at).map_or(Field::Wrong, Field::Given))
    }
}

/// Visits what should be an object or a list; a simple value is noted.
struct NestedVisitor<'a, 'p, N, V>(&'a At<'p, V>, PhantomData<fn() -> N>);

impl<'de, V: Dialect, N: Nested<'de, V>> Visitor<'de> for NestedVisitor<'_, '_, N, V> {
    type Value = Field<N::Output>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(N::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        N::map(map, self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        N::seq(seq, self.0)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(N::null())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(N::mismatch(self.0, JsonKind::Boolean))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(N::mismatch(self.0, JsonKind::Number))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(N::mismatch(self.0, JsonKind::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(N::mismatch(self.0, JsonKind::Number))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(N::mismatch(self.0, JsonKind::Text))
    }
}
