//! `bobbinet task show`: what no call of A2A tells. The node has it at a URL of its own, for its owner.

use bobbinet_http::client::{Client as Connected, ClientError};
use serde_json::Value;

use super::{resolve::Agent, tree};
use crate::{
    failure::{Code, Failure},
    output::Output,
};

/// Bytes of one task's record: more than the largest that a node keeps by default.
const RECORD_MAX: usize = 128 << 20;

/// Fetches a task's record and shows it.
pub(super) async fn show(output: Output, agent: &Agent, id: &str) -> Result<(), Failure> {
    let connected = agent.connect().await?;
    let record = fetch(agent, &connected, id).await?;
    if output.is_json() {
        return output.json(&record);
    }
    print(output, &record)
}

/// What the node has of a task: `ID` is all of it, `ID/tree` what its run has begun.
pub(super) async fn fetch(agent: &Agent, connected: &Connected, what: &str) -> Result<Value, Failure> {
    let base = connected.http_url().trim_end_matches('/');
    let url = format!("{base}/bobbinet/tasks/{what}");
    // What a node of ours has for its owner is asked for where the node is: no proxy, no redirect.
    let http = agent.http().redirect(reqwest::redirect::Policy::none()).build();
    let unreachable = |source: reqwest::Error| {
        agent.fault(ClientError::Unreachable { url: url.clone(), source: source.without_url() })
    };
    let mut request = http.map_err(unreachable)?.get(&url);
    if let Some(token) = agent.token(base)? {
        request = request.bearer_auth(token);
    }
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > RECORD_MAX {
            return Err(Failure::new(Code::Internal, format!("{url} answers with more than {RECORD_MAX} bytes")));
        }
    }
    match status {
        reqwest::StatusCode::OK => serde_json::from_slice(&body).map_err(|_| {
            let failure = Failure::new(Code::Internal, format!("what is at {url} is no task's record"));
            failure.hint("only agents of a bobbinet node have one; `bobbinet task get` shows a task of any agent")
        }),
        reqwest::StatusCode::UNAUTHORIZED | reqwest::StatusCode::FORBIDDEN => {
            let failure = Failure::new(Code::AuthFailed, "a task's record is shown to the node's owner alone");
            Err(failure.hint("run this on the node's machine, as the user who can read its data folder"))
        }
        reqwest::StatusCode::NOT_FOUND => {
            let code = Code::Protocol("TaskNotFoundError".to_owned());
            Err(Failure::new(code, format!("{url}: there is no such task, or the agent is not one of a bobbinet node")))
        }
        status => Err(Failure::new(Code::Internal, format!("{url} answers {status}"))),
    }
}

fn print(output: Output, record: &Value) -> Result<(), Failure> {
    for (label, name) in [
        ("Task", "id"),
        ("Context", "contextId"),
        ("State", "state"),
        ("Agent", "agent"),
        ("Parent", "parent"),
        ("Owner", "owner"),
        ("Since", "statusAt"),
        ("Created", "createdAt"),
        ("Trace", "trace"),
        ("Epoch", "epoch"),
        ("Runner", "runner"),
    ] {
        if let Some(value) = plain(&record[name]) {
            output.field(label, value)?;
        }
    }
    // What it waits for, or why it has ended. A question is shown below.
    if let Some(words) = record["statusText"].as_str().filter(|_| record["question"].is_null()) {
        output.block("Says", words)?;
    }
    if let Some(plan) = record["plan"].as_object() {
        let skill = plan.get("skill").and_then(Value::as_str).unwrap_or("the message itself");
        output.field("Plan", format_args!("{skill} ({})", plain(&record["plan"]["effect"]).unwrap_or_default()))?;
        output.field("Arguments", plan.get("arguments").unwrap_or(&Value::Null))?;
    }
    if !record["question"].is_null() {
        output.field("Question", plain(&record["question"]["kind"]).unwrap_or_default())?;
        output.block("Asks", record["question"]["text"].as_str().unwrap_or_default())?;
    }
    for call in record["calls"].as_array().into_iter().flatten() {
        let word = |name: &str| plain(&call[name]).unwrap_or_else(|| "-".to_owned());
        output.field(
            "Call",
            format_args!(
                "{} of {} ({}), attempts {}, outcome {}",
                word("call"),
                word("skill"),
                word("effect"),
                word("attempts"),
                plain(&call["outcome"]).unwrap_or_else(|| "open".to_owned()),
            ),
        )?;
    }
    if let Some(children) = record["children"].as_array().filter(|children| !children.is_empty()) {
        let mut lines = tree::lines(children);
        if let Some(left_out) = record["childrenLeftOut"].as_u64().filter(|count| *count > 0) {
            lines.push(format!("and {left_out} more"));
        }
        output.block("Children", &lines.join("\n"))?;
    }
    for line in record["log"].as_array().into_iter().flatten() {
        let generation = line["generation"].as_u64().map_or_else(|| "-".to_owned(), |it| it.to_string());
        let details = if output.is_verbose { format!(" {}", line["details"]) } else { brief(&line["details"]) };
        output.field(
            "Record",
            format_args!(
                "{} event {generation} {} {}{details}",
                line["version"],
                plain(&line["at"]).unwrap_or_default(),
                plain(&line["event"]).unwrap_or_default(),
            ),
        )?;
    }
    Ok(())
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

/// The short facts of an event; messages and artifacts are shown with `--verbose`.
fn brief(details: &Value) -> String {
    let is_short =
        |value: &&Value| value.is_number() || value.is_boolean() || value.as_str().is_some_and(|text| text.len() <= 80);
    let facts = details.as_object().into_iter().flatten();
    let facts = facts
        .filter(|(_, value)| is_short(value))
        .filter_map(|(name, value)| Some(format!(" {name}={}", plain(value)?)));
    facts.collect()
}
