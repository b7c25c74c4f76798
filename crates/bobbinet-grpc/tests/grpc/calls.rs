//! Every operation of 1.0.

use bobbinet_auth::NODE_OWNER;
use bobbinet_grpc::pb::v1_0 as pb;
use tonic::Code;

use crate::node::{Form, Node, answers, begins, made, says, state, task_of, with};

#[tokio::test]
async fn a_message_becomes_a_task_that_is_shown_listed_and_canceled() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let done = node.send(says("echo hello")).await.unwrap();
    assert_eq!((state(&done), made(&done)), ("COMPLETED", "hello"));
    assert!(done.status.as_ref().unwrap().timestamp.is_some());
    assert_eq!((done.history.len(), done.history[0].task_id.as_str()), (1, done.id.as_str()));
    let shown = client.get_task(node.request(task_of(&done.id))).await.unwrap().into_inner();
    assert_eq!(shown, done);
    let brief = pb::GetTaskRequest { history_length: Some(0), ..task_of(&done.id) };
    assert!(client.get_task(node.request(brief)).await.unwrap().into_inner().history.is_empty());

    let at_work = node.send(begins("steps 1")).await.unwrap();
    assert!(["SUBMITTED", "WORKING"].contains(&state(&at_work)));
    let list = |request: pb::ListTasksRequest| {
        let (mut client, request) = (client.clone(), node.request(request));
        async move { client.list_tasks(request).await.unwrap().into_inner() }
    };
    let all = list(pb::ListTasksRequest::default()).await;
    let ids: Vec<&str> = all.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, [at_work.id.as_str(), done.id.as_str()], "the latest first");
    assert_eq!((all.total_size, all.page_size, all.next_page_token.as_str()), (2, 50, ""));
    assert!(all.tasks[1].artifacts.is_empty(), "they are shown to those who ask for them");
    let first = list(pb::ListTasksRequest { page_size: Some(1), ..pb::ListTasksRequest::default() }).await;
    let second = pb::ListTasksRequest {
        page_size: Some(1),
        page_token: first.next_page_token,
        include_artifacts: Some(true),
        ..pb::ListTasksRequest::default()
    };
    let second = list(second).await;
    assert_eq!((second.tasks.len(), made(&second.tasks[0])), (1, "hello"));
    let completed = pb::ListTasksRequest { status: pb::TaskState::Completed.into(), ..pb::ListTasksRequest::default() };
    assert_eq!(list(completed).await.total_size, 1);

    let cancel = pb::CancelTaskRequest { id: at_work.id.clone(), ..pb::CancelTaskRequest::default() };
    let canceled = client.cancel_task(node.request(cancel.clone())).await.unwrap().into_inner();
    assert_eq!(state(&canceled), "CANCELED");
    let again = client.cancel_task(node.request(cancel)).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_question_is_answered() {
    let node = Node::start().await;
    let asked = node.send(says("ask")).await.unwrap();
    assert_eq!(state(&asked), "INPUT_REQUIRED");
    assert_eq!(asked.status.as_ref().unwrap().message.as_ref().unwrap().role(), pb::Role::Agent);
    let done = node.send(answers("forty-two", &asked.id)).await.unwrap();
    assert_eq!((done.id.as_str(), state(&done), made(&done)), (asked.id.as_str(), "COMPLETED", "forty-two"));
}

#[tokio::test]
async fn a_repeat_under_a_key_is_the_same_task_and_a_skill_is_named_in_the_metadata() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let token = format!("Bearer {}", node.token_of(NODE_OWNER, &node.url));
    let mut send = async |text: &str, key: &str| {
        let request = with(says(text), &[("authorization", &token), ("idempotency-key", key), ("a2a-version", "1.0")]);
        client.send_message(request).await.map(|answer| match answer.into_inner().payload.unwrap() {
            pb::send_message_response::Payload::Task(task) => task.id,
            pb::send_message_response::Payload::Message(message) => panic!("no task: {message:?}"),
        })
    };
    let first = send("echo a", "k1").await.unwrap();
    assert_eq!(send("echo a", "k1").await.unwrap(), first);
    assert_ne!(send("echo a", "k2").await.unwrap(), first);
    assert_eq!(send("echo b", "k1").await.unwrap_err().code(), Code::InvalidArgument);

    let skill = bobbinet_grpc::v1_0::request::send(&bobbinet_core::operation::SendParams {
        message: bobbinet_core::Message {
            role: bobbinet_core::Role::User,
            ..bobbinet_core::Message::from_agent(
                bobbinet_core::MessageId::parse("m").unwrap(),
                vec![bobbinet_core::Part::text("echo a")],
            )
        },
        context: None,
        task: None,
        configuration: bobbinet_core::operation::Configuration::default(),
        metadata: Some(bobbinet_core::Json::parse(r#"{"urn:bobbinet:skills:v1":{"skill":"shout"}}"#).unwrap()),
        tenant: None,
    });
    assert_eq!(made(&node.send(skill).await.unwrap()), "ECHO A");
}

#[tokio::test]
async fn several_agents_are_told_apart_by_tenant() {
    let node = Node::with(Form { has_other: true, ..Form::default() }).await;
    let to = |tenant: &str| pb::SendMessageRequest { tenant: tenant.to_owned(), ..says("echo hello") };
    let done = node.send(to("worker")).await.unwrap();
    assert_eq!(made(&done), "hello");
    for tenant in ["", "nobody"] {
        let status = node.send(to(tenant)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{tenant:?}: {status}");
    }
    // The token is the worker's.
    assert_eq!(node.send(to("other")).await.unwrap_err().code(), Code::Unauthenticated);
    let url = format!("http://{}/agents/other", node.address);
    let token = format!("Bearer {}", node.token_of(NODE_OWNER, &url));
    let mut client = node.client().await;
    client.send_message(with(to("other"), &[("authorization", &token)])).await.unwrap();
    // A task of one agent is not the other's.
    let elsewhere = pb::GetTaskRequest { tenant: "other".to_owned(), ..task_of(&done.id) };
    let status = client.get_task(with(elsewhere, &[("authorization", &token)])).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}
