//! What is wrong with a message, and where. Fields are called as protobuf calls them.

use std::fmt;

use bobbinet_wire::{Error, FieldViolation, error::VIOLATIONS_MAX};

/// Who wrote what is read, and so how much is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// A client: what the specification requires must be there.
    Client,
    /// An agent that answers us: what can be read without it may be missing.
    Agent,
}

/// All that was found wrong so far.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) author: Author,
    found: Vec<FieldViolation>,
}

/// A place in what is read: a chain up to the root that costs nothing until something is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    above: Option<&'a At<'a>>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Root,
    Field(&'static str),
    Index(usize),
}

impl Faults {
    /// None yet, in what this author wrote.
    pub(crate) fn new(author: Author) -> Self {
        Self { author, found: Vec::new() }
    }

    /// Notes what is wrong here.
    pub(crate) fn wrong(&mut self, at: At<'_>, description: impl Into<String>) {
        if self.found.len() < VIOLATIONS_MAX {
            self.found.push(FieldViolation { field: at.to_string(), description: description.into() });
        }
    }

    /// What was read, if nothing is wrong with it.
    pub(crate) fn finish<T>(self, read: Option<T>) -> Result<T, Error> {
        match read {
            Some(read) if self.found.is_empty() => Ok(read),
            Some(_) | None => Err(Error::invalid_params(self.found)),
        }
    }
}

impl<'a> At<'a> {
    /// The whole of what is read.
    pub(crate) const ROOT: At<'static> = At { above: None, step: Step::Root };

    /// The field of this name.
    pub(crate) fn field(&'a self, name: &'static str) -> At<'a> {
        At { above: Some(self), step: Step::Field(name) }
    }

    /// The element at this index.
    pub(crate) fn index(&'a self, index: usize) -> At<'a> {
        At { above: Some(self), step: Step::Index(index) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_its_place() {
        let mut faults = Faults::new(Author::Client);
        let message = At::ROOT.field("message");
        faults.wrong(message.field("parts").index(2).field("url"), "may not be empty");
        let error = faults.finish(Some(())).unwrap_err();
        assert_eq!(error.violations()[0].field, "message.parts[2].url");
        assert!(Faults::new(Author::Client).finish(Some(())).is_ok());
    }
}
