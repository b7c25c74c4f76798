//! The steps that are being carried out, with their timers: setting them up and taking them down.

use super::{
    Turn,
    error::{Error, Standard},
    record::{Effect, Id},
    state::{Doing, Purpose, Timer, Work},
};
use crate::document::{Span, Task};

impl<'a> Turn<'a> {
    pub(super) fn task_of(&self, frame: Id) -> Option<&'a Task> {
        let definition = self.definition;
        self.state.frames.get(&frame)?.task.map(|task| definition.task(task))
    }

    pub(super) fn set(&mut self, frame: Id, doing: Doing) {
        if let Some(entry) = self.state.frames.get_mut(&frame) {
            entry.doing = doing;
        }
    }

    pub(super) fn set_timer(&mut self, frame: Id, until: bobbinet_core::Timestamp, purpose: Purpose) {
        let timer = self.next_id();
        self.state.timers.insert(timer, Timer { frame, until, purpose });
        self.effects.push(Effect::Timer { timer, until });
    }

    pub(super) fn set_timeout(&mut self, frame: Id, span: &Span, purpose: Purpose) -> Result<(), Error> {
        let entry = &self.state.frames[&frame];
        let length = self.length(span, &entry.input, &self.within(entry))?;
        self.set_timer(frame, self.at.after(length), purpose);
        Ok(())
    }

    /// Drops the timers of a frame that are for this.
    pub(super) fn drop_timers(&mut self, frame: Id, is_meant: impl Fn(Purpose) -> bool) {
        let meant = self.state.timers.iter().filter(|(_, timer)| timer.frame == frame && is_meant(timer.purpose));
        let meant: Vec<Id> = meant.map(|(id, _)| *id).collect();
        for timer in meant {
            self.state.timers.remove(&timer);
            self.effects.push(Effect::Drop { timer });
        }
    }

    /// Ends everything within a frame, and not the frame.
    pub(super) fn drop_below(&mut self, frame: Id) {
        // Whoever stands in another was entered after it.
        let mut below = std::collections::BTreeSet::from([frame]);
        let later: Vec<(Id, Option<Id>)> =
            self.state.frames.range(frame..).map(|(id, entry)| (*id, entry.owner)).skip(1).collect();
        for (id, owner) in later {
            if owner.is_some_and(|owner| below.contains(&owner)) {
                below.insert(id);
            }
        }
        for id in below.into_iter().skip(1).rev().collect::<Vec<_>>() {
            self.drop_frame(id);
        }
        let frames = &self.state.frames;
        self.state.pending.retain(|work| match work {
            Work::Enter { owner, .. } => *owner != frame && frames.contains_key(owner),
            Work::Leave { frame: of, .. } | Work::Fail { frame: of, .. } => frames.contains_key(of),
        });
    }

    /// Takes a frame away, with what it has open.
    pub(super) fn drop_frame(&mut self, frame: Id) {
        self.drop_timers(frame, |_| true);
        let Some(entry) = self.state.frames.remove(&frame) else { return };
        match entry.doing {
            Doing::Calling { .. } => {
                self.effects.push(Effect::Cancel { call: frame });
                self.forget_question(frame);
            }
            Doing::Listening(_) => self.effects.push(Effect::Unlisten { listen: frame }),
            Doing::Steps | Doing::Waiting | Doing::Looping { .. } | Doing::Forking { .. } | Doing::Trying { .. } => {}
        }
    }

    /// A timer is due.
    pub(super) fn fired(&mut self, timer: Id) {
        let Some(Timer { frame, purpose, .. }) = self.state.timers.remove(&timer) else { return };
        let timeout = || Error::standard(Standard::Timeout, "this took too long");
        match purpose {
            Purpose::Continue => {}
            Purpose::Wait => {
                let output = self.state.frames.get(&frame).map(|entry| entry.input.clone()).unwrap_or_default();
                self.leave(frame, output);
            }
            Purpose::Timeout => self.fail(frame, timeout()),
            Purpose::AttemptTimeout => self.attempt_timed_out(frame, timeout()),
            Purpose::Retry => self.retry(frame),
        }
    }
}
