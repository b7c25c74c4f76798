//! Webhooks in both packages: registered, shown without their secrets, removed, and told in the words of their version.

use std::time::Duration;

use axum::{Router, body::Bytes, routing::post};
use bobbinet_grpc::pb::{v0_3, v1_0};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, Receiver},
    task::JoinSet,
    time::timeout,
};
use tonic::Code;

use crate::node::{Form, Node, PATIENCE, answers, says};

/// What is told at one URL, on a free port of this machine.
struct Hook {
    url: String,
    told: Receiver<Value>,
    _serving: JoinSet<()>,
}

impl Hook {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel(64);
        let hear = async move |raw: Bytes| {
            tell.send(serde_json::from_slice(&raw).unwrap()).await.unwrap();
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, Router::new().route("/hook", post(hear))).await.unwrap() });
        Self { url, told, _serving: serving }
    }

    async fn next(&mut self) -> Value {
        timeout(PATIENCE, self.told.recv()).await.expect("a notification in time").unwrap()
    }
}

async fn start() -> (Hook, Node) {
    let hook = Hook::start().await;
    let node = Node::with(Form { receiver: Some(hook.url.clone()), ..Form::default() }).await;
    (hook, node)
}

fn config(task: &str, url: &str) -> v1_0::TaskPushNotificationConfig {
    let authentication = v1_0::AuthenticationInfo { scheme: "Bearer".to_owned(), credentials: "secret".to_owned() };
    v1_0::TaskPushNotificationConfig {
        task_id: task.to_owned(),
        url: url.to_owned(),
        token: "secret".to_owned(),
        authentication: Some(authentication),
        ..v1_0::TaskPushNotificationConfig::default()
    }
}

