//! All the logic of a task: what a command comes to in each state. Nothing else decides (DESIGN section 3, invariant 1).

use std::{sync::Arc, time::Duration};

use super::{
    Call, CallId, CallOutcome, CallRecord, Claim, Command, Deferred, Event, Fault, Generation, NewChild, Outcome, Plan,
    Question, QuestionKind, Refused, Said, State, Submission, Task, command::Decision,
};
use crate::{
    Artifact, ArtifactId, Json, Limits, Message, MessageId, Part, RunnerId, TaskId, Timestamp,
    answer::{self, Verdict},
    limits::{ATTEMPTS_MAX, TAKEOVERS_MAX},
};

/// Records kept free at the end of a full log, so that a task can always be asked about, cancelled and ended.
const RESERVED_EVENTS: u64 = 32;

/// What `command` comes to for the task `id`, which stands at `task`, if it exists.
pub fn decide(id: &TaskId, task: Option<&Task>, command: Command, limits: &Limits) -> Decision {
    match (task, command) {
        (None, Command::Submit(submission)) => Ok(submit(id, submission)),
        (Some(_), Command::Submit(_)) => Err(Refused::Present),
        (None, _) => Err(Refused::Absent),
        (Some(task), Command::Claim { runner }) => claim(task, runner),
        (Some(task), Command::Plan { plan, seen, slot_held_by }) => plan_late(task, plan, seen, slot_held_by),
        (Some(task), Command::TakeOver { claim, has_run, slot_held_by }) => {
            take_over(task, claim, has_run, slot_held_by)
        }
        (Some(task), Command::Progress { claim, message, metadata }) => {
            own(task, claim)?;
            room(task, limits)?;
            Ok(vec![Event::Progressed { message, metadata }])
        }
        (Some(task), Command::AddArtifact { claim, artifact, append, last_chunk }) => {
            own(task, claim)?;
            room(task, limits)?;
            fits(task, std::slice::from_ref(&artifact), limits)?;
            Ok(vec![Event::ArtifactAdded { artifact, append, last_chunk }])
        }
        (Some(task), Command::Ask { claim, question }) => {
            own(task, claim)?;
            room(task, limits)?;
            Ok(vec![Event::Asked { question }])
        }
        (Some(task), Command::Reply { said, plan, deferred, seen, is_live, slot_held_by }) => {
            task.check_new(&said)?;
            if task.question.is_some() && task.asked > seen {
                return Err(Refused::BadAnswer("another question has been asked since".to_owned()));
            }
            reply(task, said, Planning { plan, deferred, slot_held_by }, is_live, limits)
        }
        (Some(task), Command::Withdraw { claim }) => {
            own_or_ask(task, claim)?;
            if task.question.is_some() { Ok(vec![Event::Withdrawn]) } else { Err(Refused::NothingToDo) }
        }
        (Some(task), Command::Advance { claim, records, children }) => {
            own_or_ask(task, claim)?;
            advance(task, records, children, limits)
        }
        (Some(task), Command::Checkpoint { claim, checkpoint }) => {
            own_or_ask(task, claim)?;
            room(task, limits)?;
            fits_bytes(task, checkpoint.as_str().len(), limits)?;
            Ok(vec![Event::Checkpointed { checkpoint }])
        }
        (Some(task), Command::Finish { claim, outcome }) => finish(task, claim, outcome, limits),
        (Some(task), Command::Release { claim }) => release(task, claim),
        (Some(task), Command::Cancel) => cancel(task),
        (Some(task), Command::Unserve) => unserve(task, limits),
        (Some(task), Command::Serve) if task.is_unserved => Ok(vec![Event::Requeued]),
        (Some(_), Command::Serve) => Err(Refused::NothingToDo),
        (Some(task), Command::Expire { since }) => expire(task, since, limits),
    }
}

