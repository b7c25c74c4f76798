//! The peer, of many ways: its card, its tokens, and what it answers.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State as Shared,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bobbinet_auth::{KeyRing, MintError};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_wire::signed_card::{self, CardSignature};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    far_task::{stands, stream, task, told},
    older,
};

/// What the peer does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Works,
    /// Makes one thing, whole, and is done.
    Quick,
    /// Answers without a task.
    Message,
    /// Works until it is let go.
    Hangs,
    /// Asks, and makes of the answer an artifact.
    Asks,
    /// Asks, and breaks the connection over which it is answered.
    AsksAndBreaks,
    /// Asks, and works on once it has an answer, until it is let go.
    AsksAndWorks,
    Fails,
    Rejects,
    CanceledThere,
    /// Refuses the request.
    SaysNo,
    /// Says that it has too much to do.
    Busy,
    /// Takes no context of another's making.
    MakesContexts,
    /// Says that its own time was up, in Go's words.
    RunsOut,
    /// Breaks the connection before a word, the first two times.
    BreaksTwice,
    /// Breaks the connection before a word, and then a proxy says that there is nothing here.
    BreaksAndIsGone,
    /// Answers nonsense.
    Garbage,
    /// Takes the message, and says nothing.
    Silent,
    /// Takes the message, and then knows nothing of it.
    Forgets,
    /// Takes the message, and then answers nothing any more.
    DiesAfter,
}

/// What kind of peer it is.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) way: Way,
    pub(crate) streams: bool,
    /// Whether its card says that it drops repeats.
    pub(crate) keys: bool,
    /// The token that it wants.
    pub(crate) token: Option<&'static str>,
    /// Whether it speaks 0.3.
    pub(crate) is_older: bool,
    /// Whose key signs its card.
    pub(crate) signer: Option<Arc<KeyRing>>,
    /// What its card says that it is called over, if it speaks 1.0.
    pub(crate) bindings: &'static [&'static str],
}

impl Default for Form {
    fn default() -> Self {
        Self {
            way: Way::Works,
            streams: true,
            keys: false,
            token: None,
            is_older: false,
            signer: None,
            bindings: &["JSONRPC"],
        }
    }
}

/// A message that the peer was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) message: Value,
    pub(crate) key: Option<String>,
}

pub(crate) struct Far {
    pub(crate) form: Form,
    pub(crate) origin: String,
    pub(crate) way: Mutex<Way>,
    pub(crate) skill: Mutex<&'static str>,
    pub(crate) leads: Mutex<Option<&'static str>>,
    pub(crate) bindings: Mutex<&'static [&'static str]>,
    pub(crate) sent: Mutex<Vec<Sent>>,
    /// The task's status and parts, as far as it is.
    pub(crate) answer: Mutex<Option<String>>,
    pub(crate) is_free: AtomicBool,
    is_gone: AtomicBool,
    pub(crate) free: Notify,
    pub(crate) canceled: Arc<AtomicUsize>,
    pub(crate) cards: Arc<AtomicUsize>,
    pub(crate) tokens: Arc<AtomicUsize>,
}

impl Far {
    /// One that is reached at this origin.
    pub(crate) fn new(form: Form, origin: String) -> Arc<Self> {
        Arc::new(Self {
            way: Mutex::new(form.way),
            bindings: Mutex::new(form.bindings),
            form,
            origin,
            skill: Mutex::new("work"),
            leads: Mutex::default(),
            sent: Mutex::default(),
            answer: Mutex::default(),
            is_free: AtomicBool::default(),
            is_gone: AtomicBool::default(),
            free: Notify::new(),
            canceled: Arc::default(),
            cards: Arc::default(),
            tokens: Arc::default(),
        })
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/.well-known/agent-card.json", get(card))
            .route("/", post(rpc))
            .route("/token", post(token))
            // A connection that is kept would outlive the listener.
            .layer(axum::middleware::map_response(|mut response: Response| async move {
                response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
                response
            }))
            .with_state(self.clone())
    }
}

async fn card(Shared(far): Shared<Arc<Far>>, headers: HeaderMap) -> Response {
    far.cards.fetch_add(1, Ordering::SeqCst);
    let skill = *far.skill.lock().unwrap();
    let leads = *far.leads.lock().unwrap();
    let bindings = *far.bindings.lock().unwrap();
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let params =
        json!({"idempotencyKeys": far.form.keys, "skills": {skill: {"input": schema, "effects": "idempotent"}}});
    // One that does not drop repeats says nothing of what calling it twice means.
    let extensions = match far.form.keys {
        true => json!([{"uri": "urn:bobbinet:skills:v1", "params": params}]),
        false => json!([]),
    };
    let url = leads.map_or_else(|| format!("{}/", far.origin), str::to_owned);
    let mut card = json!({
        "name": "far", "description": "is far away", "version": "1",
        "capabilities": {"streaming": far.form.streams, "extensions": extensions},
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{"id": skill, "name": skill, "description": "works", "tags": []}],
    });
    match far.form.is_older {
        true => {
            card["url"] = json!(url);
            card["protocolVersion"] = json!("0.3.0");
        }
        false => {
            let interface = |binding: &&str| json!({"url": url, "protocolBinding": binding, "protocolVersion": "1.0"});
            card["supportedInterfaces"] = bindings.iter().map(interface).collect();
        }
    }
    if let Some(keys) = &far.form.signer {
        let signed = signed_card::sign(card.to_string().into_bytes(), |payload| {
            let input = |protected: &str| signed_card::signing_input(protected, payload);
            let (protected, signature) = keys.sign_card(&far.origin, SystemEnv.now(), input)?;
            Ok::<_, MintError>(CardSignature { protected, signature })
        });
        card = serde_json::from_slice(&signed.unwrap()).unwrap();
    }
    let etag = format!("\"{skill}{leads:?}\"").replace(['(', ')'], "");
    let answer_headers = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "max-age=0".to_owned())];
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    match is_known {
        true => (StatusCode::NOT_MODIFIED, answer_headers).into_response(),
        false => (answer_headers, axum::Json(card)).into_response(),
    }
}

