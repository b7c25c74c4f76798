//! The scripted conversation by the official A2A SDK for Rust.
//!
//!     interop AGENT_URL TOKEN JSONRPC|HTTP+JSON HOOK_URL
//!
//! AGENT_URL is that of a wrapped @modelcontextprotocol/server-everything. Nothing here knows Bobbinet.

use std::{process::exit, sync::Arc};

use a2a::{
    A2AError, CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest, ListTasksRequest,
    Message, Part, PartContent, Role, SendMessageConfiguration, SendMessageRequest, SendMessageResponse,
    StreamResponse, SubscribeToTaskRequest, Task, TaskPushNotificationConfig, TaskState,
};
use a2a_client::{A2AClient, A2AClientFactory, Transport, agent_card::AgentCardResolver, auth::AuthInterceptor};
use futures::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};

type Client = A2AClient<Box<dyn Transport>>;
type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

fn tell(step: &str, result: &str) {
    println!("{}", json!({ "step": step, "result": result }));
}

/// Tells what came of a step, and ends the conversation with the first that fails.
fn step<T>(name: &str, result: Result<T, String>) -> T {
    match result {
        Ok(done) => {
            tell(name, "ok");
            done
        }
        Err(why) => {
            tell(name, &why);
            exit(1)
        }
    }
}

fn text(error: A2AError) -> String {
    format!("{error:?}")
}

fn call(skill: &str, arguments: Value) -> Part {
    Part::data(json!({ "skill": skill, "arguments": arguments }))
}

fn say(part: Part, task: Option<&Task>, at_once: bool) -> SendMessageRequest {
    let mut message = Message::new(Role::User, vec![part]);
    message.task_id = task.map(|task| task.id.clone());
    message.context_id = task.map(|task| task.context_id.clone());
    let configuration = SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: None,
        history_length: None,
        return_immediately: Some(at_once),
    };
    SendMessageRequest { message, configuration: Some(configuration), metadata: None, tenant: None }
}

async fn send(client: &Client, part: Part, task: Option<&Task>, at_once: bool) -> Result<Task, String> {
    match client.send_message(&say(part, task, at_once)).await.map_err(text)? {
        SendMessageResponse::Task(task) => Ok(task),
        SendMessageResponse::Message(message) => Err(format!("the answer is a message: {message:?}")),
    }
}

fn must(task: Task, state: TaskState, said: &str) -> Result<Task, String> {
    let parts = task.artifacts.iter().flatten().flat_map(|artifact| &artifact.parts);
    let mut texts = parts.filter_map(|part| if let PartContent::Text(text) = &part.content { Some(text) } else { None });
    let is_said = said.is_empty() || texts.any(|text| text.contains(said));
    if task.status.state == state && is_said { Ok(task) } else { Err(format!("not {state:?} with {said:?}: {task:?}")) }
}

/// Takes all events: the last state must be completed. With how many artifacts came.
async fn completed(mut events: Events) -> Result<usize, String> {
    let (mut state, mut artifacts) = (None, 0);
    while let Some(event) = events.next().await {
        match event.map_err(text)? {
            StreamResponse::Task(task) => state = Some(task.status.state),
            StreamResponse::StatusUpdate(update) => state = Some(update.status.state),
            StreamResponse::ArtifactUpdate(_) => artifacts += 1,
            StreamResponse::Message(message) => return Err(format!("a message came: {message:?}")),
        }
    }
    if state == Some(TaskState::Completed) { Ok(artifacts) } else { Err(format!("the last state is {state:?}")) }
}

async fn cut(client: &Client) -> Result<usize, String> {
    let long = call("trigger-long-running-operation", json!({ "duration": 2, "steps": 4 }));
    let mut events = client.send_streaming_message(&say(long, None, false)).await.map_err(text)?;
    let first = events.next().await.ok_or("nothing came")?.map_err(text)?;
    drop(events);
    let StreamResponse::Task(task) = first else { return Err(format!("first came {first:?}")) };
    let again = SubscribeToTaskRequest { id: task.id, tenant: None };
    completed(client.subscribe_to_task(&again).await.map_err(text)?).await
}

