//! An agent that is none of ours and does as a test tells it, request by request: what a client makes of it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The JSON-RPC method, or HTTP's.
    pub(crate) method: String,
    pub(crate) path: String,
    /// In lower case.
    pub(crate) headers: String,
    pub(crate) body: Value,
    /// Which of its method it is, from 0.
    pub(crate) number: usize,
}

/// What the agent does about a request.
pub(crate) enum Does {
    /// Answers with the result of a call.
    Result(Value),
    /// Answers with an error of A2A.
    Error(i64),
    /// Answers with a stream of these results, and closes it.
    Stream(Vec<Value>),
    /// Answers with a status, a media type and a body.
    Says(u16, &'static str, String),
    /// Has read all of it, and hangs up.
    HangsUp,
}

/// The agent. It is gone when dropped.
pub(crate) struct Foreign {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _work: JoinSet<()>,
}

impl Foreign {
    /// One that has the card `card` gives for its URL, and does as `does` says.
    pub(crate) async fn start(
        card: impl Fn(&str) -> Value,
        does: impl Fn(&Asked) -> Does + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = at(listener.local_addr().unwrap());
        let card = card(&url);
        Self::serve(listener, url, move |asked| match asked.path.contains("/.well-known/") {
            true => Does::Says(200, "application/json", card.to_string()),
            false => does(asked),
        })
    }

    /// One that serves its card by itself too.
    pub(crate) async fn bare(does: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = at(listener.local_addr().unwrap());
        Self::serve(listener, url, does)
    }

    /// One that takes its requests from here.
    pub(crate) fn on(listener: TcpListener, does: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Self {
        let url = at(listener.local_addr().unwrap());
        Self::serve(listener, url, does)
    }

    fn serve(listener: TcpListener, url: String, does: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, does) = (asked.clone(), Arc::new(does));
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, does) = (heard.clone(), does.clone());
                connections.spawn(async move {
                    // Whoever has gone does not read the answer.
                    let _ = answer(stream, &heard, &*does).await;
                });
            }
        });
        Self { url, asked, _work: work }
    }

    /// All that it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often it was asked for this.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method == method).count()
    }
}

fn at(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn answer(
    stream: TcpStream,
    heard: &Mutex<Vec<Asked>>,
    does: &(dyn Fn(&Asked) -> Does + Sync),
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut headers, mut length) = (String::new(), String::new(), 0);
    stream.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? <= 2 {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        headers.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let verb = first.split(' ').next().unwrap_or_default();
    let method = body["method"].as_str().unwrap_or(verb).to_owned();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let asked = {
        let mut heard = heard.lock().unwrap();
        let number = heard.iter().filter(|asked| asked.method == method).count();
        let asked = Asked { method, path, headers, body, number };
        heard.push(asked.clone());
        asked
    };
    let id = &asked.body["id"];
    let reply = |result: &Value| json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    let (status, kind, text) = match does(&asked) {
        Does::HangsUp => return Ok(()),
        Does::Result(result) => (200, "application/json", reply(&result)),
        Does::Error(code) => {
            let error = json!({ "code": code, "message": "no" });
            (200, "application/json", json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string())
        }
        Does::Stream(results) => {
            let events = results.iter().map(|result| format!("data: {}\n\n", reply(result)));
            (200, "text/event-stream", events.collect())
        }
        Does::Says(status, kind, text) => (status, kind, text),
    };
    let head = format!("HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// The card of an agent at this URL, as others' SDKs write it.
pub(crate) fn card(url: &str) -> Value {
    json!({
        "name": "foreign",
        "description": "None of ours.",
        "version": "1",
        "supportedInterfaces": [{ "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }],
        "capabilities": { "streaming": true },
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{ "id": "pay", "name": "pay", "description": "Pays.", "tags": ["pay"] }],
    })
}

/// The same of one that says that it honours keys.
pub(crate) fn keyed(url: &str) -> Value {
    let mut card = card(url);
    let params = json!({ "idempotencyKeys": true });
    card["capabilities"]["extensions"] = json!([{ "uri": bobbinet_wire::EXTENSION_URI, "params": params }]);
    card
}

/// A task in this state.
pub(crate) fn task(state: &str) -> Value {
    json!({ "id": "t-1", "contextId": "c-1", "status": { "state": format!("TASK_STATE_{state}") } })
}

/// A change to this state.
pub(crate) fn update(state: &str) -> Value {
    let status = json!({ "state": format!("TASK_STATE_{state}") });
    json!({ "statusUpdate": { "taskId": "t-1", "contextId": "c-1", "status": status } })
}
