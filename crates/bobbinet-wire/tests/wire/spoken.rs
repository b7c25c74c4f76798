//! What a client asks in each version and over each binding is what a server of it reads.

use bobbinet_core::{
    ContextId, Part, Role, State,
    operation::{
        CancelParams, Configuration, ExtendedCardParams, GetParams, ListParams, Operation, SendParams, SubscribeParams,
    },
};
use bobbinet_wire::{ErrorKind, ReplyError, envelope, rest::HttpMethod, rest_request::RestRequest, v0_3, v1_0};
use expect_test::expect;

use crate::fixture::{at, json, message};

fn send() -> Box<SendParams> {
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

fn all() -> Vec<Operation> {
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
    for operation in all() {
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

fn told(request: &RestRequest) -> String {
    let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{:?} {} {}", request.method, request.path, query.join("&"))
}

#[test]
fn over_http_an_operation_is_a_method_and_a_path() {
    let requests: Vec<RestRequest> = all().iter().filter_map(v1_0::rest_client::request).collect();
    expect![[r#"
        Post message:send 
        Post message:send 
        Get tasks/t historyLength=3
        Get tasks contextId=c&status=TASK_STATE_INPUT_REQUIRED&pageSize=7&pageToken=p/q&historyLength=0&statusTimestampAfter=2026-11-21T11:00:00.005Z&includeArtifacts=true
        Post tasks/t:cancel 
        Post tasks/t:subscribe 
        Get extendedAgentCard "#]]
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
