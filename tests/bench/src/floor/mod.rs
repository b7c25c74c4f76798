//! The floors: the least that could answer the same requests. No auth, no checks, no task logic.

pub(crate) mod echo;
mod sync;

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use bobbinet_core::TaskId;
use futures::{StreamExt, stream};

pub(crate) use self::echo::open_store;
use self::echo::{Echo, Keep, Request};
pub(crate) use self::sync::{Synced, measure as measure_sync};

/// Serves a floor until the process is stopped: in memory, or on a store in this folder.
pub(crate) async fn serve(data: Option<&Path>) -> Result<()> {
    let keep = match data {
        None => Keep::memory(),
        Some(folder) => Keep::store(folder)?,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("binding a port")?;
    let url = format!("http://{}", listener.local_addr()?);
    let card = card(&url);
    let app = Router::new()
        .route("/.well-known/agent-card.json", get(|| async move { json(card.clone()) }))
        .route("/", post(answer))
        .with_state(Arc::new(Echo::new(keep)));
    println!("listening on {url}");
    let listener = listener.tap_io(|stream| {
        // Small answers in several writes are not held back; if it fails, they are a little late.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.context("serving")
}

async fn answer(State(echo): State<Arc<Echo>>, body: Bytes) -> Response {
    let request = match Request::parse(&body) {
        Ok(request) => request,
        Err(error) => return json(failure(&error.to_string())),
    };
    match request.method.as_str() {
        "SendMessage" => match echo.run(&request).await {
            Ok(task) => json(success(&request, &format!(r#"{{"task":{task}}}"#))),
            Err(error) => json(failure(&format!("{error:#}"))),
        },
        "GetTask" => match echo.get(&request) {
            Some(task) => json(success(&request, &task)),
            None => json(failure("no such task")),
        },
        "SendStreamingMessage" => events(echo, request),
        _ => json(failure("no such method")),
    }
}

/// The four events of a task, each sent when the commit that has it is durable.
fn events(echo: Arc<Echo>, request: Request) -> Response {
    enum Next {
        Begin,
        Finish(TaskId),
        Over,
    }
    let events = stream::unfold((echo, request, Next::Begin), |(echo, request, next)| async move {
        let (frames, next) = match next {
            Next::Begin => {
                let (id, events) = echo.begin(&request).await.ok()?;
                (events, Next::Finish(id))
            }
            Next::Finish(id) => (echo.finish(&request, id).await.ok()?, Next::Over),
            Next::Over => return None,
        };
        let frames = frames.iter().map(|event| format!("data: {}\n\n", success(&request, event))).collect::<String>();
        Some((frames, (echo, request, next)))
    });
    let body = Body::from_stream(events.map(Ok::<_, std::convert::Infallible>));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn success(request: &Request, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id)
}

fn failure(message: &str) -> String {
    serde_json::json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32603, "message": message}}).to_string()
}

fn json(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn card(url: &str) -> String {
    serde_json::json!({
        "name": "floor",
        "description": "Says what was said.",
        "version": "1.0.0",
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"streaming": true},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "echo", "name": "echo", "description": "Says what was said.", "tags": ["echo"]}],
    })
    .to_string()
}
