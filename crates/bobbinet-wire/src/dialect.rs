//! What tells one version of A2A from another while it is read.

use std::{borrow::Cow, fmt::Debug};

/// A version of A2A over JSON, by a type without values: each core type is read in each dialect by code of its own
/// ([`FromProto`](crate::from_proto::FromProto)), which is chosen when it is compiled.
pub(crate) trait Dialect: Copy + Debug + 'static {
    /// The name of the field that an object's key means: the key itself, or whatever else the dialect writes for it.
    fn field_name(key: &str) -> Cow<'_, str> {
        Cow::Borrowed(key)
    }
}