fn submit(id: &TaskId, submission: Submission) -> Vec<Event> {
    let Submission { mut submitted, plan, deferred, slot_held_by } = submission;
    match plan {
        Plan::Call(call) => {
            submitted.planned_call = Some(call);
            // Claimed at once, as most are, it has three.
            let mut events = Vec::with_capacity(3);
            events.push(Event::Submitted(Arc::new(submitted)));
            if let Some(runner) = slot_held_by {
                events.push(Event::Started { claim: Claim { runner, epoch: 1 } });
                events.push(Event::Intended { call_id: CallId(1), attempt: 1 });
            }
            events
        }
        Plan::Ask(question) => vec![Event::Submitted(Arc::new(submitted)), Event::Asked { question }],
        Plan::Reject(fault) => vec![Event::Submitted(Arc::new(submitted)), ended(id, 1, State::Rejected, &fault)],
        // A task that does not exist has asked nothing; `prepare` must not say so.
        Plan::Answer(_) => {
            let fault = Fault::new("no-question", "there is no question to answer");
            vec![Event::Submitted(Arc::new(submitted)), ended(id, 1, State::Rejected, &fault)]
        }
        Plan::Defer => vec![Event::Submitted(Arc::new(submitted)), defer(id, 1, deferred)],
        Plan::Say(message) => vec![Event::Submitted(Arc::new(submitted)), completed(message)],
    }
}

/// The end of a task that is answered without a call.
fn completed(message: Arc<Message>) -> Event {
    Event::Ended { state: State::Completed, message: Some(message), metadata: None }
}

/// The plan is made later. One of which nothing was kept to make it with would never be.
fn defer(id: &TaskId, version: u64, deferred: Option<Arc<Deferred>>) -> Event {
    match deferred {
        Some(deferred) => Event::Deferred(deferred),
        None => {
            let fault = Fault::new("not-planned", "nothing was kept to plan the message with");
            ended(id, version, State::Rejected, &fault)
        }
    }
}

fn claim(task: &Task, runner: RunnerId) -> Decision {
    match task.state {
        State::Submitted if task.deferred.is_none() => Ok(begin(task, runner)),
        State::Submitted | State::Working | State::InputRequired | State::AuthRequired => Err(Refused::NothingToDo),
        State::Completed | State::Failed | State::Canceled | State::Rejected => Err(Refused::Ended),
    }
}

/// What was made of a message, and what there is to go on with.
struct Planning {
    plan: Plan,
    deferred: Option<Arc<Deferred>>,
    slot_held_by: Option<RunnerId>,
}

/// The plan that was deferred.
fn plan_late(task: &Task, plan: Result<Plan, Fault>, seen: Generation, slot_held_by: Option<RunnerId>) -> Decision {
    if task.state.is_terminal() {
        return Err(Refused::Ended);
    }
    if task.deferred.is_none() || task.generation != seen {
        return Err(Refused::NothingToDo);
    }
    match plan {
        Ok(Plan::Defer) => Err(Refused::NothingToDo),
        Ok(plan) => Ok(planned(task, 0, Planning { plan, deferred: None, slot_held_by })),
        Err(fault) => Ok(vec![ended(&task.id, task.version, State::Failed, &fault)]),
    }
}

/// What comes of a message that answers no call's question, after so many more events.
fn planned(task: &Task, offset: u64, planning: Planning) -> Vec<Event> {
    let Planning { plan, deferred, slot_held_by } = planning;
    let version = task.version + offset;
    match plan {
        Plan::Call(call) => {
            let mut events = vec![Event::Planned { call }];
            if let Some(runner) = slot_held_by {
                events.extend(begin(task, runner));
            }
            events
        }
        Plan::Ask(question) => vec![Event::Asked { question }],
        Plan::Reject(fault) => vec![ended(&task.id, version, State::Rejected, &fault)],
        Plan::Answer(_) => {
            let fault = Fault::new("no-question", "no call has asked anything");
            vec![ended(&task.id, version, State::Rejected, &fault)]
        }
        Plan::Defer => vec![defer(&task.id, version, deferred)],
        Plan::Say(message) => vec![completed(message)],
    }
}

