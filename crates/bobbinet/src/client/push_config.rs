//! `bobbinet task push-config`: the webhooks of tasks, at whatever agent.

use std::{
    env::VarError,
    fs::File,
    io::{self, Read},
    path::Path,
};

use bobbinet_core::{
    PushAuthentication, PushConfig as Wanted, PushView, Secret,
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams, PUSH_SECRET_LENGTH_MAX},
};
use bobbinet_http::client::Client as Connected;
use bobbinet_wire::push::{checked_scheme, checked_secret};

use super::{Client, owner::owner, resolve::Agent};
use crate::{
    cli::{PushConfig, PushConfigCreate, Target},
    failure::{Code, Failure},
    output::Output,
};

/// What the agent authenticates with, if nothing else is said.
const SCHEME: &str = "Bearer";

pub(super) async fn run(client: &Client, command: PushConfig) -> Result<(), Failure> {
    let output = client.output;
    match command {
        PushConfig::Create(create) => {
            let wanted = wanted(&create)?;
            let (agent, connected) = agent_of(client, create.target, &create.task).await?;
            let config = Wanted { dialect: connected.protocol().version.name().into(), ..wanted };
            let params = CreatePushParams { task: create.task, config, tenant: None };
            let made = connected.create_push_config(params).await.map_err(|error| agent.fault(error))?;
            if output.is_json() { output.raw(made.json.as_str()) } else { show(output, &made.value) }
        }
        PushConfig::Get { task, webhook, target } => {
            let (agent, connected) = agent_of(client, target, &task).await?;
            let params = GetPushParams { task, id: Some(webhook.clone()), tenant: None };
            let found = connected.get_push_config(params).await.map_err(|error| agent.fault(error))?;
            // As agents made with the SDK for Python do in 0.3, which show the first one whatever is asked for.
            if found.value.id != webhook && !found.value.id.is_empty() {
                let text = format!("webhook {webhook} was asked for, and the agent shows {}", found.value.id);
                let failure = Failure::new(Code::Protocol("InvalidAgentResponseError".to_owned()), text);
                return Err(failure.hint("`bobbinet task push-config list` shows which there are"));
            }
            if output.is_json() { output.raw(found.json.as_str()) } else { show(output, &found.value) }
        }
        PushConfig::List { task, page_size, page_token, target } => {
            let (agent, connected) = agent_of(client, target, &task).await?;
            let params = ListPushParams { task, page_size, page_token, tenant: None };
            let page = connected.list_push_configs(params).await.map_err(|error| agent.fault(error))?;
            if output.is_json() {
                return output.raw(page.json.as_str());
            }
            for config in &page.value.configs {
                show(output, config)?;
                output.line("")?;
            }
            page.value.next_page_token.map_or(Ok(()), |token| output.field("Next page", token))
        }
        PushConfig::Delete { task, webhook, target } => {
            let (agent, connected) = agent_of(client, target, &task).await?;
            let params = DeletePushParams { task: task.clone(), id: webhook.clone(), tenant: None };
            let said = connected.delete_push_config(params).await.map_err(|error| agent.fault(error))?;
            if output.is_json() {
                return output.raw(said.as_str());
            }
            output.field("Webhook", format_args!("{webhook} of task {task}: removed"))
        }
    }
}

/// The agent that has the task, if its card says that it calls webhooks: one that does not answers each in its own way.
async fn agent_of(client: &Client, target: Target, task: &str) -> Result<(Agent, Connected), Failure> {
    let agent = owner(&client.resolver(target).await, task).await?;
    let connected = agent.connect().await?;
    if connected.card().value.capabilities.push_notifications != Some(true) {
        let code = Code::Protocol("PushNotificationNotSupportedError".to_owned());
        let failure = Failure::new(code, "the agent's card does not say that it sends anything to webhooks");
        return Err(failure.hint("`bobbinet task subscribe` follows a task without one"));
    }
    Ok((agent, connected))
}

/// What was typed, with the secrets that it names.
fn wanted(create: &PushConfigCreate) -> Result<Wanted, Failure> {
    let PushConfigCreate { url, id, token_env, token_file, scheme, credentials_env, credentials_file, .. } = create;
    let is_web = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_web {
        return Err(usage(format!("{url:?} is no URL of a webhook, such as https://hooks.example.com/a2a")));
    }
    let token = secret("token", token_env.as_deref(), token_file.as_deref())?;
    let credentials = secret("credentials", credentials_env.as_deref(), credentials_file.as_deref())?;
    let scheme = scheme.clone().or_else(|| credentials.as_ref().map(|_| SCHEME.to_owned()));
    if let Some(Err(why)) = scheme.as_deref().map(checked_scheme) {
        return Err(usage(format!("what is said with --scheme {why}")));
    }
    let authentication = scheme.map(|scheme| PushAuthentication { scheme, credentials });
    // In which version it is said is settled by the agent's card.
    Ok(Wanted { id: id.clone(), url: url.clone(), token, authentication, dialect: "".into() })
}

/// What is in this variable, or in this file.
fn secret(what: &str, variable: Option<&str>, file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    let (place, text) = match (variable, file) {
        (Some(name), _) => (format!("the variable {name}"), std::env::var(name).map_err(|error| unread(&error))),
        (None, Some(path)) => (path.display().to_string(), read(path).map_err(|error| error.to_string())),
        (None, None) => return Ok(None),
    };
    let text = text.map_err(|why| usage(format!("the {what} cannot be read from {place}: {why}")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(usage(format!("{place} holds no {what}: it is empty")));
    }
    let fit = checked_secret(text.to_owned()).map_err(|why| usage(format!("{place} holds no {what}: {why}")))?;
    Ok(Some(Secret::new(fit)))
}

/// Why there is no variable to read, without its value: the error itself would show it.
fn unread(error: &VarError) -> String {
    match error {
        VarError::NotPresent => "it is not set".to_owned(),
        VarError::NotUnicode(_) => "it is not UTF-8".to_owned(),
    }
}

/// A file, as far as it can be a secret, and a little more.
fn read(path: &Path) -> io::Result<String> {
    let longest = u64::try_from(PUSH_SECRET_LENGTH_MAX).unwrap_or(u64::MAX).saturating_add(2);
    let mut text = String::new();
    File::open(path)?.take(longest).read_to_string(&mut text)?;
    Ok(text)
}

fn usage(text: String) -> Failure {
    Failure::new(Code::Usage, text)
}

fn show(output: Output, config: &PushView) -> Result<(), Failure> {
    let PushView { task, id, url, scheme } = config;
    output.field("Task", task)?;
    output.field("Webhook", id)?;
    output.field("Receiver", url)?;
    scheme.as_ref().map_or(Ok(()), |scheme| output.field("Scheme", scheme))
}
