//! What a run waits for: its children, timers, answers and events.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_core::{MessageId, Task, Timestamp};
use bobbinet_engine::{ChildError, Handle, Run};
use bobbinet_flow::run::Id;
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use serde_json::Value;

use crate::listening::Hearing;

/// How soon a timer looks at the clock again, which may have been set meanwhile.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);

/// Something that was waited for.
pub(crate) enum Happened {
    /// A child has ended, or asks.
    Child(Id, Result<Arc<Task>, ChildError>),
    /// A timer is due.
    Fired(Id),
    /// The question of this call has an answer.
    Answered(Id, Result<Value, ChildError>),
    /// A wait for events has heard some.
    Heard(Id, Hearing),
}

/// What is waited for, by what and by whose name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum For {
    Child(Id),
    Timer(Id),
    Answer(Id),
    Events(Id),
}

/// All that a run waits for.
#[derive(Default)]
pub(crate) struct Waiting {
    pending: FuturesUnordered<Abortable<BoxFuture<'static, Happened>>>,
    handles: BTreeMap<For, AbortHandle>,
}

impl Waiting {
    pub(crate) fn child(&mut self, run: &Run, call: Id, handle: Handle) {
        let run = run.clone();
        self.push(For::Child(call), async move { Happened::Child(call, run.settled(&handle).await) }.boxed());
    }

    pub(crate) fn timer(&mut self, run: &Run, timer: Id, until: Timestamp) {
        let run = run.clone();
        let due = async move {
            loop {
                let left = until.since(run.now());
                if left.is_zero() {
                    return Happened::Fired(timer);
                }
                tokio::time::sleep(left.min(LOOK_AT_CLOCK)).await;
            }
        };
        self.push(For::Timer(timer), due.boxed());
    }

    pub(crate) fn answer(&mut self, run: &Run, call: Id, question: MessageId) {
        let run = run.clone();
        let answered = async move {
            let answer = run.answered(&question).await;
            Happened::Answered(call, answer.map(|answer| answer.to_value()))
        };
        self.push(For::Answer(call), answered.boxed());
    }

    /// Waits for events, as [`crate::listening`] hears them.
    pub(crate) fn events(&mut self, listen: Id, hearing: impl Future<Output = Hearing> + Send + 'static) {
        self.push(For::Events(listen), hearing.map(move |hearing| Happened::Heard(listen, hearing)).boxed());
    }

    fn push(&mut self, what: For, future: BoxFuture<'static, Happened>) {
        let (future, handle) = abortable(future);
        if let Some(before) = self.handles.insert(what, handle) {
            before.abort();
        }
        self.pending.push(future);
    }

    /// This is not waited for any more.
    pub(crate) fn forget(&mut self, what: For) {
        if let Some(handle) = self.handles.remove(&what) {
            handle.abort();
        }
    }

    /// Whether nothing is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// What has happened already, if anything has.
    pub(crate) fn now(&mut self) -> Option<Happened> {
        loop {
            match self.pending.next().now_or_never()?? {
                Ok(happened) => return Some(self.done(happened)),
                Err(_aborted) => {}
            }
        }
    }

    /// The next thing that happens; `None` if nothing is waited for.
    pub(crate) async fn next(&mut self) -> Option<Happened> {
        loop {
            if let Ok(happened) = self.pending.next().await? {
                return Some(self.done(happened));
            }
        }
    }

    fn done(&mut self, happened: Happened) -> Happened {
        let what = match &happened {
            Happened::Child(call, _) => For::Child(*call),
            Happened::Fired(timer) => For::Timer(*timer),
            Happened::Answered(call, _) => For::Answer(*call),
            Happened::Heard(listen, _) => For::Events(*listen),
        };
        self.handles.remove(&what);
        happened
    }
}
