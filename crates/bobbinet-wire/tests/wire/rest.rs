//! REST of both versions: which operation a path means, what a request says, and what is written.

use std::sync::Arc;

use bobbinet_core::{
    Content, ContextId, Event, Message, Part, PushOperation, Question, QuestionKind, Role, Selection, State,
    operation::{CancelParams, GetParams, ListParams, Operation, SubscribeParams},
};
use bobbinet_wire::{
    Error, ErrorKind,
    rest::{HttpMethod, RouteFault, segments},
    v0_3, v0_3_proto, v1_0,
};
use expect_test::{ExpectFile, expect_file};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    fixture::{added, at, context_id, ended, full_task, json, message, started, submitted, task, task_id},
    properties::{json_text, part},
};

const METHODS: [HttpMethod; 3] = [HttpMethod::Get, HttpMethod::Post, HttpMethod::Delete];

/// What a path means by each of the methods of HTTP, in 1.0.
fn means(path: &str) -> [Result<&'static str, RouteFault>; 3] {
    METHODS.map(|method| v1_0::rest::route(method, &segments(path).unwrap()).map(|route| route.method.name()))
}

/// The operation that a request of 1.0 asks for.
fn asked(method: HttpMethod, path: &str, query: &str, body: &str) -> Result<Operation, Error> {
    let route = v1_0::rest::route(method, &segments(path).unwrap()).unwrap();
    let params = route.params(Some(query), body.as_bytes())?;
    route.decode(&params)
}

#[test]
fn each_path_of_1_0_means_one_operation_with_a_tenant_and_without() {
    let not = |methods| Err(RouteFault::NotAllowed(methods));
    for (path, get, post, delete) in [
        ("/message:send", not("POST"), Ok("SendMessage"), not("POST")),
        ("/message:stream", not("POST"), Ok("SendStreamingMessage"), not("POST")),
        ("/tasks", Ok("ListTasks"), not("GET, HEAD"), not("GET, HEAD")),
        ("/tasks/t-1", Ok("GetTask"), not("GET, HEAD"), not("GET, HEAD")),
        ("/tasks/t-1:cancel", not("POST"), Ok("CancelTask"), not("POST")),
        ("/tasks/t-1:subscribe", Ok("SubscribeToTask"), Ok("SubscribeToTask"), not("GET, HEAD, POST")),
        ("/tasks/t-1/subscribe", Ok("SubscribeToTask"), Ok("SubscribeToTask"), not("GET, HEAD, POST")),
        (
            "/tasks/t-1/pushNotificationConfigs",
            Ok("ListTaskPushNotificationConfigs"),
            Ok("CreateTaskPushNotificationConfig"),
            not("GET, HEAD, POST"),
        ),
        (
            "/tasks/t-1/pushNotificationConfigs/c",
            Ok("GetTaskPushNotificationConfig"),
            not("GET, HEAD, DELETE"),
            Ok("DeleteTaskPushNotificationConfig"),
        ),
        ("/extendedAgentCard", Ok("GetExtendedAgentCard"), not("GET, HEAD"), not("GET, HEAD")),
    ] {
        let expected = [get, post, delete];
        let escaped = path.replace(':', "%3A");
        for path in [path.to_owned(), format!("{path}/"), escaped.clone(), escaped.to_lowercase().replace('/', "//")] {
            // Names of fields are as they are; only the escape may be in small letters.
            let path = if path.contains("pushnotif") || path.contains("extendedagent") { continue } else { path };
            assert_eq!(means(&path), expected, "{path}");
            assert_eq!(means(&format!("/acme{path}")), expected, "{path} of a tenant");
        }
    }
    for path in ["/", "/message", "/messages:send", "/a/b/tasks", "/tasks/t/u/v", "/v2/message:dance"] {
        assert_eq!(means(path), METHODS.map(|_| Err(RouteFault::NotFound)), "{path}");
    }
    assert_eq!(segments("/tasks/%ff"), None);
    assert_eq!(segments("/tasks/%4"), None);
}

