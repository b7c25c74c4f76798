//! Tasks and messages to encode.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Base64, Content, ContextId, Event, Json, Message, MessageId, Part, Principal,
    Role, State, Task, TaskId, Tenant, Timestamp,
    task::{Claim, Submitted},
};

/// Numbers and an order of keys that a trip through floating point and sorted trees would not survive.
pub(crate) const STUBBORN: &str = r#"{"z":1.0,"a":9007199254740993,"m":[1e2,-0.0,null],"ä":"\u00e4\n"}"#;

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub(crate) fn task_id() -> TaskId {
    TaskId::parse("019aa5c3-6f00-7000-8000-000000000001").unwrap()
}

pub(crate) fn context_id() -> ContextId {
    ContextId::parse("trip-to-lisbon").unwrap()
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_795_258_800_000 + millis)
}

pub(crate) fn message(id: &str, role: Role, parts: Vec<Part>) -> Message {
    Message { role, ..Message::from_agent(MessageId::parse(id).unwrap(), parts) }
}

pub(crate) fn user_message() -> Message {
    message("m-1", Role::User, vec![Part::text("say \"hi\"\n\u{1}\u{2028}🧣")])
}

/// A message with everything that a message can have.
pub(crate) fn full_message() -> Message {
    Message {
        metadata: Some(json(STUBBORN)),
        extensions: vec![Arc::from("https://example.com/ext/1")],
        reference_tasks: vec![Arc::from("019aa5c3-6f00-7000-8000-000000000009")],
        ..message("m-2", Role::User, parts())
    }
}

/// A part of each kind.
pub(crate) fn parts() -> Vec<Part> {
    vec![
        Part::text("plain"),
        Part {
            media_type: Some(Arc::from("image/png")),
            filename: Some(Arc::from("a \"b\".png")),
            metadata: Some(json(r#"{"k":1}"#)),
            ..Part::new(Content::Raw(Base64::from_checked("+/8=")))
        },
        Part::new(Content::Url(Arc::from("https://example.com/a?b=c&d"))),
        Part::data(json(STUBBORN)),
        Part::new(Content::Data(json("null"))),
    ]
}

pub(crate) fn artifact() -> Artifact {
    Artifact {
        name: Some(Arc::from("answer")),
        description: Some(Arc::from("what came of it")),
        metadata: Some(json(r#"{"b":1,"a":2}"#)),
        extensions: vec![Arc::from("https://example.com/ext/1")],
        ..Artifact::new(ArtifactId::parse("a-1").unwrap(), parts())
    }
}

pub(crate) fn submitted(message: Message) -> Event {
    Event::Submitted(Arc::new(Submitted {
        tenant: Tenant::parse("local").unwrap(),
        owner: Principal::parse("owner").unwrap(),
        agent: AgentName::parse("echo").unwrap(),
        context: context_id(),
        message: Arc::new(message),
        planned_call: None,
        trace: None,
        parent: None,
        caller: None,
    }))
}

pub(crate) fn started() -> Event {
    let runner = serde_json::from_str(r#""00000000-0000-0000-0000-000000000001""#).unwrap();
    Event::Started { claim: Claim { runner, epoch: 1 } }
}

pub(crate) fn added() -> Event {
    Event::ArtifactAdded { artifact: Arc::new(artifact()), append: false, last_chunk: true }
}

pub(crate) fn ended(state: State) -> Event {
    let message = message("m-9", Role::Agent, vec![Part::text("done")]);
    Event::Ended { state, message: Some(Arc::new(message)), metadata: Some(json(r#"{"code":"timed-out"}"#)) }
}

/// A task after these events, one millisecond apart.
pub(crate) fn task(events: &[Event]) -> Task {
    Task::fold(task_id(), (0..).map(at).zip(events)).unwrap()
}

/// What most tasks are: a text in, a text out.
pub(crate) fn small_task() -> Task {
    let artifact = Artifact::new(ArtifactId::parse("echo").unwrap(), vec![Part::text("hello")]);
    let added = Event::ArtifactAdded { artifact: Arc::new(artifact), append: false, last_chunk: true };
    let ended = Event::Ended { state: State::Completed, message: None, metadata: None };
    task(&[submitted(message("m-1", Role::User, vec![Part::text("hello")])), started(), added, ended])
}

/// A task with everything that a task can have.
pub(crate) fn full_task() -> Task {
    task(&[submitted(user_message()), started(), added(), ended(State::Completed)])
}
