//! Names of things. Each is made only by its `parse` or `new`; past that nobody checks again.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};
use uuid::Uuid;

use crate::limits::{AGENT_NAME_LENGTH_MAX, ID_LENGTH_MAX};

/// A text that cannot be the id it is meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing where an id is needed.
    #[error("{what} is empty")]
    Empty {
        /// The kind of id that it was to be, in words.
        what: &'static str,
    },
    /// More characters than there is room for.
    #[error("{what} is longer than {max} characters")]
    Long {
        /// The kind of id that it was to be, in words.
        what: &'static str,
        /// The most characters that it may have.
        max: usize,
    },
    /// Something that leads elsewhere in a URL.
    #[error("{what} may not have the path segment {segment:?}")]
    Path {
        /// The kind of id that it was to be, in words.
        what: &'static str,
        /// The segment at fault: `.` or `..`.
        segment: String,
    },
    /// A character that this id may not have.
    #[error("{what} may not contain {found:?}")]
    Character {
        /// The kind of id that it was to be, in words.
        what: &'static str,
        /// The first character at fault.
        found: char,
    },
}

/// Any text at all: what comes from a caller is his own, and is shown to nobody as anything else.
fn any(_: &'static str, _: &str) -> Result<(), IdError> {
    Ok(())
}

/// A text for people to read: one line, and what it looks like.
fn plain(what: &'static str, text: &str) -> Result<(), IdError> {
    forbid(what, text, |c| c.is_control() || is_deceptive(c))
}

fn agent_name(what: &'static str, text: &str) -> Result<(), IdError> {
    bounded(what, text, AGENT_NAME_LENGTH_MAX)?;
    forbid(what, text, |c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'))
}

/// A plain text that stands in a URL, where `..` would lead elsewhere.
fn skill(what: &'static str, text: &str) -> Result<(), IdError> {
    plain(what, text)?;
    match text.split(['/', '\\']).find(|segment| matches!(*segment, "." | "..")) {
        Some(segment) => Err(IdError::Path { what, segment: segment.to_owned() }),
        None => Ok(()),
    }
}

/// Characters that are not seen, or that make others seen in another order: bidirectional marks, zero-width ones, tags
/// (Unicode's category Cf, and its line and paragraph separators).
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn forbid(what: &'static str, text: &str, forbidden: impl Fn(char) -> bool) -> Result<(), IdError> {
    match text.chars().find(|c| forbidden(*c)) {
        Some(found) => Err(IdError::Character { what, found }),
        None => Ok(()),
    }
}

fn bounded(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    // Most are so short that their bytes need not be told apart.
    let is_long = text.len() > max && text.chars().nth(max).is_some();
    if is_long { Err(IdError::Long { what, max }) } else { Ok(()) }
}

fn check(what: &'static str, text: &str, rule: fn(&'static str, &str) -> Result<(), IdError>) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    bounded(what, text, ID_LENGTH_MAX)?;
    rule(what, text)
}

/// Reads a text into its place at once: tasks are read back by the thousand, and each has a dozen ids.
struct SharedText;

impl Visitor<'_> for SharedText {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(Arc::from(text))
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(SharedText).map(Self)
            }
        }

        impl $name {
            /// Takes the text as an id, or says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check($what, text, $rule)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id's text itself, not a copy of it.
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        // Sorted, compared and hashed as its text, so that a map by ids can be asked with a text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An agent's name on its node: lower-case letters, digits, `-` and `_`.
    AgentName, "an agent's name", agent_name
);
text_id!(
    /// A2A's `contextId`, chosen by the client or made by the node; its meaning is scoped to tenant and owner.
    ContextId, "a context id", any
);
text_id!(
    /// A2A's `messageId`, chosen by the sender.
    MessageId, "a message id", any
);
text_id!(
    /// A2A's `artifactId`, unique in its task.
    ArtifactId, "an artifact id", any
);
text_id!(
    /// A skill's id: for a wrapped MCP server the tool's name, letter for letter.
    SkillId, "a skill id", skill
);
text_id!(
    /// Who calls: the `sub` of a verified token.
    Principal, "a principal", plain
);
text_id!(
    /// Whose installation a caller belongs to; one node may serve several.
    Tenant, "a tenant", plain
);