/// The claim and the intent of the next call: a repetition of one that came to nothing certain, or a new one.
fn begin(task: &Task, runner: RunnerId) -> Vec<Event> {
    // A repetition keeps its call's id, and so the key that a keyed tool drops repeats by.
    let (call_id, attempt) = match task.calls.last().filter(|last| is_uncertain(last)) {
        Some(last) => (last.call_id, last.attempt + 1),
        None => (CallId(u32::try_from(task.calls.len()).unwrap_or(u32::MAX).saturating_add(1)), 1),
    };
    vec![Event::Started { claim: Claim { runner, epoch: task.epoch + 1 } }, Event::Intended { call_id, attempt }]
}

/// Whether nobody knows that this call has had its effect, or that it never will.
fn is_uncertain(call: &CallRecord) -> bool {
    match call.outcome {
        None | Some(CallOutcome::Unknown | CallOutcome::NotMade | CallOutcome::Declined) => true,
        Some(
            CallOutcome::Done
            | CallOutcome::Failed
            | CallOutcome::SaidToHaveHappened
            | CallOutcome::SaidToHaveFailed
            | CallOutcome::Late,
        ) => false,
    }
}

/// A call that may run again waits for its next process. It has killed none, so nothing is counted against it.
fn release(task: &Task, claim: Claim) -> Decision {
    own_or_ask(task, claim)?;
    if task.works_while_parked() {
        return Ok(vec![Event::Stopped]);
    }
    match task.open_call() {
        Some(open) if open.effect.may_run_again() || task.is_resumable() => {
            let settled = Event::Settled { call_id: open.call_id, outcome: CallOutcome::Unknown };
            Ok(vec![settled, Event::Requeued])
        }
        // What becomes of any other, whoever finds it will ask.
        Some(_) | None => Err(Refused::NothingToDo),
    }
}

fn take_over(task: &Task, claim: Claim, has_run: bool, slot_held_by: Option<RunnerId>) -> Decision {
    match task.state {
        // Another may have taken it over since it was looked at.
        State::Working if task.claim == Some(claim) => {}
        State::InputRequired | State::AuthRequired if task.claim == Some(claim) && task.works_while_parked() => {
            return reclaim(task, slot_held_by);
        }
        State::Working | State::Submitted | State::InputRequired | State::AuthRequired => {
            return Err(Refused::NothingToDo);
        }
        State::Completed | State::Failed | State::Canceled | State::Rejected => return Err(Refused::Ended),
    }
    let Some(open) = task.open_call() else {
        return Ok(vec![Event::Requeued]);
    };
    if !has_run {
        let mut events = vec![Event::Settled { call_id: open.call_id, outcome: CallOutcome::NotMade }];
        match slot_held_by {
            Some(runner) => events.extend(begin(task, runner)),
            None => events.push(Event::Requeued),
        }
        return Ok(events);
    }
    if !open.effect.may_run_again() && !task.is_resumable() {
        let fault = Fault::new("process-died", "the process that made the call died before it knew the outcome");
        return Ok(vec![ask_outcome(task, 0, open, &fault)]);
    }
    if open.takeovers >= TAKEOVERS_MAX {
        return Ok(taken_over_too_often(task, open));
    }
    Ok(match slot_held_by {
        Some(runner) => begin(task, runner),
        None => vec![Event::Requeued],
    })
}

fn taken_over_too_often(task: &Task, open: &CallRecord) -> Vec<Event> {
    let fault = Fault::new(
        "taken-over-too-often",
        format!("{TAKEOVERS_MAX} processes in a row died while they ran this call; it is not tried again"),
    );
    let settled = Event::Settled { call_id: open.call_id, outcome: CallOutcome::Unknown };
    vec![settled, ended(&task.id, task.version + 1, State::Failed, &fault)]
}

