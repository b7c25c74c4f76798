//! What a stream is made of.

use std::sync::Arc;

use bobbinet_core::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How many records a stream has had, trimmed ones included. The first record is version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The version of a stream that does not exist.
    pub const ZERO: Self = Self(0);

    /// The version after `count` more records.
    #[must_use]
    pub fn plus(self, count: usize) -> Self {
        Self(self.0 + count as u64)
    }
}

/// One entry of a log: bytes, and the number of their format. A store never looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which format the body has. A reader refuses a newer one than it knows.
    pub format: u16,
    /// What was recorded, in the writer's encoding.
    pub body: Bytes,
}

/// A cell's name within its stream, at most 512 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Bytes);

/// A named value of a stream, as of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it is found by; a reader asks for all whose keys begin alike.
    pub key: Key,
    /// The version at which it got this value.
    pub version: Version,
    /// What it was set to then.
    pub value: Bytes,
}

/// What a store knows of a stream: what it lists, counts and wakes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The installation: no list and no tail of one shows another's streams.
    pub tenant: Arc<str>,
    /// The caller whose stream it is.
    pub owner: Arc<str>,
    /// The agent that works on it.
    pub agent: Arc<str>,
    /// The context that it belongs to.
    pub context: Arc<str>,
    /// A number for its state.
    pub state: u8,
    /// Since when it is in that state.
    pub status_at: Timestamp,
    /// When somebody must look at it, if ever.
    pub due: Option<Timestamp>,
}

impl Summary {
    /// Of a stream that no list shows: it is nobody's, and no agent's.
    pub fn unlisted(state: u8, status_at: Timestamp, due: Option<Timestamp>) -> Self {
        let nobody = || Arc::from("");
        Self { tenant: nobody(), owner: nobody(), agent: nobody(), context: nobody(), state, status_at, due }
    }
}

/// All of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the store knows of it.
    pub summary: Option<Summary>,
    /// How many records it has had.
    pub version: Version,
    /// The newest value of each cell, in the order of their keys.
    pub cells: Vec<Cell>,
    /// The version of the last record that was trimmed away; zero if none was.
    pub trimmed: Version,
    /// The records after that, in order.
    pub records: Vec<Record>,
}

impl Loaded {
    /// How many bytes its records and cells have.
    pub fn bytes(&self) -> usize {
        let records = self.records.iter().map(|record| record.body.len());
        records.chain(self.cells.iter().map(|cell| cell.key.0.len() + cell.value.len())).sum()
    }
}

/// Some records of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// These follow the version that was asked for. None: there are none yet.
    Records(Vec<Record>),
    /// What was asked for is gone; the first record that is left has this version.
    Trimmed {
        /// The oldest version that can still be read.
        first: Version,
    },
}
