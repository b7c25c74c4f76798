//! The requests of the load, and what makes an answer right.

use std::{fmt::Write as _, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use memchr::memmem;
use serde_json::Value;

use crate::{oidc::Minter, tls::Believer};

/// How many tasks to a page of `ListTasks`.
pub(crate) const PAGE_SIZE: usize = 50;

/// A binding of A2A, in the words of a version. One agent of ours has all of them at the same URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Dialect {
    /// JSON-RPC of 1.0: what all servers here speak.
    #[default]
    JsonRpc,
    /// REST of 1.0.
    Rest,
    /// JSON-RPC of 0.3.
    #[value(name = "json-rpc-0.3")]
    JsonRpc03,
    /// REST of 0.3.
    #[value(name = "rest-0.3")]
    Rest03,
}

impl Dialect {
    fn version(self) -> &'static str {
        match self {
            Self::JsonRpc | Self::Rest => "1.0",
            Self::JsonRpc03 | Self::Rest03 => "0.3",
        }
    }

    /// How a completed task says so.
    fn completed(self) -> &'static str {
        match self {
            Self::JsonRpc | Self::Rest | Self::Rest03 => "TASK_STATE_COMPLETED",
            Self::JsonRpc03 => "completed",
        }
    }

    /// Whether this answer is a completed task with the echo in it. Quick: it looks for the words.
    pub(crate) fn is_echo(self, body: &[u8], text: &str) -> bool {
        memmem::find(body, self.completed().as_bytes()).is_some()
            && memmem::find(body, b"\"artifacts\"").is_some()
            && memmem::find(body, text.as_bytes()).is_some()
    }

    /// The task in the answer to a message, looked at in full: it is completed, and its artifact holds the text.
    pub(crate) fn task_of(self, body: &[u8], text: &str) -> Result<String> {
        let answer: Value = serde_json::from_slice(body).context("reading an answer")?;
        let task = match self {
            Self::JsonRpc => &answer["result"]["task"],
            Self::JsonRpc03 => &answer["result"],
            Self::Rest | Self::Rest03 => &answer["task"],
        };
        ensure!(task["status"]["state"] == self.completed(), "the task is not completed: {}", cut(body));
        ensure!(task["artifacts"].to_string().contains(text), "the artifact is not what was said: {}", cut(body));
        Ok(task["id"].as_str().context("the task has no id")?.to_owned())
    }
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::JsonRpc => "JSON-RPC",
            Self::Rest => "REST",
            Self::JsonRpc03 => "JSON-RPC of 0.3",
            Self::Rest03 => "REST of 0.3",
        })
    }
}

/// Where an agent takes its requests.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// The path of its JSON-RPC interface, as its card says.
    pub(crate) path: String,
    pub(crate) dialect: Dialect,
    pub(crate) shown: Shown,
    /// Who believes its certificate; `None`: it has none.
    pub(crate) tls: Option<Believer>,
}

/// What a caller shows with each request.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    Nothing,
    /// This token, or API key.
    This(String),
    /// A token that nobody has seen before.
    New(Arc<Minter>),
}

impl Endpoint {
    /// A whole GET request.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\na2a-version: 1.0\r\n\r\n", self.address).into_bytes()
    }

    /// A writer of requests.
    pub(crate) fn writer(&self) -> Writer {
        let version = self.dialect.version();
        let headers = format!(
            "HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\na2a-version: {version}\r\n",
            self.address
        );
        Writer {
            dialect: self.dialect,
            path: self.path.clone(),
            headers,
            shown: self.shown.clone(),
            request: String::new(),
            body: String::new(),
        }
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
    dialect: Dialect,
    path: String,
    /// The same each time.
    headers: String,
    shown: Shown,
    request: String,
    body: String,
}