async fn push(client: &Client, hook: &str) -> Result<(), String> {
    let asked = must(send(client, Part::text("get-sum a=1"), None, false).await?, TaskState::InputRequired, "")?;
    let config = TaskPushNotificationConfig {
        url: hook.to_owned(),
        id: None,
        task_id: asked.id.clone(),
        token: Some("our-token".to_owned()),
        authentication: None,
        tenant: None,
    };
    let made = client.create_push_config(&config).await.map_err(text)?;
    let id = made.id.clone().ok_or("it has no id")?;
    let which = GetTaskPushNotificationConfigRequest { task_id: asked.id.clone(), id, tenant: None };
    let got = client.get_push_config(&which).await.map_err(text)?;
    let all = ListTaskPushNotificationConfigsRequest {
        task_id: asked.id.clone(),
        page_size: None,
        page_token: None,
        tenant: None,
    };
    let listed = client.list_push_configs(&all).await.map_err(text)?;
    if got.url != hook || listed.configs.len() != 1 {
        return Err(format!("{got:?}, {listed:?}"));
    }
    let doomed = TaskPushNotificationConfig { url: format!("{hook}/deleted"), ..config };
    let other = client.create_push_config(&doomed).await.map_err(text)?;
    let id = other.id.ok_or("it has no id")?;
    let gone = DeleteTaskPushNotificationConfigRequest { task_id: asked.id.clone(), id, tenant: None };
    client.delete_push_config(&gone).await.map_err(text)?;
    must(send(client, Part::data(json!({ "b": 2 })), Some(&asked), false).await?, TaskState::Completed, "3").map(drop)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [url, token, binding, hook] = std::array::from_fn(|at| std::env::args().nth(at + 1).expect("four arguments"));
    let card = step("card", AgentCardResolver::new(None).resolve(&url).await.map_err(text));
    let factory = A2AClientFactory::builder()
        .preferred_bindings(vec![binding])
        .with_interceptor(Arc::new(AuthInterceptor::bearer(token)))
        .build();
    let client = match factory.create_from_card(&card).await {
        Ok(client) => client,
        Err(error) => return step("connect", Err(text(error))),
    };
    let echo = call("echo", json!({ "message": "hello" }));
    let sent = send(&client, echo, None, false).await.and_then(|task| must(task, TaskState::Completed, "hello"));
    let task = step("send", sent);
    let slow = call("trigger-long-running-operation", json!({ "duration": 1, "steps": 4 }));
    let streamed = match client.send_streaming_message(&say(slow, None, false)).await {
        Ok(events) => completed(events).await,
        Err(error) => Err(text(error)),
    };
    step("stream", streamed.and_then(|artifacts| if artifacts > 0 { Ok(()) } else { Err("no artifact".to_owned()) }));
    let asked = send(&client, Part::text("get-sum a=1"), None, false).await;
    let answered = match asked.and_then(|task| must(task, TaskState::InputRequired, "")) {
        Ok(asked) => send(&client, Part::data(json!({ "b": 2 })), Some(&asked), false).await,
        Err(why) => Err(why),
    };
    step("question and answer", answered.and_then(|task| must(task, TaskState::Completed, "3")));
    let get = GetTaskRequest { id: task.id.clone(), history_length: None, tenant: None };
    let again = client.get_task(&get).await.map_err(text);
    step("get", again.and_then(|again| if again == task { Ok(()) } else { Err(format!("another: {again:?}")) }));
    let list = ListTasksRequest {
        context_id: None,
        status: None,
        page_size: Some(2),
        page_token: None,
        history_length: None,
        status_timestamp_after: None,
        include_artifacts: None,
        tenant: None,
    };
    let page = client.list_tasks(&list).await.map_err(text);
    step("list", page.and_then(|page| if page.tasks.len() == 2 { Ok(()) } else { Err(format!("{page:?}")) }));
    step("subscribe after a cut", cut(&client).await);
    let long = call("trigger-long-running-operation", json!({ "duration": 30, "steps": 30 }));
    let canceled = match send(&client, long, None, true).await {
        Ok(task) => {
            let cancel = CancelTaskRequest { id: task.id, metadata: None, tenant: None };
            client.cancel_task(&cancel).await.map_err(text)
        }
        Err(why) => Err(why),
    };
    step("cancel", canceled.and_then(|task| must(task, TaskState::Canceled, "")));
    step("push configuration", push(&client, &hook).await);
    if card.capabilities.extended_agent_card == Some(true) {
        let extended = client.get_extended_agent_card(&GetExtendedAgentCardRequest { tenant: None }).await;
        step("extended card", extended.map(drop).map_err(text));
    } else {
        tell("extended card", "the agent has none");
    }
}
