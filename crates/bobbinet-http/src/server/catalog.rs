//! Which agents a node has, for those who look for agents: as an AI Catalog (<https://ai-catalog.io/>), which A2A's discovery goes by, and
//! as an API catalog (RFC 9727), which is a set of links (RFC 9264). What is said is on the agents' public cards, so it is for everybody.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{
    a2a_server::{Mounted, Server},
    answer, card,
};

/// The version of the AI Catalog's specification that this goes by.
const SPEC_VERSION: &str = "0.9";

/// An agent's card, among what a catalog may have.
const CARD_TYPE: &str = "application/a2a-agent-card+json";

/// `GET /.well-known/ai-catalog.json`
pub(super) async fn ai(State(server): State<Arc<Server>>, request: Request) -> Response {
    let origin = server.origin(&request);
    let entries: Vec<Value> = server.agents.values().map(|agent| entry(&server, &origin, agent)).collect();
    let catalog = json!({ "specVersion": SPEC_VERSION, "host": { "displayName": host(&origin) }, "entries": entries });
    respond(&server, "application/ai-catalog+json", &catalog)
}

/// `GET /.well-known/api-catalog`
pub(super) async fn api(State(server): State<Arc<Server>>, request: Request) -> Response {
    let origin = server.origin(&request);
    let link = |agent: &Mounted| {
        let url = format!("{origin}{}", agent.base);
        let card = format!("{url}{}", card::PATH);
        json!({
            "anchor": format!("{url}/"),
            "service-desc": [{ "href": card, "type": CARD_TYPE, "title": agent.name.as_str() }],
        })
    };
    let linkset: Vec<Value> = server.agents.values().map(link).collect();
    let profile = "application/linkset+json; profile=\"https://www.rfc-editor.org/info/rfc9727\"";
    respond(&server, profile, &json!({ "linkset": linkset }))
}

/// What the card of an agent is found by. Its name and what it is for are the card's to say; they are repeated for those who list.
fn entry(server: &Server, origin: &str, mounted: &Mounted) -> Value {
    let url = format!("{origin}{}{}", mounted.base, card::PATH);
    let identifier = format!("urn:air:{}:agents:{}", host(origin), mounted.name);
    // Until 0.9 it was called mediaType, and readers pass over what they do not know.
    let mut entry = json!({
        "identifier": identifier, "displayName": mounted.name.as_str(), "type": CARD_TYPE, "mediaType": CARD_TYPE, "url": url,
    });
    if let Some(agent) = server.gateway.agent(&mounted.name) {
        let description = agent.describe();
        entry["displayName"] = json!(description.name);
        if !description.description.is_empty() {
            entry["description"] = json!(description.description);
        }
        if !description.version.is_empty() {
            entry["version"] = json!(description.version);
        }
    }
    entry
}

/// The host of a URL, without its port.
fn host(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, rest)| rest).split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

fn respond(server: &Server, media_type: &'static str, document: &Value) -> Response {
    let mut response = answer::json(StatusCode::OK, document.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let age = server.limits.card_age_ms / 1_000;
    let cache = HeaderValue::try_from(format!("public, max-age={age}")).expect("words and a number");
    headers.insert(header::CACHE_CONTROL, cache);
    if let Some(vary) = card::origin_vary(server) {
        headers.insert(header::VARY, HeaderValue::from_static(vary));
    }
    response
}