/// The run of a task that waits for its caller is lost: another goes on with what is to be done meanwhile, and the question stays.
fn reclaim(task: &Task, slot_held_by: Option<RunnerId>) -> Decision {
    let open = task.open_call().ok_or(Refused::NothingToDo)?;
    if open.takeovers >= TAKEOVERS_MAX {
        return Ok(taken_over_too_often(task, open));
    }
    let runner = slot_held_by.ok_or(Refused::NothingToDo)?;
    let claim = Claim { runner, epoch: task.epoch + 1 };
    Ok(vec![Event::Reclaimed { claim, call_id: open.call_id, attempt: open.attempt + 1 }])
}

fn reply(task: &Task, said: Said, planning: Planning, is_live: bool, limits: &Limits) -> Decision {
    match task.state {
        State::InputRequired | State::AuthRequired => {}
        State::Submitted | State::Working => return Err(Refused::Busy),
        State::Completed | State::Failed | State::Canceled | State::Rejected => return Err(Refused::Ended),
    }
    let question = task.question.as_ref().expect("an interrupted task has a question: it is set by the same event");
    if task.history.len() >= limits.history_max {
        return Err(Refused::Limit { what: "history_max", max: limits.history_max as u64 });
    }
    fits_bytes(task, said.message.bytes(), limits)?;
    // Not the kind of the question but the calls say what an answer can do: a task that has made a call is never
    // planned anew, which would make the call again in silence, and one that has made none has no call to answer.
    if task.calls.is_empty() {
        let mut events = vec![said.replied(None, false)];
        events.extend(planned(task, 1, planning));
        return Ok(events);
    }
    let Planning { plan, deferred: _, slot_held_by } = planning;
    match question.kind {
        QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization => {
            // A run whose call has returned is alive for a moment more, but hears nothing.
            let is_live = is_live && task.claim.is_some() && task.open_call().is_some();
            Ok(reply_call(task, question, said, plan, is_live, slot_held_by))
        }
        QuestionKind::Outcome { call_id } => reply_outcome(task, said, call_id, slot_held_by),
    }
}

fn reply_call(
    task: &Task,
    question: &Question,
    said: Said,
    plan: Plan,
    is_live: bool,
    slot_held_by: Option<RunnerId>,
) -> Vec<Event> {
    let answer = match plan {
        Plan::Answer(answer) => answer,
        // In other words, but it is still the call that asks.
        Plan::Ask(asked) => {
            let question = Arc::new(Question { kind: question.kind, ..Question::clone(&asked) });
            return vec![said.replied(None, is_live), Event::Asked { question }];
        }
        Plan::Reject(fault) => {
            return vec![
                // The run keeps its claim, if it lives: what becomes of its call is kept with the call.
                said.replied(None, is_live),
                ended(&task.id, task.version + 1, State::Rejected, &fault),
            ];
        }
        // The agent took the answer for a new request, or for nothing yet, while a call is open. One thing at a time.
        Plan::Call(_) | Plan::Defer | Plan::Say(_) => Json::of(&said.message.text()),
    };
    if is_live {
        return vec![said.replied(Some(answer), true)];
    }
    let mut events = vec![said.replied(Some(answer), false)];
    match task.calls.last() {
        Some(last) if !last.effect.may_run_again() && !task.is_resumable() => {
            let fault = Fault::new(
                "question-lost",
                "the call that asked is gone, so the answer cannot reach it and its outcome is unknown",
            );
            events.push(ask_outcome(task, 1, last, &fault));
        }
        Some(_) | None => {
            if let Some(runner) = slot_held_by {
                events.extend(begin(task, runner));
            }
        }
    }
    events
}

