//! What followers are told.

use std::sync::Arc;

use bobbinet_core::{Generation, Task, Timestamp};

use crate::{Aggregate, record::RecordedEvent};

/// A public event, as it stands in the log.
#[derive(Clone, Debug)]
pub struct PublicEvent<A: Aggregate = Task> {
    /// Which one it is: gapless from 1.
    pub generation: Generation,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: A::Event,
}

impl<A: Aggregate> PublicEvent<A> {
    /// What followers are told of a record; `None` for one that is internal.
    pub(crate) fn of(kept: RecordedEvent<A::Event>) -> Option<Arc<Self>> {
        Some(Arc::new(Self { generation: kept.generation?, at: kept.at, event: kept.event }))
    }
}
