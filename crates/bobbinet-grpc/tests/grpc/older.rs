//! Every operation of 0.3, and that a task made in one package is the same in the other.

use bobbinet_grpc::pb::v0_3 as pb;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::node::{Form, Node, PATIENCE, answers, made, says, state, task_of};

fn request(text: &str) -> pb::SendMessageRequest {
    let part = pb::Part { part: Some(pb::part::Part::Text(text.to_owned())), ..pb::Part::default() };
    let message = pb::Message {
        message_id: "m".to_owned(),
        role: pb::Role::User.into(),
        content: vec![part],
        ..pb::Message::default()
    };
    let configuration = pb::SendMessageConfiguration { blocking: true, ..pb::SendMessageConfiguration::default() };
    pb::SendMessageRequest { request: Some(message), configuration: Some(configuration), metadata: None }
}

fn task(answer: pb::SendMessageResponse) -> pb::Task {
    match answer.payload.unwrap() {
        pb::send_message_response::Payload::Task(task) => task,
        pb::send_message_response::Payload::Msg(message) => panic!("no task: {message:?}"),
    }
}

async fn send(node: &Node, message: pb::SendMessageRequest) -> Result<pb::Task, Status> {
    node.older().await.send_message(node.request(message)).await.map(|answer| task(answer.into_inner()))
}

fn get(id: &str) -> pb::GetTaskRequest {
    pb::GetTaskRequest { name: format!("tasks/{id}"), history_length: 0 }
}

fn state_of(task: &pb::Task) -> pb::TaskState {
    task.status.as_ref().unwrap().state()
}

/// All that is told, in short; `final` stands behind what says so.
async fn rest(stream: &mut Streaming<pb::StreamResponse>) -> Vec<String> {
    use pb::stream_response::Payload;
    let mut rest = Vec::new();
    while let Some(told) = timeout(PATIENCE, stream.message()).await.expect("a message in time").unwrap() {
        rest.push(match told.payload.unwrap() {
            Payload::Task(task) => format!("task {}", state_of(&task).as_str_name()),
            Payload::StatusUpdate(update) => {
                let state = update.status.unwrap().state().as_str_name();
                format!("{state}{}", if update.r#final { " final" } else { "" })
            }
            Payload::ArtifactUpdate(_) => "artifact".to_owned(),
            Payload::Msg(message) => panic!("no event: {message:?}"),
        });
    }
    rest
}

#[tokio::test]
async fn a_message_becomes_a_task_that_is_shown_and_canceled() {
    let node = Node::start().await;
    let mut client = node.older().await;
    let done = send(&node, request("echo hello")).await.unwrap();
    assert_eq!(state_of(&done), pb::TaskState::Completed);
    assert_eq!(client.get_task(node.request(get(&done.id))).await.unwrap().into_inner(), done);
    let silent = pb::SendMessageConfiguration::default();
    let begun = pb::SendMessageRequest { configuration: Some(silent), ..request("steps 1") };
    let begun = send(&node, begun).await.unwrap();
    assert_ne!(state_of(&begun), pb::TaskState::Completed, "who does not say that it blocks does not wait");
    let cancel = pb::CancelTaskRequest { name: format!("tasks/{}", begun.id) };
    let canceled = client.cancel_task(node.request(cancel)).await.unwrap().into_inner();
    assert_eq!(state_of(&canceled), pb::TaskState::Cancelled);
    for name in ["", "tasks/", &begun.id, "tasks/a/b"] {
        let wrong = pb::GetTaskRequest { name: name.to_owned(), history_length: 0 };
        assert_eq!(client.get_task(node.request(wrong)).await.unwrap_err().code(), Code::InvalidArgument, "{name}");
    }
    assert_eq!(client.get_task(node.request(get("none"))).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_stream_is_followed_and_the_end_of_a_task_is_told_to_who_comes_late() {
    let node = Node::start().await;
    let mut client = node.older().await;
    let stream = client.send_streaming_message(node.request(request("steps 1"))).await.unwrap();
    node.worker.gate.add_permits(1);
    let expected = ["task TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "artifact", "TASK_STATE_COMPLETED final"];
    assert_eq!(rest(&mut stream.into_inner()).await, expected);
    let asked = send(&node, request("ask")).await.unwrap();
    let subscribe = || pb::TaskSubscriptionRequest { name: format!("tasks/{}", asked.id) };
    let mut stream = client.task_subscription(node.request(subscribe())).await.unwrap().into_inner();
    let mut answer = request("something");
    answer.request.as_mut().unwrap().task_id.clone_from(&asked.id);
    send(&node, answer).await.unwrap();
    let told = rest(&mut stream).await;
    assert_eq!(told.first().unwrap(), "task TASK_STATE_INPUT_REQUIRED");
    assert_eq!(told.last().unwrap(), "TASK_STATE_COMPLETED final");
    let mut late = client.task_subscription(node.request(subscribe())).await.unwrap().into_inner();
    assert_eq!(rest(&mut late).await, ["task TASK_STATE_COMPLETED"]);
}

#[tokio::test]
async fn a_task_of_one_package_goes_on_in_the_other() {
    let node = Node::start().await;
    let asked = send(&node, request("ask")).await.unwrap();
    let shown = node.client().await.get_task(node.request(task_of(&asked.id))).await.unwrap().into_inner();
    assert_eq!(state(&shown), "INPUT_REQUIRED");
    let done = node.send(answers("so", &asked.id)).await.unwrap();
    assert_eq!((state(&done), made(&done)), ("COMPLETED", "so"));
    let newer = node.send(says("echo new")).await.unwrap();
    let shown = node.older().await.get_task(node.request(get(&newer.id))).await.unwrap().into_inner();
    assert_eq!((shown.id.as_str(), state_of(&shown)), (newer.id.as_str(), pb::TaskState::Completed));
}

#[tokio::test]
async fn a_known_caller_gets_the_card_and_several_agents_are_told_apart_by_metadata() {
    let node = Node::start().await;
    let card = node.older().await.get_agent_card(node.request(pb::GetAgentCardRequest {})).await.unwrap().into_inner();
    assert_eq!((card.protocol_version.as_str(), card.name.as_str()), ("0.3.0", "worker"));
    assert_eq!(card.url, format!("{}/", node.url));
    let grpc = card.additional_interfaces.iter().find(|interface| interface.transport == "GRPC").unwrap();
    assert_eq!(grpc.url, node.address.to_string());
    assert!(card.additional_interfaces.iter().any(|interface| interface.transport == "HTTP+JSON"));
    let nobody = tonic::Request::new(pb::GetAgentCardRequest {});
    assert_eq!(node.older().await.get_agent_card(nobody).await.unwrap_err().code(), Code::Unauthenticated);

    let node = Node::with(Form { has_other: true, ..Form::default() }).await;
    assert_eq!(send(&node, request("echo x")).await.unwrap_err().code(), Code::InvalidArgument);
    let mut named = node.request(request("echo x"));
    named.metadata_mut().insert("a2a-tenant", "worker".parse().unwrap());
    let done = task(node.older().await.send_message(named).await.unwrap().into_inner());
    assert_eq!(state_of(&done), pb::TaskState::Completed);
}
