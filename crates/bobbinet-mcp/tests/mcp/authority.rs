//! An authorization server and the MCP servers that take its tokens, scripted: the path says how each of them behaves.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use bobbinet_mcp::{McpConfig, OAuthClientConfig, ServerAddress, ServerAuth, ServerUrl, TokenAuthority};
use bobbinet_outbound::{SecretSource, oauth::ClientCredential};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::people::{self, Granted, People};

/// What the node shows the authorization server, and nobody else may ever see.
pub(crate) const SECRET: &str = "s3cret-of-the-node";

/// What every token begins with.
pub(crate) const TOKEN: &str = "t0ken-";

/// The servers, for as long as this lives.
pub(crate) struct Authority {
    pub(crate) url: String,
    shared: Shared,
    _serving: JoinSet<()>,
}

type Shared = Arc<Mutex<Known>>;

#[derive(Default)]
struct Known {
    url: String,
    tokens: Vec<Token>,
    /// Verb, path, and how it was answered.
    requests: Vec<String>,
    /// The forms of requests for tokens, without what is in the header.
    forms: Vec<String>,
    /// Where the secret has come.
    secret_at: Vec<String>,
    /// Servers that let everybody in.
    open: Vec<String>,
    people: People,
}

struct Token {
    text: String,
    resource: String,
    scope: String,
    is_good: bool,
}

impl Authority {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Known { url: url.clone(), ..Known::default() }));
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, _serving: serving }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.lock().unwrap()
    }

    /// Has an agent reach the server that is called as it is, as a client of this issuer.
    pub(crate) fn reach_as_client_of(&self, issuer: &str, config: &mut McpConfig) {
        let client = OAuthClientConfig {
            authority: TokenAuthority::Issuer(format!("{}/{issuer}", self.url)),
            id: "node".to_owned(),
            credential: ClientCredential::Secret(SecretSource::Text(SECRET.to_owned())),
            scope: None,
        };
        self.reach(config, Some(ServerAuth::ClientCredentials(client)));
    }

    pub(crate) fn reach(&self, config: &mut McpConfig, auth: Option<ServerAuth>) {
        let url = format!("{}/{}", self.url, config.name).parse().unwrap();
        config.server = ServerAddress::Url(ServerUrl { auth, ..ServerUrl::new(url) });
        config.limits.deaths_max = 1;
        config.max_concurrency = 64;
    }

    /// No token that was given out is good any more.
    pub(crate) fn revoke(&self) {
        self.known().tokens.iter_mut().for_each(|token| token.is_good = false);
    }

    /// A token that is good for this server, which somebody else has got.
    pub(crate) fn give(&self, text: &str, server: &str) {
        let mut known = self.known();
        let resource = format!("{}/{server}", known.url);
        known.tokens.push(Token { text: text.to_owned(), resource, scope: String::new(), is_good: true });
    }

    /// Somebody has logged in: this server lets everybody in.
    pub(crate) fn open_door(&self, server: &str) {
        self.known().open.push(server.to_owned());
    }

    /// Nobody is let in any more without a token.
    pub(crate) fn close_doors(&self) {
        self.known().open.clear();
    }

    /// What people may be asked for, and what they were.
    pub(crate) fn people<T>(&self, look: impl FnOnce(&mut People) -> T) -> T {
        look(&mut self.known().people)
    }

    /// What was asked that begins so, in order.
    pub(crate) fn requests(&self, begins: &str) -> Vec<String> {
        self.known().requests.iter().filter(|it| it.starts_with(begins)).cloned().collect()
    }

    /// The requests for tokens.
    pub(crate) fn forms(&self) -> Vec<String> {
        self.known().forms.clone()
    }

    /// Where the secret has come.
    pub(crate) fn secret_at(&self) -> Vec<String> {
        self.known().secret_at.clone()
    }
}

