//! The echo of the floors: what it reads, what it writes, what it keeps.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use bobbinet_core::task::{CallOutcome, Submitted};
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, CallId, Claim, ContextId, Effect, Event, Generation, Limits, Message,
    MessageId, Part, Principal, Role, RunnerId, State, TaskId, Tenant, Timestamp,
};
use bobbinet_store::{Commit, SledOptions, SledStore, Step, Store, Summary, Version};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// What is read of a request: no more than is answered.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: Box<RawValue>,
    pub(crate) method: String,
    params: Params,
}

#[derive(Debug, Deserialize)]
struct Params {
    message: Option<Said>,
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    message_id: String,
    parts: Vec<SaidPart>,
}

#[derive(Debug, Deserialize)]
struct SaidPart {
    text: String,
}

impl Request {
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body).context("reading a request")
    }

    fn said(&self) -> Result<(&str, &str)> {
        let message = self.params.message.as_ref().context("no message")?;
        let part = message.parts.first().context("no part")?;
        Ok((&message.message_id, &part.text))
    }
}

/// Where tasks are kept.
#[derive(Debug)]
pub(crate) enum Keep {
    /// In a map, as the JSON that `GetTask` answers.
    Memory(Mutex<BTreeMap<TaskId, Arc<str>>>),
    /// In a store, with the commits of Bobbinet's own echo agent.
    Store(Arc<dyn Store>),
}

impl Keep {
    pub(crate) fn memory() -> Self {
        Self::Memory(Mutex::default())
    }

    pub(crate) fn store(folder: &Path) -> Result<Self> {
        Ok(Self::Store(open_store(folder)?))
    }
}

/// The store that Bobbinet keeps its tasks in.
pub(crate) fn open_store(folder: &Path) -> Result<Arc<dyn Store>> {
    let options = SledOptions::new(folder.join("store"));
    Ok(Arc::new(SledStore::open(options).context("opening the store")?))
}

/// The echo agent with nothing around it.
#[derive(Debug)]
pub(crate) struct Echo {
    keep: Keep,
    runner: RunnerId,
    names: Interner,
    /// How long a finished task is kept: its due time is part of what is written.
    retention: Duration,
}

#[derive(Clone, Debug)]
struct Interner {
    tenant: Tenant,
    owner: Principal,
    agent: AgentName,
    artifact: ArtifactId,
}

impl Echo {
    pub(crate) fn new(keep: Keep) -> Self {
        let names = Interner {
            tenant: Tenant::parse("default").expect("a fixed name"),
            owner: Principal::parse("owner").expect("a fixed name"),
            agent: AgentName::parse("echo").expect("a fixed name"),
            artifact: ArtifactId::parse("echo").expect("a fixed name"),
        };
        Self { keep, runner: RunnerId::new(Uuid::now_v7()), names, retention: Limits::default().retention() }
    }

    /// A whole task: its JSON.
    pub(crate) async fn run(&self, request: &Request) -> Result<Arc<str>> {
        let id = TaskId::new(Uuid::now_v7());
        let context = Uuid::now_v7().to_string();
        let (said_id, text) = request.said()?;
        let task = task_json(id, &context, "TASK_STATE_COMPLETED", said_id, text, true);
        match &self.keep {
            Keep::Memory(tasks) => {
                let task: Arc<str> = Arc::from(task);
                tasks.lock().expect("no holder panics").insert(id, task.clone());
                Ok(task)
            }
            Keep::Store(store) => {
                store.commit(self.whole(id, &context, said_id, text)?).await?;
                Ok(Arc::from(task))
            }
        }
    }

    pub(crate) fn get(&self, request: &Request) -> Option<Arc<str>> {
        match &self.keep {
            Keep::Memory(tasks) => {
                let id = TaskId::parse(request.params.id.as_deref()?)?;
                tasks.lock().expect("no holder panics").get(&id).cloned()
            }
            // What a stored task reads like is the engine's business, and not part of this floor.
            Keep::Store(_) => None,
        }
    }

