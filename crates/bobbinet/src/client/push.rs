//! `bobbinet push`: what has not arrived at webhooks. The node has it at a URL of its own, for its owner.

use bobbinet_http::client::ClientError;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Client, resolve::Agent};
use crate::{
    cli::Push,
    failure::{Code, Failure},
    output::Output,
};

/// Bytes of a list: more than a node shows of it.
const LIST_MAX: usize = 8 << 20;

pub(super) async fn run(client: &Client, command: Push) -> Result<(), Failure> {
    let output = client.output;
    match command {
        Push::List { target } => {
            let list = ask(&any(client, target).await?, Method::GET, &[]).await?;
            if output.is_json() { output.json(&list) } else { print(output, &list) }
        }
        Push::Retry { task, webhook, target } => {
            ask(&any(client, target).await?, Method::POST, &[&task, &webhook, "retry"]).await?;
            said(output, "tried again", &task, &webhook)
        }
        Push::Drop { task, webhook, target } => {
            ask(&any(client, target).await?, Method::POST, &[&task, &webhook, "drop"]).await?;
            said(output, "dropped", &task, &webhook)
        }
    }
}

/// An agent of the node: each tells of all.
async fn any(client: &Client, target: crate::cli::Target) -> Result<Agent, Failure> {
    let mut agents = client.resolver(target).await.all()?;
    if agents.is_empty() {
        return Err(Failure::new(Code::Internal, "there is no agent to ask"));
    }
    Ok(agents.swap_remove(0))
}

async fn ask(agent: &Agent, method: Method, what: &[&str]) -> Result<Value, Failure> {
    let connected = agent.connect().await?;
    let base = connected.http_url().trim_end_matches('/');
    let bad = |_| Failure::new(Code::Internal, format!("{base} is no URL of an agent"));
    let mut url = reqwest::Url::parse(&format!("{base}/bobbinet/push")).map_err(bad)?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(what);
    }
    // What a node of ours has for its owner is asked for where the node is: no proxy, no redirect.
    let http = agent.http().redirect(reqwest::redirect::Policy::none()).build();
    let unreachable = |source: reqwest::Error| {
        agent.fault(ClientError::Unreachable { url: url.to_string(), source: source.without_url() })
    };
    let mut request = http.map_err(unreachable)?.request(method, url.clone());
    if let Some(token) = agent.token(base)? {
        request = request.bearer_auth(token);
    }
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > LIST_MAX {
            return Err(Failure::new(Code::Internal, format!("{url} answers with more than {LIST_MAX} bytes")));
        }
    }
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|_| {
            let failure = Failure::new(Code::Internal, format!("what is at {url} is no list of webhooks"));
            failure.hint("only agents of a bobbinet node have one")
        }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let failure = Failure::new(Code::AuthFailed, "what has not arrived is shown to the node's owner alone");
            Err(failure.hint("run this on the node's machine, as the user who can read its data folder"))
        }
        StatusCode::NOT_FOUND => {
            let code = Code::Protocol("TaskNotFoundError".to_owned());
            let text = format!("{url}: there is no such webhook, or the agent is not one of a bobbinet node");
            Err(Failure::new(code, text).hint("`bobbinet push list` shows which there are"))
        }
        status => Err(Failure::new(Code::Internal, format!("{url} answers {status}"))),
    }
}

fn said(output: Output, what: &str, task: &str, webhook: &str) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&serde_json::json!({ "task": task, "webhook": webhook, "done": what }));
    }
    output.field("Webhook", format_args!("{webhook} of task {task}: {what}"))
}

fn print(output: Output, list: &Value) -> Result<(), Failure> {
    let word = |letter: &Value, name: &str| letter[name].as_str().unwrap_or("-").to_owned();
    for letter in list["letters"].as_array().into_iter().flatten() {
        let state = match letter["state"].as_str() {
            Some("dead") => format!("dead since {}", word(letter, "since")),
            _ => format!("tried {} times, next at {}", letter["attempts"], word(letter, "next")),
        };
        output.field("Task", word(letter, "task"))?;
        output.field("Webhook", word(letter, "webhook"))?;
        output.field("Agent", word(letter, "agent"))?;
        output.field("Owner", word(letter, "owner"))?;
        output.field("Receiver", word(letter, "receiver"))?;
        output.field("State", state)?;
        output.field("Why", word(letter, "why"))?;
        output.line("")?;
    }
    if let Some(left_out) = list["leftOut"].as_u64().filter(|count| *count > 0) {
        output.field("Left out", left_out)?;
    }
    output.field("Waiting", format_args!("{} webhooks have nothing to complain of", list["waiting"]))
}
