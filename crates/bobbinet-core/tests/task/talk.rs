//! A task that is talked to: what is said is short, what comes of it is printed.

use std::{fmt::Write as _, sync::Arc};

use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Claim, Command, ContextId, Deferred, Effect, Event, Fault,
    Generation, Json, Limits, Message, MessageId, Outcome, Part, Plan, Principal, Question, QuestionKind, Refused,
    Role, RunnerId, Said, State, Submission, Task, TaskId, Tenant, Timestamp, decide,
    task::{NewChild, Submitted},
};

pub(crate) const EFFECTS: [Effect; 4] = [Effect::ReadOnly, Effect::Idempotent, Effect::Keyed, Effect::AtMostOnce];

/// Whether the process that decides holds a free call slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Free,
    None,
}

/// Whether the run that asked is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Live,
    Gone,
}

/// Whose claim a run speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Owner,
    Stranger,
}

/// What can be said to a task, without the names and numbers that do not matter.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Submit(Plan, Slot),
    Claim,
    /// The plan that was deferred, or why there is none; of what the task is now, or of what it was before.
    Plan(Result<Plan, Fault>, By, Slot),
    TakeOver(Slot),
    /// Of a run that never began.
    TakeOverUnrun(Slot),
    /// Of a claim that is no longer the task's.
    LateTakeOver,
    Release(By),
    Progress(By),
    Add(By, &'static str, usize, bool),
    Ask(By, QuestionKind),
    Spawn(By, &'static str, Option<u32>),
    Record(By, &'static [usize], &'static [&'static str]),
    Withdraw(By),
    Checkpoint(By, usize),
    Reply(&'static str, Plan, Run, Slot),
    /// An answer to the question before the one that is open.
    LateReply(&'static str),
    Finish(By, Outcome),
    Cancel,
    Unserve,
    Serve,
    /// Since the newest status, or since another time.
    Expire(By),
}

/// A task, and all that has happened to it.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) task: Option<Task>,
    pub(crate) log: Vec<(Timestamp, Event)>,
    pub(crate) limits: Limits,
    said: u64,
}

impl Talk {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { task: None, log: Vec::new(), limits, said: 0 }
    }

    /// A task that these were said to.
    pub(crate) fn after(said: &[Say]) -> Self {
        let mut talk = Self::new(Limits::default());
        for say in said {
            talk.say(say).unwrap_or_else(|refused| panic!("{say:?} was refused: {refused}"));
        }
        talk
    }

    /// Says it; gives what has happened, or why not.
    pub(crate) fn say(&mut self, say: &Say) -> Result<Vec<Event>, Refused> {
        self.said += 1;
        let command = say.command(self.task.as_ref(), self.said);
        let events = decide(&id(), self.task.as_ref(), command, &self.limits)?;
        for event in &events {
            let at = Timestamp::from_millis(self.said);
            match &mut self.task {
                Some(task) => task.apply(at, event),
                None => self.task = Task::fold(id(), [(at, event)]),
            }
            self.log.push((at, event.clone()));
        }
        Ok(events)
    }

    /// Says it, and prints what came of it: `Started(1) Intended(1.1) -> working`.
    pub(crate) fn print(&mut self, say: &Say) -> String {
        match self.say(say) {
            Ok(events) if events.is_empty() => format!("nothing -> {}", self.state()),
            Ok(events) => {
                let mut line = String::new();
                for event in &events {
                    write!(line, "{} ", name(event)).unwrap();
                }
                format!("{line}-> {}", self.state())
            }
            Err(refused) => format!("no: {refused}"),
        }
    }

    pub(crate) fn state(&self) -> &'static str {
        self.task.as_ref().map_or("absent", |task| task.state.as_str())
    }
}

impl Say {
    fn command(&self, task: Option<&Task>, number: u64) -> Command {
        let claim = |by: By| {
            let owner = task.and_then(|task| task.claim).unwrap_or(Claim { runner: runner(), epoch: 0 });
            match by {
                By::Owner => owner,
                By::Stranger => Claim { epoch: owner.epoch + 1, ..owner },
            }
        };
        match self {
            Self::Submit(plan, slot) => Command::Submit(Submission {
                submitted: Submitted {
                    tenant: Tenant::parse("tenant").unwrap(),
                    owner: Principal::parse("owner").unwrap(),
                    agent: AgentName::parse("agent").unwrap(),
                    context: ContextId::parse("context").unwrap(),
                    message: message("go", number),
                    planned_call: None,
                    trace: None,
                    parent: None,
                    caller: None,
                },
                plan: plan.clone(),
                deferred: deferred(plan),
                slot_held_by: slot.runner(),
            }),
            Self::Plan(plan, by, slot) => Command::Plan {
                plan: plan.clone(),
                seen: match (task, by) {
                    (Some(task), By::Owner) => task.generation,
                    (Some(_), By::Stranger) | (None, _) => Generation::default(),
                },
                slot_held_by: slot.runner(),
            },
            Self::Claim => Command::Claim { runner: runner() },
            Self::Release(by) => Command::Release { claim: claim(*by) },
            Self::TakeOver(slot) => {
                Command::TakeOver { claim: claim(By::Owner), has_run: true, slot_held_by: slot.runner() }
            }
            Self::TakeOverUnrun(slot) => {
                Command::TakeOver { claim: claim(By::Owner), has_run: false, slot_held_by: slot.runner() }
            }
            Self::LateTakeOver => Command::TakeOver { claim: claim(By::Stranger), has_run: true, slot_held_by: None },
            Self::Progress(by) => {
                Command::Progress { claim: claim(*by), message: Some(message("half", number)), metadata: None }
            }
            Self::Add(by, id, bytes, append) => Command::AddArtifact {
                claim: claim(*by),
                artifact: artifact(id, *bytes),
                append: *append,
                last_chunk: !append,
            },
            Self::Spawn(by, name, budget) => Command::Advance {
                claim: claim(*by),
                records: Vec::new(),
                children: vec![new_child(name, number, share(*budget, task))],
            },
            Self::Record(by, records, children) => Command::Advance {
                claim: claim(*by),
                records: records.iter().map(|bytes| Json::of(&"x".repeat(*bytes))).collect(),
                children: children.iter().zip(number..).map(|(name, number)| new_child(name, number, 7)).collect(),
            },
            Self::Withdraw(by) => Command::Withdraw { claim: claim(*by) },
            Self::Checkpoint(by, bytes) => {
                Command::Checkpoint { claim: claim(*by), checkpoint: Json::of(&"x".repeat(*bytes)) }
            }
            Self::Ask(by, kind) => Command::Ask { claim: claim(*by), question: question(*kind) },
            Self::Reply(text, plan, run, slot) => Command::Reply {
                said: said(text, number),
                plan: plan.clone(),
                deferred: deferred(plan),
                seen: task.map_or_else(Generation::default, |task| task.generation),
                is_live: *run == Run::Live,
                slot_held_by: slot.runner(),
            },
            Self::LateReply(text) => Command::Reply {
                said: said(text, number),
                plan: answer(),
                deferred: None,
                seen: task.map_or_else(Generation::default, |task| Generation(task.asked.0 - 1)),
                is_live: true,
                slot_held_by: None,
            },
            Self::Finish(by, outcome) => Command::Finish { claim: claim(*by), outcome: outcome.clone() },
            Self::Cancel => Command::Cancel,
            Self::Unserve => Command::Unserve,
            Self::Serve => Command::Serve,
            Self::Expire(by) => {
                let since = task.map_or_else(Timestamp::default, |task| task.status_at);
                Command::Expire { since: if *by == By::Owner { since } else { Timestamp::MAX } }
            }
        }
    }
}

impl Slot {
    fn runner(self) -> Option<RunnerId> {
        (self == Self::Free).then(runner)
    }
}

fn id() -> TaskId {
    TaskId::new(uuid::Uuid::from_u128(1))
}

fn runner() -> RunnerId {
    RunnerId::new(uuid::Uuid::from_u128(2))
}

fn message(text: &str, number: u64) -> Arc<Message> {
    let id = MessageId::parse(&format!("m{number}")).unwrap();
    Arc::new(Message { role: Role::User, ..Message::from_agent(id, vec![Part::text(text)]) })
}

fn said(text: &str, number: u64) -> Said {
    Said { message: message(text, number), key: None }
}

/// What a plan is made of later, if it is.
fn deferred(plan: &Plan) -> Option<Arc<Deferred>> {
    let caller = Caller {
        principal: Principal::parse("owner").unwrap(),
        tenant: Tenant::parse("tenant").unwrap(),
        is_node_owner: true,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    };
    (*plan == Plan::Defer).then(|| Arc::new(Deferred { caller, skill: None, question: None }))
}

fn artifact(id: &str, bytes: usize) -> Arc<Artifact> {
    Arc::new(Artifact::new(ArtifactId::parse(id).unwrap(), vec![Part::text("x".repeat(bytes))]))
}

pub(crate) fn call(effect: Effect) -> Plan {
    Plan::Call(Arc::new(Call::of_message(effect)))
}

pub(crate) fn question(kind: QuestionKind) -> Arc<Question> {
    Arc::new(Question { kind, message: message("which?", 0), schema: None })
}

pub(crate) fn asks(kind: QuestionKind) -> Plan {
    Plan::Ask(question(kind))
}

pub(crate) fn answer() -> Plan {
    Plan::Answer(Json::parse("42").unwrap())
}

pub(crate) fn reject() -> Plan {
    Plan::Reject(Fault::new("bad-arguments", "no"))
}

pub(crate) fn says() -> Plan {
    Plan::Say(message("it is so", 0))
}

pub(crate) fn completed() -> Outcome {
    Outcome::Completed { artifacts: vec![artifact("result", 1)], message: None }
}

pub(crate) fn refused() -> Outcome {
    Outcome::ToolError { artifacts: vec![artifact("result", 1)], message: message("the tool says no", 0) }
}

pub(crate) fn unknown(again: bool) -> Outcome {
    Outcome::Unknown { fault: Fault::new("server-died", "it died"), again }
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed(Fault::new("broken", "it broke"))
}

/// What a run gives its child, as far as there is something left.
fn share(asked: Option<u32>, task: Option<&Task>) -> u32 {
    let left = task.map_or(0, |task| task.budget_left(&Limits::default()));
    Task::child_budget(left, asked).unwrap_or_default()
}

fn new_child(name: &str, number: u64, budget: u32) -> NewChild {
    NewChild { name: name.into(), task: TaskId::new(uuid::Uuid::from_u128(number.into())), budget }
}

/// An event in a word, with what tells it apart from others of its kind.
fn name(event: &Event) -> String {
    match event {
        Event::Submitted(_) => "Submitted".to_owned(),
        Event::Started { claim } => format!("Started({})", claim.epoch),
        Event::Intended { call_id, attempt } => format!("Intended({}.{attempt})", call_id.0),
        Event::Progressed { .. } => "Progressed".to_owned(),
        Event::ArtifactAdded { artifact, append: false, .. } => format!("Added({})", artifact.id),
        Event::ArtifactAdded { artifact, append: true, .. } => format!("Added({}+)", artifact.id),
        Event::Asked { question } => match question.kind {
            QuestionKind::Input => "Asked(input)".to_owned(),
            QuestionKind::Elicitation => "Asked(elicitation)".to_owned(),
            QuestionKind::Authorization => "Asked(authorization)".to_owned(),
            QuestionKind::Outcome { call_id } => format!("Asked(outcome of {})", call_id.0),
        },
        Event::Replied { answer, resumed, .. } => {
            let answer = answer.as_ref().map_or("", |_| "answer ");
            format!("Replied({answer}{})", if *resumed { "resumed" } else { "released" })
        }
        Event::Deferred(_) => "Deferred".to_owned(),
        Event::Planned { .. } => "Planned".to_owned(),
        Event::Settled { call_id, outcome } => format!("Settled({} {outcome:?})", call_id.0),
        Event::Recorded { .. } => "Recorded".to_owned(),
        Event::Withdrawn => "Withdrawn".to_owned(),
        Event::Stopped => "Stopped".to_owned(),
        Event::Reclaimed { claim, attempt, .. } => format!("Reclaimed({} as attempt {attempt})", claim.epoch),
        Event::Spawned(child) => format!("Spawned({}: {})", child.name, child.budget),
        Event::Checkpointed { .. } => "Checkpointed".to_owned(),
        Event::Requeued => "Released".to_owned(),
        Event::Unserved { .. } => "Unserved".to_owned(),
        Event::Ended { state, message, .. } => {
            let code = message
                .as_ref()
                .and_then(|message| message.data())
                .map_or_else(String::new, |data| format!(": {}", data.to_value()["code"].as_str().unwrap_or_default()));
            let note = if *state == State::Canceled && message.is_some() { ", with a note" } else { "" };
            format!("Ended({}{code}{note})", state.as_str())
        }
    }
}
