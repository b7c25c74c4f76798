//! The small orchestrator: it finds agents by their cards, gives them tasks over A2A, and shows a token for each call.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bobbinet_auth::owner_token;
use bobbinet_core::{
    Artifact, Json, Message, MessageId, Part, Role,
    operation::{Configuration, SendParams},
};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_http::client::{Client, ClientOptions, Credentials, SendOptions};
use bobbinet_wire::view::{Sent, TaskView};
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

/// All the text that a task has made.
pub(super) fn text(task: &TaskView) -> String {
    task.artifacts.iter().map(text_of).collect::<Vec<_>>().join("\n")
}

fn text_of(artifact: &Artifact) -> String {
    artifact.parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n")
}

/// What a task says of where it stands.
pub(super) fn said(task: &TaskView) -> String {
    task.status.message.as_ref().map(Message::text).unwrap_or_default()
}
