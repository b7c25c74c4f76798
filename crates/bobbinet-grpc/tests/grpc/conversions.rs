//! What holds for all messages: nothing is lost that the package can say, and the bytes of today are those of yesterday.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Base64, Content, ContextId, Event, Json, Message, MessageId, Part, Principal,
    Role, Selection, State, Task, TaskId, Tenant, Timestamp,
    operation::{CancelParams, Configuration, GetParams, ListParams, SendParams, SubscribeParams},
    task::Submitted,
};
use bobbinet_grpc::{pb, v0_3, v1_0};
use bobbinet_wire::view::{StatusView, StreamEvent, TaskView};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use prost::Message as _;

/// JSON that protobuf can hold, with its names in order.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        (-1e9..1e9_f64).prop_filter("a fraction", |number| number.fract() != 0.0).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    scalar.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(serde_json::Value::from_iter),
        ]
    })
}

fn object() -> impl Strategy<Value = Json> {
    prop::collection::btree_map("[a-z]{1,6}", value(), 0..3)
        .prop_map(|fields| Json::from(&serde_json::Value::from_iter(fields)))
}

fn word() -> impl Strategy<Value = Arc<str>> {
    "[!-~]{1,12}".prop_map(Arc::from)
}

fn part() -> impl Strategy<Value = Part> {
    let content = prop_oneof![
        any::<String>().prop_map(|text| Content::Text(Arc::from(text))),
        word().prop_map(Content::Url),
        "([A-Za-z0-9+/]{4}){0,5}".prop_map(|text| Content::Raw(Base64::from_checked(&text))),
        value().prop_map(|value| Content::Data(Json::from(&value))),
    ];
    (content, prop::option::of(word()), prop::option::of(word()), prop::option::of(object()))
        .prop_map(|(content, media_type, filename, metadata)| Part { content, media_type, filename, metadata })
}

fn message() -> impl Strategy<Value = Message> {
    (
        "[!-~]{1,12}",
        prop::bool::ANY,
        prop::collection::vec(part(), 1..4),
        prop::option::of(object()),
        prop::collection::vec(word(), 0..3),
        prop::collection::vec(word(), 0..3),
    )
        .prop_map(|(id, is_user, parts, metadata, extensions, reference_tasks)| Message {
            id: MessageId::parse(&id).unwrap(),
            role: if is_user { Role::User } else { Role::Agent },
            parts,
            metadata,
            extensions,
            reference_tasks,
        })
}

fn artifact() -> impl Strategy<Value = Artifact> {
    (
        "[!-~]{1,12}",
        prop::option::of(word()),
        prop::option::of(word()),
        prop::collection::vec(part(), 1..3),
        prop::option::of(object()),
        prop::collection::vec(word(), 0..2),
    )
        .prop_map(|(id, name, description, parts, metadata, extensions)| Artifact {
            id: ArtifactId::parse(&id).unwrap(),
            name,
            description,
            parts,
            metadata,
            extensions,
        })
}

fn state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL.to_vec())
}

fn id() -> TaskId {
    TaskId::parse("019aa5c3-6f00-7000-8000-000000000001").unwrap()
}

fn context() -> ContextId {
    ContextId::parse("trip").unwrap()
}

fn begun(message: Message) -> Task {
    let submitted = Submitted {
        tenant: Tenant::parse("here").unwrap(),
        owner: Principal::parse("ann").unwrap(),
        agent: AgentName::parse("worker").unwrap(),
        context: context(),
        message: Arc::new(message),
        planned_call: None,
        trace: None,
        parent: None,
        caller: None,
    };
    Task::begin(id(), Timestamp::from_millis(1_795_258_800_007), &submitted)
}

fn task() -> impl Strategy<Value = Task> {
    (
        prop::collection::vec(message(), 1..3),
        prop::collection::vec(artifact(), 0..3),
        prop::option::of(message()),
        prop::option::of(object()),
        state(),
        0..4_000_000_000_000_u64,
    )
        .prop_map(|(history, artifacts, status_message, status_metadata, state, at)| Task {
            state,
            status_at: Timestamp::from_millis(at),
            status_message: status_message.map(Arc::new),
            status_metadata,
            artifacts: artifacts.into_iter().map(Arc::new).collect(),
            history: history.into_iter().map(Arc::new).collect(),
            ..begun(Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text("x")]))
        })
}

