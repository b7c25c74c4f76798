//! How each event changes the task: the one fold, for writing and for reading back.

use std::sync::Arc;

use super::{Call, CallOutcome, CallRecord, Claim, Counted, Event, Generation, Said, State, Submitted, Task};
use crate::{Artifact, Message, TaskId, Timestamp};

impl Task {
    /// The task as its first event makes it.
    pub fn begin(id: TaskId, at: Timestamp, submitted: &Submitted) -> Self {
        Self {
            id,
            version: 1,
            generation: Generation(1),
            tenant: submitted.tenant.clone(),
            owner: submitted.owner.clone(),
            agent: submitted.agent.clone(),
            context: submitted.context.clone(),
            state: State::Submitted,
            status_at: at,
            status_message: None,
            status_metadata: None,
            created_at: at,
            bytes: submitted.message.bytes(),
            history: vec![submitted.message.clone()],
            artifacts: Vec::new(),
            planned_call: submitted.planned_call.clone(),
            deferred: None,
            claim: None,
            epoch: 0,
            calls: Vec::new(),
            is_unserved: false,
            question: None,
            asked: Generation::default(),
            answers: Vec::new(),
            counted: Vec::new(),
            trace: submitted.trace.clone(),
            parent: submitted.parent.clone(),
            caller: submitted.caller.clone(),
            children: Vec::new(),
            checkpoint: None,
            records: Vec::new(),
        }
    }

