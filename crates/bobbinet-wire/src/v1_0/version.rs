//! 1.0 as a dialect: what it is called, and how it spells the fields of an object.

use std::borrow::Cow;

use crate::{
    dialect::{Dialect, camel},
    faults,
    protocol::Version,
};

/// What stands in the `A2A-Version` header and in cards.
pub const VERSION: &str = Version::V1_0.name();

/// What cards call this binding.
pub const BINDING: &str = "JSONRPC";

/// Whether this names 1.0. A patch number is not to matter, though nobody should write one (specification section 3.6).
pub fn is_version(text: &str) -> bool {
    Version::V1_0.is(text)
}

/// The dialect of this module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V1_0;

/// A place in what is read in 1.0.
pub(super) type At<'p> = faults::At<'p, V1_0>;

impl Dialect for V1_0 {
    fn field_name(key: &str) -> Cow<'_, str> {
        camel(key)
    }
}
