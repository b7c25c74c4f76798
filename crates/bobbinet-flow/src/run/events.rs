//! Events: those that are sent, and those that are waited for.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::CloudEvent;
use serde_json::{Map, Value as Json};

use super::{
    Turn,
    error::{Error, Standard},
    listen_effect::{filters, listen_effect},
    record::Id,
    state::{Doing, Frame, Listening},
};
use crate::{
    document::{Filter, ForEach, Kind, Listen, Match, ReadAs, Strategy, Task, Until},
    template::Template,
};

impl Listening {
    /// Nothing was heard yet.
    pub(super) fn begun(listen: &Listen) -> Self {
        let mut listening = Self::default();
        if let Strategy::All(filters) = &listen.to {
            listening.found = vec![false; filters.len()];
        }
        if let Strategy::Any(_, Some(Until::Events(until))) = &listen.to {
            listening.until = vec![false; filters(until).len()];
        }
        listening
    }
}

impl<'a> Turn<'a> {
    /// The event that a step sends. Its id and time are the step's, so that it is the same event however often it is sent.
    pub(super) fn event(&self, frame: Id, attributes: &Template) -> Result<Arc<Json>, Error> {
        let entry = &self.state.frames[&frame];
        let filled = self.fill(attributes, &entry.input, &self.within(entry))?;
        let mut event = Map::new();
        let source = format!("/flows/{}/{}", self.definition.namespace, self.definition.name);
        event.insert("specversion".into(), Json::from("1.0"));
        event.insert("id".into(), Json::from(format!("{}-{}", self.state.run, frame.0)));
        event.insert("source".into(), Json::from(source));
        event.insert("time".into(), Json::from(self.at.to_string()));
        if let Json::Object(attributes) = &*filled {
            event.extend(attributes.clone());
        }
        let event = Json::Object(event);
        let checked = CloudEvent::read(event.clone(), self.around.limits.event_bytes);
        checked.map_err(|fault| Error::standard(Standard::Validation, fault.to_string()))?;
        Ok(Arc::new(event))
    }

    pub(super) fn begin_listening(&mut self, frame: Id, task: &'a Task, listen: &Listen) {
        self.set(frame, Doing::Listening(Box::new(Listening::begun(listen))));
        self.effects.extend(listen_effect(frame, task));
    }

    /// An event was heard.
    pub(super) fn heard(&mut self, frame: Id, event: &Json) {
        let Some(task) = self.task_of(frame) else { return };
        let Kind::Listen(listen) = &task.kind else { return };
        let entry = self.state.frames[&frame].clone();
        let Doing::Listening(listening) = &entry.doing else { return };
        if listening.is_over {
            return;
        }
        let mut listening = Listening::clone(listening);
        let result = self.consume(&entry, listen, &mut listening, event);
        match result {
            Ok(()) => {
                if listening.consumed.len() >= self.around.limits.events {
                    listening.is_over = true;
                }
                self.set(frame, Doing::Listening(Box::new(listening)));
                self.go_on(frame, listen);
            }
            Err(error) => self.fail(frame, error),
        }
    }

    pub(super) fn consume(
        &self,
        entry: &Frame,
        listen: &Listen,
        listening: &mut Listening,
        event: &Json,
    ) -> Result<(), Error> {
        match &listen.to {
            Strategy::One(filter) => {
                if self.passes(entry, filter, event, &mut listening.correlations)? {
                    listening.consumed.push(read(event, listen.read));
                    listening.is_over = true;
                }
            }
            Strategy::All(filters) => {
                for (at, filter) in filters.iter().enumerate() {
                    if !listening.found[at] && self.passes(entry, filter, event, &mut listening.correlations)? {
                        listening.found[at] = true;
                        listening.consumed.push(read(event, listen.read));
                        break;
                    }
                }
                listening.is_over = listening.found.iter().all(|found| *found);
            }
            Strategy::Any(filters, until) => {
                if let Some(Until::Events(strategy)) = until
                    && self.ends(entry, strategy, event, listening)?
                {
                    listening.is_over = true;
                    return Ok(());
                }
                let mut is_meant = filters.is_empty();
                for filter in filters {
                    is_meant = is_meant || self.passes(entry, filter, event, &mut listening.correlations)?;
                }
                if !is_meant {
                    return Ok(());
                }
                listening.consumed.push(read(event, listen.read));
                match until {
                    None => listening.is_over = true,
                    Some(Until::Condition(condition)) => {
                        let so_far = Json::Array(listening.consumed.clone());
                        listening.is_over = self.holds(condition, &so_far, &self.within(entry))?;
                    }
                    Some(Until::Events(_) | Until::Never) => {}
                }
            }
        }
        Ok(())
    }

    /// Whether this event is the last of those that end the wait.
    fn ends(&self, entry: &Frame, strategy: &Strategy, event: &Json, listening: &mut Listening) -> Result<bool, Error> {
        for (at, filter) in filters(strategy).into_iter().enumerate() {
            if !listening.until[at] && self.passes(entry, filter, event, &mut BTreeMap::new())? {
                listening.until[at] = true;
                break;
            }
        }
        let mut found = listening.until.iter();
        Ok(match strategy {
            Strategy::All(_) => found.all(|found| *found),
            Strategy::Any(..) | Strategy::One(_) => found.any(|found| *found),
        })
    }

