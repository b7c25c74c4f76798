//! A2A 0.3: what comes in becomes what 1.0's would, what goes out says its kind, and nothing is lost on the way that 0.3 can say.

use std::sync::Arc;

use bobbinet_core::{
    Base64, Content, ContextId, Message, Part, Role, State,
    operation::{CancelParams, Configuration, GetParams, Operation, SubscribeParams},
};
use bobbinet_wire::{
    Error, v0_3, v1_0,
    view::{ArtifactUpdate, MessageView, PageView, Sent, StatusUpdate, StatusView, StreamEvent, TaskView},
};
use expect_test::{Expect, ExpectFile, expect, expect_file};
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::{
    fixture::{artifact, at, full_message, json, message, user_message},
    golden::assert_no_snake_case,
    properties::{part, said},
};

fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}

fn decode(method: &str, params: &str) -> Result<Operation, Error> {
    v0_3::request::decode(v0_3::Method::from_name(method).unwrap(), Some(raw(params)))
}

fn sent(method: &str, params: &str) -> Message {
    let operation = decode(method, params).unwrap();
    let (Operation::Send(send) | Operation::SendStreaming(send)) = operation else { panic!("{operation:?}") };
    send.message
}

#[test]
fn each_dialect_has_its_own_json_for_the_same_message() {
    let of_0_3 = r#"{"kind":"message","messageId":"m-1","role":"user","parts":[{"kind":"text","text":"hi"},
        {"kind":"data","data":{"a":1.0}},{"kind":"file","file":{"name":"a.png","mimeType":"image/png","bytes":"+/8="}},
        {"kind":"file","file":{"uri":"https://example.com/x"}}],"metadata":{"b":2}}"#;
    let of_1_0 = r#"{"messageId":"m-1","role":"ROLE_USER","parts":[{"text":"hi"},{"data":{"a":1.0}},
        {"raw":"+/8=","filename":"a.png","mediaType":"image/png"},{"url":"https://example.com/x"}],"metadata":{"b":2}}"#;
    let params = format!(r#"{{"message":{of_1_0}}}"#);
    let Ok(Operation::Send(of_1_0)) = v1_0::request::decode(v1_0::Method::SendMessage, Some(raw(&params))) else {
        panic!("{params}");
    };
    assert_eq!(sent("message/send", &format!(r#"{{"message":{of_0_3}}}"#)), of_1_0.message);
    // Neither takes the other's.
    let error = v1_0::request::decode(v1_0::Method::SendMessage, Some(raw(&format!(r#"{{"message":{of_0_3}}}"#))));
    assert_eq!(error.unwrap_err().violations()[0].field, "message.role");
    assert_eq!(decode("message/send", &params).unwrap_err().violations()[0].field, "message.role");
}

#[test]
fn what_a_client_of_0_3_asks_is_what_one_of_1_0_asks() {
    let params = r#"{"message":{"messageId":"m","role":"user","taskId":"t","contextId":"c","parts":[{"kind":"text","text":"a"}]},
        "configuration":{"acceptedOutputModes":["text/plain"],"historyLength":2,"blocking":false},"metadata":{"x":1}}"#;
    let Ok(Operation::Send(send)) = decode("message/send", params) else { panic!("{params}") };
    let configuration = Configuration {
        accepted_output_modes: vec!["text/plain".to_owned()],
        history_length: Some(2),
        return_immediately: true,
        push_config: None,
    };
    assert_eq!(send.configuration, configuration);
    assert_eq!((send.task.as_deref(), send.context), (Some("t"), Some(ContextId::parse("c").unwrap())));
    let blocks = |configuration: &str| {
        let params = format!(
            r#"{{"message":{{"messageId":"m","role":"user","parts":[{{"text":"a"}}]}},"configuration":{configuration}}}"#
        );
        let operation = decode("message/stream", &params).unwrap();
        let Operation::SendStreaming(send) = operation else { panic!("{operation:?}") };
        !send.configuration.return_immediately
    };
    assert_eq!(["{}", r#"{"blocking":true}"#, r#"{"blocking":false}"#].map(blocks), [true, true, false]);
    let of_task = r#"{"id":"t","historyLength":3,"metadata":{"a":1}}"#;
    let get = GetParams { id: "t".to_owned(), history_length: Some(3), tenant: None };
    assert_eq!(decode("tasks/get", of_task).unwrap(), Operation::Get(get));
    let cancel = CancelParams { id: "t".to_owned(), metadata: Some(json(r#"{"a":1}"#)), tenant: None };
    assert_eq!(decode("tasks/cancel", of_task).unwrap(), Operation::Cancel(cancel));
    let subscribe = SubscribeParams { id: "t".to_owned(), tenant: None };
    assert_eq!(decode("tasks/resubscribe", of_task).unwrap(), Operation::Subscribe(subscribe));
    let Ok(Operation::List(list)) = decode("tasks/list", r#"{"status":"input-required","pageSize":7}"#) else {
        panic!("tasks/list");
    };
    assert_eq!((list.state, list.page_size), (Some(State::InputRequired), 7));
    for method in v0_3::Method::ALL {
        assert_eq!(v0_3::Method::from_name(method.name()), Some(method));
    }
}

fn check_faults(params: &str, expected: &Expect) {
    let error = decode("message/send", params).unwrap_err();
    let faults: String = error.violations().iter().map(|fault| format!("{fault}\n")).collect();
    expected.assert_eq(&faults);
}

#[test]
fn all_faults_are_named_by_their_paths_in_one_pass() {
    check_faults(
        r#"{"message":{"role":"ROLE_USER","parts":[{"kind":"picture"},{"kind":"text","text":1},7,{"kind":"file"},
            {"kind":"file","file":{"bytes":"+/8=","uri":"a"}},{"kind":"data","data":[]}],"metadata":[]},
            "configuration":{"historyLength":-1}}"#,
        &expect![[r#"
            message.role must be user or agent
            message.parts[0].kind must be text, data or file
            message.parts[1].text must be a string, not a number
            message.parts[2] must be an object, not a number
            message.parts[3].file is required
            message.parts[4].file must have one of bytes and uri
            message.parts[5].data must be an object, not an array
            message.metadata must be an object, not an array
            message.messageId is required
            configuration.historyLength is wrong: it may not be negative
        "#]],
    );
    // Names of the proto file are 1.0's alone.
    check_faults(
        r#"{"message":{"message_id":"m","role":"user","parts":[{"kind":"text","text":"a"}]}}"#,
        &expect![[r#"
            message.messageId is required
        "#]],
    );
}

#[test]
fn an_agent_may_leave_things_out_and_say_what_is_not_known_here() {
    let read = |text: &str| v0_3::client::read_event(raw(text)).unwrap();
    let Some(StreamEvent::Task(task)) = read(
        r#"{"id":"t","status":{"state":"dreaming","message":{"parts":[{"kind":"smell"},{"kind":"text","text":"zzz"}]}},"kind":"task"}"#,
    ) else {
        panic!("no task");
    };
    let said = task.status.message.unwrap();
    assert_eq!((task.status.state, said.id.as_str(), said.role), (State::Working, "unnamed", Role::Agent));
    assert_eq!((said.text().as_str(), said.parts.len(), task.context_id), ("zzz", 1, None));
    assert_eq!(read(r#"{"kind":"rumour","id":7}"#), None);
    assert_eq!(read(r#"{"id":"t"}"#), None);
    assert!(v0_3::client::read_event(raw(r#"{"kind":7}"#)).is_err());
    assert!(v0_3::client::read_sent(raw(r#"{"kind":"status-update","status":{"state":"working"}}"#)).is_err());
}

fn view(state: State) -> TaskView {
    TaskView {
        id: "t-1".to_owned(),
        context_id: Some("c-1".to_owned()),
        status: StatusView {
            state,
            message: Some(message("m-9", Role::Agent, vec![Part::text("which?")])),
            at: Some(at(0)),
        },
        history: vec![user_message(), full_message()],
        artifacts: vec![artifact()],
        metadata: Some(json(r#"{"b":1,"a":2}"#)),
    }
}

fn written(event: &StreamEvent) -> String {
    let mut out = Vec::new();
    v0_3::response::write_event(&mut out, event);
    String::from_utf8(out).unwrap()
}

fn check(event: &StreamEvent, expected: &ExpectFile) {
    let text = written(event);
    assert!(!text.contains('\n'), "one line, so that an event stream can carry it");
    // The SDKs' own word for data that is no object.
    assert_no_snake_case(&serde_json::from_str(&text.replace("data_part_compat", "dataPartCompat")).unwrap());
    expected.assert_eq(&format!("{text}\n"));
}

#[test]
fn what_goes_out_says_its_kind() {
    let task = view(State::InputRequired);
    check(&StreamEvent::Task(task.clone()), &expect_file!["../../golden/v0_3_task.json"]);
    let bare = TaskView {
        id: "t".to_owned(),
        context_id: None,
        status: StatusView { state: State::Submitted, message: None, at: None },
        history: Vec::new(),
        artifacts: Vec::new(),
        metadata: None,
    };
    check(&StreamEvent::Task(bare), &expect_file!["../../golden/v0_3_task_bare.json"]);
    let answer = MessageView { message: full_message(), task_id: None, context_id: Some("c-1".to_owned()) };
    check(&StreamEvent::Message(answer), &expect_file!["../../golden/v0_3_message.json"]);
    let update = |state| {
        StreamEvent::StatusUpdate(StatusUpdate {
            task_id: "t-1".to_owned(),
            context_id: Some("c-1".to_owned()),
            status: view(state).status,
            metadata: None,
        })
    };
    check(&update(State::AuthRequired), &expect_file!["../../golden/v0_3_status.json"]);
    check(&update(State::Completed), &expect_file!["../../golden/v0_3_status_final.json"]);
    let more = ArtifactUpdate {
        task_id: "t-1".to_owned(),
        context_id: Some("c-1".to_owned()),
        artifact: artifact(),
        append: true,
        last_chunk: true,
        metadata: Some(json("{}")),
    };
    check(&StreamEvent::ArtifactUpdate(more), &expect_file!["../../golden/v0_3_artifact.json"]);
    let page = PageView { tasks: Vec::new(), next_page_token: None, total_size: 0 };
    let mut out = Vec::new();
    v0_3::response::write_page(&mut out, &page);
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"tasks":[],"totalSize":0,"nextPageToken":""}"#);
}

/// The same, as far as 0.3 has words for it.
fn as_0_3_has_it(part: Part) -> Part {
    match part.content {
        Content::Text(_) | Content::Data(_) => Part { media_type: None, filename: None, ..part },
        Content::Raw(_) | Content::Url(_) => part,
    }
}

/// Metadata that had to be put together again has its keys in another order.
fn is_same(one: &Part, other: &Part) -> bool {
    let metadata = |part: &Part| part.metadata.as_ref().map(bobbinet_core::Json::to_value);
    one.content == other.content
        && (&one.media_type, &one.filename) == (&other.media_type, &other.filename)
        && metadata(one) == metadata(other)
}

proptest! {
    #[test]
    fn nothing_is_lost_between_1_0_and_0_3_that_0_3_can_say(said in said(), more in prop::collection::vec(part(), 1..4)) {
        // From 1.0's wire into the core …
        let mut task = view(State::Completed);
        task.history = vec![said];
        task.artifacts[0].parts = more;
        let message = task.history[0].clone();
        let event = StreamEvent::Task(task.clone());
        // … out in 0.3, and back.
        let text = written(&event);
        let back = v0_3::client::read_sent(raw(&text)).unwrap();
        let Sent::Task(back) = back else { panic!("{back:?}") };
        let parts = |parts: &[Part]| parts.iter().cloned().map(as_0_3_has_it).collect::<Vec<_>>();
        for (was, is) in [(&message.parts, &back.history[0].parts), (&task.artifacts[0].parts, &back.artifacts[0].parts)] {
            prop_assert!(parts(was).iter().zip(is).all(|(was, is)| is_same(was, is)), "{:?} {:?}", was, is);
            prop_assert_eq!(was.len(), is.len());
        }
        let bare = |mut task: TaskView| {
            task.history[0].parts.clear();
            task.artifacts[0].parts.clear();
            task
        };
        prop_assert_eq!(bare(back), bare(task));
    }

    #[test]
    fn data_of_any_kind_comes_back(text in "[a-z]{0,3}", number in any::<i64>()) {
        let values = [format!("\"{text}\""), number.to_string(), "null".to_owned(), "[1.0, {}]".to_owned(), "{\"value\":1}".to_owned()];
        let parts: Vec<Part> = values.iter().map(|text| Part::new(Content::Data(json(text)))).collect();
        let said = StreamEvent::Message(MessageView { message: message("m", Role::Agent, parts.clone()), task_id: None, context_id: None });
        let Some(StreamEvent::Message(back)) = v0_3::client::read_event(raw(&written(&said))).unwrap() else { panic!("no message") };
        prop_assert_eq!(back.message.parts, parts);
    }

    #[test]
    fn any_parameters_of_0_3_are_taken_or_refused_by_name(params in crate::properties::json_text()) {
        for method in v0_3::Method::ALL {
            if let Err(error) = v0_3::request::decode(method, Some(raw(&params))) {
                prop_assert!(!error.violations().is_empty());
            }
        }
        let _ = v0_3::client::read_event(raw(&params));
        let _ = v0_3::client::read_page(raw(&params));
    }
}

#[test]
fn bytes_and_links_keep_what_they_are_called() {
    let parts = vec![
        Part { filename: Some(Arc::from("a")), ..Part::new(Content::Raw(Base64::from_checked("+/8="))) },
        Part { media_type: Some(Arc::from("image/png")), ..Part::new(Content::Url(Arc::from("https://a.example"))) },
    ];
    let said = MessageView { message: message("m", Role::Agent, parts), task_id: None, context_id: None };
    expect![[r#"{"kind":"message","messageId":"m","role":"agent","parts":[{"kind":"file","file":{"name":"a","bytes":"+/8="}},{"kind":"file","file":{"mimeType":"image/png","uri":"https://a.example"}}]}"#]]
        .assert_eq(&written(&StreamEvent::Message(said)));
}
