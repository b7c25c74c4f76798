//! Calls: what is called with what, and what comes back.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    Turn,
    error::{Error, Standard},
    record::{Calling, Effect, Id, News, Target},
    state::{Doing, Frame, Work},
};
use crate::document::{Call, CallTarget, Endpoint, Task, Uri};

impl<'a> Turn<'a> {
    pub(super) fn begin_call(&mut self, frame: Id, task: &'a Task, call: &'a Call) -> Result<(), Error> {
        let entry = self.state.frames[&frame].clone();
        let arguments = self.fill(&call.with, &entry.input, &self.within(&entry))?;
        let mut is_detached = false;
        let target = match &call.target {
            CallTarget::Function(_, Some(function)) => {
                let (owner, task, input, names) = (frame, *function, arguments, entry.names);
                self.state.pending.push_front(Work::Enter { owner, task, slot: 0, input, names });
                return Ok(());
            }
            CallTarget::Function(name, None) => {
                return Err(Error::standard(Standard::Configuration, format!("there is no function {name:?}")));
            }
            CallTarget::Skill { agent, skill } => Target::Skill { agent: agent.clone(), skill: skill.clone() },
            CallTarget::A2a { method, endpoint, is_card } => {
                let (uri, authentication) = self.address(endpoint, &entry)?;
                Target::A2a { method: method.clone(), uri, is_card: *is_card, authentication }
            }
            CallTarget::Mcp { method, endpoint, timeout } => {
                let (uri, authentication) = match endpoint {
                    Some(endpoint) => {
                        let (uri, authentication) = self.address(endpoint, &entry)?;
                        (Some(uri), authentication)
                    }
                    None => (None, None),
                };
                let timeout_ms = timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                Target::Mcp { method: method.clone(), uri, authentication, timeout_ms }
            }
            CallTarget::Http { method, endpoint, output, redirect } => {
                let (uri, authentication) = self.address(endpoint, &entry)?;
                Target::Http { method: method.clone(), uri, authentication, output: *output, redirect: *redirect }
            }
            CallTarget::Workflow { namespace, name, version, waits } => {
                is_detached = !waits;
                Target::Workflow { namespace: namespace.clone(), name: name.clone(), version: version.clone() }
            }
        };
        let attempt = self.attempt(&entry);
        self.effects.push(Effect::Call(Box::new(Calling {
            call: frame,
            pointer: task.pointer.clone(),
            name: task.name.clone(),
            attempt,
            target: target.clone(),
            arguments: arguments.clone(),
            is_detached,
        })));
        if is_detached {
            self.state.pending.push_front(Work::Leave { frame, output: entry.input });
        } else {
            self.set(frame, Doing::Calling { target, arguments, attempt });
        }
        Ok(())
    }

    /// Which attempt of the nearest `try` around it this is.
    fn attempt(&self, entry: &Frame) -> u32 {
        let mut owner = entry.owner;
        while let Some(frame) = owner.and_then(|owner| self.state.frames.get(&owner)) {
            if let Doing::Trying { attempt, .. } = frame.doing {
                return attempt;
            }
            owner = frame.owner;
        }
        1
    }

    fn address(&self, endpoint: &Endpoint, entry: &Frame) -> Result<(String, Option<Json>), Error> {
        let scope = self.within(entry);
        let uri = match &endpoint.uri {
            Uri::Template(template) => expanded(template, &entry.input)?,
            Uri::Computed(program) => match self.evaluate(program, &entry.input, &scope)? {
                Json::String(uri) => uri,
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                    return Err(Error::standard(Standard::Expression, "the address is no text"));
                }
            },
        };
        let authentication = match &endpoint.authentication {
            Some(policy) => Some(Json::clone(&*self.fill(policy, &entry.input, &scope)?)),
            None => None,
        };
        Ok((uri, authentication))
    }

    /// A call has ended, or a wait for events has failed. One that nobody waits for any more changes nothing.
    pub(super) fn call_ended(&mut self, call: Id, result: Result<Arc<Json>, Error>) {
        let Some(entry) = self.state.frames.get_mut(&call) else { return };
        let is_open = match entry.doing {
            Doing::Calling { .. } => true,
            Doing::Listening(_) => result.is_err(),
            Doing::Steps | Doing::Waiting | Doing::Looping { .. } | Doing::Forking { .. } | Doing::Trying { .. } => {
                false
            }
        };
        if !is_open {
            return;
        }
        entry.doing = Doing::Steps;
        self.forget_question(call);
        match result {
            Ok(output) => self.leave(call, output),
            Err(error) => self.fail(call, error),
        }
    }

    pub(super) fn asked(&mut self, call: Id, question: &Json) {
        let Some(task) = self.task_of(call) else { return };
        if !matches!(self.state.frames[&call].doing, Doing::Calling { .. }) {
            return;
        }
        // A call asks one question at a time, so a second one takes the first one's place.
        let question = Arc::new(question.clone());
        let place = self.state.questions.iter().position(|(asks, _)| *asks == call);
        match place {
            Some(place) => self.state.questions[place].1 = question,
            None => self.state.questions.push_back((call, question)),
        }
        if place.unwrap_or(self.state.questions.len() - 1) == 0 {
            self.ask_first();
        } else {
            self.progress(task, News::WaitsToAsk);
        }
    }

    fn ask_first(&mut self) {
        if let Some((call, question)) = self.state.questions.front().cloned() {
            let pointer = self.state.pointer(self.definition, call);
            self.effects.push(Effect::Ask { call, pointer, question });
        }
    }

    pub(super) fn answered(&mut self, answer: &Json) {
        let Some((call, _)) = self.state.questions.pop_front() else { return };
        self.effects.push(Effect::Answer { call, answer: Arc::new(answer.clone()) });
        self.ask_first();
    }

    /// A call that has ended asks nothing any more.
    pub(super) fn forget_question(&mut self, call: Id) {
        let Some(place) = self.state.questions.iter().position(|(asks, _)| *asks == call) else { return };
        self.state.questions.remove(place);
        if place == 0 {
            self.effects.push(Effect::Unask { call });
            self.ask_first();
        }
    }
}

/// A URI template of simple expansions (RFC 6570, level 1): names are top-level properties of the input.
fn expanded(template: &str, input: &Json) -> Result<String, Error> {
    let mut uri = String::new();
    let mut rest = template;
    while let Some((before, from)) = rest.split_once('{') {
        let Some((name, after)) = from.split_once('}') else {
            return Err(Error::standard(
                Standard::Expression,
                format!("the address {template:?} has no closing brace"),
            ));
        };
        uri.push_str(before);
        match input.get(name) {
            Some(Json::String(text)) => encode(text, &mut uri),
            Some(value @ (Json::Number(_) | Json::Bool(_))) => encode(&value.to_string(), &mut uri),
            // What there is not is nothing (the reference, "URI Template").
            Some(Json::Null) | None => {}
            Some(Json::Array(_) | Json::Object(_)) => {
                let detail =
                    format!("the address takes {name:?} from the input, and that is no text, number or boolean");
                return Err(Error::standard(Standard::Expression, detail));
            }
        }
        rest = after;
    }
    uri.push_str(rest);
    Ok(uri)
}

fn encode(text: &str, uri: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
}
