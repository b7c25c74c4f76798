//! What a client asks in 0.3 over HTTP itself is what a server of it reads, and what is answered there is read.

use bobbinet_core::{
    Content, PushPage, PushView, Role, State,
    operation::{Configuration, GetParams, Operation, Selection, SendParams},
    push::{GetPushParams, PushOperation},
};
use bobbinet_wire::{
    ReplyError, rest,
    rest_request::RestRequest,
    v0_3, v0_3_proto,
    view::{Sent, StreamEvent},
};
use expect_test::expect;

use crate::{
    fixture::{at, context_id, ended, full_task, json, task_id},
    spoken::{all, pushes, send, told},
};

fn request(operation: &Operation) -> RestRequest {
    v0_3_proto::client::request(operation).unwrap()
}

/// What a server reads out of a request of ours.
fn read(request: &RestRequest) -> Operation {
    let path = request.path.strip_prefix("v1").unwrap();
    let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let route = v0_3_proto::rest::route(request.method, &rest::segments(path).unwrap()).unwrap();
    let params = route.params(Some(&query.join("&")), request.body.as_deref().unwrap_or_default()).unwrap();
    route.decode(&params).unwrap()
}

#[test]
fn an_operation_has_a_path_of_its_own_and_its_server_reads_it() {
    let operations: Vec<Operation> = all().into_iter().chain(pushes(v0_3::VERSION)).collect();
    let requests: Vec<RestRequest> = operations.iter().map(request).collect();
    expect![[r#"
        Post v1/message:send 
        Post v1/message:send 
        Get v1/tasks/t historyLength=3
        Get v1/tasks contextId=c&status=TASK_STATE_INPUT_REQUIRED&pageSize=7&pageToken=p/q&historyLength=0&lastUpdatedAfter=2026-11-21T11:00:00.005Z&includeArtifacts=true
        Post v1/tasks/t:cancel 
        Post v1/tasks/t:subscribe 
        Get v1/card 
        Post v1/tasks/t%2F1/pushNotificationConfigs 
        Post v1/tasks/t%2F1/pushNotificationConfigs 
        Get v1/tasks/t%2F1/pushNotificationConfigs/h%20k 
        Get v1/tasks/t%2F1/pushNotificationConfigs 
        Delete v1/tasks/t%2F1/pushNotificationConfigs/h%20k "#]]
    .assert_eq(&requests.iter().map(told).collect::<Vec<_>>().join("\n"));
    for (request, mut operation) in requests.iter().zip(operations) {
        // No word of the proto file's request to cancel says anything beside the task.
        if let Operation::Cancel(cancel) = &mut operation {
            cancel.metadata = None;
        }
        assert_eq!(read(request), operation);
    }
    let body = |operation: &Operation| String::from_utf8(request(operation).body.unwrap()).unwrap();
    let plain = SendParams { context: None, metadata: None, configuration: Configuration::default(), ..*send() };
    let waits = Operation::Send(Box::new(plain.clone()));
    expect![[r#"{"message":{"messageId":"m-1","taskId":"t","role":"ROLE_USER","content":[{"text":"hi"}]},"configuration":{"blocking":true}}"#]]
        .assert_eq(&body(&waits));
    // A stream has nothing to wait for.
    let stream = Operation::SendStreaming(Box::new(SendParams { task: None, ..plain.clone() }));
    expect![[r#"{"message":{"messageId":"m-1","role":"ROLE_USER","content":[{"text":"hi"}]}}"#]]
        .assert_eq(&body(&stream));
    // Zero is all of the history there, and a tenant is not known.
    let configuration = Configuration { history_length: Some(0), ..Configuration::default() };
    let none = Operation::Send(Box::new(SendParams { configuration, tenant: Some("acme".to_owned()), ..plain }));
    let none = body(&none);
    assert!(none.contains(r#""historyLength":1"#) && !none.contains("acme"), "{none}");
    let get = Operation::Get(GetParams { id: "a/b".to_owned(), history_length: Some(0), tenant: Some("x".to_owned()) });
    assert_eq!(told(&request(&get)), "Get v1/tasks/a%2Fb historyLength=1");
    expect![[r#"{"parent":"tasks/t/1","configId":"h k","config":{"pushNotificationConfig":{"id":"h k","url":"https://a.example/hook","token":"tok","authentication":{"schemes":["Bearer"],"credentials":"cred"}}}}"#]]
        .assert_eq(&body(&pushes(v0_3::VERSION)[0]));
    let unnamed = PushOperation::Get(GetPushParams { task: "t".to_owned(), id: None, tenant: None });
    assert_eq!(v0_3_proto::client::request(&Operation::PushConfig(unnamed)), None);
}

fn event(text: &str) -> Result<Option<StreamEvent>, ReplyError> {
    v0_3_proto::client::read_event(serde_json::from_str(text).unwrap())
}

fn said(text: &str) -> StreamEvent {
    event(text).unwrap().unwrap()
}

#[test]
fn what_our_server_answers_comes_back_as_far_as_0_3_has_words_for_it() {
    let task = full_task();
    let mut out = Vec::new();
    v0_3_proto::task::write_task_wrapped(&mut out, &task, Selection::ALL);
    let text = String::from_utf8(out).unwrap();
    let sent = v0_3_proto::client::read_sent(serde_json::from_str(&text).unwrap()).unwrap();
    let (Sent::Task(shown), StreamEvent::Task(streamed)) = (sent, said(&text)) else { panic!("{text}") };
    assert_eq!(shown, streamed);
    assert_eq!((shown.id, shown.status.state), (task_id().to_string(), State::Completed));
    assert_eq!((shown.history.len(), shown.metadata), (task.history.len(), task.status_metadata.clone()));
    let (shown, ours) = (&shown.artifacts[0], &task.artifacts[0]);
    assert_eq!((&shown.id, &shown.name, &shown.metadata), (&ours.id, &ours.name, &ours.metadata));
    assert_eq!(shown.parts.len(), ours.parts.len());
    assert!(shown.parts.iter().zip(&ours.parts).all(|(shown, ours)| shown.content == ours.content), "{shown:?}");
    for (state, is_last) in [(State::Canceled, true), (State::Failed, false)] {
        let mut out = Vec::new();
        assert!(v0_3_proto::task::write_update(&mut out, &task_id(), &context_id(), at(5), &ended(state), is_last));
        assert_eq!(said(std::str::from_utf8(&out).unwrap()).state(), Some(state));
    }
}

#[test]
fn what_others_answer_is_read() {
    // As the official SDK for Python writes it, which leaves out what is empty, and as others may.
    let updated = said(
        r#"{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_CANCELLED","message":{"messageId":"m","role":"ROLE_AGENT",
            "content":[{"text":""},{"data":{}},{"data":{"data":{"value":7.0}},"metadata":{"data_part_compat":true}},{"video":1},{"file":{}},
            {"file":{"fileWithUri":"u","mimeType":"x/y","name":"n"}}]},"timestamp":"2026-01-01T00:00:00.123456Z"},"final":true,"metadata":{}}}"#,
    );
    let StreamEvent::StatusUpdate(update) = updated else { panic!("{updated:?}") };
    assert_eq!((update.task_id.as_str(), update.status.state), ("t", State::Canceled));
    let parts = update.status.message.unwrap().parts;
    let contents: Vec<&Content> = parts.iter().map(|part| &part.content).collect();
    let data = |text: &str| Content::Data(json(text));
    assert_eq!(contents, [&Content::Text("".into()), &data("{}"), &data("7.0"), &Content::Url("u".into())]);
    assert_eq!((parts[3].media_type.as_deref(), parts[3].filename.as_deref()), (Some("x/y"), Some("n")));
    let by_proto_name = said(
        r#"{"status_update":{"task_id":"t","status":{"state":6,"update":{"message_id":"m","role":2,"content":[{"text":"a"}]}}}}"#,
    );
    assert_eq!((by_proto_name.state(), by_proto_name.task_id()), (Some(State::InputRequired), Some("t")));
    let StreamEvent::StatusUpdate(update) = by_proto_name else { panic!("{by_proto_name:?}") };
    assert_eq!(update.status.message.unwrap().text(), "a");
    let bare = said(r#"{"msg":{"messageId":"m","contextId":"c","content":[{"text":"hi"}]}}"#);
    let StreamEvent::Message(bare) = bare else { panic!("{bare:?}") };
    assert_eq!((bare.message.text().as_str(), bare.message.role), ("hi", Role::Agent));
    let StreamEvent::ArtifactUpdate(piece) =
        said(r#"{"artifactUpdate":{"taskId":"t","artifact":{"artifactId":"a","parts":[{"text":"x"}]},"append":true}}"#)
    else {
        panic!()
    };
    assert!(piece.append && !piece.last_chunk && piece.artifact.parts[0].as_text() == Some("x"));
    let unknown = said(r#"{"task":{"id":"t","status":{"state":"TASK_STATE_ON_HOLD"}}}"#);
    assert_eq!(unknown.state(), Some(State::Working));
    assert_eq!(event(r#"{"somethingNew":{}}"#), Ok(None));
    // The other JSON of 0.3 is not taken for it, nor a task that nobody could ask about.
    for other in [r#"{"kind":"task","id":"t","status":{"state":"working"}}"#, r#"{"task":{"status":{}}}"#] {
        assert!(!matches!(event(other), Ok(Some(_))), "{other}");
    }
    let page = r#"{"tasks":[{"id":"t","status":{"state":"TASK_STATE_CANCELLED"}}],"totalSize":1,"pageSize":50,"nextPageToken":""}"#;
    let page = v0_3_proto::client::read_page(serde_json::from_str(page).unwrap()).unwrap();
    assert_eq!((page.tasks[0].status.state, page.total_size, page.next_page_token), (State::Canceled, 1, None));
}

#[test]
fn a_webhook_that_is_shown_is_read() {
    let one = |text: &str| v0_3_proto::client::read_push_config(serde_json::from_str(text).unwrap());
    let view = PushView {
        task: "t".to_owned(),
        id: "h".to_owned(),
        url: "https://a.example".to_owned(),
        scheme: Some("Bearer".to_owned()),
    };
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(one(&written(&|out| v0_3_proto::push::write_config(out, &view))), Ok(view.clone()));
    // One that does not say its id again has it in its name.
    let named = r#"{"name":"tasks/t/pushNotificationConfigs/h","pushNotificationConfig":{"url":"https://a.example","token":"secret","authentication":{"schemes":["Bearer","Basic"],"credentials":"secret"}}}"#;
    assert_eq!(one(named), Ok(view.clone()));
    for nothing in ["{}", "[]", "null", r#"{"name":"tasks/t/pushNotificationConfigs/h"}"#] {
        assert!(matches!(one(nothing), Err(ReplyError::Malformed(_))), "{nothing}");
    }
    let page = PushPage { configs: vec![view.clone(), view], next_page_token: Some("p".to_owned()) };
    let text = written(&|out| v0_3_proto::push::write_configs(out, &page));
    assert_eq!(v0_3_proto::client::read_push_configs(serde_json::from_str(&text).unwrap()), Ok(page));
}