fn reply_outcome(task: &Task, said: Said, call_id: CallId, slot_held_by: Option<RunnerId>) -> Decision {
    let Some(verdict) = Verdict::read(&said.message) else {
        return Err(Refused::BadAnswer(
            "say retry, happened or failed, as text or as data {\"outcome\": \"…\", \"result\": …}".to_owned(),
        ));
    };
    let mut events = vec![said.replied(None, false)];
    match verdict {
        Verdict::Retry => {
            if let Some(runner) = slot_held_by {
                events.extend(begin(task, runner));
            }
        }
        Verdict::Happened(result) => {
            events.push(Event::Settled { call_id, outcome: CallOutcome::SaidToHaveHappened });
            if let Some(result) = result {
                let artifact = Artifact::new(result_id(task), vec![Part::data(result)]);
                events.push(Event::ArtifactAdded { artifact: Arc::new(artifact), append: false, last_chunk: true });
            }
            events.push(Event::Ended { state: State::Completed, message: None, metadata: None });
        }
        Verdict::Failed => {
            events.push(Event::Settled { call_id, outcome: CallOutcome::SaidToHaveFailed });
            let fault = Fault::new("said-to-have-failed", "the caller says that the call did not happen");
            events.push(ended(&task.id, task.version + 2, State::Failed, &fault));
        }
    }
    Ok(events)
}

fn finish(task: &Task, claim: Claim, outcome: Outcome, limits: &Limits) -> Decision {
    if task.state.is_terminal() {
        // A cancel was first in the log. What the call came to is kept with the call and told to nobody.
        return match task.open_call() {
            Some(open) if task.claim == Some(claim) => {
                Ok(vec![Event::Settled { call_id: open.call_id, outcome: late(&outcome) }])
            }
            Some(_) | None => Err(Refused::Ended),
        };
    }
    if task.claim != Some(claim) {
        return Err(Refused::Fenced);
    }
    let open = task.open_call().ok_or(Refused::NothingToDo)?;
    Ok(match outcome {
        Outcome::Completed { artifacts, message } => {
            returned(task, open, CallOutcome::Done, artifacts, (State::Completed, message), limits)
        }
        Outcome::ToolError { artifacts, message } => {
            returned(task, open, CallOutcome::Failed, artifacts, (State::Failed, Some(message)), limits)
        }
        Outcome::Failed(fault) => failed(task, open, State::Failed, &fault),
        Outcome::Rejected(fault) => failed(task, open, State::Rejected, &fault),
        Outcome::Unreadable(fault) => {
            let settled = Event::Settled { call_id: open.call_id, outcome: CallOutcome::Unknown };
            vec![settled, ended(&task.id, task.version + 1, State::Failed, &fault)]
        }
        Outcome::Unknown { fault, again } => return unknown(task, open, &fault, again),
        Outcome::Declined => return declined(task, open),
        Outcome::LetGo { question } => return let_go(task, open, question),
    })
}

/// What is known of a call that came to its end after its task had.
fn late(outcome: &Outcome) -> CallOutcome {
    match outcome {
        Outcome::Completed { .. } => CallOutcome::Late,
        Outcome::ToolError { .. } | Outcome::Failed(_) | Outcome::Rejected(_) => CallOutcome::Failed,
        Outcome::Unknown { .. } | Outcome::Unreadable(_) => CallOutcome::Unknown,
        Outcome::Declined | Outcome::LetGo { .. } => CallOutcome::Declined,
    }
}

/// The call returned with something: that and the end, or the end alone if it is too much to keep.
fn returned(
    task: &Task,
    open: &CallRecord,
    outcome: CallOutcome,
    artifacts: Vec<Arc<Artifact>>,
    (state, message): (State, Option<Arc<Message>>),
    limits: &Limits,
) -> Vec<Event> {
    let mut events = Vec::with_capacity(artifacts.len() + 2);
    events.push(Event::Settled { call_id: open.call_id, outcome });
    match fits(task, &artifacts, limits) {
        Ok(()) => {
            events.extend(artifacts.into_iter().map(added));
            events.push(Event::Ended { state, message, metadata: None });
        }
        Err(limit) => events.push(too_large(task, &limit)),
    }
    events
}