/// A task's id: a UUIDv7 made by the node, never by a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    /// The id made from this UUID.
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Reads an id back. `None` for any text this node can never have given out: such a task is *not found*.
    pub fn parse(text: &str) -> Option<Self> {
        let canonical_length = 36;
        if text.len() != canonical_length {
            return None;
        }
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The stream that keeps this task.
    pub fn stream(&self) -> StreamId {
        StreamId::task(self)
    }

    /// The sixteen bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One start of one process: the owner of the runs it began. A process that starts again is another runner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunnerId(Uuid);

impl RunnerId {
    /// The runner named by this UUID.
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The stream that keeps its lease, on a store that several processes share.
    pub fn stream(&self) -> StreamId {
        let mut bytes = [0; 17];
        bytes[0] = b'r';
        bytes[1..].copy_from_slice(self.0.as_bytes());
        StreamId::from_bytes(&bytes)
    }
}

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a durable stream: opaque to the store, which only compares and orders it, by its bytes.
#[derive(Clone)]
pub struct StreamId(Name);

/// Ids up to this length stand where they are; a task's has 17 bytes.
const INLINE_MAX: usize = 22;

#[derive(Clone)]
enum Name {
    Short { length: u8, bytes: [u8; INLINE_MAX] },
    Long(Arc<[u8]>),
}

impl StreamId {
    /// A task's stream.
    pub fn task(id: &TaskId) -> Self {
        let mut bytes = [0; 17];
        bytes[0] = b't';
        bytes[1..].copy_from_slice(id.as_bytes());
        Self::from_bytes(&bytes)
    }

    /// A stream of these bytes. The first one tells its kind: `t` a task, `c` a context, `r` a runner.
    pub fn from_bytes(id: &[u8]) -> Self {
        if id.len() > INLINE_MAX {
            return Self(Name::Long(Arc::from(id)));
        }
        let mut bytes = [0; INLINE_MAX];
        bytes[..id.len()].copy_from_slice(id);
        Self(Name::Short { length: id.len() as u8, bytes })
    }

    /// The task that this stream keeps, if it keeps one.
    pub fn as_task(&self) -> Option<TaskId> {
        let uuid = self.as_bytes().strip_prefix(b"t")?;
        Uuid::from_slice(uuid).ok().map(TaskId)
    }

    /// The runner whose lease this stream keeps, if it keeps one.
    pub fn as_runner(&self) -> Option<RunnerId> {
        let uuid = self.as_bytes().strip_prefix(b"r")?;
        Uuid::from_slice(uuid).ok().map(RunnerId)
    }

    /// The id's bytes, at most [`ID_LENGTH_MAX`] and a kind.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Name::Short { length, bytes } => &bytes[..usize::from(*length)],
            Name::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for StreamId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for StreamId {}

impl PartialOrd for StreamId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StreamId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for StreamId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_task() {
            Some(task) => write!(f, "task/{task}"),
            None => write!(f, "{}", self.as_bytes().escape_ascii()),
        }
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stream_is_its_bytes_however_long_they_are(
            ids in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..2 * INLINE_MAX), 2),
        ) {
            let [a, b] = [StreamId::from_bytes(&ids[0]), StreamId::from_bytes(&ids[1])];
            prop_assert_eq!(a.as_bytes(), &*ids[0]);
            prop_assert_eq!(a.cmp(&b), ids[0].cmp(&ids[1]));
            prop_assert_eq!(a == b, ids[0] == ids[1]);
            let hash = BuildHasherDefault::<DefaultHasher>::default();
            prop_assert_eq!(hash.hash_one(&a), hash.hash_one(&*ids[0]));
            prop_assert_eq!(a.clone(), a);
        }
    }

    fn wrong<T: fmt::Debug>(parsed: Result<T, IdError>) -> Option<String> {
        parsed.err().map(|error| error.to_string())
    }

    #[test]
    fn an_id_of_a_callers_is_any_text_of_a_bounded_number_of_characters() {
        let longest = "\u{1f980}".repeat(ID_LENGTH_MAX);
        for text in [" ", "a b", "line\nline", "\0", "urn:x:y/../z", "\u{202e}txt", "\u{4e16}\u{754c}", &longest] {
            assert_eq!(ContextId::parse(text).unwrap().as_str(), text);
            assert_eq!(MessageId::parse(text).unwrap().as_str(), text);
            assert_eq!(ArtifactId::parse(text).unwrap().as_str(), text);
        }
        let long = format!("{longest}x");
        assert_eq!(wrong(ContextId::parse(&long)).unwrap(), "a context id is longer than 512 characters");
        assert_eq!(wrong(MessageId::parse("")).unwrap(), "a message id is empty");
    }

    #[test]
    fn what_people_read_is_what_it_looks_like() {
        let longest = "\u{e9}".repeat(ID_LENGTH_MAX);
        for text in ["read_file", "a tool with spaces", "ns/tool.v1", "a..b", "...", "\u{8aad}\u{3080}", &longest] {
            assert_eq!(wrong(SkillId::parse(text)), None, "{text}");
            assert_eq!(wrong(Principal::parse(text)), None, "{text}");
        }
        for text in
            ["a\nb", "a\u{1b}[2J", "a\u{85}b", "a\u{202e}b", "a\u{2066}b", "a\u{200b}b", "\u{feff}a", "a\u{e0041}"]
        {
            for error in [wrong(SkillId::parse(text)), wrong(Principal::parse(text)), wrong(Tenant::parse(text))] {
                assert!(error.is_some_and(|error| error.contains("may not contain")), "{text:?}");
            }
        }
        for text in ["..", ".", "../x", "a/../b", "a/..", "a\\..\\b", "./a"] {
            let error = wrong(SkillId::parse(text)).unwrap();
            assert!(error.contains("path segment"), "{text}: {error}");
        }
        assert_eq!(wrong(AgentName::parse(&"a".repeat(128))), None);
        assert!(wrong(AgentName::parse(&"a".repeat(129))).unwrap().contains("longer than 128"));
    }

    #[test]
    fn a_task_and_its_stream_lead_to_each_other_and_the_stream_is_small() {
        let task = TaskId::new(Uuid::from_u128(0x0193_9f3c_7d2e_7000_8000_0000_0000_0001));
        assert_eq!(task.stream().as_task(), Some(task));
        assert_eq!(task.stream().to_string(), format!("task/{task}"));
        assert_eq!(StreamId::from_bytes(b"t123").as_task(), None);
        assert_eq!(size_of::<StreamId>(), 24);
    }
}
