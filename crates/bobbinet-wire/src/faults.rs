//! What is wrong with what is read, and where.

use std::{
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
};

use crate::{
    dialect::Dialect,
    error::{FieldViolation, VIOLATIONS_MAX},
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

/// A place in what is read in this dialect: a chain up to the root that costs nothing until something is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'p, V> {
    faults: &'p Faults,
    above: Option<&'p At<'p, V>>,
    step: PathStep,
    dialect: PhantomData<fn() -> V>,
}

#[derive(Clone, Copy, Debug)]
enum PathStep {
    Root,
    Field(&'static str),
    Index(usize),
}

impl Faults {
    /// None yet, in what this author wrote.
    pub(crate) fn new(author: Author) -> Self {
        Self { author, found: RefCell::default(), is_full: Cell::new(false) }
    }

    /// All that was noted, in the order of the text.
    pub(crate) fn into_found(self) -> Vec<FieldViolation> {
        self.found.into_inner()
    }
}

impl<'p, V: Dialect> At<'p, V> {
    /// The whole of what is read.
    pub(crate) fn root(faults: &'p Faults) -> Self {
        At { faults, above: None, step: PathStep::Root, dialect: PhantomData }
    }

    /// The field of this name.
    pub(crate) fn field(&self, name: &'static str) -> At<'_, V> {
        At { faults: self.faults, above: Some(self), step: PathStep::Field(name), dialect: PhantomData }
    }

    /// The element at this index.
    pub(crate) fn index(&self, index: usize) -> At<'_, V> {
        At { faults: self.faults, above: Some(self), step: PathStep::Index(index), dialect: PhantomData }
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

    /// Who wrote what is read.
    pub(crate) fn author(&self) -> Author {
        self.faults.author
    }
}

impl<V> fmt::Display for At<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match (self.step, self.above.map(|above| above.step)) {
            (PathStep::Root, _) => Ok(()),
            (PathStep::Field(name), None | Some(PathStep::Root)) => f.write_str(name),
            (PathStep::Field(name), Some(PathStep::Field(_) | PathStep::Index(_))) => write!(f, ".{name}"),
            (PathStep::Index(index), _) => write!(f, "[{index}]"),
        }
    }
}

/// All faults in one sentence; `root` is what the whole text is called.
pub(crate) fn tell(faults: &[FieldViolation], root: &str) -> String {
    let tell = |fault: &FieldViolation| match fault.field.as_str() {
        "" => format!("{root} {}", fault.description),
        field => format!("{field} {}", fault.description),
    };
    faults.iter().map(tell).collect::<Vec<_>>().join("; ")
}