impl Writer {
    /// A message, to be answered when its task has ended.
    pub(crate) fn send(&mut self, saying: Saying, text: &str) -> &[u8] {
        let call = |text| format!(r#"{{"skill":"echo","arguments":{{"text":"{text}"}}}}"#);
        let part = match (saying, self.dialect) {
            (Saying::Text, Dialect::JsonRpc03) => format!(r#"{{"kind":"text","text":"{text}"}}"#),
            (Saying::Text, Dialect::JsonRpc | Dialect::Rest | Dialect::Rest03) => format!(r#"{{"text":"{text}"}}"#),
            (Saying::Call, Dialect::JsonRpc03) => format!(r#"{{"kind":"data","data":{}}}"#, call(text)),
            (Saying::Call, Dialect::Rest03) => format!(r#"{{"data":{{"data":{}}}}}"#, call(text)),
            (Saying::Call, Dialect::JsonRpc | Dialect::Rest) => format!(r#"{{"data":{}}}"#, call(text)),
        };
        match self.dialect {
            Dialect::JsonRpc => self.call("SendMessage", format_args!("{}", message(&part, text))),
            Dialect::Rest => self.write("POST", format_args!("/message:send"), Some(format_args!("{}", message(&part, text)))),
            Dialect::JsonRpc03 => self.call(
                "message/send",
                format_args!(
                    r#"{{"message":{{"kind":"message","messageId":"{text}","role":"user","parts":[{part}]}},"configuration":{{"blocking":true}}}}"#
                ),
            ),
            Dialect::Rest03 => self.write(
                "POST",
                format_args!("/v1/message:send"),
                Some(format_args!(
                    r#"{{"message":{{"messageId":"{text}","role":"ROLE_USER","content":[{part}]}},"configuration":{{"blocking":true}}}}"#
                )),
            ),
        }
    }

    /// A message, to be answered with a stream. In JSON-RPC of 1.0 alone.
    pub(crate) fn stream(&mut self, text: &str) -> &[u8] {
        self.call("SendStreamingMessage", format_args!("{}", message(&format!(r#"{{"text":"{text}"}}"#), text)))
    }

    /// A message that calls the tool `echo`, whose task is told to a webhook as it goes on. In JSON-RPC of 1.0 alone.
    pub(crate) fn send_told(&mut self, text: &str, receiver: &str) -> &[u8] {
        self.call(
            "SendMessage",
            format_args!(
                r#"{{"message":{{"messageId":"{text}","role":"ROLE_USER","parts":[{{"data":{{"skill":"echo","arguments":{{"text":"{text}"}}}}}}]}},"configuration":{{"taskPushNotificationConfig":{{"id":"bench","url":"{receiver}","token":"{text}"}}}}}}"#
            ),
        )
    }

    pub(crate) fn get(&mut self, task: &str) -> &[u8] {
        let by_id = format_args!(r#"{{"id":"{task}"}}"#);
        match self.dialect {
            Dialect::JsonRpc => self.call("GetTask", by_id),
            Dialect::JsonRpc03 => self.call("tasks/get", by_id),
            Dialect::Rest => self.write("GET", format_args!("/tasks/{task}"), None),
            Dialect::Rest03 => self.write("GET", format_args!("/v1/tasks/{task}"), None),
        }
    }

    /// A page of a list. In JSON-RPC of 1.0 alone.
    pub(crate) fn list(&mut self, page_token: Option<&str>) -> &[u8] {
        let token = page_token.map(|token| format!(r#","pageToken":"{token}""#)).unwrap_or_default();
        self.call("ListTasks", format_args!(r#"{{"pageSize":{PAGE_SIZE}{token}}}"#))
    }

    fn call(&mut self, method: &str, params: std::fmt::Arguments<'_>) -> &[u8] {
        let body = format_args!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        self.write("POST", format_args!(""), Some(body))
    }

    /// A request for what is so far below the agent's URL.
    fn write(&mut self, verb: &str, below: std::fmt::Arguments<'_>, body: Option<std::fmt::Arguments<'_>>) -> &[u8] {
        let Self { path, headers, shown, request, body: written, .. } = self;
        request.clear();
        written.clear();
        let path = match below.as_str() {
            Some("") => path.as_str(),
            Some(_) | None => path.trim_end_matches('/'),
        };
        let _ = write!(request, "{verb} {path}{below} {headers}");
        match shown {
            Shown::Nothing => {}
            Shown::This(token) => {
                let _ = write!(request, "authorization: Bearer {token}\r\n");
            }
            Shown::New(minter) => {
                let _ = write!(request, "authorization: Bearer {}\r\n", minter.token());
            }
        }
        if let Some(body) = body {
            let _ = written.write_fmt(body);
            let _ = write!(request, "content-length: {}\r\n", written.len());
        }
        let _ = write!(request, "\r\n{written}");
        request.as_bytes()
    }
}

/// What stands in a request that sends a message, in the words of 1.0.
fn message(part: &str, text: &str) -> String {
    format!(r#"{{"message":{{"messageId":"{text}","role":"ROLE_USER","parts":[{part}]}}}}"#)
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

    fn endpoint(path: &str, dialect: Dialect) -> Endpoint {
        Endpoint {
            address: ([127, 0, 0, 1], 1).into(),
            path: path.into(),
            dialect,
            shown: Shown::This("secret".into()),
            tls: None,
        }
    }

    #[test]
    fn a_request_says_its_own_length() {
        for dialect in Dialect::value_variants() {
            let mut writer = endpoint("/rpc", *dialect).writer();
            for text in ["a", "a longer one", "b"] {
                let request = String::from_utf8(writer.send(Saying::Text, text).to_vec()).unwrap();
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                assert!(head.starts_with("POST /rpc") && head.contains("authorization: Bearer secret"));
                assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
                let body: Value = serde_json::from_str(body).unwrap();
                assert!(body.to_string().contains(&format!(r#""text":"{text}""#)), "{body}");
            }
        }
    }

    #[test]
    fn each_dialect_has_its_own_paths_below_the_agents() {
        let check = |path: &str, dialect: Dialect, sent: &str, got: &str| {
            let mut writer = endpoint(path, dialect).writer();
            let first =
                |request: &[u8]| String::from_utf8(request.to_vec()).unwrap().lines().next().unwrap().to_owned();
            let lines = (first(writer.send(Saying::Text, "x")), first(writer.get("t")));
            assert_eq!(lines, (format!("{sent} HTTP/1.1"), format!("{got} HTTP/1.1")));
        };
        check("/", Dialect::JsonRpc, "POST /", "POST /");
        check("/agents/echo", Dialect::JsonRpc03, "POST /agents/echo", "POST /agents/echo");
        check("/", Dialect::Rest, "POST /message:send", "GET /tasks/t");
        check("/agents/echo", Dialect::Rest, "POST /agents/echo/message:send", "GET /agents/echo/tasks/t");
        check("/", Dialect::Rest03, "POST /v1/message:send", "GET /v1/tasks/t");
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
