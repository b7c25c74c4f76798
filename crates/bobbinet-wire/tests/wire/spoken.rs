//! What a client asks in each version and over each binding is what a server of it reads.

use bobbinet_core::{
    ContextId, Json, Part, PushAuthentication, PushConfig, PushOperation, PushPage, PushView, Role, Secret, State,
    operation::{
        CancelParams, Configuration, ExtendedCardParams, GetParams, ListParams, Operation, SendParams, SubscribeParams,
    },
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_wire::{
    ErrorKind, ReplyError, envelope,
    push::without_secrets,
    rest::{self, HttpMethod},
    rest_request::RestRequest,
    v0_3, v1_0,
};
use expect_test::expect;

use crate::fixture::{at, json, message};

pub(crate) fn send() -> Box<SendParams> {
    Box::new(SendParams {
        message: message("m-1", Role::User, vec![Part::text("hi")]),
        context: Some(ContextId::parse("c").unwrap()),
        task: Some("t".to_owned()),
        configuration: Configuration {
            accepted_output_modes: vec!["text/plain".to_owned()],
            history_length: Some(2),
            return_immediately: true,
            ..Configuration::default()
        },
        metadata: Some(json(r#"{"a":1}"#)),
        tenant: None,
    })
}

fn list() -> ListParams {
    ListParams {
        context: Some(ContextId::parse("c").unwrap()),
        state: Some(State::InputRequired),
        status_timestamp_after: Some(at(5)),
        page_size: 7,
        page_token: Some("p/q".to_owned()),
        history_length: Some(0),
        include_artifacts: true,
        tenant: None,
    }
}

/// All that is asked about webhooks, in the version that this dialect is of.
pub(crate) fn pushes(dialect: &str) -> Vec<Operation> {
    let (task, id) = (|| "t/1".to_owned(), || "h k".to_owned());
    let secret = |text: &str| Some(Secret::new(text));
    let config = PushConfig {
        id: Some(id()),
        url: "https://a.example/hook".to_owned(),
        token: secret("tok"),
        authentication: Some(PushAuthentication { scheme: "Bearer".to_owned(), credentials: secret("cred") }),
        dialect: dialect.into(),
    };
    let least = PushConfig { id: None, token: None, authentication: None, ..config.clone() };
    // 0.3 knows no pages.
    let (page_size, page_token) = if dialect == v1_0::VERSION { (Some(2), Some("p".to_owned())) } else { (None, None) };
    let all = [
        PushOperation::Create(Box::new(CreatePushParams { task: task(), config, tenant: None })),
        PushOperation::Create(Box::new(CreatePushParams { task: task(), config: least, tenant: None })),
        PushOperation::Get(GetPushParams { task: task(), id: Some(id()), tenant: None }),
        PushOperation::List(ListPushParams { task: task(), page_size, page_token, tenant: None }),
        PushOperation::Delete(DeletePushParams { task: task(), id: id(), tenant: None }),
    ];
    all.into_iter().map(Operation::PushConfig).collect()
}

pub(crate) fn all() -> Vec<Operation> {
    let id = || "t".to_owned();
    vec![
        Operation::Send(send()),
        Operation::Send(Box::new(SendParams { configuration: Configuration::default(), ..*send() })),
        Operation::Get(GetParams { id: id(), history_length: Some(3), tenant: None }),
        Operation::List(list()),
        Operation::Cancel(CancelParams { id: id(), metadata: Some(json("{}")), tenant: None }),
        Operation::Subscribe(SubscribeParams { id: id(), tenant: None }),
        Operation::ExtendedCard(ExtendedCardParams::default()),
    ]
}

#[test]
fn what_is_asked_in_0_3_is_what_its_server_reads() {
    for operation in all().into_iter().chain(pushes(v0_3::VERSION)) {
        let mut body = Vec::new();
        v0_3::client::write_request(&mut body, 7, &operation);
        let request = envelope::parse(&body).unwrap();
        let method = v0_3::Method::from_name(&request.method).unwrap();
        assert_eq!(v0_3::request::decode(method, request.params).unwrap(), operation);
    }
    // A stream has nothing to wait for.
    let stream = Operation::SendStreaming(Box::new(SendParams {
        configuration: Configuration::default(),
        metadata: None,
        context: None,
        task: None,
        ..*send()
    }));
    let mut body = Vec::new();
    v0_3::client::write_request(&mut body, 7, &stream);
    expect![[r#"{"jsonrpc":"2.0","id":7,"method":"message/stream","params":{"message":{"kind":"message","messageId":"m-1","role":"user","parts":[{"kind":"text","text":"hi"}]}}}"#]]
        .assert_eq(std::str::from_utf8(&body).unwrap());
}

#[test]
fn what_is_asked_about_webhooks_in_1_0_is_what_its_server_reads() {
    for operation in pushes(v1_0::VERSION) {
        let mut body = Vec::new();
        v1_0::client::write_request(&mut body, 7, &operation);
        let request = envelope::parse(&body).unwrap();
        let method = v1_0::Method::from_name(&request.method).unwrap();
        assert_eq!(v1_0::request::decode(method, request.params).unwrap(), operation);
        // The same over HTTP itself.
        let request = v1_0::rest_client::request(&operation).unwrap();
        let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let route = v1_0::rest::route(request.method, &rest::segments(&request.path).unwrap()).unwrap();
        let body = request.body.as_deref().unwrap_or_default();
        let params = route.params(Some(&query.join("&")), body).unwrap();
        assert_eq!(route.decode(&params).unwrap(), operation, "{request:?}");
    }
}

#[test]
fn a_webhook_that_is_shown_is_read_without_its_secrets() {
    let view = |task: &str, scheme: Option<&str>| PushView {
        task: task.to_owned(),
        id: "h".to_owned(),
        url: "https://a.example".to_owned(),
        scheme: scheme.map(str::to_owned),
    };
    let newer = |json: &str| v1_0::client::read_push_config(serde_json::from_str(json).unwrap());
    let older = |json: &str| v0_3::client::read_push_config(serde_json::from_str(json).unwrap());
    let whole = r#"{"tenant":"x","id":"h","taskId":"t","url":"https://a.example","token":"secret","authentication":{"scheme":"Bearer","credentials":"secret"}}"#;
    assert_eq!(newer(whole), Ok(view("t", Some("Bearer"))));
    let least = r#"{"id":"h","url":"https://a.example","authentication":null}"#;
    assert_eq!(newer(least), Ok(view("", None)));
    let whole_of_old = r#"{"taskId":"t","pushNotificationConfig":{"id":"h","url":"https://a.example","token":"secret","authentication":{"schemes":["Bearer","Basic"],"credentials":"secret"}}}"#;
    assert_eq!(older(whole_of_old), Ok(view("t", Some("Bearer"))));
    for nothing in ["{}", "[]", "null", r#"{"id":"h"}"#] {
        assert!(matches!(newer(nothing), Err(ReplyError::Malformed(_))), "{nothing}");
        assert!(matches!(older(nothing), Err(ReplyError::Malformed(_))), "{nothing}");
    }

    let page = v1_0::client::read_push_configs(
        serde_json::from_str(&format!(r#"{{"configs":[{whole}],"nextPageToken":"p"}}"#)).unwrap(),
    );
    let expected = PushPage { configs: vec![view("t", Some("Bearer"))], next_page_token: Some("p".to_owned()) };
    assert_eq!(page, Ok(expected.clone()));
    let all = v0_3::client::read_push_configs(serde_json::from_str(&format!("[{whole_of_old}]")).unwrap());
    assert_eq!(all, Ok(PushPage { next_page_token: None, ..expected }));

    for told in [whole, whole_of_old, &format!("[{whole_of_old}]"), r#"{"params":{"token":7}}"#, "no JSON: secret"] {
        let shown = without_secrets(told);
        assert!(!shown.contains("secret") && shown.contains("***"), "{shown}");
    }
    // JSON, and more than is read of it here: what is shown in its place is JSON too.
    let too_large = r#"{"token":"secret","size":1e999}"#.to_owned();
    let too_deep = format!(r#"{{"token":"secret","deep":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for told in [too_large, too_deep] {
        assert!(Json::parse(&told).is_ok(), "it is JSON: {told}");
        assert_eq!(without_secrets(&told), "\"***\"", "{told}");
    }
    for twice in [r#"{"token":"secret","token":""}"#, r#"{"token":"secret","token":null}"#] {
        assert!(!without_secrets(twice).contains("secret"), "{twice}");
    }
    let without = r#"{ "id":"h", "token":"" }"#;
    assert_eq!(without_secrets(without), without);
}

#[test]
fn an_error_of_0_3_is_read_with_whatever_it_says_beside() {
    let remote = |error: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
        match v0_3::client::read_reply(body.as_bytes()).unwrap_err() {
            ReplyError::Remote(remote) => remote,
            ReplyError::Malformed(why) => panic!("{why}"),
        }
    };
    assert_eq!(remote(r#"{"code":-32001,"message":"gone","data":"x"}"#).kind, Some(ErrorKind::TaskNotFound));
    let said = remote(r#"{"code":-32602,"message":"no","data":{"reason":"R","metadata":{"hint":"do"}}}"#);
    assert_eq!((said.reason.as_deref(), said.hint.as_deref()), (Some("R"), Some("do")));
}

#[test]
fn a_result_that_the_python_sdk_leaves_out_in_0_3_is_null() {
    let left_out = br#"{"id":1,"jsonrpc":"2.0"}"#;
    let nothing = v0_3::client::read_reply(left_out).unwrap();
    assert_eq!(nothing.get(), "null");
    assert!(matches!(v0_3::client::read_task(nothing), Err(ReplyError::Malformed(_))));
    for (version, read) in [("1.0", v1_0::client::read_reply as fn(_) -> _), ("0.3", v0_3::client::read_reply)] {
        let answers: [(&[u8], bool); 2] = [(left_out, version == "1.0"), (br#"{"detail":"Not Found"}"#, true)];
        for (answer, is_wrong) in answers {
            assert_eq!(matches!(read(answer), Err(ReplyError::Malformed(_))), is_wrong, "{version} {answer:?}");
        }
    }
}

pub(crate) fn told(request: &RestRequest) -> String {
    let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{:?} {} {}", request.method, request.path, query.join("&"))
}

#[test]
fn over_http_an_operation_is_a_method_and_a_path() {
    let operations = all().into_iter().chain(pushes(v1_0::VERSION));
    let requests: Vec<RestRequest> =
        operations.filter_map(|operation| v1_0::rest_client::request(&operation)).collect();
    expect![[r#"
        Post message:send 
        Post message:send 
        Get tasks/t historyLength=3
        Get tasks contextId=c&status=TASK_STATE_INPUT_REQUIRED&pageSize=7&pageToken=p/q&historyLength=0&statusTimestampAfter=2026-11-21T11:00:00.005Z&includeArtifacts=true
        Post tasks/t:cancel 
        Post tasks/t:subscribe 
        Get extendedAgentCard 
        Post tasks/t%2F1/pushNotificationConfigs 
        Post tasks/t%2F1/pushNotificationConfigs 
        Get tasks/t%2F1/pushNotificationConfigs/h%20k 
        Get tasks/t%2F1/pushNotificationConfigs pageSize=2&pageToken=p
        Delete tasks/t%2F1/pushNotificationConfigs/h%20k "#]]
    .assert_eq(&requests.iter().map(told).collect::<Vec<_>>().join("\n"));
    let body = requests[0].body.as_deref().unwrap();
    let params = serde_json::from_slice(body).unwrap();
    assert_eq!(v1_0::request::decode(v1_0::Method::SendMessage, Some(params)).unwrap(), all()[0]);
    // A tenant stands in the path alone.
    let of_tenant = Operation::Send(Box::new(SendParams { tenant: Some("acme".to_owned()), ..*send() }));
    let request = v1_0::rest_client::request(&of_tenant).unwrap();
    assert_eq!((request.method, request.path.as_str()), (HttpMethod::Post, "acme/message:send"));
    assert!(!String::from_utf8(request.body.unwrap()).unwrap().contains("acme"));
}
