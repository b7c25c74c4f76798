//! Agents of other versions and bindings of A2A, as others' SDKs write them: the client speaks to each in its own words.

use bobbinet_core::{
    Message, MessageId, Part, Role, State,
    operation::{Configuration, ListParams, SendParams},
    push::{DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_http::{Client, ClientError, ClientOptions, SendOptions, TaskStream};
use bobbinet_wire::{
    ErrorKind, Transport, Version,
    view::{Sent, StreamEvent},
};
use serde_json::{Value, json};

use crate::foreign::{Asked, Does, Foreign, card};

/// The card of an agent of 0.3.
fn older(url: &str) -> Value {
    json!({
        "name": "older", "description": "Speaks 0.3.", "version": "1", "protocolVersion": "0.3.0", "url": url,
        "preferredTransport": "JSONRPC", "capabilities": { "streaming": true }, "skills": [],
        "defaultInputModes": ["text"], "defaultOutputModes": ["text"],
    })
}

/// The card of one of 1.0 over HTTP itself.
fn rest(url: &str) -> Value {
    let interface = json!({
        "url": format!("{url}/rest/"), "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "acme"
    });
    json!({
        "name": "rest", "description": "Speaks HTTP.", "version": "1", "supportedInterfaces": [interface],
        "capabilities": { "streaming": true }, "skills": [],
    })
}

fn older_task(state: &str) -> Value {
    json!({ "kind": "task", "id": "t-1", "contextId": "c-1", "status": { "state": state } })
}

fn older_update(state: &str, is_final: bool) -> Value {
    json!({
        "kind": "status-update", "taskId": "t-1", "contextId": "c-1", "status": { "state": state }, "final": is_final
    })
}

fn says(text: &str) -> SendParams {
    let id = MessageId::parse("m-1").unwrap();
    let message = Message { role: Role::User, ..Message::from_agent(id, vec![Part::text(text)]) };
    let configuration = Configuration::default();
    SendParams { message, context: None, task: None, configuration, metadata: None, tenant: None }
}

async fn connect(agent: &Foreign) -> Client {
    Client::connect(&agent.url, ClientOptions::default()).await.unwrap()
}

async fn states(mut stream: TaskStream) -> Vec<State> {
    let mut states = Vec::new();
    while let Some(event) = stream.next().await.unwrap() {
        states.extend(event.value.state());
    }
    states
}

#[tokio::test]
async fn one_of_0_3_is_spoken_to_in_its_own_words() {
    let agent = Foreign::start(older, |asked: &Asked| match asked.method.as_str() {
        "message/send" => Does::Result(older_task("input-required")),
        "message/stream" => Does::Stream(vec![
            older_task("submitted"),
            json!({ "kind": "artifact-update", "taskId": "t-1", "contextId": "c-1", "lastChunk": true,
                    "artifact": { "artifactId": "a", "parts": [{ "kind": "text", "text": "one" }] } }),
            older_update("completed", true),
        ]),
        "tasks/get" => Does::Result(older_task("working")),
        "tasks/cancel" => Does::Error(-32002),
        _ => Does::Error(-32601),
    })
    .await;
    let client = connect(&agent).await;
    assert_eq!(client.protocol().version, Version::V0_3);
    let sent = client.send(says("hi"), &SendOptions::default()).await.unwrap();
    let Sent::Task(task) = sent.value else { panic!("{sent:?}") };
    assert_eq!((task.id.as_str(), task.status.state), ("t-1", State::InputRequired));
    let mut stream = client.send_streaming(says("hi"), &SendOptions::default()).await.unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = stream.next().await.unwrap() {
        kinds.push(match event.value {
            StreamEvent::Task(_) => "task",
            StreamEvent::Message(_) => "message",
            StreamEvent::StatusUpdate(_) => "status",
            StreamEvent::ArtifactUpdate(_) => "artifact",
        });
    }
    assert_eq!(kinds, ["task", "artifact", "status"]);
    assert_eq!(client.get("t-1", Some(0)).await.unwrap().value.status.state, State::Working);
    for (result, kind) in [
        (client.cancel("t-1").await.map(drop), ErrorKind::TaskNotCancelable),
        (client.list(ListParams::default()).await.map(drop), ErrorKind::MethodNotFound),
    ] {
        assert!(matches!(&result, Err(ClientError::Rpc(error)) if error.kind == Some(kind)), "{result:?}");
    }
    let asked = agent.asked();
    assert!(asked[1].headers.contains("a2a-version: 0.3"), "{}", asked[1].headers);
    let configuration = json!({ "acceptedOutputModes": [], "blocking": true });
    assert_eq!(asked[1].body["params"]["configuration"], configuration, "{}", asked[1].body);
    assert_eq!(asked[1].body["params"]["message"]["parts"], json!([{ "kind": "text", "text": "hi" }]));
}

#[tokio::test]
async fn a_stream_of_0_3_that_breaks_is_looked_after_and_taken_up_again() {
    let agent = Foreign::start(older, |asked: &Asked| match (asked.method.as_str(), asked.number) {
        ("message/stream", _) => Does::Stream(vec![older_task("working")]),
        ("tasks/get", 0) => Does::Result(older_task("working")),
        ("tasks/resubscribe", _) => Does::Stream(vec![older_update("completed", true)]),
        _ => Does::Error(-32601),
    })
    .await;
    let stream = connect(&agent).await.send_streaming(says("hi"), &SendOptions::default()).await.unwrap();
    assert_eq!(states(stream).await, [State::Working, State::Completed]);
    // One that does not know how is asked for the task alone.
    let agent = Foreign::start(older, |asked: &Asked| match (asked.method.as_str(), asked.number) {
        ("message/stream", _) => Does::Stream(vec![older_task("working")]),
        ("tasks/get", 0) => Does::Result(older_task("working")),
        ("tasks/get", _) => Does::Result(older_task("failed")),
        _ => Does::Error(-32004),
    })
    .await;
    let stream = connect(&agent).await.send_streaming(says("hi"), &SendOptions::default()).await.unwrap();
    assert_eq!(states(stream).await, [State::Working, State::Failed]);
}

fn task(state: &str) -> Value {
    json!({ "id": "t-1", "contextId": "c-1", "status": { "state": format!("TASK_STATE_{state}") } })
}

fn fault(status: u16, reason: &str) -> Does {
    let details = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
                           "domain": "a2a-protocol.org" }]);
    let error = json!({ "error": { "code": status, "status": "FAILED_PRECONDITION", "message": "no",
                                   "details": details } });
    Does::Says(status, "application/json", error.to_string())
}