fn failed(task: &Task, open: &CallRecord, state: State, fault: &Fault) -> Vec<Event> {
    let settled = Event::Settled { call_id: open.call_id, outcome: CallOutcome::Failed };
    vec![settled, ended(&task.id, task.version + 1, state, fault)]
}

/// The call's question was given up, and the call has returned.
fn declined(task: &Task, open: &CallRecord) -> Decision {
    match task.question.as_ref().map(|question| question.kind) {
        Some(QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization) => {
            Ok(vec![Event::Settled { call_id: open.call_id, outcome: CallOutcome::Declined }])
        }
        Some(QuestionKind::Outcome { .. }) => Err(Refused::NothingToDo),
        // The caller's answer was in the log already when the question was given up.
        None => {
            let fault = Fault::new("declined", "the call's question was declined before the answer reached it");
            unknown(task, open, &fault, true)
        }
    }
}

/// The same, for the sake of others: the question stays, and says so.
fn let_go(task: &Task, open: &CallRecord, question: Arc<Question>) -> Decision {
    let is_open = task.question.as_ref().is_some_and(|asked| asked.kind == question.kind);
    let mut events = declined(task, open)?;
    if is_open {
        events.push(Event::Asked { question });
    }
    Ok(events)
}

fn unknown(task: &Task, open: &CallRecord, fault: &Fault, again: bool) -> Decision {
    match task.question.as_ref().map(|question| question.kind) {
        // The question outlives the call: an answer repeats the call, where it may run again.
        Some(QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization)
            if open.effect.may_run_again() =>
        {
            return Ok(vec![Event::Settled { call_id: open.call_id, outcome: CallOutcome::Unknown }]);
        }
        // It was asked before, and that was kept although the store could not say so.
        Some(QuestionKind::Outcome { .. }) => return Err(Refused::NothingToDo),
        Some(QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization) | None => {}
    }
    if !open.effect.may_run_again() {
        return Ok(vec![ask_outcome(task, 0, open, fault)]);
    }
    let is_worth_another_attempt = again && open.tries < ATTEMPTS_MAX;
    if is_worth_another_attempt {
        return Ok(vec![Event::Intended { call_id: open.call_id, attempt: open.attempt + 1 }]);
    }
    Ok(vec![
        Event::Settled { call_id: open.call_id, outcome: CallOutcome::Unknown },
        ended(&task.id, task.version + 1, State::Failed, fault),
    ])
}

fn cancel(task: &Task) -> Decision {
    if task.state.is_terminal() {
        return Err(Refused::Ended);
    }
    let note = task.open_call().filter(|open| !open.effect.may_run_again()).map(|open| {
        let text = format!(
            "canceled while call {} was in flight; whether it had an effect is unknown here, see `bobbinet task show`",
            open.call_id.0
        );
        Arc::new(Message::from_agent(message_id(&task.id, task.version), vec![Part::text(text)]))
    });
    Ok(vec![Event::Ended { state: State::Canceled, message: note, metadata: None }])
}

/// It stands in line, and there is nobody whom it could wait for. What works is taken over first.
fn unserve(task: &Task, limits: &Limits) -> Decision {
    match task.state {
        State::Submitted if !task.is_unserved => {}
        State::Submitted | State::Working | State::InputRequired | State::AuthRequired => {
            return Err(Refused::NothingToDo);
        }
        State::Completed | State::Failed | State::Canceled | State::Rejected => return Err(Refused::Ended),
    }
    let text = format!(
        "this node has no agent {} any more: the task waits {} for it to come back, and then fails; until then it can be \
         read and canceled, at the URL of any agent of the node",
        task.agent,
        in_words(limits.unserved_life()),
    );
    let data = Json::from(&serde_json::json!({ "code": "unknown-agent" }));
    let message = Message::from_agent(message_id(&task.id, task.version), vec![Part::text(text), Part::data(data)]);
    Ok(vec![Event::Unserved { message: Arc::new(message) }])
}

