//! Our own client and our own server, over each binding that goes over HTTP itself, in both versions: one conversation.

use bobbinet_core::{
    PushAuthentication, PushConfig, Secret, State,
    operation::{Configuration, ListParams, SendParams},
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_http::{Client, ClientError, ClientOptions, Credentials, SendOptions};
use bobbinet_wire::{
    ErrorKind, Protocol, Transport, Version,
    view::{Sent, StreamEvent, TaskView},
};

use crate::{
    client::{Wire, says},
    node::{Form, Node},
    push::Receiver,
};

const ALL: [Protocol; 4] = [
    Protocol { version: Version::V1_0, transport: Transport::JsonRpc },
    Protocol { version: Version::V1_0, transport: Transport::HttpJson },
    Protocol { version: Version::V0_3, transport: Transport::JsonRpc },
    Protocol { version: Version::V0_3, transport: Transport::HttpJson },
];

async fn connect(node: &Node, at: &str, protocol: Protocol) -> Client {
    let options = ClientOptions {
        version: Some(protocol.version),
        transports: vec![protocol.transport],
        credentials: Credentials::Bearer(node.token()),
        is_other_origin_allowed: true,
        ..ClientOptions::default()
    };
    let client = Client::connect(at, options).await.unwrap();
    assert_eq!((client.protocol(), client.card().value.name.as_str()), (protocol, "worker"));
    client
}

async fn send(client: &Client, params: SendParams) -> TaskView {
    match client.send(params, &SendOptions::default()).await.unwrap().value {
        Sent::Task(task) => task,
        Sent::Message(message) => panic!("no task: {message:?}"),
    }
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Option<ErrorKind> {
    match result {
        Err(ClientError::Rpc(remote)) => remote.kind,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_conversation_over_each() {
    for protocol in ALL {
        let node = Node::start().await;
        let client = connect(&node, &node.url, protocol).await;
        let done = send(&client, says("echo x")).await;
        assert_eq!(
            (done.status.state, done.artifacts[0].parts[0].as_text()),
            (State::Completed, Some("x")),
            "{protocol}"
        );
        assert_eq!(client.get(&done.id, None).await.unwrap().value, done, "{protocol}");
        let page = client.list(ListParams::default()).await.unwrap().value;
        assert_eq!((page.total_size, page.tasks[0].id.as_str()), (1, done.id.as_str()), "{protocol}");

        let asked = send(&client, says("ask")).await;
        assert_eq!(asked.status.state, State::InputRequired, "{protocol}");
        assert_eq!(asked.status.message.as_ref().unwrap().text(), "What?", "{protocol}");
        let answer = SendParams { task: Some(asked.id.clone()), ..says("that") };
        assert_eq!(send(&client, answer).await.status.state, State::Completed, "{protocol}");

        let at_once = Configuration { return_immediately: true, ..Configuration::default() };
        let busy = send(&client, SendParams { configuration: at_once, ..says("steps 1") }).await;
        assert!(!busy.status.state.is_terminal(), "{protocol}: {busy:?}");
        assert_eq!(client.cancel(&busy.id).await.unwrap().value.status.state, State::Canceled, "{protocol}");

        let mut stream = client.send_streaming(says("echo y"), &SendOptions::default()).await.unwrap();
        let mut seen = None;
        while let Some(event) = stream.next().await.unwrap() {
            match (&mut seen, event.value) {
                (None, StreamEvent::Task(task)) => seen = Some(task),
                (Some(task), event) => task.apply(event),
                (None, event) => panic!("{protocol}: the task comes first: {event:?}"),
            }
        }
        let seen = seen.unwrap();
        assert_eq!(
            (seen.status.state, seen.artifacts[0].parts[0].as_text()),
            (State::Completed, Some("y")),
            "{protocol}"
        );

        assert_eq!(kind_of(client.cancel(&done.id).await), Some(ErrorKind::TaskNotCancelable), "{protocol}");
        assert_eq!(kind_of(client.get("nowhere", None).await), Some(ErrorKind::TaskNotFound), "{protocol}");
        let unsaid =
            SendParams { message: bobbinet_core::Message { parts: Vec::new(), ..says("").message }, ..says("") };
        let refused = client.send(unsaid, &SendOptions::default()).await;
        let Err(ClientError::Rpc(refused)) = refused else { panic!("{protocol}: {refused:?}") };
        assert_eq!((refused.kind, refused.violations.len()), (Some(ErrorKind::InvalidParams), 1), "{protocol}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_over_each() {
    for protocol in ALL {
        let node = Node::start().await;
        let wire = Wire::to(node.address).await;
        let client = connect(&node, &wire.address.to_string(), protocol).await;
        let mut stream = client.send_streaming(says("steps 6"), &SendOptions::default()).await.unwrap();
        let (mut pieces, mut ids) = (Vec::new(), Vec::new());
        for step in 0.. {
            if step % 3 == 1 {
                wire.cut();
            }
            node.worker.gate.add_permits(1);
            let Some(event) = stream.next().await.unwrap() else { break };
            ids.push(event.id.unwrap().parse::<usize>().unwrap());
            if let StreamEvent::ArtifactUpdate(update) = event.value {
                pieces.push(update.artifact.parts[0].as_text().unwrap().to_owned());
            }
        }
        assert_eq!(pieces, ["1", "2", "3", "4", "5", "6"], "{protocol}");
        assert_eq!(ids, (1..=9).collect::<Vec<_>>(), "{protocol}: each once, in order");
        let id = stream.task_id().unwrap();
        let mut again = client.subscribe(id, Some("7")).await.unwrap();
        let mut rest = Vec::new();
        while let Some(event) = again.next().await.unwrap() {
            rest.push(event.id.unwrap());
        }
        assert_eq!(rest, ["8", "9"], "{protocol}");
    }
}

#[tokio::test]
async fn a_webhook_over_each() {
    for protocol in ALL {
        let receiver = Receiver::start().await;
        let node = Node::with(Form { receivers: Some(vec![receiver.origin.clone()]), ..Form::default() }).await;
        let client = connect(&node, &node.url, protocol).await;
        let config = PushConfig {
            id: None,
            url: receiver.url(),
            token: Some(Secret::new("token".to_owned())),
            authentication: Some(PushAuthentication {
                scheme: "Bearer".to_owned(),
                credentials: Some(Secret::new("secret".to_owned())),
            }),
            dialect: protocol.version.name().into(),
        };
        // With a message,
        let configuration = Configuration { push_config: Some(Box::new(config.clone())), ..Configuration::default() };
        let asked = send(&client, SendParams { configuration, ..says("ask") }).await;
        let task = asked.id.clone();
        let list = ListPushParams { task: task.clone(), ..ListPushParams::default() };
        let first = client.list_push_configs(list.clone()).await.unwrap().value;
        assert_eq!(first.configs.len(), 1, "{protocol}");
        // and beside it.
        let second = PushConfig { id: Some("second".to_owned()), ..config };
        let second = CreatePushParams { task: task.clone(), config: second, tenant: None };
        let made = client.create_push_config(second).await.unwrap();
        assert!(!made.json.as_str().contains("secret"), "{protocol}: {}", made.json.as_str());
        let made = made.value;
        assert_eq!((made.task.as_str(), made.id.as_str()), (task.as_str(), "second"), "{protocol}");
        assert_eq!(
            (made.url.as_str(), made.scheme.as_deref()),
            (receiver.url().as_str(), Some("Bearer")),
            "{protocol}"
        );
        let get = GetPushParams { task: task.clone(), id: Some("second".to_owned()), tenant: None };
        assert_eq!(client.get_push_config(get.clone()).await.unwrap().value, made, "{protocol}");
        assert_eq!(client.list_push_configs(list.clone()).await.unwrap().value.configs.len(), 2, "{protocol}");
        let delete = DeletePushParams { task: task.clone(), id: "second".to_owned(), tenant: None };
        client.delete_push_config(delete).await.unwrap();
        assert_eq!(client.list_push_configs(list).await.unwrap().value, first, "{protocol}");
        assert_eq!(kind_of(client.get_push_config(get).await), Some(ErrorKind::TaskNotFound), "{protocol}");
        send(&client, SendParams { task: Some(asked.id.clone()), ..says("that") }).await;
        let came = receiver.until(2).await;
        assert!(came.iter().any(|came| came.body.to_string().contains(&asked.id)), "{protocol}: {came:?}");
    }
}
