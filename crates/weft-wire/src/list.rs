//! Lists, with each element's faults at its index.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    form::{At, Author, Form, Slot},
    scalar::Kind,
};

/// How many elements a list in a request may have: a part takes eleven bytes on the wire, and ten times as many in memory.
pub(crate) const LIST_LENGTH_MAX: usize = 1_000;

/// Null is an empty list, as everywhere in ProtoJSON; a null in a list is a fault.
impl<'de, T: Form<'de>> Form<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        from.deserialize_any(ListVisitor(at, PhantomData))
    }
}

struct ListVisitor<'a, 'p, T>(&'a At<'p>, PhantomData<fn() -> T>);

impl<'de, T: Form<'de>> Visitor<'de> for ListVisitor<'_, '_, T> {
    type Value = Slot<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let length_max = match self.0.author() {
            Author::Client => LIST_LENGTH_MAX,
            Author::Agent => usize::MAX,
        };
        let mut elements = Vec::new();
        let mut index = 0;
        let mut is_whole = true;
        while !self.0.is_full() && index < length_max {
            let at = self.0.index(index);
            match seq.next_element_seed(Element(&at, PhantomData))? {
                None => return Ok(if is_whole { Slot::Given(elements) } else { Slot::Wrong }),
                Some(Slot::Given(element)) => elements.push(element),
                Some(Slot::Absent) => {
                    at.wrong("may be neither null nor empty");
                    is_whole = false;
                }
                Some(Slot::Wrong) => is_whole = false,
            }
            index += 1;
        }
        let mut rest = 0_usize;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            rest += 1;
        }
        if rest > 0 {
            self.0.wrong(format!("must have at most {length_max} elements, not {}", index + rest));
            is_whole = false;
        }
        Ok(if is_whole { Slot::Given(elements) } else { Slot::Wrong })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Slot::Given(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.no(Kind::Object))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(self.no(Kind::Boolean))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(self.no(Kind::Number))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(self.no(Kind::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(self.no(Kind::Number))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(self.no(Kind::Text))
    }
}

impl<T> ListVisitor<'_, '_, T> {
    fn no(&self, kind: Kind) -> Slot<Vec<T>> {
        self.0.wrong(format!("must be an array, not {kind}"));
        Slot::Wrong
    }
}

struct Element<'a, 'p, T>(&'a At<'p>, PhantomData<fn() -> T>);

impl<'de, T: Form<'de>> DeserializeSeed<'de> for Element<'_, '_, T> {
    type Value = Slot<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        T::read(from, self.0)
    }
}
