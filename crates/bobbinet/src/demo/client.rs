//! A client of A2A: it finds agents by their cards, gives them tasks, and shows a token for each call.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bobbinet_auth::owner_token;
use bobbinet_core::{
    Json, Message, MessageId, Part, Role, State,
    operation::{Configuration, SendParams},
};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_http::client::{Client, ClientOptions, Credentials, SendOptions};
use bobbinet_wire::view::{Sent, StreamEvent, TaskView};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::tell::{broke, broken};
use crate::failure::Failure;

/// How long an agent may take to know its server's tools, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Finds an agent, and waits until it knows what it can do. Tokens are made with the key that its node made at its start.
pub(super) async fn find(url: &str, data: PathBuf) -> Result<Client, Failure> {
    let mint = Arc::new(move |audience: &str| Ok(owner_token(&data, audience, SystemEnv.now())?));
    let end = Instant::now() + PATIENCE;
    loop {
        let options = ClientOptions { credentials: Credentials::Mint(mint.clone()), ..ClientOptions::default() };
        match Client::connect(url, options).await {
            Ok(client) if !client.card().value.skills.is_empty() => return Ok(client),
            Ok(_) if Instant::now() > end => return Err(broke(format!("{url} has no skills"))),
            Err(error) if Instant::now() > end => return Err(broken("finding an agent")(error)),
            Ok(_) | Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A message that calls a skill.
pub(super) fn call(skill: &str, arguments: &Value) -> SendParams {
    message(Part::data(Json::from(&json!({ "skill": skill, "arguments": arguments }))))
}

/// The same, not to be waited for.
pub(super) fn call_at_once(skill: &str, arguments: &Value) -> SendParams {
    let configuration = Configuration { return_immediately: true, ..Configuration::default() };
    SendParams { configuration, ..call(skill, arguments) }
}

/// A message that is data, not to be waited for.
pub(super) fn data_at_once(input: &Value) -> SendParams {
    let configuration = Configuration { return_immediately: true, ..Configuration::default() };
    SendParams { configuration, ..message(Part::data(Json::from(input))) }
}

/// An answer to what a task asks, in words.
pub(super) fn answer(task: &TaskView, words: &str) -> SendParams {
    SendParams { task: Some(task.id.clone()), ..message(Part::text(words)) }
}

fn message(part: Part) -> SendParams {
    let id = MessageId::parse(&SystemEnv.uuid().to_string()).expect("a UUID is printable");
    SendParams {
        message: Message { role: Role::User, ..Message::from_agent(id, vec![part]) },
        context: None,
        task: None,
        configuration: Configuration::default(),
        metadata: None,
        tenant: None,
    }
}

/// Says it, and gives the task that comes of it.
pub(super) async fn send(client: &Client, params: SendParams) -> Result<TaskView, Failure> {
    match client.send(params, &SendOptions::default()).await.map_err(broken("sending a message"))?.value {
        Sent::Task(task) => Ok(task),
        Sent::Message(_) => Err(broke("the agent answers without a task")),
    }
}

/// The data that a task has made.
pub(super) fn data(task: &TaskView) -> Value {
    let mut parts = task.artifacts.iter().flat_map(|artifact| &artifact.parts);
    parts.find_map(Part::as_data).map(Json::to_value).unwrap_or_default()
}

/// What a task says of where it stands.
pub(super) fn said(task: &TaskView) -> String {
    task.status.message.as_ref().map(Message::text).unwrap_or_default()
}

/// Follows the task until it asks, or ends.
pub(super) async fn until_asked(client: &Client, task: &str) -> Result<TaskView, Failure> {
    let mut stream = client.subscribe(task, None).await.map_err(broken("subscribing"))?;
    let mut view: Option<TaskView> = None;
    while let Some(event) = stream.next().await.map_err(broken("listening"))? {
        match (&mut view, event.value) {
            (Some(view), event) => view.apply(event),
            (None, StreamEvent::Task(task)) => view = Some(task),
            (None, StreamEvent::StatusUpdate(_) | StreamEvent::ArtifactUpdate(_) | StreamEvent::Message(_)) => {
                return Err(broke("a subscription begins with the task"));
            }
        }
        let state = view.as_ref().map(|view| view.status.state);
        if state.is_some_and(|state| state == State::InputRequired || state.is_terminal()) {
            break;
        }
    }
    view.ok_or_else(|| broke("the subscription ended before it began"))
}