    /// The first two events of a streamed task.
    pub(crate) async fn begin(&self, request: &Request) -> Result<(TaskId, [String; 2])> {
        let id = TaskId::new(Uuid::now_v7());
        let context = id.to_string();
        let (said_id, text) = request.said()?;
        if let Keep::Store(store) = &self.keep {
            store.commit(self.first(id, &context, said_id, text)?).await?;
        }
        let submitted = task_json(id, &context, "TASK_STATE_SUBMITTED", said_id, text, false);
        Ok((id, [format!(r#"{{"task":{submitted}}}"#), status_json(id, &context, "TASK_STATE_WORKING")]))
    }

    /// The last two.
    pub(crate) async fn finish(&self, request: &Request, id: TaskId) -> Result<[String; 2]> {
        let context = id.to_string();
        let (said_id, text) = request.said()?;
        match &self.keep {
            Keep::Memory(tasks) => {
                let task = task_json(id, &context, "TASK_STATE_COMPLETED", said_id, text, true);
                tasks.lock().expect("no holder panics").insert(id, Arc::from(task));
            }
            Keep::Store(store) => store.commit(self.second(id, &context, text)).await?,
        }
        let artifact = format!(
            r#"{{"artifactUpdate":{{"taskId":"{id}","contextId":"{context}","artifact":{{"artifactId":"echo","parts":[{{"text":{}}}]}},"lastChunk":true}}}}"#,
            quoted(text)
        );
        Ok([artifact, status_json(id, &context, "TASK_STATE_COMPLETED")])
    }

    /// What the engine keeps by one commit where its caller waits for nothing but the outcome of a call that only reads.
    fn whole(&self, id: TaskId, context: &str, said_id: &str, text: &str) -> Result<Commit> {
        let events: Vec<Event> =
            self.first_events(context, said_id, text)?.into_iter().chain(self.second_events(text)).collect();
        Ok(self.commit(id, context, Version::ZERO, State::Completed, &events))
    }

    /// What it keeps before the call where somebody follows the task: the task, its claim, the intent.
    fn first(&self, id: TaskId, context: &str, said_id: &str, text: &str) -> Result<Commit> {
        let events = self.first_events(context, said_id, text)?;
        Ok(self.commit(id, context, Version::ZERO, State::Working, &events))
    }

    /// What it keeps after the call: its outcome, the artifact, the end.
    fn second(&self, id: TaskId, context: &str, text: &str) -> Commit {
        self.commit(id, context, Version::ZERO.plus(3), State::Completed, &self.second_events(text))
    }

    fn first_events(&self, context: &str, said_id: &str, text: &str) -> Result<[Event; 3]> {
        let message = Message {
            id: MessageId::parse(said_id)?,
            role: Role::User,
            parts: vec![Part::text(text)],
            metadata: None,
            extensions: Vec::new(),
            reference_tasks: Vec::new(),
        };
        let submitted = Submitted {
            tenant: self.names.tenant.clone(),
            owner: self.names.owner.clone(),
            agent: self.names.agent.clone(),
            context: ContextId::parse(context)?,
            message: Arc::new(message),
            planned_call: Some(Arc::new(Call::of_message(Effect::ReadOnly))),
            trace: None,
            parent: None,
            caller: None,
        };
        Ok([
            Event::Submitted(Arc::new(submitted)),
            Event::Started { claim: Claim { runner: self.runner, epoch: 1 } },
            Event::Intended { call_id: CallId(1), attempt: 1 },
        ])
    }

    fn second_events(&self, text: &str) -> [Event; 3] {
        let artifact = Arc::new(Artifact::new(self.names.artifact.clone(), vec![Part::text(text)]));
        [
            Event::Settled { call_id: CallId(1), outcome: CallOutcome::Done },
            Event::ArtifactAdded { artifact, append: false, last_chunk: true },
            Event::Ended { state: State::Completed, message: None, metadata: None },
        ]
    }

    fn commit(&self, id: TaskId, context: &str, expected: Version, state: State, events: &[Event]) -> Commit {
        let at = now();
        let is_over = state.is_terminal();
        // The second commit begins with the third public event.
        let mut generation = if expected == Version::ZERO { 0 } else { 2 };
        let records = events.iter().map(|event| {
            let public = event.is_public().then(|| {
                generation += 1;
                Generation(generation)
            });
            (public, event)
        });
        let records = bobbinet_engine::encode(at, records);
        let summary = Summary {
            tenant: self.names.tenant.shared(),
            owner: self.names.owner.shared(),
            agent: self.names.agent.shared(),
            context: context.into(),
            state: state.code(),
            status_at: at,
            due: Some(if is_over { at.after(self.retention) } else { at }),
        };
        Commit::of(Step { stream: id.stream(), expected, records, cells: Vec::new(), summary: Some(summary) })
    }
}

fn task_json(id: TaskId, context: &str, state: &str, said_id: &str, text: &str, with_artifact: bool) -> String {
    let text = quoted(text);
    let artifacts = match with_artifact {
        true => format!(r#""artifacts":[{{"artifactId":"echo","parts":[{{"text":{text}}}]}}],"#),
        false => String::new(),
    };
    format!(
        r#"{{"id":"{id}","contextId":"{context}","status":{{"state":"{state}","timestamp":"{}"}},{artifacts}"history":[{{"messageId":{},"role":"ROLE_USER","parts":[{{"text":{text}}}]}}]}}"#,
        now(),
        quoted(said_id),
    )
}

fn status_json(id: TaskId, context: &str, state: &str) -> String {
    format!(
        r#"{{"statusUpdate":{{"taskId":"{id}","contextId":"{context}","status":{{"state":"{state}","timestamp":"{}"}}}}}}"#,
        now()
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[expect(clippy::disallowed_methods, reason = "a floor is a program of its own, and this is its clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{Command, Outcome, Plan, Submission, Task, decide};

    use super::*;

    /// The floor writes what the engine would: otherwise the ratio between the two says nothing.
    #[test]
    fn the_floor_keeps_the_events_that_are_decided() {
        let echo = Echo::new(Keep::memory());
        let id = TaskId::new(Uuid::now_v7());
        let first = echo.first_events("a-context", "a-message", "hello").unwrap();
        let second = echo.second_events("hello");
        let Event::Submitted(submitted) = &first[0] else { panic!("a task begins with its submission") };
        let Event::ArtifactAdded { artifact, .. } = &second[1] else { panic!("the second commit has the artifact") };

        let limits = Limits::default();
        let plan = Plan::Call(submitted.planned_call.clone().unwrap());
        let submitted = Submitted { planned_call: None, ..Submitted::clone(submitted) };
        let submit = Command::Submit(Submission { submitted, plan, deferred: None, slot_held_by: Some(echo.runner) });
        let decided_first = decide(&id, None, submit, &limits).unwrap();
        assert_eq!(decided_first, first);

        let at = Timestamp::from_millis(1);
        let task = Task::fold(id, first.iter().map(|event| (at, event))).unwrap();
        let outcome = Outcome::Completed { artifacts: vec![artifact.clone()], message: None };
        let finish = Command::Finish { claim: task.claim.unwrap(), outcome };
        assert_eq!(decide(&id, Some(&task), finish, &limits).unwrap(), second);
    }

    #[tokio::test]
    async fn a_kept_task_reads_back_as_completed() {
        let store: Arc<dyn Store> = Arc::new(bobbinet_store::MemoryStore::new());
        let echo = Echo::new(Keep::Store(store.clone()));
        let body = br#"{"jsonrpc":"2.0","id":7,"method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"say \"it\""}]}}}"#;
        let request = Request::parse(body).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&echo.run(&request).await.unwrap()).unwrap();
        let id = TaskId::parse(answer["id"].as_str().unwrap()).unwrap();
        let loaded = store.load(&id.stream()).await.unwrap().unwrap();
        let kept: Vec<_> = loaded.records.iter().map(|record| bobbinet_engine::decode(record).unwrap()).collect();
        let task = Task::fold(id, kept.iter().map(|kept| (kept.at, &kept.event))).unwrap();
        assert_eq!(task.state, State::Completed);
        assert_eq!(task.artifacts[0].parts[0].as_text(), Some(r#"say "it""#));
        assert_eq!(answer["artifacts"][0]["parts"][0]["text"], r#"say "it""#);
        let generations: Vec<_> =
            kept.iter().filter_map(|kept| kept.generation).map(|generation| generation.0).collect();
        assert_eq!(generations, [1, 2, 3, 4]);
        let (streamed, _) = echo.begin(&request).await.unwrap();
        echo.finish(&request, streamed).await.unwrap();
        let in_two = store.load(&streamed.stream()).await.unwrap().unwrap();
        assert_eq!(in_two.version, loaded.version);
    }
}
