//! MCP servers over HTTP, scripted: the path says how each of them behaves.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use bobbinet_mcp::{HttpTransportKind, McpConfig, ServerAddress, ServerUrl};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::broadcast, task::JoinSet};

/// The servers, for as long as this lives.
pub(crate) struct Web {
    pub(crate) url: String,
    seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

/// What has come in.
#[derive(Default)]
struct Seen {
    /// Mode, verb, and what was called.
    requests: Mutex<Vec<String>>,
    /// How many sessions were begun.
    sessions: Mutex<usize>,
    /// The id of the last call of a tool.
    call: Mutex<Value>,
}

impl Seen {
    /// How much a server was asked.
    fn count(&self, mode: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|it| it.starts_with(&format!("{mode} "))).count()
    }

    /// Whether a server was asked for this once since it was called.
    fn is_first_since_call(&self, mode: &str, method: &str) -> bool {
        let requests = self.requests.lock().unwrap();
        let own = || requests.iter().filter(|it| it.starts_with(&format!("{mode} ")));
        let since = own().skip_while(|it| !it.contains("tools/call"));
        since.filter(|it| it.contains(method)).count() == 1
    }
}

#[derive(Clone)]
struct Shared {
    seen: Arc<Seen>,
    /// What goes out by the stream of a server of 2024-11-05.
    older: broadcast::Sender<String>,
}

impl Shared {
    /// How often this server was called.
    fn calls(&self, mode: &str) -> usize {
        let requests = self.seen.requests.lock().unwrap();
        requests.iter().filter(|it| it.starts_with(&format!("{mode} POST tools/call "))).count()
    }
}

impl Web {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let (older, _) = broadcast::channel(64);
        let shared = Shared { seen: seen.clone(), older };
        let app = Router::new().route("/{mode}", any(answer)).with_state(shared);
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen, _serving: serving }
    }

    /// Has an agent reach the server that behaves as its name says.
    pub(crate) fn reach(&self, config: &mut McpConfig) {
        let mut server = ServerUrl::new(format!("{}/{}", self.url, config.name).parse().unwrap());
        server.headers.insert("authorization".to_owned(), "Bearer secret".to_owned());
        if config.name == "older-said" {
            server.transport = HttpTransportKind::Sse;
        }
        config.server = ServerAddress::Url(server);
        config.limits.start_patience_ms = 10_000;
        config.limits.line_bytes_max = 1 << 20;
    }

    /// What this server was asked, in order.
    pub(crate) fn requests(&self, mode: &str) -> Vec<String> {
        let requests = self.seen.requests.lock().unwrap();
        requests.iter().filter_map(|it| it.strip_prefix(&format!("{mode} "))).map(str::to_owned).collect()
    }
}

fn reply(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn event(id: Option<u32>, data: &Value) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}data: {data}\n\n").into()
}

fn events(pieces: Vec<Bytes>) -> Response {
    let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    ([("content-type", "text/event-stream")], body).into_response()
}

fn json_body(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// Pieces, and then nothing more for ever.
fn endless(content_type: &'static str, piece: &'static str) -> Response {
    let drip = stream::unfold((), move |()| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())), ()))
    });
    ([("content-type", content_type)], Body::from_stream(drip)).into_response()
}

/// A result that comes after a while of work, which is told.
fn after_work(progress: &Value, result: &Value) -> Response {
    let messages: Vec<Value> = std::iter::repeat_n(progress.clone(), 9).chain([result.clone()]).collect();
    let paced = stream::iter(messages).then(|message| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok::<_, Infallible>(event(None, &message))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(paced)).into_response()
}

