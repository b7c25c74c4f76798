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

/// ProtoJSON readers take a field by its JSON name and by its name in the proto file.
pub(crate) fn camel(name: &str) -> Cow<'_, str> {
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