    /// Folds a whole log, or `None` if it does not begin as a task does.
    pub fn fold<'a>(id: TaskId, log: impl IntoIterator<Item = (Timestamp, &'a Event)>) -> Option<Self> {
        let mut log = log.into_iter();
        let (at, Event::Submitted(submitted)) = log.next()? else { return None };
        let mut task = Self::begin(id, at, submitted);
        for (at, event) in log {
            task.apply(at, event);
        }
        Some(task)
    }

    /// Moves the task on by what has happened. Events come in their order, none left out.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        self.version += 1;
        if event.is_public() {
            self.generation.0 += 1;
        }
        match event {
            Event::Submitted(_) => unreachable!("decide refuses to submit a task that exists"),
            Event::Started { claim } => self.start(at, *claim),
            Event::Intended { call_id, attempt } => self.intend(*call_id, *attempt),
            Event::Progressed { message, metadata } => {
                self.set_status(at, State::Working, message.clone());
                self.status_metadata.clone_from(metadata);
            }
            Event::ArtifactAdded { artifact, append, last_chunk: _ } => self.add(artifact, *append),
            Event::Asked { question } => {
                self.deferred = None;
                self.set_status(at, question.kind.state(), Some(question.message.clone()));
                self.remember(&question.message);
                self.question = Some(question.clone());
                self.asked = self.generation;
            }
            Event::Replied { message, answer, resumed, key } => {
                let question = self.question.take();
                if let Some(last) = self.calls.last_mut() {
                    last.takeovers = 0;
                }
                if let (Some(question), Some(answer)) = (question, answer) {
                    self.answers.push((question, answer.clone()));
                }
                self.remember(message);
                let said = Said { message: message.clone(), key: key.clone() };
                self.counted.push(Counted { said, generation: self.generation });
                if !*resumed {
                    self.claim = None;
                }
                let state = if *resumed { State::Working } else { State::Submitted };
                self.set_status(at, state, None);
            }
            Event::Deferred(deferred) => self.deferred = Some(deferred.clone()),
            Event::Planned { call } => {
                self.deferred = None;
                self.planned_call = Some(call.clone());
            }
            Event::Settled { call_id, outcome } => self.end_call(*call_id, *outcome),
            Event::Withdrawn => {
                self.question = None;
                self.set_status(at, State::Working, None);
            }
            Event::Reclaimed { claim, call_id, attempt } => {
                if let Some(last) = self.calls.last_mut() {
                    last.takeovers += 1;
                    last.tries = 0;
                }
                self.claim = Some(*claim);
                self.epoch = claim.epoch;
                self.intend(*call_id, *attempt);
            }
            Event::Stopped => self.come_on(),
            Event::Spawned(child) => {
                self.come_on();
                self.children.push(child.clone());
            }
            Event::Recorded { record } => {
                self.come_on();
                self.bytes += record.as_str().len();
                self.records.push(record.clone());
            }
            Event::Checkpointed { checkpoint } => {
                self.come_on();
                self.bytes += checkpoint.as_str().len();
                let before = self.checkpoint.replace(checkpoint.clone());
                self.bytes -= before.map_or(0, |before| before.as_str().len());
            }
            Event::Requeued => {
                self.count_takeover();
                self.claim = None;
                self.set_status(at, State::Submitted, None);
            }
            Event::Unserved { message } => {
                self.claim = None;
                self.set_status(at, State::Submitted, Some(message.clone()));
                self.is_unserved = true;
            }
            Event::Ended { state, message, metadata } => {
                self.set_status(at, *state, message.clone());
                self.status_metadata.clone_from(metadata);
                if let Some(message) = message {
                    self.remember(message);
                }
                self.deferred = None;
                self.question = None;
                self.answers = Vec::new();
                // The claim stays: a late outcome is recognised by it.
            }
        }
    }

    fn start(&mut self, at: Timestamp, claim: Claim) {
        self.count_takeover();
        self.claim = Some(claim);
        self.epoch = claim.epoch;
        if let Some(last) = self.calls.last_mut() {
            last.tries = 0;
        }
        self.set_status(at, State::Working, None);
    }

    /// The call has come on, so what its processes died of before was not this.
    fn come_on(&mut self) {
        if let Some(last) = self.calls.last_mut() {
            last.takeovers = 0;
        }
    }

    /// A working task is started anew, or released with its call open, only because its process has died.
    fn count_takeover(&mut self) {
        if self.state == State::Working
            && let Some(last) = self.calls.last_mut().filter(|last| last.outcome.is_none())
        {
            last.takeovers += 1;
        }
    }

    fn intend(&mut self, call_id: super::CallId, attempt: u32) {
        match self.calls.iter_mut().find(|record| record.call_id == call_id) {
            Some(record) => {
                record.attempt = attempt;
                record.tries += 1;
                record.outcome = None;
            }
            None => {
                let planned = self.planned_call.as_deref();
                self.calls.push(CallRecord {
                    call_id,
                    skill: planned.and_then(|call: &Call| call.skill.clone()),
                    effect: planned.map(|call| call.effect).unwrap_or_default(),
                    attempt,
                    tries: 1,
                    takeovers: 0,
                    outcome: None,
                });
            }
        }
    }

    fn end_call(&mut self, call_id: super::CallId, outcome: CallOutcome) {
        if let Some(record) = self.calls.iter_mut().find(|record| record.call_id == call_id) {
            record.outcome = Some(outcome);
        }
    }

    fn add(&mut self, artifact: &Arc<Artifact>, append: bool) {
        self.bytes += artifact.bytes();
        match self.artifacts.iter_mut().find(|known| known.id == artifact.id) {
            Some(known) if append => Arc::make_mut(known).parts.extend(artifact.parts.iter().cloned()),
            Some(known) => *known = artifact.clone(),
            None => self.artifacts.push(artifact.clone()),
        }
    }

    fn remember(&mut self, message: &Arc<Message>) {
        self.bytes += message.bytes();
        self.history.push(message.clone());
    }

    fn set_status(&mut self, at: Timestamp, state: State, message: Option<Arc<Message>>) {
        // A clock that was set back does not make a task's status older: lists are ordered by it.
        self.status_at = self.status_at.max(at);
        self.state = state;
        self.is_unserved = false;
        self.status_message = message;
        self.status_metadata = None;
    }
}
