//! An answer as its caller said it, told apart from the others of its task, so that one that comes again counts once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Generation, Refused, Task};
use crate::Message;

/// A caller's message to a task, with the key under which it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The message, as it goes to the history.
    pub message: Arc<Message>,
    /// The `Idempotency-Key` of its request, if its caller chose one.
    pub key: Option<Arc<RequestKey>>,
}

/// An `Idempotency-Key`, and what was asked under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// As the caller chose it.
    pub key: Arc<str>,
    /// SHA-256 of what was asked, in hexadecimal: another request under the same key is refused.
    pub body_hash: Arc<str>,
}

/// An answer that has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The answer, with its key.
    pub said: Said,
    /// Where in the log it stands.
    pub generation: Generation,
}

impl Task {
    /// Whether this answer has not counted yet. It is known by its key, and where it has none by its message's id and parts: what differs
    /// is another answer, also from a caller who names all its messages alike.
    ///
    /// # Errors
    /// [`Refused::Repeated`] if it is the same again; [`Refused::KeyReused`] if it is another one under a key that is taken.
    pub fn check_new(&self, said: &Said) -> Result<(), Refused> {
        let mut counted = self.counted.iter();
        let repeated = |first: &Counted| Err(Refused::Repeated { first: first.generation });
        if let Some(asked) = &said.key {
            let known = |first: &&Counted| first.said.key.as_ref().is_some_and(|key| key.key == asked.key);
            return match counted.find(known) {
                None => Ok(()),
                Some(first) if first.said.key == said.key => repeated(first),
                Some(_) => Err(Refused::KeyReused),
            };
        }
        let is_same = |one: &Message, other: &Message| one.id == other.id && one.parts == other.parts;
        counted.find(|first| is_same(&first.said.message, &said.message)).map_or(Ok(()), repeated)
    }
}
