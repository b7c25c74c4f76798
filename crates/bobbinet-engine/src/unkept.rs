//! What has been decided and is not kept yet.

use std::{fmt::Debug, sync::Arc};

use bobbinet_store::Step;

use crate::{Aggregate, PublicEvent};

/// What some commands have led to, and the step that keeps it.
#[derive(Debug)]
pub(crate) struct Unkept<A: Aggregate> {
    pub(crate) step: Step,
    pub(crate) news: News<A>,
}

/// What is made known once it is kept.
#[derive(Debug)]
pub(crate) struct News<A: Aggregate> {
    pub(crate) state: Arc<A>,
    pub(crate) events: Vec<Arc<PublicEvent<A>>>,
}

impl<A: Aggregate> Unkept<A> {
    /// This, and what has followed from it: one step in the place of two, with the records of both.
    pub(crate) fn then(mut self, later: Option<Self>) -> Self {
        let Some(Self { step, news }) = later else { return self };
        self.step.records.extend(step.records);
        self.step.cells.extend(step.cells);
        self.step.summary = step.summary;
        self.news.state = news.state;
        self.news.events.extend(news.events);
        self
    }
}