#[test]
fn what_a_request_of_1_0_says_comes_from_its_path_its_query_and_its_body() {
    let get = asked(HttpMethod::Get, "/acme%20inc/tasks/a%2Fb", "historyLength=2&A2A-Version=1.0", "").unwrap();
    let params = GetParams { id: "a/b".to_owned(), history_length: Some(2), tenant: Some("acme inc".to_owned()) };
    assert_eq!(get, Operation::Get(params));
    let list = ListParams {
        state: Some(State::InputRequired),
        page_size: 7,
        page_token: Some("a+b c".to_owned()),
        include_artifacts: true,
        history_length: Some(0),
        ..ListParams::default()
    };
    let query = "status=TASK_STATE_INPUT_REQUIRED&pageSize=7&pageToken=a%2Bb+c&includeArtifacts=true&historyLength=0";
    assert_eq!(asked(HttpMethod::Get, "/tasks", query, "").unwrap(), Operation::List(list.clone()));
    let snake = query.replace("pageSize", "page_size").replace("includeArtifacts", "include_artifacts");
    assert_eq!(asked(HttpMethod::Get, "/tasks", &snake, "").unwrap(), Operation::List(list));
    assert_eq!(asked(HttpMethod::Get, "/tasks", "contextId=&&x", "").unwrap(), Operation::List(ListParams::default()));
    // A word is what its field makes of it.
    let context = Some(ContextId::parse("true").unwrap());
    let words = ListParams { context, page_token: Some("false".to_owned()), ..ListParams::default() };
    let query = "contextId=true&pageToken=false&includeArtifacts=false";
    assert_eq!(asked(HttpMethod::Get, "/tasks", query, "").unwrap(), Operation::List(words));
    for (body, metadata) in
        [("", None), (" ", None), ("{}", None), (r#"{"id":"t","metadata":{"a":1}}"#, Some(r#"{"a":1}"#))]
    {
        let cancel = CancelParams { id: "t".to_owned(), metadata: metadata.map(json), tenant: None };
        assert_eq!(asked(HttpMethod::Post, "/tasks/t:cancel", "", body).unwrap(), Operation::Cancel(cancel), "{body}");
    }
    // The path has the last word, however the body spells the name.
    let body = r#"{"task_id":"other","url":"https://a.example/"}"#;
    let asked_for = asked(HttpMethod::Post, "/tasks/t/pushNotificationConfigs", "", body).unwrap();
    let Operation::PushConfig(PushOperation::Create(create)) = asked_for else { panic!("{asked_for:?}") };
    assert_eq!(create.task, "t");
    for method in [HttpMethod::Get, HttpMethod::Post] {
        let subscribe = SubscribeParams { id: "t".to_owned(), tenant: None };
        assert_eq!(asked(method, "/tasks/t:subscribe", "", "").unwrap(), Operation::Subscribe(subscribe));
    }
    let body = r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]},"tenant":"other"}"#;
    let Operation::Send(send) = asked(HttpMethod::Post, "/acme/message:send", "", body).unwrap() else { panic!() };
    assert_eq!((send.message.text().as_str(), send.tenant.as_deref()), ("hi", Some("acme")));
}

