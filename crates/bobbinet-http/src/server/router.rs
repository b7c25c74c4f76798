//! Which URL is what.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{RawPathParams, Request, State},
    response::Response,
    routing::{any, get, post},
};
use bobbinet_core::SkillId;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{
    a2a_server::{Mount, Mounted, Server},
    answer, blobs, card,
    cards::JWKS_PATH,
    catalog, events, login_pages,
    logins::{self, AgentLogin},
    owner::{self, Asked},
    probe, rest, rpc,
};

/// How long the node's public keys may be taken from a cache: a rotation must get around.
const KEYS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Where a card is, below an agent's URL: as A2A 1.0 has it (section 8.2), and as it was before 0.3.
const CARDS: [&str; 2] = [card::PATH, card::OLD_PATH];

/// How long a browser may go on without asking again what a page may do at a URL: no longer than Chromium would.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// All URLs of a server.
pub(super) fn router(server: Arc<Server>) -> Router {
    let cors = cors(&server.cors);
    let router = Router::new()
        .route("/livez", get(probe::livez))
        .route("/readyz", get(probe::readyz))
        .route(JWKS_PATH, get(keys))
        .route("/.well-known/ai-catalog.json", get(catalog::ai))
        .route("/.well-known/api-catalog", get(catalog::api))
        .route(logins::CALLBACK_PATH, get(login_pages::come_back))
        .route(logins::CLIENT_PATH, get(login_pages::client))
        .route("/events", post(publish))
        .route("/events/", post(publish));
    let router = match &server.mount {
        Mount::Root(_) => agent(router, ""),
        Mount::EachByName => {
            let mut router = router.route("/agents", get(list)).route("/agents/", get(list));
            // Where a reader looks that takes the node for an agent, or joins a path to `/agents/NAME` as to a page.
            for base in ["", "/agents"] {
                for card in CARDS {
                    router = router.route(&format!("{base}{card}"), get(show_any_card));
                }
            }
            let base = "/agents/{agent}";
            agent(router, base).route(base, post(call)).route(&format!("{base}/{{*rest}}"), any(rest_of_agent))
        }
    };
    let others = [server.grpc, server.mcp].map(|binding| binding.map(|binding| binding(server.clone())));
    let router = router.fallback(rest_of_root).with_state(server);
    let router = others.into_iter().flatten().fold(router, Router::merge);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// What pages of other origins may do (Fetch standard, section 3.2), if there are any that may do anything. Tokens come in a header
/// that a page sets itself, never by themselves as cookies do, so every origin is no more than every page that has a token.
fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let allowed = match origins {
        [] => return None,
        _ if origins.iter().any(|origin| origin == "*") => AllowOrigin::any(),
        _ => AllowOrigin::list(origins.iter().cloned()),
    };
    let read = [
        "a2a-extensions",
        "x-a2a-extensions",
        "www-authenticate",
        "retry-after",
        "etag",
        "content-range",
        "content-disposition",
        "location",
        "allow",
        "link",
        "mcp-session-id",
    ];
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // A2A's service parameters are headers of any name, and so is what tracing or a library adds by itself.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(read.map(HeaderName::from_static))
        .max_age(PREFLIGHT_AGE);
    Some(cors)
}

/// Makes `//` in a path what it was meant to be: whoever joins a base that ends in a slash and a path that begins with one.
pub(super) fn simplify<B>(request: &mut http::Request<B>) {
    let uri = request.uri();
    if !uri.path().contains("//") {
        return;
    }
    let path = uri.path().split('/').filter(|segment| !segment.is_empty());
    let mut text = path.fold(String::with_capacity(uri.path().len()), |text, segment| text + "/" + segment);
    if uri.path().ends_with('/') {
        text.push('/');
    }
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = text.parse().ok().or(parts.path_and_query);
    if let Ok(simple) = Uri::from_parts(parts) {
        *request.uri_mut() = simple;
    }
}