#[tokio::test]
async fn one_over_http_itself_is_asked_by_methods_and_paths() {
    let agent = Foreign::start(rest, |asked: &Asked| {
        let json = |value: Value| Does::Says(200, "application/a2a+json", value.to_string());
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/rest/acme/message:send") => json(json!({ "task": task("COMPLETED") })),
            // Events over several lines, and a comment between them.
            ("POST", "/rest/acme/message:stream") => {
                let text = ": hello\n\ndata: {\"task\":\ndata: {\"id\":\"t-1\",\"contextId\":\"c-1\",\"status\":\ndata: {\"state\":\"TASK_STATE_WORKING\"}}}\n\n";
                Does::Says(200, "text/event-stream", text.to_owned())
            }
            ("GET", "/rest/acme/tasks/t-1?historyLength=0") => json(task("WORKING")),
            ("GET", "/rest/acme/tasks/t-1") => json(task("WORKING")),
            ("GET", path) if path.starts_with("/rest/acme/tasks?") => {
                json(json!({ "tasks": [task("WORKING")], "nextPageToken": "", "pageSize": 50, "totalSize": 1 }))
            }
            ("POST", "/rest/acme/tasks/t-1:cancel") => fault(400, "TASK_NOT_CANCELABLE"),
            ("POST", "/rest/acme/tasks/t-1:subscribe") => Does::Says(405, "text/plain", "no".to_owned()),
            ("GET", "/rest/acme/tasks/t-1:subscribe") => {
                let update = json!({ "statusUpdate": { "taskId": "t-1", "status": { "state": "TASK_STATE_COMPLETED" } } });
                Does::Says(200, "text/event-stream", format!("data: {update}\n\n"))
            }
            (_, path) => Does::Says(404, "text/html", format!("<html>{path}")),
        }
    })
    .await;
    let client = connect(&agent).await;
    assert_eq!(client.protocol().transport, Transport::HttpJson);
    let sent = client.send(says("hi"), &SendOptions::default()).await.unwrap();
    assert!(matches!(sent.value, Sent::Task(_)), "{sent:?}");
    assert_eq!(client.get("t-1", Some(0)).await.unwrap().value.status.state, State::Working);
    assert_eq!(client.list(ListParams::default()).await.unwrap().value.total_size, 1);
    // The stream breaks, and is taken up again by the verb that this agent takes.
    let stream = client.send_streaming(says("hi"), &SendOptions::default()).await.unwrap();
    assert_eq!(states(stream).await, [State::Working, State::Completed]);
    let not_cancelable = client.cancel("t-1").await.unwrap_err();
    assert!(
        matches!(&not_cancelable, ClientError::Rpc(error) if error.kind == Some(ErrorKind::TaskNotCancelable)),
        "{not_cancelable:?}"
    );
    // What a proxy says is no word of the agent.
    let unknown = client.get("other", None).await.unwrap_err();
    assert!(matches!(unknown, ClientError::NotAnAgent { status: 404, .. }), "{unknown:?}");
    let asked = agent.asked();
    assert!(asked[1].headers.contains("a2a-version: 1.0") && asked[1].body["message"]["messageId"] == "m-1");
    let by_post = client.subscribe("t-1", None).await.unwrap();
    assert_eq!(states(by_post).await, [State::Completed]);
    assert_eq!(agent.asked().last().unwrap().method, "GET", "it is remembered");
}

