//! What lives as one stream: a state, decided by a pure function, folded from its log.

use std::fmt::{Debug, Display};

use bobbinet_core::{Generation, Limits, StreamId, Timestamp};
use bobbinet_store::Summary;
use serde::{Serialize, de::DeserializeOwned};

use crate::EngineError;

/// A kind of stream. One commit loop, one cache and one kind of follower serve all kinds; what differs is here.
pub trait Aggregate: Clone + Debug + Send + Sync + Sized + 'static {
    /// What names one.
    type Id: Copy + Ord + Debug + Display + Send + Sync + 'static;
    /// What can be asked of one.
    type Command: Clone + Debug + Send + Sync + 'static;
    /// What can happen to one. Kept in its log as JSON.
    type Event: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What a command holds while it waits to be decided: a call slot, say.
    type Held: Default + Debug + Send + 'static;
    /// What this process alone knows of one that is in memory.
    type Local: LocalState<Self>;

    /// Whether each of its events says all that is to be known, so that its log may be read from anywhere.
    const CAN_BE_TRIMMED: bool = false;

    /// Whether followers are told each of its events, so that a generation is a version, and a follower need not look for its place.
    const IS_ALL_PUBLIC: bool = false;

    /// Whether one that is due is dropped with all that belongs to it, and told nothing.
    const IS_DROPPED_WHEN_DUE: bool = false;

    /// The stream that keeps it.
    fn stream(id: &Self::Id) -> StreamId;

    /// The one that this stream keeps, if it keeps one of this kind.
    fn id_of(stream: &StreamId) -> Option<Self::Id>;

    /// What is said to one that is due ([`Summary::due`]), if anything.
    fn when_due(summary: &Summary) -> Option<Self::Command> {
        let _ = summary;
        None
    }

    /// All its logic. Pure: no I/O, no clock, no randomness (DESIGN section 3, invariant 1).
    ///
    /// # Errors
    /// Why nothing happens.
    fn decide(
        id: &Self::Id,
        state: Option<&Self>,
        command: Self::Command,
        limits: &Limits,
    ) -> Result<Vec<Self::Event>, EngineError>;

    /// The state after the first event; `None` if that is not how one begins.
    fn begin(id: &Self::Id, at: Timestamp, event: &Self::Event) -> Option<Self>;

    /// Folds a further event into the state.
    fn apply(&mut self, at: Timestamp, event: &Self::Event);

    /// How many events it has had.
    fn version(&self) -> u64;

    /// How many of them are public.
    fn generation(&self) -> Generation;

    /// How many of its first events need not be kept. Only for a kind that can be trimmed.
    fn dispensable(&self) -> u64 {
        0
    }

    /// Whether followers are told of it.
    fn is_public(event: &Self::Event) -> bool;

    /// Whether nothing will happen to it any more: its followers end then.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether whoever waits for it to come to rest need wait no longer.
    fn is_settled(&self) -> bool {
        true
    }

    /// Roughly the bytes it takes in memory.
    fn bytes(&self) -> usize;

    /// What the store lists and wakes it by.
    fn summary(&self, limits: &Limits) -> Summary;
}

/// What this process alone knows of a live aggregate.
pub trait LocalState<A: Aggregate>: Default + Debug + Send + 'static {
    /// Takes a command that waits beside the queue, such as the newest progress of a run: it is decided before what is queued.
    fn take_pending_command(&mut self) -> Option<(A::Command, A::Held)> {
        None
    }
}

impl<A: Aggregate> LocalState<A> for () {}
