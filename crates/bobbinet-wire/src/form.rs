//! Reading JSON into our types in one pass, with every fault named by its path.
//!
//! Serde's derived readers stop at the first fault. Here a wrong value is noted and passed over, so that one answer names them all; what
//! serde reports itself is only what is not JSON.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    error::{FieldViolation, VIOLATIONS_MAX},
    scalar::{Kind, Name},
};

/// Who wrote what is read, and so how much is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// A client: what the specification requires must be there.
    Client,
    /// An agent that answers us: what can be read without it may be missing, or be of a kind that only later versions know.
    Agent,
}

/// All that was found wrong so far.
#[derive(Debug)]
pub(crate) struct Faults {
    author: Author,
    found: RefCell<Vec<FieldViolation>>,
    is_full: Cell<bool>,
}

/// A place in what is read: a chain up to the root that costs nothing until something is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'p> {
    faults: &'p Faults,
    above: Option<&'p At<'p>>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Root,
    Field(&'static str),
    Index(usize),
}

/// What stood at a place.
#[derive(Debug, Default)]
pub(crate) enum Slot<T> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// Something wrong, which has been noted.
    Wrong,
    /// This.
    Given(T),
}

/// Something that can be read from JSON.
pub(crate) trait Form<'de>: Sized {
    /// Reads it, or notes what is wrong. An error is one of the JSON itself.
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error>;
}

/// The fields of an object while they are read.
pub(crate) trait Fields<'de>: Default {
    /// What they make together.
    type Whole;

    /// Reads the value of the field of this name, in lowerCamelCase, or skips it if the name says nothing.
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error>;

    /// Puts them together, once all have been read. `None` if they do not fit, which has been noted.
    fn finish(self, at: &At<'_>) -> Option<Self::Whole>;
}

/// What has values in it: an object or a list. Each reads its own kind; the other is passed over and noted.
pub(crate) trait Nested<'de> {
    /// What comes of it.
    type Whole;

    /// What it must be, for people.
    const EXPECTED: &'static str;

    /// What a null in its place is.
    fn null() -> Slot<Self::Whole>;

    /// Reads an object's fields.
    fn map<A: MapAccess<'de>>(mut map: A, at: &At<'_>) -> Result<Slot<Self::Whole>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::no(at, Kind::Object))
    }

    /// Reads a list's elements.
    fn seq<A: SeqAccess<'de>>(mut seq: A, at: &At<'_>) -> Result<Slot<Self::Whole>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::no(at, Kind::Array))
    }

    /// Notes that it is something else.
    fn no(at: &At<'_>, kind: Kind) -> Slot<Self::Whole> {
        at.wrong(format!("must be {}, not {kind}", Self::EXPECTED));
        Slot::Wrong
    }
}

/// Reads a whole text; its faults come in the order of the text.
pub(crate) fn read<'de, T: Form<'de>>(text: &'de str, author: Author) -> Result<T, Vec<FieldViolation>> {
    let missing = || vec![FieldViolation { field: String::new(), description: "is missing".to_owned() }];
    read_optional(text, author)?.ok_or_else(missing)
}

/// The same for what may also be nothing.
pub(crate) fn read_optional<'de, T: Form<'de>>(
    text: &'de str,
    author: Author,
) -> Result<Option<T>, Vec<FieldViolation>> {
    let faults = Faults { author, found: RefCell::default(), is_full: Cell::new(false) };
    let root = At { faults: &faults, above: None, step: Step::Root };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = T::read(&mut json, &root).and_then(|slot| json.end().map(|()| slot));
    let value = match read {
        Ok(Slot::Given(value)) => Some(value),
        Ok(Slot::Absent | Slot::Wrong) => None,
        Err(error) => {
            root.wrong(format!("cannot be read: {error}"));
            None
        }
    };
    let found = faults.found.into_inner();
    if found.is_empty() { Ok(value) } else { Err(found) }
}

/// All faults in one sentence; `root` is what the whole text is called.
pub(crate) fn tell(faults: &[FieldViolation], root: &str) -> String {
    let tell = |fault: &FieldViolation| match fault.field.as_str() {
        "" => format!("{root} {}", fault.description),
        field => format!("{field} {}", fault.description),
    };
    faults.iter().map(tell).collect::<Vec<_>>().join("; ")
}

/// Reads a field's value into its slot. The same name twice never gets this far; both of a field's names do, and readers differ in
/// which of the two counts.
pub(crate) fn read_field<'de, T: Form<'de>, A: MapAccess<'de>>(
    slot: &mut Slot<T>,
    map: &mut A,
    at: &At<'_>,
    name: &'static str,
) -> Result<(), A::Error> {
    let place = at.field(name);
    let is_again = !matches!(slot, Slot::Absent) && at.author() == Author::Client;
    *slot = map.next_value_seed(Seed(&place, PhantomData))?;
    if is_again {
        place.wrong("is given twice");
        *slot = Slot::Wrong;
    }
    Ok(())
}

