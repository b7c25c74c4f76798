//! One request over REST: the operation at its path, the dialect that the path and the version mean, and its answer.

use std::{borrow::Cow, future::ready, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use bobbinet_core::{Operation, SkillId};
use bobbinet_wire::{
    Error, ErrorKind, Version,
    rest::{HttpMethod, RouteFault, segments},
    v0_3_proto::rest as v0_3,
    v1_0::rest as v1_0,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{
    a2a_server::{Mounted, Server},
    answer,
    binding::{A2A_JSON, Binding, JSON},
    receive::{At, BodyRule, respond},
    version::{self, Said},
};

/// An operation at its URL, in the dialect that it is asked in.
enum Route {
    V1_0(v1_0::Route),
    V0_3(v0_3::Route),
}

/// What is at a path below an agent's URL: in `None`, nothing of A2A.
pub(super) async fn answer(server: &Arc<Server>, agent: &Mounted, path: &str, request: Request) -> Option<Response> {
    let segments = segments(path)?;
    let (skill, segments) = match segments.as_slice() {
        // Where the skill is no skill, it is a tenant's path, or nothing.
        [word, skill, rest @ ..] if word == "skills" && !rest.is_empty() => match SkillId::parse(skill) {
            Ok(skill) => (Some(skill), rest),
            Err(_) => (None, segments.as_slice()),
        },
        all => (None, all),
    };
    let (parts, body) = request.into_parts();
    let binding = binding(&parts, segments);
    let at = At { server, agent, skill: skill.as_ref(), parts: &parts };
    match route(&binding, &parts.method, segments) {
        Ok(route) => Some(at.traced(answer_to(at, route, &binding, body)).await),
        Err(RouteFault::NotFound) => None,
        Err(RouteFault::NotAllowed(allowed)) => Some(at.traced(ready(not_allowed(&binding, allowed))).await),
    }
}

/// In which dialect a path is meant: paths of 0.3 begin with `v1`, unless the request says that it speaks 1.0.
fn binding(parts: &Parts, segments: &[String]) -> Binding {
    let is_old = segments.first().is_some_and(|first| first == v0_3::PREFIX);
    match version::said(&parts.headers, &parts.uri) {
        Said::Known(Version::V1_0) => Binding::Rest1_0(media_type(&parts.headers)),
        Said::Nothing | Said::Unknown(_) | Said::Known(Version::V0_3) if is_old => Binding::Rest0_3,
        Said::Nothing | Said::Unknown(_) | Said::Known(Version::V0_3) => Binding::Rest1_0(media_type(&parts.headers)),
    }
}

fn route(binding: &Binding, method: &Method, segments: &[String]) -> Result<Route, RouteFault> {
    let method = match *method {
        Method::GET | Method::HEAD => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        Method::DELETE => HttpMethod::Delete,
        // What is there, and by which methods, is told by any of ours that it is not there by.
        _ => {
            let ours = [HttpMethod::Get, HttpMethod::Post, HttpMethod::Delete];
            let fault = ours.into_iter().find_map(|method| of_dialect(binding, method, segments).err());
            return Err(fault.unwrap_or(RouteFault::NotAllowed("GET, HEAD, POST, DELETE")));
        }
    };
    of_dialect(binding, method, segments)
}

fn of_dialect(binding: &Binding, method: HttpMethod, segments: &[String]) -> Result<Route, RouteFault> {
    match binding {
        Binding::Rest0_3 => v0_3::route(method, segments.get(1..).unwrap_or_default()).map(Route::V0_3),
        Binding::Rest1_0(_) | Binding::Rpc1_0(_) | Binding::Rpc0_3(_) => v1_0::route(method, segments).map(Route::V1_0),
    }
}

async fn answer_to(at: At<'_>, route: Route, binding: &Binding, body: Body) -> Response {
    let received = match at.receive(body, BodyRule::Optional, binding).await {
        Ok(received) => received,
        Err(response) => return *response,
    };
    let (caller, body, permit) = received.into_parts();
    let (params, operation) = match route.read(at, &body) {
        Ok(read) => read,
        Err(error) => return respond(binding, Err(error), route.is_streaming()),
    };
    let asked = (route.method(), params.as_bytes());
    let answered = at.carry_out(&caller, permit, binding, operation, asked).await;
    respond(binding, answered, route.is_streaming())
}

impl Route {
    /// The name of the method of JSON-RPC that does the same.
    fn method(&self) -> &'static str {
        match self {
            Self::V1_0(route) => route.method.name(),
            Self::V0_3(route) => route.method.name(),
        }
    }

    fn is_streaming(&self) -> bool {
        match self {
            Self::V1_0(route) => route.method.is_streaming(),
            Self::V0_3(route) => route.method.is_streaming(),
        }
    }

    /// What the request says, and what is asked with it.
    fn read<'a>(&self, at: At<'_>, body: &'a [u8]) -> Result<(Cow<'a, str>, Operation), Error> {
        let Parts { headers, uri, .. } = at.parts;
        let version = match self {
            Self::V1_0(_) => Version::V1_0,
            Self::V0_3(_) => Version::V0_3,
        };
        version::check(version::said(headers, uri), version, !at.server.is_version_required)?;
        let params = match self {
            Self::V1_0(route) => route.params(uri.query(), body)?,
            Self::V0_3(route) => route.params(uri.query(), body)?,
        };
        let operation = match self {
            Self::V1_0(route) => route.decode(&params)?,
            Self::V0_3(route) => route.decode(&params)?,
        };
        Ok((params, operation))
    }
}

/// The media type of A2A, unless the request wants plain JSON and says nothing of that one.
fn media_type(headers: &HeaderMap) -> HeaderValue {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next()).map(str::trim);
    let is_plain = |one: &str| one.eq_ignore_ascii_case("application/json");
    let is_ours = |one: &str| one.eq_ignore_ascii_case("application/a2a+json");
    let (mut wants_plain, mut wants_ours) = (false, false);
    types.by_ref().for_each(|one| {
        wants_plain |= is_plain(one);
        wants_ours |= is_ours(one);
    });
    if wants_plain && !wants_ours { JSON } else { A2A_JSON }
}

fn not_allowed(binding: &Binding, allowed: &'static str) -> Response {
    let error = Error::new(ErrorKind::MethodNotFound)
        .with_message("There is no such operation at this URL")
        .with_hint(format!("It takes {allowed}."));
    let mut response = answer::error_with_status(binding, &error, StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