async fn answer(
    State(shared): State<Shared>,
    Path(mode): Path<String>,
    verb: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or("-").to_owned();
    let (mode, is_posted_aside) = match mode.strip_suffix("-post") {
        Some(mode) => (mode.to_owned(), true),
        None => (mode, false),
    };
    let (session, version) = (text("mcp-session-id"), text("mcp-protocol-version"));
    let line = format!("{mode} {verb} {method} session={session} version={version} last={}", text("last-event-id"));
    shared.seen.requests.lock().unwrap().push(line);
    let is_locked = mode == "locked" || (mode == "locks" && method == "tools/call");
    if text("authorization") != "Bearer secret" || is_locked {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer realm=\"x\"")], "who are you?")
            .into_response();
    }
    if method == "tools/call" {
        *shared.seen.call.lock().unwrap() = message["id"].clone();
    }
    if mode.starts_with("older") {
        return older(&shared, &verb, is_posted_aside, &message);
    }
    if verb == Method::GET {
        return match (mode.as_str(), text("last-event-id").as_str()) {
            ("resumes", "7") => events(vec![event(
                Some(8),
                &reply(&shared.seen.call.lock().unwrap(), json!({"content": [{"type": "text", "text": "resumed"}]})),
            )]),
            ("tells" | "falters", _) => {
                let note = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
                events(vec![event(None, &note)])
            }
            ("zero", _) => events(vec![Bytes::from("retry: 0\n\n")]),
            ("no-stream", _) => StatusCode::NOT_FOUND.into_response(),
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        };
    }
    if mode == "asks" && message["method"].is_null() {
        // The first time something in between is away.
        let answers = shared.seen.requests.lock().unwrap().iter().filter(|it| it.starts_with("asks POST - ")).count();
        if answers < 2 {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        shared.older.send(message["result"]["content"]["name"].to_string()).unwrap();
        return StatusCode::ACCEPTED.into_response();
    }
    if mode == "asks-in-vain" && message["method"].is_null() {
        return (StatusCode::BAD_REQUEST, "what?").into_response();
    }
    if mode.starts_with("asks") && message["params"]["name"] == "act" {
        return asks(&shared, &message["id"]);
    }
    if mode == "falters" && method == "tools/list" && shared.seen.is_first_since_call("falters", "tools/list") {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    if matches!(mode.as_str(), "rollout" | "modern-rollout") && shared.seen.count(&mode) <= 4 {
        return (StatusCode::SERVICE_UNAVAILABLE, "no upstream").into_response();
    }
    if verb == Method::DELETE {
        return StatusCode::NO_CONTENT.into_response();
    }
    if mode.starts_with("modern") {
        return modern(&message, &text);
    }
    legacy(&shared, &mode, &message, &session)
}

/// A server without sessions. It refuses what its headers do not say again.
fn modern(message: &Value, header: &dyn Fn(&str) -> String) -> Response {
    let method = message["method"].as_str().unwrap_or_default();
    let named = ["name", "uri"].into_iter().find_map(|field| message["params"][field].as_str());
    let name = named.unwrap_or("-");
    let meta = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    let found = (header("mcp-method"), header("mcp-name"), header("mcp-protocol-version"), header("mcp-session-id"));
    let expected = (method.to_owned(), name.to_owned(), meta.as_str().unwrap_or_default().to_owned(), "-".to_owned());
    if found != expected {
        let error = json!({"code": -32020, "message": format!("{found:?} is not {expected:?}")});
        return (StatusCode::BAD_REQUEST, json_body(&json!({"jsonrpc": "2.0", "id": message["id"], "error": error})))
            .into_response();
    }
    let result = match method {
        "server/discover" => {
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}, "resources": {}, "prompts": {}}, "ttlMs": 0})
        }
        "resources/list" => json!({"resources": [{"uri": "web://a", "name": "a"}], "ttlMs": 0}),
        "resources/templates/list" => json!({"resourceTemplates": [], "ttlMs": 0}),
        "prompts/list" => json!({"prompts": [{"name": "ask"}], "ttlMs": 0}),
        "resources/read" => {
            json!({"contents": [{"uri": name, "text": format!("read {name}")}], "resultType": "complete"})
        }
        "prompts/get" => {
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": "well?"}}], "resultType": "complete"})
        }
        "tools/list" => json!({"tools": [
            {"name": "do", "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}},
            {"name": "broken", "inputSchema": {"type": "object", "x-mcp-header": "Whole"}},
        ], "ttlMs": 0}),
        _ if message["params"]["arguments"]["region"].as_str()
            != Some(header("mcp-param-region").as_str()).filter(|it| *it != "-") =>
        {
            let error = json!({"code": -32020, "message": "the region is not said again"});
            return json_body(&json!({"jsonrpc": "2.0", "id": message["id"], "error": error}));
        }
        _ => json!({"content": [{"type": "text", "text": "modern"}], "resultType": "complete"}),
    };
    json_body(&reply(&message["id"], result))
}