async fn token(Shared(far): Shared<Arc<Far>>, headers: HeaderMap, body: String) -> Response {
    let nth = far.tokens.fetch_add(1, Ordering::SeqCst);
    // node:s3cret
    let is_ours = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Basic bm9kZTpzM2NyZXQ=");
    if !is_ours || body != "grant_type=client_credentials&scope=a2a&client_id=node" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let token = if nth == 0 { "stale" } else { "fresh" };
    axum::Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": u64::MAX})).into_response()
}

async fn rpc(Shared(far): Shared<Arc<Far>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let id = request["id"].clone();
    if far.is_gone.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    if let Some(token) = far.form.token {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if shown != format!("Bearer {token}") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    let is_older = far.form.is_older;
    let result = |result: Value| {
        let result = if is_older { older::result(&result) } else { result };
        axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
    };
    let error = |code: i64, message: &str| {
        axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})).into_response()
    };
    let way = *far.way.lock().unwrap();
    let method = request["method"].as_str().unwrap();
    match if is_older { older::method(method) } else { method } {
        "SendMessage" | "SendStreamingMessage" => {
            let key = headers.get("idempotency-key").map(|value| value.to_str().unwrap().to_owned());
            let count = {
                let mut sent = far.sent.lock().unwrap();
                sent.push(Sent { message: request["params"]["message"].clone(), key });
                sent.len()
            };
            match way {
                Way::Message => {
                    let message = json!({"messageId": "x", "role": "ROLE_AGENT", "parts": [{"text": "just so"}]});
                    result(json!({ "message": message }))
                }
                Way::SaysNo => error(-32602, "bad parameters"),
                Way::MakesContexts if request["params"]["message"]["contextId"].is_string() => {
                    error(-32602, "unknown contextId")
                }
                Way::Busy => StatusCode::TOO_MANY_REQUESTS.into_response(),
                Way::RunsOut => error(-32603, "context deadline exceeded"),
                Way::Garbage => "<html>welcome</html>".into_response(),
                Way::Silent => std::future::pending().await,
                Way::BreaksAndIsGone if count > 1 => (StatusCode::NOT_FOUND, "<html>no</html>").into_response(),
                Way::BreaksTwice | Way::BreaksAndIsGone | Way::AsksAndBreaks
                    if count <= 2 && (way != Way::AsksAndBreaks || count == 2) =>
                {
                    let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
                    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(broken)).into_response()
                }
                Way::Forgets | Way::DiesAfter => {
                    far.is_gone.store(way == Way::DiesAfter, Ordering::SeqCst);
                    match far.form.streams {
                        true => stream(is_older, &id, vec![json!({"task": task("WORKING", None, &[])})], None),
                        false => result(json!({"task": task("WORKING", None, &[])})),
                    }
                }
                Way::Works
                | Way::Quick
                | Way::MakesContexts
                | Way::AsksAndBreaks
                | Way::BreaksAndIsGone
                | Way::BreaksTwice
                | Way::Hangs
                | Way::Asks
                | Way::AsksAndWorks
                | Way::Fails
                | Way::Rejects
                | Way::CanceledThere => {
                    if way == Way::Asks && count > 1 {
                        let text = request["params"]["message"]["parts"][0]["text"].as_str().unwrap().to_owned();
                        *far.answer.lock().unwrap() = Some(text);
                    }
                    match far.form.streams {
                        true => told(&far, &id, way),
                        false => result(json!({"task": task("WORKING", None, &[])})),
                    }
                }
            }
        }
        "GetTask" if way == Way::Forgets => error(-32001, "Task not found"),
        "GetTask" => result(stands(&far, way)),
        "SubscribeToTask" if way == Way::Forgets => error(-32001, "Task not found"),
        "ListTasks" => result(json!({"tasks": [stands(&far, way)], "totalSize": 1, "nextPageToken": ""})),
        "SubscribeToTask" if !far.form.streams => error(-32004, "no"),
        "SubscribeToTask" => told(&far, &id, way),
        "CancelTask" => {
            far.canceled.fetch_add(1, Ordering::SeqCst);
            match far.is_free.load(Ordering::SeqCst) {
                true => error(-32002, "it has ended"),
                false => result(task("CANCELED", None, &[])),
            }
        }
        _ => error(-32601, "no"),
    }
}