#[tokio::test]
async fn another_way_is_taken_only_where_nobody_is_there() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let card = move |url: &str| {
        let first = nobody.clone();
        json!({ "name": "two", "description": "Two ways.", "version": "1", "capabilities": {}, "skills": [],
            "supportedInterfaces": [
                { "url": first, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
                { "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "0.3" },
                { "url": url, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0" },
            ] })
    };
    let agent = Foreign::start(card, |asked: &Asked| match asked.method.as_str() {
        "message/send" => Does::Result(older_task("completed")),
        "POST" => Does::Says(503, "text/html", "<html>".to_owned()),
        _ => Does::Error(-32601),
    })
    .await;
    let options = ClientOptions { is_other_origin_allowed: true, retries_max: 0, ..ClientOptions::default() };
    let client = Client::connect(&agent.url, options.clone()).await.unwrap();
    assert_eq!(client.protocol().version, Version::V1_0);
    assert!(client.send(says("hi"), &SendOptions::default()).await.is_ok());
    assert_eq!(client.protocol().version, Version::V0_3);
    // Whoever says what to speak is not spoken to otherwise; and whoever is there and busy has said so.
    let of_http = ClientOptions { transports: vec![Transport::HttpJson, Transport::JsonRpc], ..options.clone() };
    let client = Client::connect(&agent.url, of_http).await.unwrap();
    let busy = client.send(says("hi"), &SendOptions::default()).await.unwrap_err();
    assert!(matches!(&busy, ClientError::OutcomeUnknown { .. }), "{busy:?}");
    assert_eq!(agent.count("message/send"), 1);
    let newest = ClientOptions { version: Some(Version::V1_0), transports: vec![Transport::JsonRpc], ..options };
    let client = Client::connect(&agent.url, newest).await.unwrap();
    let unsent = client.send(says("hi"), &SendOptions::default()).await.unwrap_err();
    assert!(unsent.is_unsent(), "{unsent:?}");
}

/// The card of one of 0.3 that prefers HTTP itself, and speaks JSON-RPC too.
fn older_over_http(url: &str) -> Value {
    let mut card = older(&format!("{url}/a2a/"));
    card["preferredTransport"] = json!("HTTP+JSON");
    card["additionalInterfaces"] = json!([{ "url": format!("{url}/rpc"), "transport": "JSONRPC" }]);
    card
}

#[tokio::test]
async fn one_of_0_3_over_http_itself_is_spoken_to_in_the_json_of_its_proto_file() {
    // As the official SDK for Python answers: what is empty is left out, and errors are a status and a message.
    let agent = Foreign::start(older_over_http, |asked: &Asked| {
        let json = |value: Value| Does::Says(200, "application/json", value.to_string());
        let error = |status: u16, message: &str| {
            Does::Says(status, "application/json", json!({ "message": message }).to_string())
        };
        let events = |events: &[Value]| {
            let text: String = events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect();
            Does::Says(200, "text/event-stream", format!(": ping\r\n\r\n{text}"))
        };
        let update = |state: &str| {
            json!({ "statusUpdate": { "taskId": "t-1", "contextId": "c-1",
                                      "status": { "state": format!("TASK_STATE_{state}") } } })
        };
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/a2a/v1/message:send") => json(json!({ "task": task("INPUT_REQUIRED") })),
            ("POST", "/a2a/v1/message:stream") => events(&[
                json!({ "task": task("SUBMITTED") }),
                json!({ "artifactUpdate": { "taskId": "t-1", "artifact": { "artifactId": "a", "parts": [{ "text": "one" }] } } }),
            ]),
            ("GET", "/a2a/v1/tasks/t-1") => json(task("WORKING")),
            ("GET", "/a2a/v1/tasks/t-1?historyLength=1") => json(task("CANCELLED")),
            ("POST", "/a2a/v1/tasks/t-1:subscribe") => Does::Says(405, "application/json", r#"{"detail":"Method Not Allowed"}"#.to_owned()),
            ("GET", "/a2a/v1/tasks/t-1:subscribe") => events(&[update("WORKING"), update("COMPLETED")]),
            ("POST", "/a2a/v1/tasks/t-1:cancel") => error(409, "Task cannot be canceled"),
            ("GET", path) if path.starts_with("/a2a/v1/tasks?") => error(501, "This operation is not supported"),
            ("GET", "/a2a/v1/tasks/gone") => error(404, "Task not found"),
            (_, path) => panic!("{path}"),
        }
    })
    .await;
    let client = connect(&agent).await;
    let protocol = client.protocol();
    assert_eq!((protocol.version, protocol.transport), (Version::V0_3, Transport::HttpJson), "the card prefers it");
    let sent = client.send(says("hi"), &SendOptions::default()).await.unwrap();
    let Sent::Task(asks) = sent.value else { panic!("{sent:?}") };
    assert_eq!((asks.id.as_str(), asks.status.state), ("t-1", State::InputRequired));
    assert_eq!(client.get("t-1", Some(0)).await.unwrap().value.status.state, State::Canceled, "with two l");
    // The stream breaks, and is taken up again by the verb that this agent takes.
    let mut stream = client.send_streaming(says("hi"), &SendOptions::default()).await.unwrap();
    let (mut told, mut texts) = (Vec::new(), Vec::new());
    while let Some(event) = stream.next().await.unwrap() {
        told.extend(event.value.state());
        if let StreamEvent::ArtifactUpdate(piece) = event.value {
            texts.push(piece.artifact.parts[0].as_text().unwrap().to_owned());
        }
    }
    assert_eq!((told.first(), told.last()), (Some(&State::Submitted), Some(&State::Completed)), "{told:?}");
    assert_eq!(texts, ["one"]);
    let kind = |error: ClientError| {
        let ClientError::Rpc(remote) = error else { panic!("{error:?}") };
        (remote.kind, remote.hint)
    };
    assert_eq!(kind(client.cancel("t-1").await.unwrap_err()).0, Some(ErrorKind::TaskNotCancelable));
    assert_eq!(kind(client.get("gone", None).await.unwrap_err()).0, Some(ErrorKind::TaskNotFound));
    let unlisted = kind(client.list(ListParams::default()).await.unwrap_err());
    assert!(unlisted.0 == Some(ErrorKind::UnsupportedOperation) && unlisted.1.unwrap().contains("0.3"));
    let asked = agent.asked();
    assert!(asked[1].headers.contains("a2a-version: 0.3"), "{}", asked[1].headers);
    assert_eq!(asked[1].body["message"]["content"], json!([{ "text": "hi" }]));
    assert_eq!(asked[1].body["configuration"], json!({ "blocking": true }));
    // Whoever says another binding gets it, and the card's own URL for it.
    let by_rpc = ClientOptions { transports: vec![Transport::JsonRpc], ..ClientOptions::default() };
    let by_rpc = Client::connect(&agent.url, by_rpc).await.unwrap();
    assert!(by_rpc.protocol().transport == Transport::JsonRpc && by_rpc.url().ends_with("/rpc"));
}

#[tokio::test]
async fn what_only_a_receiver_may_know_ends_at_the_client_whatever_an_agent_gives_back() {
    let agent = Foreign::start(card, |asked: &Asked| {
        let webhook = r#"{ "id": "h", "taskId": "t-1", "url": "https://a.example", "token": "secret" }"#;
        let result = match asked.method.as_str() {
            "DeleteTaskPushNotificationConfig" => webhook.to_owned(),
            // JSON, with a number that is none of those that are read here.
            "GetTaskPushNotificationConfig" => webhook.replace("}", r#", "size": 1e999 }"#),
            "ListTaskPushNotificationConfigs" => format!(r#"{{ "configs": [{webhook}] }}"#),
            _ => return Does::Error(-32601),
        };
        let id = &asked.body["id"];
        let body = format!(r#"{{ "jsonrpc": "2.0", "id": {id}, "result": {result} }}"#);
        Does::Says(200, "application/json", body)
    })
    .await;
    let client = connect(&agent).await;
    let delete = DeletePushParams { task: "t-1".to_owned(), id: "h".to_owned(), tenant: None };
    let removed = client.delete_push_config(delete).await.unwrap();
    assert!(removed.as_str().contains("***") && !removed.as_str().contains("secret"), "{}", removed.as_str());
    let get = GetPushParams { task: "t-1".to_owned(), id: Some("h".to_owned()), tenant: None };
    let got = client.get_push_config(get).await;
    assert!(matches!(got, Err(ClientError::Protocol(_))), "{got:?}");
    assert!(!format!("{got:?}").contains("secret"), "{got:?}");
    let list = ListPushParams { task: "t-1".to_owned(), ..ListPushParams::default() };
    let listed = client.list_push_configs(list).await.unwrap();
    assert!(listed.json.as_str().contains("***") && !listed.json.as_str().contains("secret"), "{listed:?}");
}
