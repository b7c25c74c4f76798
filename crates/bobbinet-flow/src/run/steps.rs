//! Entering steps and leaving them: the data flow of the specification, in its order, and what comes next.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;

use super::{
    ROOT, Turn,
    error::{Error, Standard},
    record::{Effect, Id, News},
    state::{Doing, Frame, Names, Phase, Purpose, Work},
};
use crate::document::{For, Kind, ListId, Task, TaskId, Then};

impl<'a> Turn<'a> {
    /// Begins a list of steps.
    pub(super) fn begin(&mut self, owner: Id, list: ListId, input: Arc<Json>, names: Names) {
        match self.definition.list(list).first() {
            Some(task) => self.state.pending.push_back(Work::Enter { owner, task: *task, slot: 0, input, names }),
            // A list without steps is a finding, and its definition does not run.
            None => self.list_done(owner, input),
        }
    }

    /// `if` on the raw input, then `input.schema`, then `input.from`, then the step itself.
    pub(super) fn enter(&mut self, owner: Id, id: TaskId, slot: usize, raw: Arc<Json>, names: Names) {
        if !self.state.frames.contains_key(&owner) {
            return;
        }
        let definition = self.definition;
        let task = definition.task(id);
        self.entered += 1;
        self.state.steps += 1;
        let limits = self.around.limits;
        if self.state.steps > limits.steps {
            let detail = format!("a run enters at most {} steps", limits.steps);
            return self.fail_run(Error::standard(Standard::Runtime, detail).at(&task.pointer));
        }
        let depth = self.state.frames[&owner].depth + 1;
        if depth > limits.depth {
            let detail = format!("steps stand in one another at most {} deep", limits.depth);
            return self.fail_run(Error::standard(Standard::Runtime, detail).at(&task.pointer));
        }
        let scope = self.before(task, &raw, &names);
        let holds = task.condition.as_ref().map_or(Ok(true), |condition| self.holds(condition, &raw, &scope));
        drop(scope);
        match holds {
            Ok(true) => {}
            Ok(false) => {
                self.progress(task, News::Skipped);
                return self.came_back(owner, id, slot, raw, &Then::Continue);
            }
            Err(error) => return self.child_failed(owner, error.at(&task.pointer)),
        }
        self.progress(task, News::Entered);
        let frame = self.next_id();
        let doing = Doing::Steps;
        let (entered, input) = (self.at, raw.clone());
        let entry = Frame { owner: Some(owner), task: Some(id), slot, depth, raw, input, names, entered, doing };
        self.state.frames.insert(frame, entry);
        if let Err(error) = self.take_input(frame, task).and_then(|()| self.carry_out(frame, task)) {
            self.fail(frame, error);
        }
    }

    fn take_input(&mut self, frame: Id, task: &'a Task) -> Result<(), Error> {
        let entry = &self.state.frames[&frame];
        let raw = entry.raw.clone();
        self.validated(task.input.schema.as_ref(), &raw, "the input")?;
        if let Some(from) = &task.input.from {
            let input = self.fill(from, &raw, &self.before(task, &raw, &entry.names))?;
            if let Some(entry) = self.state.frames.get_mut(&frame) {
                entry.input = input;
            }
        }
        match &task.timeout {
            Some(span) => self.set_timeout(frame, span, Purpose::Timeout),
            None => Ok(()),
        }
    }