/// The URLs of one agent, with and without a slash at the end: some clients add one to what the card says.
fn agent(router: Router<Arc<Server>>, base: &str) -> Router<Arc<Server>> {
    let [card, old_card] = CARDS.map(|card| format!("{base}{card}"));
    router
        .route(&format!("{base}/"), post(call))
        .route(&format!("{base}/skills/{{skill}}"), post(call))
        .route(&format!("{base}/skills/{{skill}}/"), post(call))
        // Not of A2A: what is too large for a task, or for a message.
        .route(&format!("{base}/tasks/{{task}}/blobs/{{hash}}"), get(show_blob))
        .route(&format!("{base}/blobs"), post(upload))
        .route(&format!("{base}/blobs/"), post(upload))
        .route(&format!("{base}/blobs/{{upload}}"), get(show_upload).delete(drop_upload))
        // Not of A2A: for the node's owner.
        .route(&format!("{base}/bobbinet/tasks/{{task}}"), get(show_task))
        .route(&format!("{base}/bobbinet/tasks/{{task}}/tree"), get(show_tree))
        .route(&format!("{base}/bobbinet/login"), get(show_login).post(begin_login).delete(forget_login))
        .route(&format!("{base}/bobbinet/push"), get(show_letters))
        .route(&format!("{base}/bobbinet/push/{{task}}/{{webhook}}/retry"), post(retry_letter))
        .route(&format!("{base}/bobbinet/push/{{task}}/{{webhook}}/drop"), post(drop_letter))
        .route(&card, get(show_card))
        .route(&old_card, get(show_card))
}

async fn call(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    let Some(agent) = known_at(&server, &path) else { return not_found().await };
    let skill = match named(&path, "skill").map(SkillId::parse) {
        Some(Ok(skill)) => Some(skill),
        Some(Err(_)) => return not_found().await,
        None => None,
    };
    rpc::answer(&server, agent, skill, request).await
}

/// What is left below an agent's URL is REST.
async fn rest_of_agent(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    let Some(agent) = known_at(&server, &path) else { return not_found().await };
    // As it came: what is escaped in it is for REST to read.
    let rest = request.uri().path().splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    match rest::answer(&server, agent, &rest, request).await {
        Some(response) => response,
        None => not_found().await,
    }
}

/// The same where there is one agent, at the root.
async fn rest_of_root(State(server): State<Arc<Server>>, request: Request) -> Response {
    let Some(agent) = server.root() else { return not_found().await };
    let path = request.uri().path().to_owned();
    match rest::answer(&server, agent, &path, request).await {
        Some(response) => response,
        None => not_found().await,
    }
}

async fn show_card(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    match agent_at(&server, &path) {
        Some(agent) => {
            server.gateway.await_start(&agent.name).await;
            card::answer(&server, agent, &request)
        }
        None => not_found().await,
    }
}