/// A server of 2024-11-05: its stream says where to post, and brings all replies.
fn older(shared: &Shared, verb: &Method, is_posted_aside: bool, message: &Value) -> Response {
    match (verb, is_posted_aside) {
        (&Method::GET, false) => {
            let first =
                stream::once(async { Ok::<_, Infallible>(Bytes::from("event: endpoint\ndata: /older-post\n\n")) });
            let more = stream::unfold(shared.older.subscribe(), |mut told| async move {
                let data = told.recv().await.ok()?;
                Some((Ok(Bytes::from(format!("event: message\ndata: {data}\n\n"))), told))
            });
            ([("content-type", "text/event-stream")], Body::from_stream(first.chain(more))).into_response()
        }
        (&Method::POST, true) => {
            let result = match message["method"].as_str().unwrap_or_default() {
                "initialize" => {
                    json!({"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": {"name": "o", "version": "1"}})
                }
                "tools/list" => json!({"tools": [
                    {"name": "do", "inputSchema": {"type": "object"}}, {"name": "silent", "inputSchema": {"type": "object"}},
                ]}),
                _ => json!({"content": [{"type": "text", "text": "older"}]}),
            };
            let is_silent = message["params"]["name"] == "silent";
            if !message["id"].is_null() && !is_silent {
                shared.older.send(reply(&message["id"], result).to_string()).unwrap();
            }
            (StatusCode::ACCEPTED, "Accepted").into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// Asks in the middle of a call, and says what it was told.
fn asks(shared: &Shared, id: &Value) -> Response {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let question = json!({"jsonrpc": "2.0", "id": 77, "method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": schema}});
    let first = stream::once(async move { Ok::<_, Infallible>(event(None, &question)) });
    let (mut told, id) = (shared.older.subscribe(), id.clone());
    let last = stream::once(async move {
        let name = told.recv().await.unwrap();
        Ok(event(None, &reply(&id, json!({"content": [{"type": "text", "text": name}]}))))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(first.chain(last))).into_response()
}

/// A server with sessions, and with one fault, or none.
fn legacy(shared: &Shared, mode: &str, message: &Value, session: &str) -> Response {
    let id = &message["id"];
    let error = |status: StatusCode, id: Value, text: &str| {
        let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": text}});
        (status, json_body(&error)).into_response()
    };
    let sessions = *shared.seen.sessions.lock().unwrap();
    match message["method"].as_str().unwrap_or_default() {
        "server/discover" => error(StatusCode::BAD_REQUEST, Value::Null, "Bad Request: Server not initialized"),
        "initialize" => {
            let number = sessions + 1;
            *shared.seen.sessions.lock().unwrap() = number;
            let capabilities = json!({"tools": {"listChanged": true}});
            let version =
                if mode == "rollout" { message["params"]["protocolVersion"].clone() } else { json!("2025-06-18") };
            let result = json!({"protocolVersion": version, "capabilities": capabilities, "serverInfo": {"name": "l", "version": "1"}});
            let name = if mode == "long-session" { "s".repeat(9 << 10) } else { format!("s{number}") };
            ([("mcp-session-id", name)], json_body(&reply(id, result))).into_response()
        }
        _ if id.is_null() => StatusCode::ACCEPTED.into_response(),
        "tools/list" => json_body(&reply(
            id,
            json!({"tools": [{"name": "do", "inputSchema": {"type": "object"}}, {"name": "act", "inputSchema": {"type": "object"}}]}),
        )),
        "tools/call" => call(shared, mode, id, &message["params"]["_meta"]["progressToken"], session, &error),
        other => error(StatusCode::OK, id.clone(), &format!("no {other} here")),
    }
}

fn call(
    shared: &Shared,
    mode: &str,
    id: &Value,
    token: &Value,
    session: &str,
    error: &dyn Fn(StatusCode, Value, &str) -> Response,
) -> Response {
    let result = reply(id, json!({"content": [{"type": "text", "text": session}]}));
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1, "message": "half way"}});
    match mode {
        "streams" => events(vec![Bytes::from(": hello\n\n"), event(None, &progress), event(None, &result)]),
        "resumes" => events(vec![Bytes::from("retry: 10\n\n"), event(Some(7), &progress)]),
        "breaks" => events(vec![event(None, &progress)]),
        "forgets" if session == "s1" => error(StatusCode::NOT_FOUND, Value::Null, "Session not found"),
        "forgets-by-another-id" if session == "s1" => {
            error(StatusCode::NOT_FOUND, json!("server-error"), "Session not found")
        }
        "forgets-in-words" if session == "s1" => {
            error(StatusCode::BAD_REQUEST, Value::Null, "Bad Request: No valid session ID provided")
        }
        "nameless" => error(StatusCode::OK, Value::Null, "something is wrong"),
        "away-twice" if shared.calls(mode) <= 2 => (StatusCode::BAD_GATEWAY, "upstream is away").into_response(),
        "gateway" => (StatusCode::BAD_GATEWAY, "upstream is away").into_response(),
        "page" => ([("content-type", "text/html")], "<h1>Log in</h1>").into_response(),
        "elsewhere" => (StatusCode::PERMANENT_REDIRECT, [("location", "http://example.com/")]).into_response(),
        "moved" => (StatusCode::MOVED_PERMANENTLY, [("location", "/plain")]).into_response(),
        "see-other" => (StatusCode::SEE_OTHER, [("location", "/plain")]).into_response(),
        "own-session" => error(StatusCode::BAD_REQUEST, id.clone(), "browser session crashed after submit"),
        "works" | "falters" | "asks-in-vain" => after_work(&progress, &result),
        "hangs" => endless("text/event-stream", ": at work\n\n"),
        "drips" => endless("application/json", " "),
        "drips-events" => endless("text/event-stream", ": still here\n\n"),
        "floods" => json_body(&reply(id, json!({"content": [{"type": "text", "text": "x".repeat(2 << 20)}]}))),
        "floods-events" => events(vec![Bytes::from(format!("data: {}", "x".repeat(2 << 20)))]),
        "wrong-id" => json_body(&reply(&json!(99_999), json!({"content": []}))),
        "empty" => StatusCode::ACCEPTED.into_response(),
        _ => json_body(&result),
    }
}
