//! 0.3 as a dialect: the keys of an object are nothing but the names of its fields.

use crate::{dialect::Dialect, faults, protocol::Version};

/// What stands in the `A2A-Version` header and, with a patch number, in cards.
pub const VERSION: &str = Version::V0_3.name();

/// Whether this names 0.3, with a patch number or without.
pub fn is_version(text: &str) -> bool {
    Version::V0_3.is(text)
}

/// The dialect of this module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V0_3;

/// A place in what is read in 0.3.
pub(super) type At<'p> = faults::At<'p, V0_3>;

impl Dialect for V0_3 {}

/// Stands in the metadata of a data part whose data is the `value` in it, as 0.3 has objects alone.
pub(super) const IS_VALUE: &str = "data_part_compat";

/// What that data is called.
pub(super) const VALUE: &str = "value";
