//! What every kind of record looks like on the disk. A change here is a change of the format: what was written before must
//! still be read.

use std::{fmt::Write, sync::Arc};

use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, CallId, Caller, Claim, ContextId, Deferred, Effect, Event, Generation, Json,
    Part, Principal, Question, QuestionKind, RequestKey, RunnerId, SkillId, State, TaskId, Tenant, Timestamp,
    task::{CallOutcome, Child, Parent, Submitted},
};
use bobbinet_engine::{FORMAT, decode, encode};
use bobbinet_store::Record;
use uuid::Uuid;

use crate::lab::said;

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// Every event, once with all that it may say and once with no more than it must.
fn events() -> Vec<Event> {
    let message = || Arc::new(said("m1", "hello"));
    let call = Arc::new(Call {
        skill: Some(SkillId::parse("read_file").unwrap()),
        arguments: Some(json(r#"{"path":"a.txt"}"#)),
        converted: vec!["/path".to_owned()],
        effect: Effect::AtMostOnce,
    });
    let claim = Claim { runner: RunnerId::new(Uuid::from_u128(7)), epoch: 2 };
    let artifact = Arc::new(Artifact {
        id: ArtifactId::parse("a1").unwrap(),
        name: Some("a.txt".into()),
        description: None,
        parts: vec![Part { filename: Some("a.txt".into()), ..Part::text("hello") }, Part::data(json("[1.50]"))],
        metadata: Some(json("{}")),
        extensions: Vec::new(),
    });
    let submitted = |planned_call, trace: Option<&str>| {
        Event::Submitted(Arc::new(Submitted {
            tenant: Tenant::parse("acme").unwrap(),
            owner: Principal::parse("ann").unwrap(),
            agent: AgentName::parse("files").unwrap(),
            context: ContextId::parse("c1").unwrap(),
            message: message(),
            planned_call,
            trace: trace.map(Into::into),
            parent: None,
            caller: None,
        }))
    };
    let child = |deadline, is_kept: bool| {
        let caller = Caller { scopes: vec!["read".to_owned()], is_node_owner: true, ..crate::lab::caller("ann") };
        Event::Submitted(Arc::new(Submitted {
            tenant: Tenant::parse("acme").unwrap(),
            owner: Principal::parse("ann").unwrap(),
            agent: AgentName::parse("files").unwrap(),
            context: ContextId::parse("c1").unwrap(),
            message: message(),
            planned_call: None,
            trace: None,
            parent: Some(Arc::new(Parent { task: TaskId::new(Uuid::from_u128(8)), deadline, budget: 7 })),
            caller: is_kept.then(|| Arc::new(caller)),
        }))
    };
    let question = |kind, schema| Event::Asked { question: Arc::new(Question { kind, message: message(), schema }) };
    let deferred = |skill: Option<&str>, is_whole: bool| {
        let principal = Principal::parse("ann").unwrap();
        let asked = Question { kind: QuestionKind::Input, message: message(), schema: None };
        Event::Deferred(Arc::new(Deferred {
            caller: Caller {
                principal: principal.clone(),
                tenant: Tenant::parse("acme").unwrap(),
                is_node_owner: is_whole,
                scopes: is_whole.then(|| "files".to_owned()).into_iter().collect(),
                chain: is_whole.then_some(principal).into_iter().collect(),
                issuer: None,
                claims: None,
            },
            skill: skill.map(|skill| SkillId::parse(skill).unwrap()),
            question: is_whole.then(|| Arc::new(asked)),
        }))
    };
    let key = Arc::new(RequestKey { key: "k".into(), body_hash: "00ff".into() });
    let mut events = vec![
        submitted(Some(call.clone()), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        submitted(None, None),
        Event::Started { claim },
        Event::Intended { call_id: CallId(1), attempt: 2 },
        Event::Progressed { message: Some(message()), metadata: Some(json(r#"{"progress":1}"#)) },
        Event::Progressed { message: None, metadata: None },
        Event::ArtifactAdded { artifact: artifact.clone(), append: true, last_chunk: true },
        Event::ArtifactAdded { artifact, append: false, last_chunk: false },
        question(QuestionKind::Input, Some(json(r#"{"type":"object"}"#))),
        question(QuestionKind::Elicitation, None),
        question(QuestionKind::Authorization, None),
        question(QuestionKind::Outcome { call_id: CallId(1) }, None),
        Event::Replied { message: message(), answer: Some(json("true")), resumed: true, key: Some(key) },
        Event::Replied { message: message(), answer: None, resumed: false, key: None },
        child(Some(Timestamp::from_millis(1_795_258_900_000)), true),
        child(None, false),
        Event::Planned { call },
        Event::Spawned(Child { name: "next".into(), task: TaskId::new(Uuid::from_u128(9)), budget: 3 }),
        Event::Withdrawn,
        Event::Reclaimed { claim, call_id: CallId(1), attempt: 2 },
        Event::Stopped,
        Event::Recorded { record: json(r#"{"came":"start"}"#) },
        Event::Checkpointed { checkpoint: json(r#"{"step":2}"#) },
        Event::Requeued,
        Event::Unserved { message: message() },
        Event::Ended { state: State::Completed, message: Some(message()), metadata: Some(json("{}")) },
    ];
    let outcomes = [
        CallOutcome::Done,
        CallOutcome::Failed,
        CallOutcome::Unknown,
        CallOutcome::NotMade,
        CallOutcome::Declined,
        CallOutcome::SaidToHaveHappened,
        CallOutcome::SaidToHaveFailed,
        CallOutcome::Late,
    ];
    events.extend(outcomes.map(|outcome| Event::Settled { call_id: CallId(1), outcome }));
    let ends = [State::Completed, State::Failed, State::Canceled, State::Rejected];
    events.extend(ends.map(|state| Event::Ended { state, message: None, metadata: None }));
    // What came later stands at the end, so that the lines above stay as they were.
    events.extend([deferred(Some("say"), true), deferred(None, false)]);
    events
}

/// A kind that is not here does not compile: it belongs above too.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::Submitted(_) => "submitted",
        Event::Started { .. } => "started",
        Event::Intended { .. } => "intended",
        Event::Progressed { .. } => "progressed",
        Event::ArtifactAdded { .. } => "added",
        Event::Asked { .. } => "asked",
        Event::Replied { .. } => "replied",
        Event::Deferred(_) => "deferred",
        Event::Planned { .. } => "planned",
        Event::Withdrawn => "withdrawn",
        Event::Reclaimed { .. } => "reclaimed",
        Event::Stopped => "stopped",
        Event::Recorded { .. } => "recorded",
        Event::Spawned(_) => "spawned",
        Event::Checkpointed { .. } => "checkpointed",
        Event::Settled { .. } => "settled",
        Event::Requeued => "released",
        Event::Unserved { .. } => "unserved",
        Event::Ended { .. } => "ended",
    }
}

#[test]
fn every_record_is_written_as_it_was() {
    let mut text = format!("format {FORMAT}\n");
    for (number, event) in (1..).zip(events()) {
        let generation = event.is_public().then_some(Generation(number));
        let records = encode(Timestamp::from_millis(1_795_258_800_123), [(generation, &event)].into_iter());
        writeln!(text, "{} {}", kind(&event), std::str::from_utf8(&records[0].body).unwrap()).unwrap();
    }
    expect_test::expect_file!["golden.txt"].assert_eq(&text);
}

#[test]
fn every_record_that_was_written_is_read() {
    let golden = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/golden.txt")).unwrap();
    let mut lines = golden.lines();
    assert_eq!(lines.next(), Some(format!("format {FORMAT}").as_str()));
    let events = events();
    assert_eq!(lines.clone().count(), events.len());
    for ((number, event), line) in (1..).zip(events).zip(lines) {
        let body = line.split_once(' ').unwrap().1.as_bytes().to_vec().into();
        let kept = decode::<Event>(&Record { format: FORMAT, body }).unwrap();
        assert_eq!(kept.at, Timestamp::from_millis(1_795_258_800_123));
        assert_eq!(kept.generation, event.is_public().then_some(Generation(number)));
        assert_eq!(kept.event, event);
    }
}