async fn answer(State(shared): State<Shared>, uri: Uri, verb: Method, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let form = String::from_utf8_lossy(&body).into_owned();
    let base64 = "bm9kZTpzM2NyZXQtb2YtdGhlLW5vZGU=";
    let has_secret = text("authorization") == format!("Basic {base64}") || form.contains(SECRET);
    if has_secret {
        shared.lock().unwrap().secret_at.push(path.clone());
    }
    let response = if let Some(server) = path.strip_prefix("/.well-known/oauth-protected-resource") {
        resource(&shared, server.trim_start_matches('/'), false)
    } else if let Some(server) = path.strip_prefix("/metadata-of/") {
        resource(&shared, server, true)
    } else if let Some(issuer) = path.strip_prefix("/.well-known/oauth-authorization-server/") {
        issuer_metadata(&shared, issuer, false)
    } else if let Some(issuer) = path.strip_suffix("/.well-known/openid-configuration") {
        issuer_metadata(&shared, issuer.trim_start_matches('/'), true)
    } else if path.starts_with("/people/") {
        at_people(&shared, &path, uri.query().unwrap_or_default(), &form).await
    } else if let Some(issuer) = path.strip_suffix("/token") {
        token(&shared, issuer.trim_start_matches('/'), &form, has_secret).await
    } else {
        server(&shared, path.trim_start_matches('/'), &text("authorization"), &body)
    };
    let method = serde_json::from_slice::<Value>(&body).ok().and_then(|it| it["method"].as_str().map(str::to_owned));
    let line = format!("{verb} {path} {} {}", method.unwrap_or_default(), response.status().as_u16());
    shared.lock().unwrap().requests.push(line);
    response
}

/// The authorization server that lets people in.
async fn at_people(shared: &Shared, path: &str, query: &str, form: &str) -> Response {
    let answered = answer_people(shared, path, query, form);
    if path == "/people/token" {
        // Whoever comes meanwhile comes meanwhile, and whoever goes does not hear of it.
        let pause = if shared.lock().unwrap().people.is_slow { 800 } else { 100 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    answered
}

fn answer_people(shared: &Shared, path: &str, query: &str, form: &str) -> Response {
    let mut known = shared.lock().unwrap();
    let issuer = format!("{}/people", known.url);
    let (response, granted) = match path {
        "/people/register" => (known.people.register(form), None),
        "/people/authorize" => (known.people.authorize(&issuer, query), None),
        "/people/token" => {
            known.forms.push(format!("people {}", people::told(form)));
            let text = format!("{TOKEN}{}", known.tokens.len() + 1);
            known.people.token(&text, form)
        }
        _ => (StatusCode::NOT_FOUND.into_response(), None),
    };
    if let Some(Granted { text, resource, scope }) = granted {
        known.tokens.push(Token { text, resource, scope, is_good: true });
    }
    response
}

pub(crate) fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// What a server says of who gives out its tokens: where that usually is, or where it names itself.
fn resource(shared: &Shared, server: &str, is_named: bool) -> Response {
    let url = &shared.lock().unwrap().url;
    let issuer = |name: &str| vec![format!("{url}/{name}")];
    let names_itself = matches!(server, "named" | "steps");
    match server {
        "" | "bare" => StatusCode::NOT_FOUND.into_response(),
        _ if names_itself != is_named => StatusCode::NOT_FOUND.into_response(),
        "page" => "<h1>Welcome</h1>".into_response(),
        "other" => json_of(&json!({"resource": format!("{url}/plain"), "authorization_servers": issuer("one")})),
        "strange" => json_of(&json!({"resource": format!("{url}/strange"), "authorization_servers": issuer("evil")})),
        "club" | "club-two" => json_of(
            &json!({"resource": format!("{url}/{server}"), "authorization_servers": issuer("people"), "scopes_supported": ["r"]}),
        ),
        name => {
            let scopes = if name == "scoped" { json!(["a", "b"]) } else { Value::Null };
            json_of(
                &json!({"resource": format!("{url}/{name}"), "authorization_servers": issuer("one"), "scopes_supported": scopes}),
            )
        }
    }
}

fn issuer_metadata(shared: &Shared, issuer: &str, is_openid: bool) -> Response {
    let url = &shared.lock().unwrap().url;
    let mut metadata = json!({"issuer": format!("{url}/{issuer}"), "token_endpoint": format!("{url}/{issuer}/token")});
    match issuer {
        "openid" if !is_openid => return StatusCode::NOT_FOUND.into_response(),
        "none" => return StatusCode::NOT_FOUND.into_response(),
        "post" => metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]),
        "mixed-up" => metadata["issuer"] = json!(format!("{url}/one")),
        "inside" => metadata["token_endpoint"] = json!("https://10.0.0.1/token"),
        "plain-text" => metadata["token_endpoint"] = json!("http://i.example/token"),
        "people" => people::metadata(url, &mut metadata),
        "large" => metadata["issuer"] = json!("x".repeat(300 << 10)),
        _ => {}
    }
    json_of(&metadata)
}