    fn passes(
        &self,
        entry: &Frame,
        filter: &Filter,
        event: &Json,
        correlations: &mut BTreeMap<String, Json>,
    ) -> Result<bool, Error> {
        let scope = self.within(entry);
        let limits = self.around.limits;
        for (name, must) in &filter.with {
            let value = event.get(name).unwrap_or(&Json::Null);
            let holds = match must {
                Match::Equal(wanted) => value == wanted,
                Match::Pattern(wanted, program) => {
                    value == wanted || program.evaluate(value, &scope, limits) == Ok(Json::Bool(true))
                }
                // An event of another shape is one that is not meant, and no reason to fail.
                Match::Computed(program) => match program.evaluate(value, &scope, limits) {
                    Ok(Json::Bool(holds)) => holds,
                    Ok(wanted) => wanted == *value,
                    Err(_) => false,
                },
            };
            if !holds {
                return Ok(false);
            }
        }
        let mut found = Vec::new();
        for (name, correlation) in &filter.correlate {
            let Ok(value) = correlation.from.evaluate(event, &scope, limits) else { return Ok(false) };
            let expected = match &correlation.expect {
                Some(expect) => Some(Json::clone(&*self.fill(expect, &entry.input, &scope)?)),
                None => correlations.get(name).cloned(),
            };
            if value.is_null() || expected.is_some_and(|expected| expected != value) {
                return Ok(false);
            }
            found.push((name.clone(), value));
        }
        correlations.extend(found);
        Ok(true)
    }

    /// Does what `foreach` says for the next event, or ends the wait.
    fn go_on(&mut self, frame: Id, listen: &'a Listen) {
        loop {
            let Some(entry) = self.state.frames.get_mut(&frame) else { return };
            let Doing::Listening(listening) = &mut entry.doing else { return };
            let Some(each) = &listen.each else {
                if listening.is_over {
                    let output = Json::Array(std::mem::take(&mut listening.consumed));
                    self.leave(frame, Arc::new(output));
                }
                return;
            };
            if listening.is_busy {
                return;
            }
            let Some(item) = listening.consumed.get(listening.begun).cloned() else {
                if listening.is_over {
                    let output = Json::Array(std::mem::take(&mut listening.results));
                    self.leave(frame, Arc::new(output));
                }
                return;
            };
            let at = listening.begun;
            listening.begun += 1;
            let item = Arc::new(item);
            let mut names = BTreeMap::clone(&entry.names);
            names.insert(each.item.clone(), item.clone());
            names.insert(each.at.clone(), Arc::new(Json::from(at)));
            match each.body {
                Some(body) => {
                    listening.is_busy = true;
                    self.begin(frame, body, item, Arc::new(names));
                    return;
                }
                None => {
                    if let Err(error) = self.keep(frame, each, &item, Arc::new(names)) {
                        return self.fail(frame, error);
                    }
                }
            }
        }
    }

    /// What `foreach` does for an event is done.
    pub(super) fn each_done(&mut self, frame: Id, listen: &'a Listen, output: &Arc<Json>) {
        let Some(each) = &listen.each else { return };
        let Some(entry) = self.state.frames.get_mut(&frame) else { return };
        let Doing::Listening(listening) = &mut entry.doing else { return };
        listening.is_busy = false;
        let at = listening.begun.saturating_sub(1);
        let mut names = BTreeMap::clone(&entry.names);
        names.insert(each.item.clone(), Arc::new(listening.consumed.get(at).cloned().unwrap_or_default()));
        names.insert(each.at.clone(), Arc::new(Json::from(at)));
        match self.keep(frame, each, output, Arc::new(names)) {
            Ok(()) => self.go_on(frame, listen),
            Err(error) => self.fail(frame, error),
        }
    }

    /// `foreach.output` and `foreach.export`.
    fn keep(&mut self, frame: Id, each: &ForEach, output: &Arc<Json>, names: super::state::Names) -> Result<(), Error> {
        let inner = Frame { names, ..self.state.frames[&frame].clone() };
        let mut scope = self.within(&inner);
        let result = self.transformed(&each.output, output, &scope, "the output")?;
        scope.output = Some(result.clone());
        let context = match &each.export.filter {
            Some(_) => self.transformed(&each.export, &result, &scope, "the context")?,
            None => self.state.context.clone(),
        };
        drop(scope);
        self.state.context = context;
        if let Some(entry) = self.state.frames.get_mut(&frame)
            && let Doing::Listening(listening) = &mut entry.doing
        {
            if listening.results.len() >= self.around.limits.events {
                return Err(Error::standard(Standard::Runtime, "this has heard too many events"));
            }
            listening.results.push(Json::clone(&result));
        }
        Ok(())
    }
}

fn read(event: &Json, read: ReadAs) -> Json {
    match read {
        ReadAs::Envelope => event.clone(),
        ReadAs::Data => event.get("data").cloned().unwrap_or(Json::Null),
        ReadAs::Raw => event.get("data_base64").or_else(|| event.get("data")).cloned().unwrap_or(Json::Null),
    }
}
