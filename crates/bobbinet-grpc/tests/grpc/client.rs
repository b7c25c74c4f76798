//! Our own client, over gRPC, against our own node, in both versions.

use bobbinet_auth::NODE_OWNER;
use bobbinet_core::{
    Message, MessageId, Part, PushAuthentication, PushConfig, PushView, Role, Secret, State,
    operation::{Configuration, ListParams, SendParams},
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_http::{
    Credentials, SendOptions,
    client::{Client, ClientError, ClientOptions, Outbound},
};
use bobbinet_outbound::{Guard, OutboundLimits};
use bobbinet_wire::{
    ErrorKind, Protocol, Transport, Version,
    view::{Sent, StreamEvent, TaskView},
};
use tokio::time::timeout;

use crate::node::{Form, Node, PATIENCE};

fn options(node: &Node, version: Version) -> ClientOptions {
    ClientOptions {
        version: Some(version),
        transports: vec![Transport::Grpc],
        credentials: Credentials::Bearer(node.token_of(NODE_OWNER, &node.url)),
        grpc: Some(bobbinet_grpc::carry),
        ..ClientOptions::default()
    }
}

async fn client(node: &Node, version: Version) -> Client {
    let client = Client::connect(&node.url, options(node, version)).await.unwrap();
    assert_eq!(client.protocol(), Protocol { version, transport: Transport::Grpc });
    client
}

fn says(text: &str) -> SendParams {
    let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text(text)]);
    SendParams {
        message: Message { role: Role::User, ..message },
        context: None,
        task: None,
        configuration: Configuration::default(),
        metadata: None,
        tenant: None,
    }
}

async fn send(client: &Client, params: SendParams) -> TaskView {
    match client.send(params, &SendOptions::default()).await.unwrap().value {
        Sent::Task(task) => task,
        Sent::Message(message) => panic!("no task: {message:?}"),
    }
}

async fn conversation(version: Version) {
    let node = Node::start().await;
    let client = client(&node, version).await;
    let done = send(&client, says("echo hello")).await;
    assert_eq!((done.status.state, done.artifacts[0].parts[0].as_text()), (State::Completed, Some("hello")));
    let shown = client.get(&done.id, None).await.unwrap();
    assert_eq!(shown.value, done);
    // What is shown of it is the JSON of 1.0, as over any other binding.
    assert!(shown.json.as_str().contains(r#""state":"TASK_STATE_COMPLETED""#), "{}", shown.json.as_str());
    let begun = SendParams {
        configuration: Configuration { return_immediately: true, ..Configuration::default() },
        ..says("steps 1")
    };
    let begun = send(&client, begun).await;
    assert_eq!(client.cancel(&begun.id).await.unwrap().value.status.state, State::Canceled);
    let error = client.cancel(&begun.id).await.unwrap_err();
    let ClientError::Rpc(remote) = &error else { panic!("{error:?}") };
    assert_eq!(remote.kind, Some(ErrorKind::TaskNotCancelable));
    assert!(remote.hint.is_some() && !error.is_passing() && !error.leaves_outcome_open());
    let mut asked = client.send_streaming(says("ask"), &SendOptions::default()).await.unwrap();
    let mut last = None;
    while let Some(event) = timeout(PATIENCE, asked.next()).await.expect("an event in time").unwrap() {
        last = event.value.state().or(last);
    }
    assert_eq!(last, Some(State::InputRequired));
    let answer = SendParams { task: asked.task_id().map(str::to_owned), ..says("so") };
    assert_eq!(send(&client, answer).await.status.state, State::Completed);
    let listed = client.list(ListParams::default()).await;
    match version {
        Version::V1_0 => assert_eq!(listed.unwrap().value.total_size, 3),
        Version::V0_3 => assert!(matches!(listed, Err(ClientError::Rpc(_))), "it has no such call"),
    }
}

#[tokio::test]
async fn a_conversation_in_1_0() {
    conversation(Version::V1_0).await;
}

#[tokio::test]
async fn a_conversation_in_0_3() {
    conversation(Version::V0_3).await;
}

#[tokio::test]
async fn a_stream_that_ends_before_its_task_comes_back_and_skips_nothing() {
    let node = Node::limited(|limits, _| {
        limits.stream_life_ms = 60;
        limits.stream_retry_ms = 1;
    })
    .await;
    let client = client(&node, Version::V1_0).await;
    let mut stream = client.send_streaming(says("steps 3"), &SendOptions::default()).await.unwrap();
    let (mut ids, mut pieces) = (Vec::new(), 0);
    while let Some(event) = timeout(PATIENCE, stream.next()).await.expect("an event in time").unwrap() {
        ids.push(event.id.unwrap().parse::<u64>().unwrap());
        if matches!(event.value, StreamEvent::ArtifactUpdate(_)) {
            pieces += 1;
        }
        tokio::time::sleep(std::time::Duration::from_millis(80)).await;
        node.worker.gate.add_permits(1);
    }
    assert_eq!(ids, (1..=6).collect::<Vec<u64>>(), "each once, in order");
    assert_eq!(pieces, 3);
}

#[tokio::test]
async fn a_request_that_was_not_sent_is_told_from_one_that_was_and_the_guard_is_asked() {
    let node = Node::start().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let card = format!(
        r#"{{"name":"x","supportedInterfaces":[{{"url":"{closed}","protocolBinding":"GRPC","protocolVersion":"1.0"}}]}}"#
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.json");
    std::fs::write(&file, card).unwrap();
    let alone = ClientOptions { retries_max: 0, ..options(&node, Version::V1_0) };
    let nobody = Client::connect(file.to_str().unwrap(), alone).await.unwrap();
    let error = nobody.get("x", None).await.unwrap_err();
    assert!(error.is_unsent() && error.is_passing(), "{error:?}");

    let unknown = ClientOptions { credentials: Credentials::None, ..options(&node, Version::V1_0) };
    let unknown = Client::connect(&node.url, unknown).await.unwrap();
    let error = unknown.get("x", None).await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }), "{error:?}");

    let guard = |origins: &[String]| {
        let origins = origins.iter().map(|text| bobbinet_outbound::Origin::of(&text.parse().unwrap()).unwrap());
        Guard::new(origins.collect::<Vec<_>>(), OutboundLimits::default()).unwrap()
    };
    let through = async |guard: Guard| {
        let outbound = Outbound::Guarded { guard, at: None };
        Client::connect(&node.url, ClientOptions { outbound, ..options(&node, Version::V1_0) }).await
    };
    assert!(matches!(through(guard(&[])).await, Err(ClientError::Refused(_))), "it is on this machine");
    let configured = through(guard(&[format!("http://{}", node.address)])).await.unwrap();
    assert_eq!(send(&configured, says("echo hello")).await.status.state, State::Completed);
}