/// What a client should read of it.
fn view(task: &Task) -> TaskView {
    TaskView {
        id: task.id.to_string(),
        context_id: Some(task.context.as_str().to_owned()),
        status: StatusView {
            state: task.state,
            message: task.status_message.as_deref().cloned(),
            at: Some(task.status_at),
        },
        history: task.history.iter().map(|said| Message::clone(said)).collect(),
        artifacts: task.artifacts.iter().map(|made| Artifact::clone(made)).collect(),
        metadata: task.status_metadata.clone(),
    }
}

fn send() -> impl Strategy<Value = SendParams> {
    let configuration = (prop::collection::vec("[a-z]{1,5}", 0..3), prop::option::of(1..9_u32), prop::bool::ANY)
        .prop_map(|(accepted_output_modes, history_length, return_immediately)| Configuration {
            accepted_output_modes,
            history_length,
            return_immediately,
            push_config: None,
        });
    (message(), prop::bool::ANY, prop::option::of("[a-z]{1,8}"), configuration, prop::option::of(object())).prop_map(
        |(message, has_context, task, configuration, metadata)| SendParams {
            message: Message { role: Role::User, ..message },
            context: has_context.then(context),
            task,
            configuration,
            metadata,
            tenant: None,
        },
    )
}

/// The same as it is without what 0.3 has no words for.
fn in_older_words(part: &Part) -> Part {
    match part.content {
        Content::Text(_) | Content::Data(_) => {
            Part { metadata: part.metadata.clone(), ..Part::new(part.content.clone()) }
        }
        Content::Raw(_) | Content::Url(_) => part.clone(),
    }
}

fn message_in_older_words(message: &Message) -> Message {
    Message {
        parts: message.parts.iter().map(in_older_words).map(without_empty_metadata_of_values).collect(),
        reference_tasks: Vec::new(),
        ..message.clone()
    }
}

/// Beside a value that is no object stands our mark, and metadata that says nothing is not told from none.
fn without_empty_metadata_of_values(part: Part) -> Part {
    let is_value = part.as_data().is_some_and(|data| !data.is_object());
    let is_empty = part.metadata.as_ref().is_some_and(|metadata| metadata.as_str() == "{}");
    if is_value && is_empty { Part { metadata: None, ..part } } else { part }
}

fn view_in_older_words(mut view: TaskView) -> TaskView {
    view.history = view.history.iter().map(message_in_older_words).collect();
    view.status.message = view.status.message.as_ref().map(message_in_older_words);
    for artifact in &mut view.artifacts {
        let parts = artifact.parts.iter().map(in_older_words).map(without_empty_metadata_of_values);
        artifact.parts = parts.collect();
    }
    view
}

fn sent<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_task_comes_back_as_it_was(task in task()) {
        let told = v1_0::view::task(sent(&v1_0::write::task(&task, Selection::ALL)));
        prop_assert_eq!(told, view(&task));
        let told = v0_3::view::task(sent(&v0_3::write::task(&task, Selection::ALL)));
        prop_assert_eq!(told, view_in_older_words(view(&task)));
    }

    #[test]
    fn an_event_comes_back_as_it_was(made in artifact(), append in any::<bool>(), last_chunk in any::<bool>()) {
        let event = Event::ArtifactAdded { artifact: Arc::new(made.clone()), append, last_chunk };
        let told = v1_0::write::update(&id(), &context(), Timestamp::from_millis(1), &event).unwrap();
        let Some(StreamEvent::ArtifactUpdate(told)) = v1_0::view::event(sent(&told)) else {
            panic!("another event")
        };
        prop_assert_eq!((told.task_id, told.append, told.last_chunk), (id().to_string(), append, last_chunk));
        prop_assert_eq!(told.artifact, made);
    }

    #[test]
    fn a_request_comes_back_as_it_was(params in send()) {
        let read = v1_0::read::send(sent(&v1_0::request::send(&params))).unwrap();
        prop_assert_eq!(&*read, &params);
        let read = v0_3::read::send(sent(&v0_3::request::send(&params))).unwrap();
        let expected = SendParams { message: message_in_older_words(&params.message), ..params };
        prop_assert_eq!(*read, expected);
    }

    #[test]
    fn nothing_that_is_sent_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = pb::v1_0::SendMessageRequest::decode(bytes.as_slice()) {
            let _ = v1_0::read::send(request);
        }
        if let Ok(response) = pb::v1_0::StreamResponse::decode(bytes.as_slice()) {
            let _ = v1_0::view::event(response);
        }
        if let Ok(request) = pb::v0_3::SendMessageRequest::decode(bytes.as_slice()) {
            let _ = v0_3::read::send(request);
        }
        if let Ok(response) = pb::v0_3::StreamResponse::decode(bytes.as_slice()) {
            let _ = v0_3::view::event(response);
        }
    }
}

