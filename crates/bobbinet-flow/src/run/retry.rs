//! `try`: what is caught, and how it is tried again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Turn,
    error::Error,
    record::{Id, News},
    state::{Doing, Frame, Phase, Purpose},
};
use crate::document::{Backoff, Catch, Kind, Retry};

/// The longest wait between two attempts, however it grows.
const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Turn<'_> {
    /// Something that is tried has failed.
    pub(super) fn caught(&mut self, frame: Id, catch: &Catch, error: Error) {
        self.drop_below(frame);
        self.drop_timers(frame, |purpose| purpose == Purpose::AttemptTimeout);
        let decided = self.is_caught(frame, catch, &error).and_then(|is_caught| {
            let pause = match (&catch.retry, is_caught) {
                (Some(retry), true) => self.pause(frame, retry, catch, &error)?,
                (Some(_) | None, _) => None,
            };
            Ok((is_caught, pause))
        });
        match decided {
            Err(error) => self.fail(frame, error),
            Ok((false, _)) => self.fail(frame, error),
            Ok((true, Some(pause))) => self.retry_after(frame, pause),
            // Whoever only says how to try again has not said that the failure does not matter.
            Ok((true, None)) if catch.retry.is_some() && catch.body.is_none() && catch.then.is_none() => {
                self.fail(frame, error);
            }
            Ok((true, None)) => self.handle(frame, catch, &error),
        }
    }

    fn is_caught(&self, frame: Id, catch: &Catch, error: &Error) -> Result<bool, Error> {
        if !error.has(&catch.with) {
            return Ok(false);
        }
        let inner = self.with_error(frame, catch, error);
        let scope = self.within(&inner);
        let when = catch.when.as_ref().map_or(Ok(true), |when| self.holds(when, &inner.input, &scope))?;
        let except = catch.except_when.as_ref().map_or(Ok(false), |except| self.holds(except, &inner.input, &scope))?;
        Ok(when && !except)
    }

    /// How long to wait before the next attempt, if there is one.
    fn pause(&self, frame: Id, retry: &Retry, catch: &Catch, error: &Error) -> Result<Option<Duration>, Error> {
        let inner = self.with_error(frame, catch, error);
        let Doing::Trying { attempt, began, .. } = inner.doing else { return Ok(None) };
        let scope = self.within(&inner);
        let input = &inner.input;
        if let Some(when) = &retry.when
            && !self.holds(when, input, &scope)?
        {
            return Ok(None);
        }
        if let Some(except) = &retry.except_when
            && self.holds(except, input, &scope)?
        {
            return Ok(None);
        }
        if retry.attempts.is_some_and(|attempts| u64::from(attempt) > attempts) {
            return Ok(None);
        }
        let delay = retry.delay.as_ref().map_or(Ok(Duration::ZERO), |span| self.length(span, input, &scope))?;
        let factor = match retry.backoff {
            Backoff::Constant => 1,
            Backoff::Linear => attempt,
            Backoff::Exponential => 1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX),
        };
        let mut pause = delay.checked_mul(factor).unwrap_or(DELAY_MAX).min(DELAY_MAX);
        if let Some((from, to)) = &retry.jitter {
            let (from, to) = (self.length(from, input, &scope)?, self.length(to, input, &scope)?);
            let width = u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(0);
            pause += from + Duration::from_millis(if width == 0 { 0 } else { self.chance % (width + 1) });
        }
        if let Some(limit) = &retry.limit
            && self.at.after(pause).since(began) > self.length(limit, input, &scope)?
        {
            return Ok(None);
        }
        Ok(Some(pause))
    }

    fn retry_after(&mut self, frame: Id, pause: Duration) {
        let at = self.at.after(pause);
        let Some(task) = self.task_of(frame) else { return };
        let Some(entry) = self.state.frames.get_mut(&frame) else { return };
        let Doing::Trying { attempt, phase, .. } = &mut entry.doing else { return };
        *attempt += 1;
        *phase = Phase::Pausing;
        let attempt = *attempt;
        self.progress(task, News::Retrying { attempt, at });
        // Even no pause is one: a step that fails at once must not keep the turn.
        self.set_timer(frame, at, Purpose::Retry);
    }

    /// The next attempt is due.
    pub(super) fn retry(&mut self, frame: Id) {
        let Some(task) = self.task_of(frame) else { return };
        let Kind::Try { body, catch } = &task.kind else { return };
        let Some(entry) = self.state.frames.get_mut(&frame) else { return };
        if let Doing::Trying { phase, .. } = &mut entry.doing {
            *phase = Phase::Trying;
        }
        let (input, names) = (entry.input.clone(), entry.names.clone());
        match self.set_attempt_timeout(frame, catch) {
            Ok(()) => self.begin(frame, *body, input, names),
            Err(error) => self.fail(frame, error),
        }
    }

    pub(super) fn set_attempt_timeout(&mut self, frame: Id, catch: &Catch) -> Result<(), Error> {
        match catch.retry.as_ref().and_then(|retry| retry.attempt_limit.as_ref()) {
            Some(span) => self.set_timeout(frame, span, Purpose::AttemptTimeout),
            None => Ok(()),
        }
    }

    pub(super) fn attempt_timed_out(&mut self, frame: Id, error: Error) {
        let Some(task) = self.task_of(frame) else { return };
        if let Kind::Try { catch, .. } = &task.kind {
            self.caught(frame, catch, error.at(&task.pointer));
        }
    }

    fn handle(&mut self, frame: Id, catch: &Catch, error: &Error) {
        let Some(task) = self.task_of(frame) else { return };
        let inner = self.with_error(frame, catch, error);
        if let Some(entry) = self.state.frames.get_mut(&frame)
            && let Doing::Trying { phase, .. } = &mut entry.doing
        {
            *phase = Phase::Catching;
            entry.names = inner.names.clone();
        }
        match catch.body {
            Some(body) => self.begin(frame, body, inner.input, inner.names),
            None => self.leave_to(frame, inner.input, catch.then.as_ref().unwrap_or(&task.then)),
        }
    }

    /// The frame as those see it who know its error.
    fn with_error(&self, frame: Id, catch: &Catch, error: &Error) -> Frame {
        let entry = self.state.frames[&frame].clone();
        let mut names = BTreeMap::clone(&entry.names);
        names.insert(catch.name.clone(), Arc::new(error.json()));
        Frame { names: Arc::new(names), ..entry }
    }
}