async fn token(shared: &Shared, issuer: &str, form: &str, has_secret: bool) -> Response {
    let fields: Vec<(String, String)> = reqwest::Url::parse(&format!("x:/?{form}"))
        .unwrap()
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let field =
        |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default();
    let number = {
        let mut known = shared.lock().unwrap();
        let told = fields.iter().filter(|(name, _)| name != "client_secret");
        let told = told.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        known.forms.push(format!("{issuer} {told}"));
        known.forms.len()
    };
    // Whoever comes meanwhile comes meanwhile.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = |code: &str| {
        let body = json!({"error": code, "error_description": format!("{SECRET} is wrong")});
        (StatusCode::BAD_REQUEST, json_of(&body)).into_response()
    };
    match issuer {
        _ if !has_secret => return refused("invalid_client"),
        "refuses" => return refused("invalid_scope"),
        "stalls" if number > 1 => std::future::pending().await,
        "babbles" => return json_of(&json!({"access_token": SECRET.repeat(2_000)})),
        _ => {}
    }
    let mut known = shared.lock().unwrap();
    let text = format!("{TOKEN}{}", known.tokens.len() + 1);
    known.tokens.push(Token { text: text.clone(), resource: field("resource"), scope: field("scope"), is_good: true });
    let life = if issuer == "short" { 6 } else { 3_600 };
    json_of(&json!({"access_token": text, "token_type": "Bearer", "expires_in": life}))
}

/// A server that answers with the token that it was shown, if that is good.
fn server(shared: &Shared, name: &str, shown: &str, body: &[u8]) -> Response {
    let known = shared.lock().unwrap();
    let own = format!("{}/{name}", known.url);
    let shown = shown.strip_prefix("Bearer ").unwrap_or_default();
    let token = known.tokens.iter().find(|token| token.text == shown && token.is_good && token.resource == own);
    let wants_scope = matches!(name, "named" | "steps");
    let is_enough = |scope: &str| !wants_scope || scope.split(' ').any(|scope| scope == "read");
    let token = token.filter(|token| !matches!(name, "never" | "leads-inside") && is_enough(&token.scope));
    if token.is_none() && !known.open.iter().any(|open| open == name) {
        // Its words give away what it was shown.
        let named = match name {
            "named" | "steps" => format!(", scope=\"read\", resource_metadata=\"{}/metadata-of/{name}\"", known.url),
            "leads-inside" => ", resource_metadata=\"https://169.254.169.254/latest\"".to_owned(),
            _ => String::new(),
        };
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"no {shown}\"{named}");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)], format!("no {shown}")).into_response();
    }
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_call = message["method"] == "tools/call";
    if name == "steps" && is_call && token.is_some_and(|token| !token.scope.split(' ').any(|scope| scope == "write")) {
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"write\"";
        return (StatusCode::FORBIDDEN, [("www-authenticate", challenge)], "not enough").into_response();
    }
    let id = &message["id"];
    let result = match message["method"].as_str().unwrap_or_default() {
        _ if id.is_null() => return StatusCode::ACCEPTED.into_response(),
        "server/discover" => {
            let error = json!({"code": -32601, "message": "no such method"});
            return json_of(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        "tools/list" => json!({"tools": [
            {"name": "do", "inputSchema": {"type": "object"}}, {"name": "act", "inputSchema": {"type": "object"}},
        ]}),
        _ => json!({"content": [{"type": "text", "text": shown.strip_prefix(TOKEN).unwrap_or("somebody's")}]}),
    };
    json_of(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}
