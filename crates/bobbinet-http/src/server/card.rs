//! Hands out the public card of an agent, which is written only once for each version of it.

use axum::response::Response;
use http::{HeaderValue, Request, StatusCode, header};

use super::{
    a2a_server::{Mounted, Server},
    answer,
};

/// The card, or 304 to one who has it.
pub(super) fn answer<B>(server: &Server, agent: &Mounted, request: &Request<B>) -> Response {
    let Some(runs) = server.gateway.agent(&agent.name) else {
        return answer::text(StatusCode::NOT_FOUND, "there is nothing here\n");
    };
    let origin = server.origin(request).to_owned();
    let told = server.told(&agent.name);
    let card = agent.cards.get(runs.describe(), &told, origin, &agent.base);
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
    if server.public_url.is_none() {
        answer_headers.insert(header::VARY, HeaderValue::from_static("Host"));
    }
    response
}
