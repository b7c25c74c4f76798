//! What the node's owner asks, and no operation of A2A tells: a task in full, and what has not arrived at webhooks.

use std::sync::Arc;

use axum::response::Response;
use bobbinet_engine::EngineError;
use bobbinet_gateway::{GatewayError, RequestContext};
use bobbinet_wire::{Error, ErrorKind};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde_json::{Value, json};

use super::{
    a2a_server::{Mounted, Server},
    answer, auth, fault, letters,
    logins::AgentLogin,
    receive, show,
};

/// What is asked of an agent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// All that is known of this task: `GET …/bobbinet/tasks/TASK`.
    Record(&'a str),
    /// Where it stands, and all that its run has begun: `GET …/bobbinet/tasks/TASK/tree`.
    Tree(&'a str),
    /// What has not arrived: `GET …/bobbinet/push`.
    Letters,
    /// To try one again, of this task under this name: `POST …/bobbinet/push/TASK/WEBHOOK/retry`.
    RetryLetter(&'a str, &'a str),
    /// To remove one: `POST …/bobbinet/push/TASK/WEBHOOK/drop`.
    DropLetter(&'a str, &'a str),
    /// Its logins at its server: `…/bobbinet/login`.
    Login(AgentLogin),
}

/// Answers it, to nobody but the one who asks.
pub(super) async fn answer(server: &Arc<Server>, agent: &Mounted, asked: Asked<'_>, parts: &Parts) -> Response {
    let mut response = told(server, agent, asked, parts).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn told(server: &Arc<Server>, agent: &Mounted, asked: Asked<'_>, parts: &Parts) -> Response {
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
    if let Asked::Login(asked) = asked {
        return login(server, &context, asked).await;
    }
    match document(server, &context, asked).await {
        Ok(document) => answer::json(StatusCode::OK, document.to_string()),
        // What somebody else may not see is not there.
        Err(GatewayError::NotFound | GatewayError::Engine(EngineError::NotFound)) => not_found(),
        Err(error) => answer::error(&answer::UNREAD, &fault::of_gateway(error, &server.limits)),
    }
}

fn not_found() -> Response {
    let error: Error = ErrorKind::TaskNotFound.into();
    answer::error_with_status(&answer::UNREAD, &error, StatusCode::NOT_FOUND)
}

async fn login(server: &Server, context: &RequestContext<'_>, asked: AgentLogin) -> Response {
    match server.gateway.owners_agent(context) {
        Ok(()) => {}
        Err(GatewayError::NotFound) => return not_found(),
        Err(error) => return answer::error(&answer::UNREAD, &fault::of_gateway(error, &server.limits)),
    }
    let Some(logins) = server.logins.get().cloned() else { return not_found() };
    match logins.of_agent(context.agent, asked).await {
        Ok(Some(document)) => answer::json(StatusCode::OK, document.to_string()),
        Ok(None) => not_found(),
        Err(why) => answer::json(StatusCode::BAD_GATEWAY, json!({ "why": why }).to_string()),
    }
}

async fn document(server: &Server, context: &RequestContext<'_>, asked: Asked<'_>) -> Result<Value, GatewayError> {
    let gateway = &server.gateway;
    match asked {
        Asked::Record(id) => gateway.record(context, id).await.map(show::record),
        Asked::Tree(id) => gateway.tree(context, id).await.map(|tree| show::nested(&tree)),
        Asked::Letters => gateway.letters(context).await.map(|letters| letters::shown(&letters)),
        Asked::RetryLetter(task, id) => gateway.retry_letter(context, task, id).await.map(|()| json!({})),
        // Answered above: it is no business of the gateway's.
        Asked::Login(_) => Err(GatewayError::NotFound),
        Asked::DropLetter(task, id) => gateway.drop_letter(context, task, id).await.map(|()| json!({})),
    }
}