#[test]
fn what_is_wrong_is_said_by_name() {
    let fault = |method, path: &str, query: &str, body: &str| {
        let error = asked(method, path, query, body).unwrap_err();
        let field = error.violations().first().map(|violation| violation.field.clone()).unwrap_or_default();
        (error.kind(), field)
    };
    let invalid = |field: &str| (ErrorKind::InvalidParams, field.to_owned());
    assert_eq!(fault(HttpMethod::Get, "/tasks", "pageSize=150", ""), invalid("pageSize"));
    assert_eq!(fault(HttpMethod::Get, "/tasks", "pageSize=ten", ""), invalid("pageSize"));
    assert_eq!(fault(HttpMethod::Get, "/tasks", "pageSize=1&page_size=2", ""), invalid("pageSize"));
    assert_eq!(fault(HttpMethod::Get, "/tasks", "status=DANCING", ""), invalid("status"));
    assert_eq!(fault(HttpMethod::Get, "/tasks", "includeArtifacts=1", ""), invalid("includeArtifacts"));
    assert_eq!(fault(HttpMethod::Get, "/tasks/t", "historyLength=-1", ""), invalid("historyLength"));
    assert_eq!(fault(HttpMethod::Post, "/message:send", "", "{}"), invalid("message"));
    assert_eq!(fault(HttpMethod::Post, "/message:send", "", "[]"), invalid(""));
    let unreadable = |kind| (kind, String::new());
    assert_eq!(fault(HttpMethod::Post, "/message:send", "", ""), unreadable(ErrorKind::Parse));
    assert_eq!(fault(HttpMethod::Post, "/tasks/t:cancel", "", "{"), unreadable(ErrorKind::Parse));
    assert_eq!(fault(HttpMethod::Post, "/message:send", "", r#"{"a":1,"a":2}"#), unreadable(ErrorKind::InvalidRequest));
    assert_eq!(fault(HttpMethod::Get, "/tasks", "pageToken=%f", ""), unreadable(ErrorKind::InvalidRequest));
}

/// What a client of 0.3 says in ProtoJSON, and what comes of it.
fn sent(message: &str, configuration: Option<&str>) -> Result<Operation, Error> {
    let route = v0_3_proto::rest::route(HttpMethod::Post, &segments("/message:send").unwrap()).unwrap();
    let configuration = configuration.map(|text| format!(r#","configuration":{text}"#)).unwrap_or_default();
    let body = format!(r#"{{"message":{message}{configuration}}}"#);
    route.decode(&route.params(None, body.as_bytes())?)
}

#[test]
fn a_message_of_0_3_over_rest_is_proto_json_of_its_own() {
    let message = r#"{"messageId":"m","role":"ROLE_USER","task_id":"t","content":[{"text":"hi"},
        {"file":{"fileWithBytes":"+/8=","mimeType":"image/png","name":"a.png"}},
        {"file":{"fileWithUri":"https://example.com/x"}},{"data":{"data":{"a":1.0}},"metadata":{"k":1}}]}"#;
    let Ok(Operation::Send(send)) = sent(message, None) else { panic!("{:?}", sent(message, None)) };
    assert_eq!((send.message.text().as_str(), send.task.as_deref(), send.message.parts.len()), ("hi", Some("t"), 4));
    assert_eq!(send.message.parts[3].content, Content::Data(json(r#"{"a":1.0}"#)));
    assert_eq!(send.message.parts[1].filename.as_deref(), Some("a.png"));
    let waits = |configuration| {
        let Ok(Operation::Send(send)) = sent(message, configuration) else { panic!("{configuration:?}") };
        !send.configuration.return_immediately
    };
    assert_eq!(
        [None, Some("{}"), Some(r#"{"blocking":true}"#), Some(r#"{"blocking":false}"#)].map(waits),
        [true, false, true, false],
        "what is false is left out in proto3"
    );
    // ProtoJSON has enums by number, too.
    assert_eq!(sent(&message.replace(r#""ROLE_USER""#, "1"), None), sent(message, None));
    // Neither the JSON of its JSON-RPC nor that of 1.0 is taken for it.
    let field = |message: &str| sent(message, None).unwrap_err().violations()[0].field.clone();
    assert_eq!(field(r#"{"messageId":"m","role":"user","parts":[{"kind":"text","text":"a"}]}"#), "message.role");
    assert_eq!(field(r#"{"messageId":"m","role":7,"content":[{"text":"a"}]}"#), "message.role");
    assert_eq!(field(r#"{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"}]}"#), "message.content");
    assert_eq!(
        field(r#"{"messageId":"m","role":"ROLE_USER","content":[{"text":"a"},{"raw":"aa"}]}"#),
        "message.content[1]"
    );
}

#[test]
fn paths_of_0_3_mean_what_they_do_in_json_rpc() {
    let means = |method, path: &str| {
        v0_3_proto::rest::route(method, &segments(path).unwrap()).map(|route| route.method.name()).unwrap_or("nothing")
    };
    for (method, path, name) in [
        (HttpMethod::Post, "/message:send", "message/send"),
        (HttpMethod::Post, "/message%3Astream/", "message/stream"),
        (HttpMethod::Get, "/tasks/t", "tasks/get"),
        (HttpMethod::Get, "/tasks", "tasks/list"),
        (HttpMethod::Post, "/tasks/t:cancel", "tasks/cancel"),
        (HttpMethod::Post, "/tasks/t:subscribe", "tasks/resubscribe"),
        (HttpMethod::Get, "/tasks/t:subscribe", "tasks/resubscribe"),
        (HttpMethod::Post, "/tasks/t/pushNotificationConfigs", "tasks/pushNotificationConfig/set"),
        (HttpMethod::Delete, "/tasks/t/pushNotificationConfigs/c", "tasks/pushNotificationConfig/delete"),
        (HttpMethod::Get, "/card", "agent/getAuthenticatedExtendedCard"),
        (HttpMethod::Get, "/acme/tasks/t", "nothing"),
    ] {
        assert_eq!(means(method, path), name, "{path}");
    }
    let route = v0_3_proto::rest::route(HttpMethod::Get, &segments("/tasks").unwrap()).unwrap();
    let params = route.params(Some("status=TASK_STATE_CANCELLED&pageSize=3"), b"").unwrap();
    let Ok(Operation::List(list)) = route.decode(&params) else { panic!("{params}") };
    assert_eq!((list.state, list.page_size), (Some(State::Canceled), 3));
}

#[test]
fn a_webhook_of_0_3_over_rest_is_called_as_the_request_says() {
    let id = |query: Option<&str>, body: &str| {
        let segments = segments("/tasks/t/pushNotificationConfigs").unwrap();
        let route = v0_3_proto::rest::route(HttpMethod::Post, &segments).unwrap();
        let asked = route.params(query, body.as_bytes()).and_then(|params| route.decode(&params));
        let Ok(Operation::PushConfig(PushOperation::Create(create))) = asked else { panic!("{body}: {asked:?}") };
        assert_eq!((create.task.as_str(), create.config.url.as_str()), ("t", "https://a.example/"), "{body}");
        create.config.id
    };
    let config = r#"{"id":"own","url":"https://a.example/"}"#;
    let body = format!(r#"{{"pushNotificationConfig":{config}}}"#);
    let snake = format!(r#"{{"task_id":"other","push_notification_config":{config}}}"#);
    let own = Some("own".to_owned());
    for body in [&body, &snake, &format!(r#"{{"config":{body}}}"#), &format!(r#"{{"config_id":"","config":{snake}}}"#)]
    {
        assert_eq!(id(None, body), own, "{body}");
        assert_eq!(id(Some("configId="), body), own, "{body}");
    }
    let said = Some("said".to_owned());
    assert_eq!(id(Some("configId=said"), &body), said);
    assert_eq!(id(Some("config_id=said"), &snake), said);
    assert_eq!(id(None, &format!(r#"{{"parent":"tasks/t","configId":"said","config":{body}}}"#)), said);
    assert_eq!(id(None, &format!(r#"{{"config_id":"said","config":{snake}}}"#)), said);
}

fn check(write: impl FnOnce(&mut Vec<u8>), expected: ExpectFile) {
    let mut out = Vec::new();
    write(&mut out);
    expected.assert_eq(&format!("{}\n", std::str::from_utf8(&out).unwrap()));
}

#[test]
fn what_0_3_is_answered_over_rest() {
    use v0_3_proto::task as words;
    check(
        |out| words::write_task_wrapped(out, &full_task(), Selection::ALL),
        expect_file!["../../golden/v0_3_rest_task.json"],
    );
    let message = Arc::new(message("q-1", Role::Agent, vec![Part::text("which one?")]));
    let question = Arc::new(Question { kind: QuestionKind::Input, message, schema: None });
    let cases = [
        (Event::Asked { question }, true, expect_file!["../../golden/v0_3_rest_update_asked.json"]),
        (added(), false, expect_file!["../../golden/v0_3_rest_update_added.json"]),
        (ended(State::Canceled), false, expect_file!["../../golden/v0_3_rest_update_canceled.json"]),
    ];
    for (event, is_last, expected) in cases {
        check(|out| assert!(words::write_update(out, &task_id(), &context_id(), at(5), &event, is_last)), expected);
    }
}

#[test]
fn errors_over_rest_are_a_status_of_google_rpc() {
    let mut all = Vec::new();
    for kind in ErrorKind::ALL {
        v1_0::error::write_status(&mut all, &Error::new(kind), v1_0::error::http_status(kind));
        all.push(b'\n');
    }
    v1_0::error::write_status(&mut all, &Error::invalid_field("message.parts", "must have at least one part"), 400);
    expect_file!["../../golden/rest_errors.txt"].assert_eq(&format!("{}\n", std::str::from_utf8(&all).unwrap()));
}

/// The same, as far as 0.3 has words for it.
fn as_0_3_has_it(part: &Part) -> Part {
    match part.content {
        Content::Text(_) | Content::Data(_) => Part { media_type: None, filename: None, ..part.clone() },
        Content::Raw(_) | Content::Url(_) => part.clone(),
    }
}

/// Metadata that had to be put together again has its keys in another order.
fn are_same(one: &[Part], other: &[Part]) -> bool {
    let metadata = |part: &Part| part.metadata.as_ref().map(bobbinet_core::Json::to_value);
    let is_same = |one: &Part, other: &Part| {
        one.content == other.content
            && (&one.media_type, &one.filename) == (&other.media_type, &other.filename)
            && metadata(one) == metadata(other)
    };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(&as_0_3_has_it(one), other))
}

proptest! {
    /// From the core to each JSON of 0.3 and back: nothing is lost that it can say.
    #[test]
    fn a_message_of_the_core_comes_back_from_both_jsons_of_0_3(parts in prop::collection::vec(part(), 1..5)) {
        let said = Message { extensions: vec![Arc::from("https://example.com/ext/1")], ..message("m-1", Role::User, parts.clone()) };
        let task = task(&[submitted(said), started()]);
        let first = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            let task: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(task["contextId"], context_id().as_str());
            out
        };
        let history = |bytes: &[u8]| {
            #[derive(serde::Deserialize)]
            struct Shown<'a> {
                #[serde(borrow)]
                history: Vec<&'a serde_json::value::RawValue>,
            }
            serde_json::from_slice::<Shown<'_>>(bytes).unwrap().history[0].get().to_owned()
        };
        let of_rpc = history(&first(&|out| v0_3::task::write_task(out, &task, Selection::ALL)));
        let params: Box<serde_json::value::RawValue> = serde_json::from_str(&format!(r#"{{"message":{of_rpc}}}"#)).unwrap();
        let Ok(Operation::Send(back)) = v0_3::request::decode(v0_3::Method::SendMessage, Some(&params)) else { panic!("{params}") };
        prop_assert!(are_same(&parts, &back.message.parts), "{:?} {:?}", parts, back.message.parts);
        prop_assert_eq!(back.message.extensions.len(), 1);

        let of_rest = history(&first(&|out| v0_3_proto::task::write_task(out, &task, Selection::ALL)));
        let Ok(Operation::Send(back)) = sent(&of_rest, None) else { panic!("{of_rest}") };
        prop_assert!(are_same(&parts, &back.message.parts), "{:?} {:?}", parts, back.message.parts);
        prop_assert_eq!((back.task, back.message.extensions.len()), (Some(task_id().to_string()), 1));
    }

    #[test]
    fn any_request_over_rest_is_taken_or_refused(path in "(/|[a-z]|:|%3A|tasks|message:send|v1|%|pushNotificationConfigs){0,8}", query in "[ -~]{0,40}", body in json_text()) {
        let Some(segments) = segments(&path) else { return Ok(()) };
        for method in METHODS {
            if let Ok(route) = v1_0::rest::route(method, &segments) {
                let _ = route.params(Some(&query), body.as_bytes()).and_then(|params| route.decode(&params));
            }
            if let Ok(route) = v0_3_proto::rest::route(method, &segments) {
                let _ = route.params(Some(&query), body.as_bytes()).and_then(|params| route.decode(&params));
            }
        }
    }
}