/// What it waits for has not come in time.
fn expire(task: &Task, since: Timestamp, limits: &Limits) -> Decision {
    if task.state.is_terminal() {
        return Err(Refused::Ended);
    }
    if task.status_at != since {
        return Err(Refused::NothingToDo);
    }
    let fault = match &task.question {
        Some(_) => {
            let is_short = task.deadline().is_some_and(|deadline| deadline < since.after(limits.question_life()));
            let within = || format!("within {}", in_words(limits.question_life()));
            let when = if is_short { "before its deadline".to_owned() } else { within() };
            let mut text = format!("nobody answered its question {when}");
            if let Some(open) = task.open_call().filter(|open| !open.effect.may_run_again()) {
                let note = format!("; whether call {} had an effect is not known", open.call_id.0);
                text.push_str(&note);
            }
            Fault::new("question-expired", text)
        }
        None if task.is_unserved => Fault::new(
            "unknown-agent",
            format!("agent {} was not configured on this node for {}", task.agent, in_words(limits.unserved_life())),
        ),
        None => return Err(Refused::NothingToDo),
    };
    // The call whose outcome was asked for is over. One that asks itself may be alive: it is told, and has its last word.
    let unknown = match task.question.as_ref().map(|question| question.kind) {
        Some(QuestionKind::Outcome { call_id }) => Some(Event::Settled { call_id, outcome: CallOutcome::Unknown }),
        Some(QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization) | None => None,
    };
    let end = ended(&task.id, task.version + u64::from(unknown.is_some()), State::Failed, &fault);
    Ok(unknown.into_iter().chain([end]).collect())
}

/// A time in the largest unit that it is whole in: `30 days`.
fn in_words(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000)];
    let whole = units.into_iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    let (unit, count) = whole.map_or(("millisecond", millis), |(name, unit)| (name, millis / unit));
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// What came to the run is kept, and the children that it begins.
fn advance(task: &Task, records: Vec<Json>, children: Vec<NewChild>, limits: &Limits) -> Decision {
    let count = (records.len() + children.len()) as u64;
    if task.version + count + RESERVED_EVENTS > limits.events_max {
        return Err(Refused::Limit { what: "events_max", max: limits.events_max });
    }
    fits_bytes(task, records.iter().map(|record| record.as_str().len()).sum(), limits)?;
    let mut events: Vec<Event> = records.into_iter().map(|record| Event::Recorded { record }).collect();
    let mut begun = Vec::with_capacity(children.len());
    for child in children {
        begun.push(task.new_child(child, &begun, limits)?);
    }
    events.extend(begun.into_iter().map(Event::Spawned));
    if events.is_empty() { Err(Refused::NothingToDo) } else { Ok(events) }
}

/// Only the run that owns a task may speak for it, also while it waits for its caller.
fn own_or_ask(task: &Task, claim: Claim) -> Result<(), Refused> {
    if task.works_while_parked() && task.claim == Some(claim) { Ok(()) } else { own(task, claim) }
}

/// Only the run that owns a working task may speak for it.
fn own(task: &Task, claim: Claim) -> Result<(), Refused> {
    match task.state {
        State::Working if task.claim == Some(claim) => Ok(()),
        State::Submitted | State::Working | State::InputRequired | State::AuthRequired => Err(Refused::Fenced),
        State::Completed | State::Failed | State::Canceled | State::Rejected => Err(Refused::Ended),
    }
}

fn room(task: &Task, limits: &Limits) -> Result<(), Refused> {
    if task.version + RESERVED_EVENTS >= limits.events_max {
        return Err(Refused::Limit { what: "events_max", max: limits.events_max });
    }
    Ok(())
}