/// Passes over a field's value.
pub(crate) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Reads an object.
pub(crate) fn object<'de, F: Fields<'de>, D: Deserializer<'de>>(
    from: D,
    at: &At<'_>,
) -> Result<Slot<F::Whole>, D::Error> {
    nested::<Object<F>, D>(from, at)
}

/// Reads an object or a list, whichever it must be.
pub(crate) fn nested<'de, N: Nested<'de>, D: Deserializer<'de>>(
    from: D,
    at: &At<'_>,
) -> Result<Slot<N::Whole>, D::Error> {
    from.deserialize_any(NestedVisitor::<N>(at, PhantomData))
}

impl<'p> At<'p> {
    /// The field of this name.
    pub(crate) fn field(&self, name: &'static str) -> At<'_> {
        At { faults: self.faults, above: Some(self), step: Step::Field(name) }
    }

    /// The element at this index.
    pub(crate) fn index(&self, index: usize) -> At<'_> {
        At { faults: self.faults, above: Some(self), step: Step::Index(index) }
    }

    /// Notes what is wrong here.
    pub(crate) fn wrong(&self, description: impl Into<String>) {
        let mut found = self.faults.found.borrow_mut();
        if found.len() < VIOLATIONS_MAX {
            found.push(FieldViolation { field: self.to_string(), description: description.into() });
        } else {
            self.faults.is_full.set(true);
        }
    }

    /// Whether the limit of faults is reached: nobody needs to look any further.
    pub(crate) fn is_full(&self) -> bool {
        self.faults.is_full.get()
    }

    /// Who wrote it.
    pub(crate) fn author(&self) -> Author {
        self.faults.author
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match (self.step, self.above.map(|above| above.step)) {
            (Step::Root, _) => Ok(()),
            (Step::Field(name), None | Some(Step::Root)) => f.write_str(name),
            (Step::Field(name), Some(Step::Field(_) | Step::Index(_))) => write!(f, ".{name}"),
            (Step::Index(index), _) => write!(f, "[{index}]"),
        }
    }
}

impl<T> Slot<T> {
    /// Whether something wrong stood there: then its place is not empty, and need not be noted again.
    pub(crate) fn is_wrong(&self) -> bool {
        match self {
            Self::Wrong => true,
            Self::Absent | Self::Given(_) => false,
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
    pub(crate) fn required(self, at: &At<'_>, name: &'static str) -> Option<T> {
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
    pub(crate) fn parse<U, E: fmt::Display>(
        self,
        at: &At<'_>,
        name: &'static str,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Slot<U> {
        match self {
            Self::Absent => Slot::Absent,
            Self::Wrong => Slot::Wrong,
            Self::Given(value) => match parse(value) {
                Ok(value) => Slot::Given(value),
                Err(error) => {
                    at.field(name).wrong(format!("is wrong: {error}"));
                    Slot::Wrong
                }
            },
        }
    }
}

/// Reads what stands at a place.
pub(crate) struct Seed<'a, 'p, T>(pub(crate) &'a At<'p>, pub(crate) PhantomData<fn() -> T>);

impl<'de, T: Form<'de>> DeserializeSeed<'de> for Seed<'_, '_, T> {
    type Value = Slot<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        T::read(from, self.0)
    }
}

struct Object<F>(PhantomData<fn() -> F>);

impl<'de, F: Fields<'de>> Nested<'de> for Object<F> {
    type Whole = F::Whole;

    const EXPECTED: &'static str = "an object";

    fn null() -> Slot<Self::Whole> {
        Slot::Absent
    }

    fn map<A: MapAccess<'de>>(mut map: A, at: &At<'_>) -> Result<Slot<Self::Whole>, A::Error> {
        let mut fields = F::default();
        while let Some(Name(name)) = map.next_key()? {
            fields.field(&camel(&name), &mut map, at)?;
        }
        Ok(fields.finish(at).map_or(Slot::Wrong, Slot::Given))
    }
}

/// Visits what should be an object or a list; a simple value is noted.
struct NestedVisitor<'a, 'p, N>(&'a At<'p>, PhantomData<fn() -> N>);

impl<'de, N: Nested<'de>> Visitor<'de> for NestedVisitor<'_, '_, N> {
    type Value = Slot<N::Whole>;

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
        Ok(N::no(self.0, Kind::Boolean))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(N::no(self.0, Kind::Number))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(N::no(self.0, Kind::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(N::no(self.0, Kind::Number))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(N::no(self.0, Kind::Text))
    }
}

/// ProtoJSON readers take a field by its JSON name and by its name in the proto file.
fn camel(name: &str) -> Cow<'_, str> {
    if !name.contains('_') {
        return Cow::Borrowed(name);
    }
    let mut camel = String::with_capacity(name.len());
    let mut words = name.split('_');
    camel.extend(words.next());
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    Cow::Owned(camel)
}
