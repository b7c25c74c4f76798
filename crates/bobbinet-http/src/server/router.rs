//! Which URL is what.

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawPathParams, Request, State},
    response::Response,
    routing::{get, post},
};
use bobbinet_core::SkillId;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{
    answer, card, probe, rpc, show,
    site::{Mount, Mounted, Site},
};

/// How long the node's public keys may be taken from a cache: a rotation must get around.
const KEYS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// All URLs of a site.
pub(super) fn router(site: Arc<Site>) -> Router {
    let router = Router::new()
        .route("/livez", get(probe::livez))
        .route("/readyz", get(probe::readyz))
        .route("/.well-known/jwks.json", get(keys));
    let router = match &site.mount {
        Mount::Root(_) => agent(router, ""),
        Mount::EachByName => {
            let base = "/agents/{agent}";
            agent(router.route("/agents", get(list)).route("/agents/", get(list)), base).route(base, post(call))
        }
    };
    router.fallback(not_found).with_state(site)
}

/// The URLs of one agent, with and without a slash at the end: some clients add one to what the card says.
fn agent(router: Router<Arc<Site>>, base: &str) -> Router<Arc<Site>> {
    router
        .route(&format!("{base}/"), post(call))
        .route(&format!("{base}/skills/{{skill}}"), post(call))
        .route(&format!("{base}/skills/{{skill}}/"), post(call))
        // Not of A2A: for the node's owner.
        .route(&format!("{base}/bobbinet/tasks/{{task}}"), get(show_task))
        .route(&format!("{base}/.well-known/agent-card.json"), get(show_card))
        // The path of A2A before 0.3, and of this project's plan.
        .route(&format!("{base}/.well-known/agent.json"), get(show_card))
}

async fn call(State(site): State<Arc<Site>>, place: RawPathParams, request: Request) -> Response {
    let Some(agent) = known_at(&site, &place) else { return not_found().await };
    let skill = match named(&place, "skill").map(SkillId::parse) {
        Some(Ok(skill)) => Some(skill),
        Some(Err(_)) => return not_found().await,
        None => None,
    };
    rpc::answer(&site, agent, skill, request).await
}

async fn show_card(State(site): State<Arc<Site>>, place: RawPathParams, headers: HeaderMap) -> Response {
    match agent_at(&site, &place) {
        Some(agent) => card::answer(&site, agent, &headers),
        None => not_found().await,
    }
}

async fn show_task(State(site): State<Arc<Site>>, place: RawPathParams, headers: HeaderMap) -> Response {
    match (known_at(&site, &place), named(&place, "task")) {
        (Some(agent), Some(task)) => show::answer(&site, agent, task, &headers).await,
        (Some(_) | None, _) => not_found().await,
    }
}

/// The agents of the node, by name: what their cards say is for everybody, so that they are there is, too.
async fn list(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let origin = card::origin(&site, &headers);
    let entry = |mounted: &Mounted| {
        let url = format!("{origin}{}", mounted.base);
        json!({ "name": mounted.name.as_str(), "url": url, "card": format!("{url}/.well-known/agent-card.json") })
    };
    let agents: Vec<_> = site.agents.values().map(entry).collect();
    answer::json(StatusCode::OK, json!({ "agents": agents }).to_string())
}

async fn keys(State(site): State<Arc<Site>>) -> Response {
    let mut response = answer::json(StatusCode::OK, site.keys.jwks().to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, KEYS_CACHE);
    response
}

async fn not_found() -> Response {
    answer::text(StatusCode::NOT_FOUND, "there is nothing here\n")
}

fn named<'a>(place: &'a RawPathParams, what: &str) -> Option<&'a str> {
    place.iter().find(|(name, _)| *name == what).map(|(_, value)| value)
}

/// Also an agent that is not there any more: its tasks are.
fn known_at<'a>(site: &'a Site, place: &RawPathParams) -> Option<&'a Mounted> {
    match named(place, "agent") {
        Some(name) => site.known(name),
        None => site.root(),
    }
}

fn agent_at<'a>(site: &'a Site, place: &RawPathParams) -> Option<&'a Mounted> {
    match named(place, "agent") {
        Some(name) => site.agents.get(name),
        None => site.root(),
    }
}
