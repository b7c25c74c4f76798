//! What has not arrived at webhooks, for the node's owner: to be seen, tried again and removed.

use std::sync::Arc;

use axum::response::Response;
use bobbinet_engine::EngineError;
use bobbinet_gateway::{GatewayError, RequestContext};
use bobbinet_push::{Letter, LetterState, Letters};
use bobbinet_wire::{Error, ErrorKind};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde_json::{Value, json};

use super::{
    a2a_server::{Mounted, Server},
    answer, auth, fault, receive,
};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// Which there are.
    List,
    /// To try one again: of this task, under this name.
    Retry(&'a str, &'a str),
    /// To remove one.
    Drop(&'a str, &'a str),
}

/// Answers `GET …/bobbinet/push`, and `POST …/bobbinet/push/TASK/WEBHOOK/retry` and `…/drop`.
pub(super) async fn answer(server: &Arc<Server>, agent: &Mounted, asked: Asked<'_>, parts: &Parts) -> Response {
    let caller = match auth::caller(server, agent, &parts.headers, &parts.extensions).await {
        Ok(caller) => caller,
        Err(rejected) => return receive::unauthenticated(&answer::UNREAD, &rejected),
    };
    let _permit = match server.gateway.admit(&caller) {
        Ok(permit) => permit,
        Err(full) => return answer::error(&answer::UNREAD, &fault::of_full(full, &server.limits)),
    };
    let context = RequestContext {
        caller: &caller,
        agent: &agent.name,
        skill: None,
        trace: None,
        idempotency: None,
        extensions: &[],
    };
    let gateway = &server.gateway;
    let done = match asked {
        Asked::List => gateway.letters(&context).await.map(|letters| shown(&letters)),
        Asked::Retry(task, id) => gateway.retry_letter(&context, task, id).await.map(|()| json!({})),
        Asked::Drop(task, id) => gateway.drop_letter(&context, task, id).await.map(|()| json!({})),
    };
    match done {
        Ok(document) => {
            let mut response = answer::json(StatusCode::OK, document.to_string());
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(GatewayError::NotFound | GatewayError::Engine(EngineError::NotFound)) => {
            let error: Error = ErrorKind::TaskNotFound.into();
            answer::error_with_status(&answer::UNREAD, &error, StatusCode::NOT_FOUND)
        }
        Err(error) => answer::error(&answer::UNREAD, &fault::of_gateway(error, &server.limits)),
    }
}

fn shown(letters: &Letters) -> Value {
    json!({
        "letters": letters.letters.iter().map(letter).collect::<Vec<_>>(),
        "waiting": letters.waiting,
        "leftOut": letters.left_out,
    })
}

fn letter(letter: &Letter) -> Value {
    let Letter { task, of, id, receiver, state, why } = letter;
    let mut shown = json!({
        "task": task, "webhook": id, "agent": of.agent, "owner": of.owner, "receiver": receiver, "why": why,
    });
    match state {
        LetterState::Retrying { attempts, next } => {
            shown["state"] = "retrying".into();
            shown["attempts"] = (*attempts).into();
            shown["next"] = next.to_string().into();
        }
        LetterState::Dead { at } => {
            shown["state"] = "dead".into();
            shown["since"] = at.to_string().into();
        }
    }
    shown
}