#[test]
fn small_requests_come_back_as_they_were() {
    let get = GetParams { id: "a".to_owned(), history_length: Some(3), tenant: None };
    assert_eq!(v1_0::read::get(v1_0::request::get(&get)).unwrap(), get);
    assert_eq!(v0_3::read::get(&v0_3::request::get(&get)).unwrap(), get);
    let cancel = CancelParams { id: "a".to_owned(), metadata: None, tenant: None };
    assert_eq!(v1_0::read::cancel(v1_0::request::cancel(&cancel)).unwrap(), cancel);
    assert_eq!(v0_3::read::cancel(&v0_3::request::cancel(&cancel)).unwrap(), cancel);
    let subscribe = SubscribeParams { id: "a".to_owned(), tenant: None };
    assert_eq!(v1_0::read::subscribe(v1_0::request::subscribe(&subscribe)).unwrap(), subscribe);
    assert_eq!(v0_3::read::subscribe(&v0_3::request::subscribe(&subscribe)).unwrap(), subscribe);
    let list = ListParams {
        context: Some(context()),
        state: Some(State::Working),
        status_timestamp_after: Some(Timestamp::from_millis(1_795_258_800_001)),
        page_token: Some("next".to_owned()),
        history_length: Some(0),
        include_artifacts: true,
        tenant: Some("worker".to_owned()),
        ..ListParams::default()
    };
    assert_eq!(v1_0::read::list(v1_0::request::list(&list)).unwrap(), list);
}

fn golden(bytes: &[u8], expected: &Expect) {
    let lines: Vec<String> =
        bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_task_is_written_as_it_was_before() {
    let data = Json::parse(r#"{"b":[1,null,"x"],"a":2.5}"#).unwrap();
    let message = Message {
        metadata: Some(data.clone()),
        extensions: vec![Arc::from("urn:x")],
        reference_tasks: vec![Arc::from("other")],
        role: Role::User,
        ..Message::from_agent(
            MessageId::parse("m-1").unwrap(),
            vec![
                Part::text("say hi"),
                Part { filename: Some(Arc::from("a.png")), ..Part::new(Content::Raw(Base64::from_checked("+/8="))) },
                Part::new(Content::Url(Arc::from("https://a.example"))),
                Part::data(Json::parse("[1]").unwrap()),
            ],
        )
    };
    let artifact = Artifact::new(ArtifactId::parse("result").unwrap(), vec![Part::data(data)]);
    let task = Task { state: State::Canceled, artifacts: vec![Arc::new(artifact)], ..begun(message) };
    golden(
        &v1_0::write::task(&task, Selection::ALL).encode_to_vec(),
        &expect![[r#"
        0a2430313961613563332d366630302d373030302d383030302d303030303030
        3030303030311204747269701a0f08051a0b08b0f385d80610c09fab03224d0a
        06726573756c742243222f2a2d0a0e0a016112091100000000000004400a1b0a
        0162121632140a0911000000000000f03f0a0208000a031a01783a106170706c
        69636174696f6e2f6a736f6e2abf010a036d2d311204747269701a2430313961
        613563332d366630302d373030302d383030302d303030303030303030303031
        20012a080a067361792068692a0b1202fbff3205612e706e672a131a11687474
        70733a2f2f612e6578616d706c652a21220d320b0a0911000000000000f03f3a
        106170706c69636174696f6e2f6a736f6e322d0a0e0a01611209110000000000
        0004400a1b0a0162121632140a0911000000000000f03f0a0208000a031a0178
        3a0575726e3a7842056f74686572"#]],
    );
    golden(
        &v0_3::write::task(&task, Selection::ALL).encode_to_vec(),
        &expect![[r#"
        0a2430313961613563332d366630302d373030302d383030302d303030303030
        3030303030311204747269701a0f08051a0b08b0f385d80610c09fab03223b0a
        06726573756c742a311a2f0a2d0a0e0a016112091100000000000004400a1b0a
        0162121632140a0911000000000000f03f0a0208000a031a01782ad1010a036d
        2d311204747269701a2430313961613563332d366630302d373030302d383030
        302d30303030303030303030303120012a080a067361792068692a0d120b1202
        fbff2205612e706e672a1512130a1168747470733a2f2f612e6578616d706c65
        2a361a1a0a180a160a0576616c7565120d320b0a0911000000000000f03f2218
        0a160a10646174615f706172745f636f6d70617412022001322d0a0e0a016112
        091100000000000004400a1b0a0162121632140a0911000000000000f03f0a02
        08000a031a01783a0575726e3a78"#]],
    );
}
