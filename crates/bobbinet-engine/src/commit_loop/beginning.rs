//! New aggregates that begin with the commit of a command to another: all of it is kept, or nothing. Nobody else knows them before, so
//! that nobody waits for a turn at them.

use std::{collections::VecDeque, sync::Arc};

use bobbinet_core::Timestamp;
use bobbinet_store::Step;

use super::{AggregateStreams, Hooks};
use crate::{
    Aggregate, EngineError,
    live::{Live, Queued},
    unkept::{News, Unkept},
};

/// A new aggregate, which nobody drives yet, and the command that it begins with.
#[derive(Debug)]
pub(crate) struct Beginning<A: Aggregate> {
    pub(crate) live: Arc<Live<A>>,
    pub(crate) queued: Queued<A>,
}

/// Those of one batch. What is left when this is dropped has not begun, and whoever waits for it is told so.
pub(crate) struct Beginnings<'a, A: Aggregate, H: Hooks<A>> {
    streams: &'a AggregateStreams<A>,
    hooks: &'a H,
    /// With the place in the batch of the command that each goes with.
    open: Vec<(usize, Beginning<A>)>,
    why_not: Option<EngineError>,
}

/// What those come to whose command is not refused.
pub(crate) struct Together<'a, A: Aggregate, H: Hooks<A> + 'a> {
    /// By their place among the open ones.
    begun: Vec<(usize, News<A>, H::OnItsWay<'a>)>,
}

impl<'a, A: Aggregate, H: Hooks<A>> Beginnings<'a, A, H> {
    pub(crate) fn of(streams: &'a AggregateStreams<A>, hooks: &'a H, batch: &mut VecDeque<Queued<A>>) -> Self {
        let mut open = Vec::new();
        for (index, queued) in batch.iter_mut().enumerate() {
            let with = hooks.beginnings(&mut queued.held);
            open.extend(with.into_iter().map(|beginning| (index, beginning)));
        }
        Self { streams, hooks, open, why_not: None }
    }

    /// Adds to a commit what begins with those of its commands that are not refused.
    pub(crate) fn join(
        &self,
        steps: &mut Vec<Step>,
        answers: &[Result<(), EngineError>],
        now: Timestamp,
    ) -> Together<'a, A, H> {
        let mut begun = Vec::with_capacity(self.open.len());
        for (place, (index, Beginning { live, queued })) in self.open.iter().enumerate() {
            if answers.get(*index).is_none_or(Result::is_err) {
                continue;
            }
            let decided = self.streams.decide(&live.id, None, std::iter::once(&queued.command), now);
            let (unkept, _) = decided.unkept(&live.id, None, now, self.streams.limits());
            if let Some(Unkept { step, news }) = unkept {
                steps.push(step);
                let on_its_way = self.hooks.begin(&news.state);
                begun.push((place, news, on_its_way));
            }
        }
        Together { begun }
    }

    /// They have begun: durable, and not known yet.
    pub(crate) fn begin(&mut self, together: Together<'a, A, H>) {
        let mut begun = together.begun.into_iter().peekable();
        let open = std::mem::take(&mut self.open);
        for (place, (index, beginning)) in open.into_iter().enumerate() {
            let Some((_, News { state: after, events }, on_its_way)) = begun.next_if(|(at, ..)| *at == place) else {
                self.open.push((index, beginning));
                continue;
            };
            let Beginning { live, queued } = beginning;
            self.hooks.kept(&live, None, &after, on_its_way);
            live.publish(after.clone(), events);
            self.streams.cache.weigh(&live, &after);
            let mut batch = VecDeque::from([queued]);
            let next = self.hooks.next(&live, None, &after, &mut batch);
            self.hooks.begun(live, next);
        }
    }

    /// Nobody knows whether they have begun.
    pub(crate) fn doubt(&mut self, together: Together<'a, A, H>, why: &EngineError) {
        for (place, News { state: after, .. }, _) in together.begun {
            if let Some((_, Beginning { live, .. })) = self.open.get(place) {
                self.hooks.doubt(live, None, &after);
            }
        }
        self.fail(why);
    }

    /// Why those that have not begun never will.
    pub(crate) fn fail(&mut self, why: &EngineError) {
        self.why_not = Some(why.clone());
    }
}

impl<A: Aggregate, H: Hooks<A>> Drop for Beginnings<'_, A, H> {
    fn drop(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let why_not = self.why_not.take().unwrap_or_else(|| self.hooks.unanswered());
        for (_, Beginning { live, .. }) in self.open.drain(..) {
            self.hooks.failed(&live);
            self.streams.cache.remove(&live.id);
            live.lose(why_not.clone());
        }
    }
}