#[tokio::test]
async fn a_webhook_is_made_shown_and_removed() {
    let (hook, node) = start().await;
    let mut client = node.client().await;
    let task = node.send(says("ask")).await.unwrap().id;
    let made = client.create_task_push_notification_config(node.request(config(&task, &hook.url))).await.unwrap();
    let made = made.into_inner();
    assert!(!made.id.is_empty() && !format!("{made:?}").contains("secret"), "{made:?}");
    assert_eq!((made.task_id.as_str(), made.url.as_str()), (task.as_str(), hook.url.as_str()));
    assert_eq!(made.authentication.as_ref().unwrap().scheme, "Bearer");
    let get = |id: &str| v1_0::GetTaskPushNotificationConfigRequest {
        task_id: task.clone(),
        id: id.to_owned(),
        ..v1_0::GetTaskPushNotificationConfigRequest::default()
    };
    let shown = client.get_task_push_notification_config(node.request(get(&made.id))).await.unwrap();
    assert_eq!(shown.into_inner(), made);
    let second = v1_0::TaskPushNotificationConfig { id: "second".to_owned(), ..config(&task, &hook.url) };
    client.create_task_push_notification_config(node.request(second)).await.unwrap();
    let list = |page_size, page_token: &str| v1_0::ListTaskPushNotificationConfigsRequest {
        task_id: task.clone(),
        page_size,
        page_token: page_token.to_owned(),
        ..v1_0::ListTaskPushNotificationConfigsRequest::default()
    };
    let page = client.list_task_push_notification_configs(node.request(list(1, ""))).await.unwrap().into_inner();
    assert_eq!(page.configs, std::slice::from_ref(&made));
    let rest = client.list_task_push_notification_configs(node.request(list(0, &page.next_page_token))).await.unwrap();
    let rest = rest.into_inner();
    assert_eq!((rest.configs[0].id.as_str(), rest.configs.len(), rest.next_page_token.as_str()), ("second", 1, ""));
    let delete = || v1_0::DeleteTaskPushNotificationConfigRequest {
        task_id: task.clone(),
        id: made.id.clone(),
        ..v1_0::DeleteTaskPushNotificationConfigRequest::default()
    };
    for _ in 0..2 {
        client.delete_task_push_notification_config(node.request(delete())).await.unwrap();
    }
    let gone = client.get_task_push_notification_config(node.request(get(&made.id))).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);

    let wrong = [
        config("", &hook.url),
        config(&task, ""),
        v1_0::TaskPushNotificationConfig { token: "a\nb".to_owned(), ..config(&task, &hook.url) },
        v1_0::TaskPushNotificationConfig {
            authentication: Some(v1_0::AuthenticationInfo::default()),
            ..config(&task, &hook.url)
        },
        config(&task, "http://127.0.0.1:9/elsewhere"),
    ];
    for wrong in wrong {
        let status = client.create_task_push_notification_config(node.request(wrong.clone())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{wrong:?}");
    }
    let status = client.list_task_push_notification_configs(node.request(list(-1, ""))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let stranger = format!("Bearer {}", node.token_of("stranger", &node.url));
    let request = crate::node::with(list(0, ""), &[("authorization", &stranger)]);
    assert_eq!(client.list_task_push_notification_configs(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_webhook_of_0_3_has_a_name() {
    let (hook, node) = start().await;
    let mut client = node.older().await;
    let task = node.send(says("ask")).await.unwrap().id;
    let create = |parent: &str, config_id: &str| v0_3::CreateTaskPushNotificationConfigRequest {
        parent: parent.to_owned(),
        config_id: config_id.to_owned(),
        config: Some(v0_3::TaskPushNotificationConfig {
            name: "whatever".to_owned(),
            push_notification_config: Some(v0_3::PushNotificationConfig {
                id: "inner".to_owned(),
                url: hook.url.clone(),
                token: "secret".to_owned(),
                authentication: Some(v0_3::AuthenticationInfo {
                    schemes: vec!["Bearer".to_owned(), "Basic".to_owned()],
                    credentials: "secret".to_owned(),
                }),
            }),
        }),
    };
    let (parent, collection) = (format!("tasks/{task}"), format!("tasks/{task}/pushNotificationConfigs"));
    let made = client.create_task_push_notification_config(node.request(create(&parent, "outer"))).await.unwrap();
    let made = made.into_inner();
    let name = format!("{collection}/outer");
    assert_eq!(made.name, name);
    assert!(!format!("{made:?}").contains("secret"), "{made:?}");
    let get = v0_3::GetTaskPushNotificationConfigRequest { name: name.clone() };
    assert_eq!(client.get_task_push_notification_config(node.request(get)).await.unwrap().into_inner(), made);
    client.create_task_push_notification_config(node.request(create(&collection, ""))).await.unwrap();
    let list = |parent: &str| {
        let parent = parent.to_owned();
        v0_3::ListTaskPushNotificationConfigRequest { parent, ..v0_3::ListTaskPushNotificationConfigRequest::default() }
    };
    let page = client.list_task_push_notification_config(node.request(list(&parent))).await.unwrap().into_inner();
    let names: Vec<&str> = page.configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, [name.as_str(), &format!("{collection}/inner")]);
    let delete = v0_3::DeleteTaskPushNotificationConfigRequest { name: name.clone() };
    client.delete_task_push_notification_config(node.request(delete)).await.unwrap();
    let get = v0_3::GetTaskPushNotificationConfigRequest { name };
    let gone = client.get_task_push_notification_config(node.request(get)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    for name in ["", &parent, &collection, &format!("{collection}/")] {
        let wrong = v0_3::GetTaskPushNotificationConfigRequest { name: name.to_owned() };
        let status = client.get_task_push_notification_config(node.request(wrong)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
    }
    let nothing = v0_3::CreateTaskPushNotificationConfigRequest { parent, ..Default::default() };
    let status = client.create_task_push_notification_config(node.request(nothing)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_webhook_that_comes_with_a_message_is_told_in_the_words_of_its_version() {
    let (mut hook, node) = start().await;
    let configuration = v1_0::SendMessageConfiguration {
        task_push_notification_config: Some(config("", &hook.url)),
        ..v1_0::SendMessageConfiguration::default()
    };
    let request = v1_0::SendMessageRequest { configuration: Some(configuration), ..says("echo hello") };
    let task = node.send(request).await.unwrap();
    assert_eq!(hook.next().await["task"]["id"], task.id.as_str());
    while hook.next().await["statusUpdate"]["status"]["state"] != "TASK_STATE_COMPLETED" {}

    let part = v0_3::Part { part: Some(v0_3::part::Part::Text("ask".to_owned())), ..v0_3::Part::default() };
    let message = v0_3::Message {
        message_id: "m".to_owned(),
        role: v0_3::Role::User.into(),
        content: vec![part],
        ..v0_3::Message::default()
    };
    let push = v0_3::PushNotificationConfig { url: hook.url.clone(), ..v0_3::PushNotificationConfig::default() };
    let configuration = v0_3::SendMessageConfiguration {
        push_notification: Some(push),
        blocking: true,
        ..v0_3::SendMessageConfiguration::default()
    };
    let request =
        v0_3::SendMessageRequest { request: Some(message), configuration: Some(configuration), metadata: None };
    let sent = node.older().await.send_message(node.request(request)).await.unwrap().into_inner();
    let Some(v0_3::send_message_response::Payload::Task(task)) = sent.payload else { panic!("no task") };
    let first = hook.next().await;
    assert_eq!((first["kind"].as_str(), first["id"].as_str()), (Some("task"), Some(task.id.as_str())), "{first}");
    node.send(answers("so", &task.id)).await.unwrap();
    while hook.next().await["status"]["state"] != "completed" {}
    assert!(timeout(Duration::from_millis(50), hook.told.recv()).await.is_err(), "each event once");
}
