//! One JSON-RPC request: its envelope, the dialect that its method's name is of, and its answer.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use bobbinet_core::{Operation, SkillId};
use bobbinet_wire::{Error, ErrorKind, RequestId, RpcRequest, Version, envelope, v0_3, v1_0};
use http::request::Parts;

use super::{
    a2a_server::{Mounted, Server},
    answer,
    binding::Binding,
    receive::{At, BodyRule, respond},
    version::{self, Said},
};

/// How much is shown of the name of a method that does not exist, in characters: more than any that does.
const METHOD_SHOWN_MAX: usize = 64;

/// Answers a request to an agent, or to one skill of it.
pub(super) async fn answer(
    server: &Arc<Server>,
    agent: &Mounted,
    skill: Option<SkillId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let at = At { server, agent, skill: skill.as_ref(), parts: &parts };
    at.traced(answer_to(at, body)).await
}

async fn answer_to(at: At<'_>, body: Body) -> Response {
    let received = match at.receive(body, BodyRule::Json, &answer::UNREAD).await {
        Ok(received) => received,
        Err(response) => return *response,
    };
    let (caller, body, permit) = received.into_parts();
    let mut request = match envelope::parse(&body) {
        Ok(request) => request,
        Err(refusal) => return answer::error(&Binding::Rpc1_0(refusal.id), &refusal.error),
    };
    let (binding, decoded) =
        decode(std::mem::take(&mut request.id), &request, at.parts, !at.server.is_version_required);
    let operation = match decoded {
        Ok(operation) => operation,
        Err((error, is_streaming)) => return respond(&binding, Err(error), is_streaming),
    };
    let is_streaming = matches!(operation, Operation::SendStreaming(_) | Operation::Subscribe(_));
    let params = request.params.map_or("", |params| params.get());
    let asked = (request.method.as_ref(), params.as_bytes());
    let answered = at.carry_out(&caller, permit, &binding, operation, asked).await;
    respond(&binding, answered, is_streaming)
}

/// What is asked, or why it cannot be and whether a stream was asked for; and in which dialect to answer: that of the method's name.
fn decode(
    id: RequestId,
    request: &RpcRequest<'_>,
    parts: &Parts,
    is_lenient: bool,
) -> (Binding, Result<Operation, (Error, bool)>) {
    let said = version::said(&parts.headers, &parts.uri);
    if let Some(method) = v1_0::Method::from_name(&request.method) {
        let decoded = version::check(said, Version::V1_0, is_lenient)
            .and_then(|()| v1_0::request::decode(method, request.params))
            .map_err(|error| (error, method.is_streaming()));
        return (Binding::Rpc1_0(id), decoded);
    }
    // Whoever says that he speaks 1.0 is told that it has no such method.
    let method = v0_3::Method::from_name(&request.method).filter(|_| said != Said::Known(Version::V1_0));
    if let Some(method) = method {
        let decoded = version::check(said, Version::V0_3, is_lenient)
            .and_then(|()| v0_3::request::decode(method, request.params))
            .map_err(|error| (error, method.is_streaming()));
        return (Binding::Rpc0_3(id), decoded);
    }
    let name: String = request.method.chars().take(METHOD_SHOWN_MAX).collect();
    let error = |version: &str| {
        let message = format!("A2A {version} has no method {name:?}");
        (Error::new(ErrorKind::MethodNotFound).with_message(message), false)
    };
    match said {
        Said::Known(Version::V0_3) => (Binding::Rpc0_3(id), Err(error(v0_3::VERSION))),
        // Of a version that is not spoken here nobody knows the methods.
        Said::Unknown(_) => {
            let wrong = version::check(said, Version::V1_0, is_lenient).err();
            let wrong = wrong.map_or_else(|| error(v1_0::VERSION), |wrong| (wrong, false));
            (Binding::Rpc1_0(id), Err(wrong))
        }
        Said::Known(Version::V1_0) | Said::Nothing => (Binding::Rpc1_0(id), Err(error(v1_0::VERSION))),
    }
}
