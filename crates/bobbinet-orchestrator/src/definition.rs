//! Definitions as they were when runs began with them: kept once each, by their hash, so that an edited file changes only later runs.

use std::fmt;

use bobbinet_core::{Generation, Limits, Refused, StreamId, Timestamp};
use bobbinet_engine::{Aggregate, EngineError};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first byte of their streams.
const KIND: u8 = b'd';

/// A number for their only state: none of a task's.
const CODE: u8 = 101;

/// A definition by its content: SHA-256 of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionId([u8; 32]);

impl DefinitionId {
    /// The id of this text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for DefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A definition that is kept. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDefinition {
    /// The document.
    pub text: String,
    at: Timestamp,
}

/// Keep this.
#[derive(Clone, Debug)]
pub struct Keep {
    /// The document.
    pub(crate) text: String,
}

/// What can happen to a definition. On disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DefinitionEvent {
    /// It was kept.
    Kept {
        /// The document.
        text: String,
    },
}

impl Aggregate for KeptDefinition {
    type Id = DefinitionId;
    type Command = Keep;
    type Event = DefinitionEvent;
    type Held = ();
    type Local = ();

    fn stream(id: &DefinitionId) -> StreamId {
        let mut bytes = [KIND; 33];
        bytes[1..].copy_from_slice(&id.0);
        StreamId::from_bytes(&bytes)
    }

    fn id_of(stream: &StreamId) -> Option<DefinitionId> {
        let hash = stream.as_bytes().strip_prefix(&[KIND])?;
        Some(DefinitionId(hash.try_into().ok()?))
    }

    fn decide(
        _: &DefinitionId,
        state: Option<&Self>,
        Keep { text }: Keep,
        _: &Limits,
    ) -> Result<Vec<DefinitionEvent>, EngineError> {
        match state {
            Some(_) => Err(Refused::Present.into()),
            None => Ok(vec![DefinitionEvent::Kept { text }]),
        }
    }

    fn begin(_: &DefinitionId, at: Timestamp, DefinitionEvent::Kept { text }: &DefinitionEvent) -> Option<Self> {
        Some(Self { text: text.clone(), at })
    }

    fn apply(&mut self, _: Timestamp, _: &DefinitionEvent) {}

    fn version(&self) -> u64 {
        1
    }

    fn generation(&self) -> Generation {
        Generation(0)
    }

    fn is_public(_: &DefinitionEvent) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        self.text.len()
    }

    fn summary(&self, _: &Limits) -> Summary {
        Summary::unlisted(CODE, self.at, None)
    }
}