fn fits(task: &Task, more: &[Arc<Artifact>], limits: &Limits) -> Result<(), Refused> {
    fits_bytes(task, more.iter().map(|artifact| artifact.bytes()).sum(), limits)?;
    let is_new = |artifact: &&Arc<Artifact>| task.artifacts.iter().all(|known| known.id != artifact.id);
    if task.artifacts.len() + more.iter().filter(is_new).count() > limits.artifacts_max {
        return Err(Refused::Limit { what: "artifacts_max", max: limits.artifacts_max as u64 });
    }
    Ok(())
}

fn fits_bytes(task: &Task, more: usize, limits: &Limits) -> Result<(), Refused> {
    if task.bytes.saturating_add(more) > limits.task_bytes_max {
        return Err(Refused::Limit { what: "task_bytes_max", max: limits.task_bytes_max as u64 });
    }
    Ok(())
}

fn too_large(task: &Task, limit: &Refused) -> Event {
    let fault = Fault::new("result-too-large", format!("the call returned, but its result was not kept: {limit}"));
    ended(&task.id, task.version + 1, State::Failed, &fault)
}

fn added(artifact: Arc<Artifact>) -> Event {
    Event::ArtifactAdded { artifact, append: false, last_chunk: true }
}

/// The end of a task with a fault, said in words and as data: `{"code": …, …}`.
fn ended(id: &TaskId, version: u64, state: State, fault: &Fault) -> Event {
    Event::Ended { state, message: Some(Arc::new(fault_message(id, version, fault))), metadata: None }
}

fn fault_message(id: &TaskId, version: u64, fault: &Fault) -> Message {
    let mut data = serde_json::Map::new();
    data.insert("code".to_owned(), fault.code.into());
    if let Some(details) = &fault.data {
        data.insert("details".to_owned(), details.to_value());
    }
    let data = Json::from(&serde_json::Value::Object(data));
    Message::from_agent(message_id(id, version), vec![Part::text(&fault.text), Part::data(data)])
}

/// The question that an unknown outcome becomes (DESIGN section 3, invariant 10).
fn ask_outcome(task: &Task, offset: u64, open: &CallRecord, fault: &Fault) -> Event {
    let skill = open.skill.as_ref().map_or("the agent", |skill| skill.as_str());
    let text = format!(
        "Call {call} of {skill} may or may not have happened: {why}. It runs at most once, so say what to do: \
         retry (make the call again), happened (it did; add its result if you know it) or failed (give up).",
        call = open.call_id.0,
        why = fault.text,
    );
    let data = Json::from(&serde_json::json!({
        "type": "outcome", "code": fault.code, "call": open.call_id.0, "attempt": open.attempt,
        "answers": ["retry", "happened", "failed"],
    }));
    let message =
        Message::from_agent(message_id(&task.id, task.version + offset), vec![Part::text(text), Part::data(data)]);
    let question = Question {
        kind: QuestionKind::Outcome { call_id: open.call_id },
        message: Arc::new(message),
        schema: Json::parse(answer::SCHEMA).ok(),
    };
    Event::Asked { question: Arc::new(question) }
}

/// Ids of what the core itself says or makes: the task's, and where in the log it stands.
fn message_id(id: &TaskId, version: u64) -> MessageId {
    MessageId::parse(&format!("{id}-{version}")).expect("a UUID and a number are short and printable")
}

fn result_id(task: &Task) -> ArtifactId {
    ArtifactId::parse(&format!("result-{}", task.artifacts.len() + 1)).expect("a word and a number")
}

impl Said {
    /// The event that it was said.
    fn replied(self, answer: Option<Json>, resumed: bool) -> Event {
        Event::Replied { message: self.message, answer, resumed, key: self.key }
    }
}

impl Call {
    /// A call without arguments: the agent reads the message itself.
    pub fn of_message(effect: crate::Effect) -> Self {
        Self { skill: None, arguments: None, converted: Vec::new(), effect }
    }
}
