//! Lists, with each element's faults at its index.

use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, SeqAccess};

use crate::{
    dialect::Dialect,
    faults::{At, Author},
    from_proto::{Field, FromProto, Nested, Seed, read_nested},
};

/// How many elements a list in a request may have: a part takes eleven bytes on the wire, and ten times as many in memory.
pub(crate) const LIST_LENGTH_MAX: usize = 1_000;

/// Null is an empty list, as everywhere in A2A; a null in a client's list is a fault, in an agent's it is nothing.
impl<'de, V: Dialect, T: FromProto<'de, V>> FromProto<'de, V> for Vec<T> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        read_nested::<Self, _, _>(from, at)
    }
}

impl<'de, V: Dialect, T: FromProto<'de, V>> Nested<'de, V> for Vec<T> {
    type Output = Self;

    const EXPECTED: &'static str = "an array";

    fn null() -> Field<Self> {
        Field::Given(Self::new())
    }

    fn seq<A: SeqAccess<'de>>(mut seq: A, at: &At<'_, V>) -> Result<Field<Self>, A::Error> {
        let length_max = match at.author() {
            Author::Client => LIST_LENGTH_MAX,
            Author::Agent => usize::MAX,
        };
        let mut elements = Self::new();
        let mut index = 0;
        let mut is_whole = true;
        while !at.is_full() && index < length_max {
            let place = at.index(index);
            match seq.next_element_seed(Seed(&place, PhantomData))? {
                None => return Ok(if is_whole { Field::Given(elements) } else { Field::Wrong }),
                Some(Field::Given(element)) => elements.push(element),
                Some(Field::Absent) if at.author() == Author::Agent => {}
                Some(Field::Absent) => {
                    place.wrong("may be neither null nor empty");
                    is_whole = false;
                }
                Some(Field::Wrong) => is_whole = false,
            }
            index += 1;
        }
        let mut rest = 0_usize;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            rest += 1;
        }
        if rest > 0 {
            at.wrong(format!("must have at most {length_max} elements, not {}", index + rest));
            is_whole = false;
        }
        Ok(if is_whole { Field::Given(elements) } else { Field::Wrong })
    }
}