/// The card of the one agent there is; where there are several, which ones.
async fn show_any_card(State(server): State<Arc<Server>>, request: Request) -> Response {
    let mut agents = server.agents.values();
    if let (Some(agent), None) = (agents.next(), agents.next()) {
        server.gateway.await_start(&agent.name).await;
        return card::answer(&server, agent, &request);
    }
    let origin = server.origin(&request);
    let text = format!("this node has {} agents, each with a card of its own", server.agents.len());
    let help = json!({ "error": text, "agents": entries(&server, &origin) });
    let mut response = answer::json(StatusCode::NOT_FOUND, help.to_string());
    if let Ok(link) = HeaderValue::try_from(format!("<{origin}/agents>; rel=\"index\"")) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

async fn show_task(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match (known_at(&server, &path), named(&path, "task")) {
        (Some(agent), Some(task)) => owner::answer(&server, agent, Asked::Record(task), &parts).await,
        (Some(_) | None, _) => not_found().await,
    }
}

async fn show_tree(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match (known_at(&server, &path), named(&path, "task")) {
        (Some(agent), Some(task)) => owner::answer(&server, agent, Asked::Tree(task), &parts).await,
        (Some(_) | None, _) => not_found().await,
    }
}

async fn show_blob(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    match (known_at(&server, &path), named(&path, "task"), named(&path, "hash")) {
        (Some(agent), Some(task), Some(hash)) => {
            blobs::show(&server, agent, blobs::Asked::OfTask(task, hash), request).await
        }
        (Some(_) | None, _, _) => not_found().await,
    }
}

async fn upload(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    match agent_at(&server, &path) {
        Some(agent) => blobs::upload(&server, agent, request).await,
        None => not_found().await,
    }
}

async fn show_upload(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    match (known_at(&server, &path), named(&path, "upload")) {
        (Some(agent), Some(id)) => blobs::show(&server, agent, blobs::Asked::Upload(id), request).await,
        (Some(_) | None, _) => not_found().await,
    }
}

async fn drop_upload(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    match (known_at(&server, &path), named(&path, "upload")) {
        (Some(agent), Some(id)) => blobs::remove(&server, agent, id, request).await,
        (Some(_) | None, _) => not_found().await,
    }
}

async fn show_login(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    login(&server, &path, AgentLogin::Show, request).await
}

async fn begin_login(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    login(&server, &path, AgentLogin::Begin, request).await
}

async fn forget_login(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    login(&server, &path, AgentLogin::Forget, request).await
}

async fn login(server: &Arc<Server>, path: &RawPathParams, asked: AgentLogin, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match known_at(server, path) {
        Some(agent) => owner::answer(server, agent, Asked::Login(asked), &parts).await,
        None => not_found().await,
    }
}

async fn show_letters(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match known_at(&server, &path) {
        Some(agent) => owner::answer(&server, agent, Asked::Letters, &parts).await,
        None => not_found().await,
    }
}

async fn retry_letter(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match (known_at(&server, &path), named(&path, "task"), named(&path, "webhook")) {
        (Some(agent), Some(task), Some(id)) => {
            owner::answer(&server, agent, Asked::RetryLetter(task, id), &parts).await
        }
        (Some(_) | None, _, _) => not_found().await,
    }
}

async fn drop_letter(State(server): State<Arc<Server>>, path: RawPathParams, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match (known_at(&server, &path), named(&path, "task"), named(&path, "webhook")) {
        (Some(agent), Some(task), Some(id)) => owner::answer(&server, agent, Asked::DropLetter(task, id), &parts).await,
        (Some(_) | None, _, _) => not_found().await,
    }
}

/// The agents of the node, by name: what their cards say is for everybody, so that they are there is, too.
async fn list(State(server): State<Arc<Server>>, request: Request) -> Response {
    let agents = entries(&server, &server.origin(&request));
    answer::json(StatusCode::OK, json!({ "agents": agents }).to_string())
}

/// Each agent with a URL that its card is found below, however the two are joined.
fn entries(server: &Server, origin: &str) -> Vec<Value> {
    let entry = |mounted: &Mounted| {
        let url = format!("{origin}{}", mounted.base);
        json!({ "name": mounted.name.as_str(), "url": format!("{url}/"), "card": format!("{url}{}", card::PATH) })
    };
    server.agents.values().map(entry).collect()
}

async fn publish(State(server): State<Arc<Server>>, request: Request) -> Response {
    events::answer(&server, request).await
}

async fn keys(State(server): State<Arc<Server>>) -> Response {
    let mut response = answer::json(StatusCode::OK, server.keys.jwks_at(server.gateway.now()).to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, KEYS_CACHE);
    response
}

async fn not_found() -> Response {
    answer::text(StatusCode::NOT_FOUND, "there is nothing here\n")
}

fn named<'a>(path: &'a RawPathParams, what: &str) -> Option<&'a str> {
    path.iter().find(|(name, _)| *name == what).map(|(_, value)| value)
}

/// Also an agent that is not there any more: its tasks are.
fn known_at<'a>(server: &'a Server, path: &RawPathParams) -> Option<&'a Mounted> {
    match named(path, "agent") {
        Some(name) => server.known(name),
        None => server.root(),
    }
}

fn agent_at<'a>(server: &'a Server, path: &RawPathParams) -> Option<&'a Mounted> {
    match named(path, "agent") {
        Some(name) => server.agents.get(name),
        None => server.root(),
    }
}
