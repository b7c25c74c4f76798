//! The peer's task: as it stands, and as a stream tells of it.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    far::{Far, Way},
    older,
};

/// The task as it stands.
pub(crate) fn stands(far: &Far, way: Way) -> Value {
    let answer = far.answer.lock().unwrap().clone();
    match way {
        Way::Hangs if !far.is_free.load(Ordering::SeqCst) => task("WORKING", None, &["one"]),
        Way::Asks => match answer {
            Some(answer) => task("COMPLETED", Some("done"), &[&answer]),
            None => task("INPUT_REQUIRED", Some("which?"), &[]),
        },
        Way::AsksAndBreaks => task("INPUT_REQUIRED", Some("which?"), &[]),
        Way::AsksAndWorks => match answer {
            Some(answer) if far.is_free.load(Ordering::SeqCst) => task("COMPLETED", Some("done"), &[&answer]),
            Some(_) => task("WORKING", None, &[]),
            None => task("INPUT_REQUIRED", Some("which?"), &[]),
        },
        Way::Fails => task("FAILED", Some("no luck"), &[]),
        Way::Rejects => task("REJECTED", Some("not me"), &[]),
        Way::CanceledThere => task("CANCELED", None, &[]),
        Way::Quick => task("COMPLETED", Some("done"), &["one"]),
        Way::Works
        | Way::Hangs
        | Way::BreaksTwice
        | Way::Message
        | Way::SaysNo
        | Way::MakesContexts
        | Way::RunsOut
        | Way::Busy
        | Way::BreaksAndIsGone
        | Way::Garbage
        | Way::Silent
        | Way::Forgets
        | Way::DiesAfter => task("COMPLETED", Some("done"), &["one", "two"]),
    }
}

/// What a stream tells of the task.
pub(crate) fn told(far: &Arc<Far>, id: &Value, way: Way) -> Response {
    let end = stands(far, way);
    let is_older = far.form.is_older;
    let begun = json!({"task": task("WORKING", None, &[])});
    match way {
        Way::Hangs if !far.is_free.load(Ordering::SeqCst) => {
            stream(is_older, id, vec![begun, piece("one", false)], Some(far.clone()))
        }
        Way::Quick => {
            let mut whole = piece("one", false);
            whole["artifactUpdate"]["lastChunk"] = json!(true);
            stream(is_older, id, vec![begun, whole, status(&end)], None)
        }
        Way::Works | Way::BreaksTwice => {
            stream(is_older, id, vec![begun, piece("one", false), piece("two", true), status(&end)], None)
        }
        _ if end["artifacts"] == json!([]) => stream(is_older, id, vec![begun, status(&end)], None),
        Way::Message
        | Way::Hangs
        | Way::Asks
        | Way::AsksAndBreaks
        | Way::AsksAndWorks
        | Way::Fails
        | Way::Rejects
        | Way::CanceledThere
        | Way::SaysNo
        | Way::MakesContexts
        | Way::RunsOut
        | Way::Busy
        | Way::BreaksAndIsGone
        | Way::Garbage
        | Way::Silent
        | Way::Forgets
        | Way::DiesAfter => stream(is_older, id, vec![json!({ "task": end })], None),
    }
}

/// A stream of these events; if there is a peer, then what it says when it is let go.
pub(crate) fn stream(is_older: bool, id: &Value, events: Vec<Value>, rest: Option<Arc<Far>>) -> Response {
    let id = id.clone();
    let event = move |event: Value| {
        let event = if is_older { older::result(&event) } else { event };
        Ok::<_, Infallible>(format!("data: {}\n\n", json!({"jsonrpc": "2.0", "id": id, "result": event})))
    };
    let first: Vec<_> = events.into_iter().map(&event).collect();
    let last = async move {
        let Some(far) = rest else { return Ok(String::new()) };
        while !far.is_free.load(Ordering::SeqCst) {
            far.free.notified().await;
        }
        event(status(&task("COMPLETED", Some("done"), &[])))
    };
    let all = futures::StreamExt::chain(futures::stream::iter(first), futures::stream::once(last));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(all)).into_response()
}

/// One in this state.
pub(crate) fn task(state: &str, message: Option<&str>, parts: &[&str]) -> Value {
    let mut status = json!({"state": format!("TASK_STATE_{state}"), "timestamp": "2026-11-27T12:00:00.000Z"});
    if let Some(text) = message {
        let schema = json!({"requestedSchema": {"type": "object", "properties": {"colour": {"type": "string"}}}});
        let parts = match state {
            "INPUT_REQUIRED" => json!([{"text": text}, {"data": schema}]),
            _ => json!([{"text": text}]),
        };
        status["message"] = json!({"messageId": format!("s-{state}"), "role": "ROLE_AGENT", "parts": parts});
    }
    let parts: Vec<Value> = parts.iter().map(|text| json!({ "text": text })).collect();
    let artifacts = if parts.is_empty() { json!([]) } else { json!([{"artifactId": "a", "parts": parts}]) };
    json!({"id": "t-1", "contextId": "c-1", "status": status, "artifacts": artifacts})
}

fn status(task: &Value) -> Value {
    json!({"statusUpdate": {"taskId": "t-1", "contextId": "c-1", "status": task["status"]}})
}

fn piece(text: &str, append: bool) -> Value {
    json!({"artifactUpdate": {
        "taskId": "t-1", "contextId": "c-1", "append": append, "lastChunk": append,
        "artifact": {"artifactId": "a", "parts": [{"text": text}]},
    }})
}