    fn carry_out(&mut self, frame: Id, task: &'a Task) -> Result<(), Error> {
        let entry = self.state.frames[&frame].clone();
        let input = entry.input.clone();
        match &task.kind {
            Kind::Do(list) => self.begin(frame, *list, input, entry.names),
            Kind::Set(values) => {
                let output = self.fill(values, &input, &self.within(&entry))?;
                self.state.pending.push_front(Work::Leave { frame, output });
            }
            Kind::Switch(cases) => {
                let mut then = &task.then;
                for case in cases {
                    let holds = match &case.when {
                        Some(when) => self.holds(when, &input, &self.within(&entry))?,
                        None => true,
                    };
                    if holds {
                        then = &case.then;
                        break;
                    }
                }
                self.leave_to(frame, input, then);
            }
            Kind::For(looped) => {
                let items = self.fill(&looped.items, &input, &self.within(&entry))?;
                let Json::Array(items) = &*items else {
                    return Err(Error::standard(Standard::Expression, "for.in gives no list"));
                };
                if items.len() > self.around.limits.iterations {
                    let detail = format!(
                        "a loop has at most {} rounds, and this one {}",
                        self.around.limits.iterations,
                        items.len()
                    );
                    return Err(Error::standard(Standard::Runtime, detail));
                }
                self.set(frame, Doing::Looping { items: Arc::new(items.clone()), round: 0 });
                self.round(frame, looped, input)?;
            }
            Kind::Fork { branches, .. } => {
                let count = self.definition.list(*branches).len();
                self.set(frame, Doing::Forking { outputs: vec![None; count], next: 0, running: 0, failure: None });
                self.widen(frame, *branches);
            }
            Kind::Raise(template) => {
                let scope = self.within(&entry);
                let kind = self.fill(&template.kind, &input, &scope)?;
                let status = self.fill(&template.status, &input, &scope)?;
                let mut error = Error {
                    kind: kind.as_str().unwrap_or_default().to_owned(),
                    status: status.as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500),
                    title: None,
                    detail: None,
                    instance: None,
                };
                for (name, value) in &template.others {
                    let value = self.fill(value, &input, &scope)?;
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    match name.as_str() {
                        "title" => error.title = Some(text),
                        "detail" => error.detail = Some(text),
                        _ => error.instance = Some(text),
                    }
                }
                return Err(error);
            }
            Kind::Try { body, catch } => {
                self.set(frame, Doing::Trying { attempt: 1, began: self.at, phase: Phase::Trying });
                self.set_attempt_timeout(frame, catch)?;
                self.begin(frame, *body, input, entry.names);
            }
            Kind::Wait(span) => {
                let length = self.length(span, &input, &self.within(&entry))?;
                self.set(frame, Doing::Waiting);
                self.set_timer(frame, self.at.after(length), Purpose::Wait);
            }
            Kind::Emit(attributes) => {
                let event = self.event(frame, attributes)?;
                self.effects.push(Effect::Emit { event: event.clone() });
                self.state.pending.push_front(Work::Leave { frame, output: event });
            }
            Kind::Listen(listen) => self.begin_listening(frame, task, listen),
            Kind::Call(call) => self.begin_call(frame, task, call)?,
        }
        Ok(())
    }

    /// The next round of a loop, or its end.
    fn round(&mut self, frame: Id, looped: &For, input: Arc<Json>) -> Result<(), Error> {
        let entry = self.state.frames[&frame].clone();
        let Doing::Looping { items, round } = &entry.doing else { return Ok(()) };
        let Some(item) = items.get(*round) else {
            self.state.pending.push_front(Work::Leave { frame, output: input });
            return Ok(());
        };
        let mut names = BTreeMap::clone(&entry.names);
        names.insert(looped.each.clone(), Arc::new(item.clone()));
        names.insert(looped.at.clone(), Arc::new(Json::from(*round)));
        let names = Arc::new(names);
        if let Some(condition) = &looped.condition {
            let inner = Frame { names: names.clone(), ..entry };
            if !self.holds(condition, &input, &self.within(&inner))? {
                self.state.pending.push_front(Work::Leave { frame, output: input });
                return Ok(());
            }
        }
        self.begin(frame, looped.body, input, names);
        Ok(())
    }

    /// Begins as many branches as may run at once.
    fn widen(&mut self, frame: Id, branches: ListId) {
        let tasks = self.definition.list(branches);
        let width = self.around.limits.fork_width;
        let Some(entry) = self.state.frames.get_mut(&frame) else { return };
        let (input, names) = (entry.input.clone(), entry.names.clone());
        let Doing::Forking { next, running, .. } = &mut entry.doing else { return };
        while *running < width && *next < tasks.len() {
            let (owner, task, slot) = (frame, tasks[*next], *next);
            let work = Work::Enter { owner, task, slot, input: input.clone(), names: names.clone() };
            self.state.pending.push_back(work);
            *next += 1;
            *running += 1;
        }
    }

    /// A step has given this.
    pub(super) fn leave(&mut self, frame: Id, output: Arc<Json>) {
        let Some(task) = self.task_of(frame) else { return };
        self.leave_to(frame, output, &task.then);
    }

    /// `output.as`, `output.schema`, `export.as`, `export.schema`, and on to what comes next.
    pub(super) fn leave_to(&mut self, frame: Id, raw_output: Arc<Json>, then: &Then) {
        let Some(task) = self.task_of(frame) else { return };
        let entry = self.state.frames[&frame].clone();
        let result = (|| {
            let mut scope = self.within(&entry);
            scope.raw_output = Some(raw_output.clone());
            let output = self.transformed(&task.output, &raw_output, &scope, "the output")?;
            scope.output = Some(output.clone());
            let is_exported = task.export.filter.is_some() || task.export.schema.is_some();
            let context = match &task.export.filter {
                Some(_) => self.transformed(&task.export, &output, &scope, "the context")?,
                None => self.state.context.clone(),
            };
            if is_exported {
                self.validated(task.export.schema.as_ref(), &context, "the context")?;
            }
            Ok((output, context))
        })();
        match result {
            Ok((output, context)) => {
                self.state.context = context;
                self.progress(task, News::Done);
                self.drop_frame(frame);
                if let (Some(owner), Some(id)) = (entry.owner, entry.task) {
                    self.came_back(owner, id, entry.slot, output, then);
                }
            }
            Err(error) => self.fail(frame, error),
        }
    }

    /// A step of this owner is over, and says what comes next.
    fn came_back(&mut self, owner: Id, task: TaskId, slot: usize, output: Arc<Json>, then: &Then) {
        let Some(entry) = self.state.frames.get(&owner) else { return };
        if *then == Then::End {
            return self.finish_run(output);
        }
        if let Doing::Forking { .. } = entry.doing {
            return self.branch_done(owner, slot, output);
        }
        let next = match then {
            Then::Continue => self.definition.next(task),
            Then::Exit | Then::End => None,
            Then::Go { to, .. } => *to,
        };
        match next {
            Some(task) => {
                let names = self.names_below(owner);
                self.state.pending.push_front(Work::Enter { owner, task, slot, input: output, names });
            }
            None => self.list_done(owner, output),
        }
    }

    /// The names that steps of this owner see: its own, and what it gives them.
    fn names_below(&self, owner: Id) -> Names {
        let entry = &self.state.frames[&owner];
        let task = entry.task.map(|task| self.definition.task(task));
        let mut names = BTreeMap::clone(&entry.names);
        match (&entry.doing, task.map(|task| &task.kind)) {
            (Doing::Looping { items, round }, Some(Kind::For(looped))) => {
                names.insert(looped.each.clone(), Arc::new(items.get(*round).cloned().unwrap_or_default()));
                names.insert(looped.at.clone(), Arc::new(Json::from(*round)));
            }
            (Doing::Listening(listening), Some(Kind::Listen(listen))) => {
                if let Some(each) = &listen.each {
                    let at = listening.begun.saturating_sub(1);
                    names.insert(each.item.clone(), Arc::new(listening.consumed.get(at).cloned().unwrap_or_default()));
                    names.insert(each.at.clone(), Arc::new(Json::from(at)));
                }
            }
            _ => {}
        }
        Arc::new(names)
    }

    /// A list of steps of this owner is over.
    fn list_done(&mut self, owner: Id, output: Arc<Json>) {
        if owner == ROOT {
            return self.finish_run(output);
        }
        let Some(task) = self.task_of(owner) else { return };
        let Some(entry) = self.state.frames.get_mut(&owner) else { return };
        match (&mut entry.doing, &task.kind) {
            (Doing::Looping { round, .. }, Kind::For(looped)) => {
                *round += 1;
                if let Err(error) = self.round(owner, looped, output) {
                    self.fail(owner, error);
                }
            }
            (Doing::Trying { phase: Phase::Catching, .. }, Kind::Try { catch, .. }) => {
                let then = catch.then.as_ref().unwrap_or(&task.then);
                self.leave_to(owner, output, then);
            }
            (Doing::Listening(_), Kind::Listen(listen)) => self.each_done(owner, listen, &output),
            _ => self.leave(owner, output),
        }
    }

    fn branch_done(&mut self, owner: Id, slot: usize, output: Arc<Json>) {
        let Some(task) = self.task_of(owner) else { return };
        let Kind::Fork { branches, compete } = &task.kind else { return };
        let Some(entry) = self.state.frames.get_mut(&owner) else { return };
        let Doing::Forking { outputs, running, .. } = &mut entry.doing else { return };
        if *compete {
            self.drop_below(owner);
            return self.leave(owner, output);
        }
        *running -= 1;
        outputs[slot] = Some(output);
        if outputs.iter().all(Option::is_some) {
            let all = outputs.iter().flatten().map(|output| Json::clone(output)).collect();
            return self.leave(owner, Arc::new(Json::Array(all)));
        }
        self.widen(owner, *branches);
    }

    /// A step has failed. What is in it ends, and its owner decides what that means.
    pub(super) fn fail(&mut self, frame: Id, error: Error) {
        if frame == ROOT {
            return self.fail_run(error);
        }
        let Some(task) = self.task_of(frame) else { return };
        let error = error.at(&task.pointer);
        let entry = &self.state.frames[&frame];
        let owner = entry.owner;
        let title = error.title.clone().or_else(|| error.detail.clone()).unwrap_or_else(|| error.kind.clone());
        self.progress(task, News::Failed { title });
        self.drop_below(frame);
        self.drop_frame(frame);
        if let Some(owner) = owner {
            self.child_failed(owner, error);
        }
    }

    fn child_failed(&mut self, owner: Id, error: Error) {
        if owner == ROOT {
            return self.fail_run(error);
        }
        let Some(task) = self.task_of(owner) else { return };
        let Some(entry) = self.state.frames.get_mut(&owner) else { return };
        match (&mut entry.doing, &task.kind) {
            (Doing::Trying { phase: Phase::Trying, .. }, Kind::Try { catch, .. }) => self.caught(owner, catch, error),
            // In a race who fails has lost, and the race with it only if nobody is left.
            (Doing::Forking { outputs, next, running, failure }, Kind::Fork { branches, compete: true }) => {
                *running -= 1;
                let is_over = *running == 0 && *next == outputs.len();
                *failure = Some(error.clone());
                if is_over { self.fail(owner, error) } else { self.widen(owner, *branches) }
            }
            _ => self.fail(owner, error),
        }
    }
}
