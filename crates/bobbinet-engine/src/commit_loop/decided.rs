//! What commands come to, before it is kept.

use std::sync::Arc;

use bobbinet_core::{Generation, Limits, Timestamp};
use bobbinet_store::{Step, Version};

use crate::{
    Aggregate, EngineError, PublicEvent, record,
    unkept::{News, Unkept},
};

/// What some commands came to.
#[derive(Debug)]
pub(crate) struct Decided<A: Aggregate> {
    pub(super) state: Option<A>,
    /// What has happened, each with its generation if the world is told.
    pub(super) events: Vec<(Option<Generation>, A::Event)>,
    pub(super) answers: Vec<Result<(), EngineError>>,
}

impl<A: Aggregate> Decided<A> {
    /// What is to be kept of it, `None` if nothing has happened; and the answers to the commands.
    pub(crate) fn unkept(
        self,
        id: &A::Id,
        before: Option<&A>,
        now: Timestamp,
        limits: &Limits,
    ) -> (Option<Unkept<A>>, Vec<Result<(), EngineError>>) {
        let step = self.step(id, before, now, limits);
        let unkept = self.state.zip(step).map(|(state, step)| Unkept {
            step,
            news: News { state: Arc::new(state), events: public_events(now, self.events).collect() },
        });
        (unkept, self.answers)
    }

    pub(super) fn take(&mut self, id: &A::Id, before: Option<&A>, now: Timestamp, event: A::Event) {
        match (&mut self.state, before) {
            (Some(state), _) => state.apply(now, &event),
            (None, Some(before)) => self.state.insert(before.clone()).apply(now, &event),
            (None, None) => self.state = A::begin(id, now, &event),
        }
        let state = self.state.as_ref().expect("what does not exist is decided to begin, and nothing else");
        let generation = A::is_public(&event).then_some(state.generation());
        self.events.push((generation, event));
    }

    fn step(&self, id: &A::Id, before: Option<&A>, now: Timestamp, limits: &Limits) -> Option<Step> {
        let after = self.state.as_ref()?;
        Some(Step {
            stream: A::stream(id),
            expected: Version(before.map_or(0, A::version)),
            records: record::encode(now, self.events.iter().map(|(generation, event)| (*generation, event))),
            cells: Vec::new(),
            summary: Some(after.summary(limits)),
        })
    }
}

/// The public ones of some events.
fn public_events<A: Aggregate>(
    at: Timestamp,
    events: impl IntoIterator<Item = (Option<Generation>, A::Event)>,
) -> impl Iterator<Item = Arc<PublicEvent<A>>> {
    let as_public = move |(generation, event): (Option<Generation>, _)| {
        Some(Arc::new(PublicEvent { generation: generation?, at, event }))
    };
    events.into_iter().filter_map(as_public)
}