#[tokio::test]
async fn of_several_agents_the_card_says_which_one_is_meant() {
    let node = Node::with(Form { has_other: true, ..Form::default() }).await;
    let client = client(&node, Version::V1_0).await;
    assert_eq!(send(&client, says("echo hello")).await.status.state, State::Completed);
    // No message of 0.3 says it, so its cards do not offer it.
    let older = Client::connect(&node.url, options(&node, Version::V0_3)).await;
    assert!(matches!(older, Err(ClientError::NoInterface { .. })));
}

#[tokio::test]
async fn webhooks_are_made_shown_and_removed_in_both_versions() {
    let hook = "http://127.0.0.1:9/hook";
    let node = Node::with(Form { receiver: Some(hook.to_owned()), ..Form::default() }).await;
    for version in Version::ALL {
        let client = client(&node, version).await;
        let task = send(&client, says("ask")).await.id;
        let secret = |text: &str| Some(Secret::new(text));
        let config = PushConfig {
            id: Some("h".to_owned()),
            url: hook.to_owned(),
            token: secret("secret"),
            authentication: Some(PushAuthentication { scheme: "Bearer".to_owned(), credentials: secret("secret") }),
            dialect: version.name().into(),
        };
        let view = |id: &str, scheme: Option<&str>| PushView {
            task: task.clone(),
            id: id.to_owned(),
            url: hook.to_owned(),
            scheme: scheme.map(str::to_owned),
        };
        let create = |config| CreatePushParams { task: task.clone(), config, tenant: None };
        let made = client.create_push_config(create(config.clone())).await.unwrap();
        assert_eq!(made.value, view("h", Some("Bearer")));
        assert!(!made.json.as_str().contains("secret"));
        let bare = PushConfig { id: None, token: None, authentication: None, ..config.clone() };
        let named = client.create_push_config(create(bare)).await.unwrap().value;
        assert!(!named.id.is_empty() && named.scheme.is_none(), "{named:?}");
        let get = |id: &str| GetPushParams { task: task.clone(), id: Some(id.to_owned()), tenant: None };
        assert_eq!(client.get_push_config(get("h")).await.unwrap().value, made.value);
        let list = ListPushParams { task: task.clone(), ..ListPushParams::default() };
        let page = client.list_push_configs(list.clone()).await.unwrap().value;
        assert_eq!(page.configs, [made.value.clone(), named]);
        let delete = DeletePushParams { task: task.clone(), id: "h".to_owned(), tenant: None };
        client.delete_push_config(delete).await.unwrap();
        assert_eq!(client.list_push_configs(list).await.unwrap().value.configs.len(), 1);
        let error = client.get_push_config(get("h")).await.unwrap_err();
        let is_gone = matches!(&error, ClientError::Rpc(remote) if remote.kind == Some(ErrorKind::TaskNotFound));
        assert!(is_gone, "{error:?}");

        // One that comes with a message.
        let configuration = Configuration { push_config: Some(Box::new(config)), ..Configuration::default() };
        let with_hook = send(&client, SendParams { configuration, ..says("ask") }).await.id;
        let of_it = ListPushParams { task: with_hook, ..ListPushParams::default() };
        assert_eq!(client.list_push_configs(of_it).await.unwrap().value.configs[0].id, "h");
    }
}
