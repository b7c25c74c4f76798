//! What has been decided and is not kept yet.

use std::{fmt::Debug, sync::Arc};

use bobbinet_store::Step;

use crate::{Aggregate, PublicEvent};

/// The state that some commands have led to, and what is to be kept and told of it.
#[derive(Debug)]
pub(crate) struct Unkept<A: Aggregate> {
    pub(crate) state: Arc<A>,
    pub(crate) step: Step,
    pub(crate) events: Vec<Arc<PublicEvent<A>>>,
}

impl<A: Aggregate> Unkept<A> {
    /// This, and what has followed from it: one step in the place of two, with the records of both.
    pub(crate) fn then(mut self, later: Option<Self>) -> Self {
        let Some(Self { state, step, events }) = later else { return self };
        self.step.records.extend(step.records);
        self.step.cells.extend(step.cells);
        self.events.extend(events);
        Self { state, step: Step { summary: step.summary, ..self.step }, events: self.events }
    }
}
