//! Hands out the public card of an agent, which is written only once for each version of it.

use axum::response::Response;
use bobbinet_wire::{Version, interface::CardForm};
use http::{HeaderValue, Request, StatusCode, header};

use super::{
    a2a_server::{Mounted, Server},
    answer,
    version::{self, Said},
};

/// Where a card is, below its agent's URL (A2A 1.0, section 8.2).
pub(super) const PATH: &str = "/.well-known/agent-card.json";

/// Where clients before 0.3 look for a card: what is there is always one of 0.3.
pub(super) const OLD_PATH: &str = "/.well-known/agent.json";

/// The card, or 304 to one who has it: in the form of the version that its reader says he speaks, else in the configured one.
pub(super) fn answer<B>(server: &Server, agent: &Mounted, request: &Request<B>) -> Response {
    let Some(runs) = server.gateway.agent(&agent.name) else {
        return answer::text(StatusCode::NOT_FOUND, "there is nothing here\n");
    };
    let origin = server.origin(request).into_owned();
    let form = match version::said(request.headers(), request.uri()) {
        _ if request.uri().path().ends_with(OLD_PATH) => CardForm::V0_3,
        Said::Known(Version::V1_0) => CardForm::V1_0,
        Said::Known(Version::V0_3) => CardForm::V0_3,
        Said::Nothing | Said::Unknown(_) => server.card,
    };
    let told = server.told(&agent.name);
    let card = agent.cards.get(runs.describe(), &told, origin, form, &agent.base);
    let is_known = request
        .headers()
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|etag| etag.trim().trim_start_matches("W/"))
        .any(|etag| etag == "*" || etag.as_bytes() == card.etag.as_bytes());
    let mut response = if is_known {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        answer::json(StatusCode::OK, card.body.clone())
    };
    let age = server.limits.card_age_ms / 1_000;
    let cache = HeaderValue::try_from(format!("public, max-age={age}")).expect("words and a number");
    let answer_headers = response.headers_mut();
    answer_headers.insert(header::ETAG, card.etag.clone());
    answer_headers.insert(header::LAST_MODIFIED, card.modified.clone());
    answer_headers.insert(header::CACHE_CONTROL, cache);
    answer_headers.insert(header::VARY, vary(server));
    response
}

/// What of a request a card depends on, for caches between.
fn vary(server: &Server) -> HeaderValue {
    match origin_vary(server) {
        Some(origin) => HeaderValue::try_from(format!("A2A-Version, {origin}")).expect("names of headers"),
        None => HeaderValue::from_static("A2A-Version"),
    }
}

/// What of a request it depends on where its sender finds the node; `None` if that is configured.
pub(super) fn origin_vary(server: &Server) -> Option<&'static str> {
    match (server.public_url.is_some(), server.proxies.is_empty()) {
        (true, _) => None,
        (false, true) => Some("Host"),
        (false, false) => Some("Host, Forwarded, X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Prefix"),
    }
}
