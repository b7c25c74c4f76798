//! The requests of the load, and what makes an answer right.

use std::{fmt::Write as _, net::SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use serde_json::Value;

/// How many tasks to a page of `ListTasks`.
pub(crate) const PAGE_SIZE: usize = 50;

/// Where an agent takes its requests.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// The path of its JSON-RPC interface, as its card says.
    pub(crate) path: String,
    pub(crate) token: Option<String>,
}

impl Endpoint {
    /// A whole GET request.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\na2a-version: 1.0\r\n\r\n", self.address).into_bytes()
    }

    /// A writer of POST requests.
    pub(crate) fn writer(&self) -> Writer {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\na2a-version: 1.0\r\n",
            self.path, self.address
        );
        if let Some(token) = &self.token {
            let _ = write!(head, "authorization: Bearer {token}\r\n");
        }
        head.push_str("content-length: ");
        Writer { fixed: head.len(), request: head, body: String::new() }
    }
}

/// What is said to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    /// Plain text.
    Text,
    /// The call of the tool `echo` of a wrapped server, as data.
    Call,
}

/// Writes requests into one buffer, again and again.
#[derive(Debug)]
pub(crate) struct Writer {
    request: String,
    /// How much of `request` is the same each time.
    fixed: usize,
    body: String,
}

impl Writer {
    pub(crate) fn send(&mut self, method: &str, saying: Saying, text: &str) -> &[u8] {
        let part = match saying {
            Saying::Text => format!(r#"{{"text":"{text}"}}"#),
            Saying::Call => format!(r#"{{"data":{{"skill":"echo","arguments":{{"text":"{text}"}}}}}}"#),
        };
        self.write(format_args!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"message":{{"messageId":"{text}","role":"ROLE_USER","parts":[{part}]}}}}}}"#
        ))
    }

    pub(crate) fn get(&mut self, task: &str) -> &[u8] {
        self.write(format_args!(r#"{{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{{"id":"{task}"}}}}"#))
    }

    pub(crate) fn list(&mut self, page_token: Option<&str>) -> &[u8] {
        let token = page_token.map(|token| format!(r#","pageToken":"{token}""#)).unwrap_or_default();
        self.write(format_args!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{{"pageSize":{PAGE_SIZE}{token}}}}}"#
        ))
    }

    fn write(&mut self, body: std::fmt::Arguments<'_>) -> &[u8] {
        self.body.clear();
        let _ = self.body.write_fmt(body);
        self.request.truncate(self.fixed);
        let _ = write!(self.request, "{}\r\n\r\n{}", self.body.len(), self.body);
        self.request.as_bytes()
    }
}

/// Whether this answer is a completed task with the echo in it. Quick: it looks for the words.
pub(crate) fn is_echo(body: &[u8], text: &str) -> bool {
    memmem::find(body, b"TASK_STATE_COMPLETED").is_some()
        && memmem::find(body, b"\"artifacts\"").is_some()
        && memmem::find(body, text.as_bytes()).is_some()
}

/// The task in the answer to `SendMessage`, looked at in full: it is completed, and its artifact holds the text.
pub(crate) fn task_of(body: &[u8], text: &str) -> Result<String> {
    let answer: Value = serde_json::from_slice(body).context("reading an answer")?;
    let task = &answer["result"]["task"];
    ensure!(task["status"]["state"] == "TASK_STATE_COMPLETED", "the task is not completed: {}", cut(body));
    ensure!(task["artifacts"].to_string().contains(text), "the artifact is not what was said: {}", cut(body));
    Ok(task["id"].as_str().context("the task has no id")?.to_owned())
}

/// How many tasks a page has, how many there are in all if it says so, and the token of the next page.
pub(crate) fn page_of(body: &[u8]) -> Result<Page> {
    let answer: Value = serde_json::from_slice(body).context("reading an answer")?;
    let result = &answer["result"];
    let Some(tasks) = result["tasks"].as_array() else { bail!("no list of tasks: {}", cut(body)) };
    let next = result["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
    Ok(Page { tasks: tasks.len(), total: result["totalSize"].as_u64(), next })
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) tasks: usize,
    pub(crate) total: Option<u64>,
    pub(crate) next: Option<String>,
}

/// The path of the card's first JSON-RPC 1.0 interface.
pub(crate) fn path_of(card: &[u8]) -> Result<String> {
    let card: Value = serde_json::from_slice(card).context("reading the agent's card")?;
    let interfaces = card["supportedInterfaces"].as_array().context("the card names no interfaces")?;
    let is_ours = |one: &&Value| {
        one["protocolBinding"] == "JSONRPC" && one["protocolVersion"].as_str().is_some_and(|v| v.starts_with('1'))
    };
    let url = interfaces.iter().find(is_ours).and_then(|one| one["url"].as_str());
    let url = url.context("the card names no JSON-RPC interface of version 1")?;
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    Ok(after_scheme.find('/').map_or("/", |slash| &after_scheme[slash..]).to_owned())
}

/// The first words of an answer, for an error.
pub(crate) fn cut(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_its_own_length() {
        let endpoint =
            Endpoint { address: ([127, 0, 0, 1], 1).into(), path: "/rpc".into(), token: Some("secret".into()) };
        let mut writer = endpoint.writer();
        for text in ["a", "a longer one", "b"] {
            let request = String::from_utf8(writer.send("SendMessage", Saying::Text, text).to_vec()).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /rpc HTTP/1.1\r\n") && head.contains("authorization: Bearer secret"));
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["params"]["message"]["parts"][0]["text"], text);
        }
    }

    #[test]
    fn the_path_comes_from_the_card() {
        let check = |url: &str, path: &str| {
            let card = serde_json::json!({"supportedInterfaces": [
                {"url": "http://h/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            ]});
            assert_eq!(path_of(card.to_string().as_bytes()).unwrap(), path);
        };
        check("http://127.0.0.1:7420", "/");
        check("http://127.0.0.1:7420/", "/");
        check("http://127.0.0.1:7420/agents/echo", "/agents/echo");
    }
}
