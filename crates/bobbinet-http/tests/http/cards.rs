//! Cards, probes, keys: what anyone may see.

use bobbinet_http::CardForm;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::node::{Form, Node};

async fn get(node: &Node, path: &str) -> Response {
    node.http.get(format!("http://{}{path}", node.address)).send().await.unwrap()
}

async fn card(node: &Node, path: &str) -> Value {
    let response = get(node, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_card_is_at_both_paths_and_cheap_to_ask_for_again() {
    let node = Node::start().await;
    let url = format!("{}/.well-known/agent-card.json", node.url);
    let first = get(&node, "/.well-known/agent-card.json").await;
    let etag = first.headers()["etag"].clone();
    assert!(etag.to_str().unwrap().starts_with('"'), "a strong one: {etag:?}");
    assert_eq!(first.headers()["cache-control"], "public, max-age=60");
    assert_eq!(first.headers()["content-type"], "application/json");
    assert!(first.headers()["last-modified"].to_str().unwrap().ends_with(" GMT"));
    let first_vary = first.headers()["vary"].clone();
    let body = first.bytes().await.unwrap();
    let card: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(card["supportedInterfaces"][0]["url"], format!("{}/", node.url));
    assert_eq!(first_vary, "A2A-Version, Host");

    for known in [etag.to_str().unwrap(), &format!("\"x\", W/{}", etag.to_str().unwrap()), "*"] {
        let again = node.http.get(&url).header("if-none-match", known).send().await.unwrap();
        assert_eq!((again.status(), &again.headers()["etag"]), (StatusCode::NOT_MODIFIED, &etag), "{known}");
        assert_eq!(again.bytes().await.unwrap().len(), 0);
    }
    let other = node.http.get(&url).header("if-none-match", "\"x\"").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    let head = node.http.head(&url).send().await.unwrap();
    assert_eq!((head.status(), &head.headers()["etag"]), (StatusCode::OK, &etag));
}

/// Whoever does not say which version he speaks gets what is configured; at the path of old, always the card of old.
#[tokio::test]
async fn a_card_is_of_the_version_that_its_reader_speaks() {
    let form = async |node: &Node, path: &str, version: Option<&str>| {
        let mut request = node.http.get(format!("{}{path}", node.url));
        if let Some(version) = version {
            request = request.header("a2a-version", version);
        }
        let response = request.send().await.unwrap();
        assert!(response.headers()["vary"].to_str().unwrap().contains("A2A-Version"));
        let etag = response.headers()["etag"].clone();
        let card: Value = response.json().await.unwrap();
        let form = match (card.get("supportedInterfaces").is_some(), card.get("url").is_some()) {
            (true, false) => "1.0",
            (false, true) => "0.3",
            (true, true) => "hybrid",
            (false, false) => "none",
        };
        (form, etag)
    };
    let (new, old) = ("/.well-known/agent-card.json", "/.well-known/agent.json");
    for (configured, silent) in [(CardForm::Hybrid, "hybrid"), (CardForm::V1_0, "1.0"), (CardForm::V0_3, "0.3")] {
        let node = Node::with(Form { card: configured, ..Form::default() }).await;
        assert_eq!(form(&node, new, None).await.0, silent);
        assert_eq!(form(&node, new, Some("1.0")).await.0, "1.0");
        assert_eq!(form(&node, new, Some("0.3")).await.0, "0.3");
        assert_eq!(form(&node, new, Some("99")).await.0, silent);
        assert_eq!(form(&node, old, None).await.0, "0.3");
        assert_ne!(form(&node, new, Some("1.0")).await.1, form(&node, new, Some("0.3")).await.1);
    }
}

/// A proxy that the node is told of says where it was asked; nobody else is believed. What it passes on may be a caller's word, so what a
/// token is for is not said by it.
#[tokio::test]
async fn a_card_behind_a_proxy_says_what_the_proxy_was_asked_at() {
    let url = async |node: &Node| {
        let request = node.http.get(format!("{}/.well-known/agent-card.json", node.url));
        let request = request.header("x-forwarded-host", "agents.example").header("x-forwarded-proto", "https");
        let card: Value = request.send().await.unwrap().json().await.unwrap();
        card["url"].as_str().unwrap().to_owned()
    };
    let ask = async |node: &Node, audience: &str| {
        let now = bobbinet_engine::Env::now(&bobbinet_engine::SystemEnv);
        let token = node.token_of(bobbinet_auth::NODE_OWNER, audience, now);
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tasks/get", "params": { "id": "nobody" } });
        let request = node.post("/").bearer_auth(token).header("forwarded", "proto=https;host=agents.example");
        crate::node::whole(request.body(body.to_string())).await.0
    };
    let forwarded = "https://agents.example/";
    let stranger = Node::start().await;
    assert_eq!(url(&stranger).await, format!("{}/", stranger.url));
    assert_eq!(ask(&stranger, forwarded).await, StatusCode::UNAUTHORIZED);
    let node = Node::with(Form { proxies: vec!["127.0.0.1/32"], ..Form::default() }).await;
    assert_eq!(url(&node).await, "https://agents.example/");
    assert_eq!(ask(&node, forwarded).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&node, &format!("{}/", node.url)).await, StatusCode::OK);
    let form = Form { proxies: vec!["127.0.0.1/32"], public_url: Some("https://public.example"), ..Form::default() };
    let told = Node::with(form).await;
    assert_eq!(url(&told).await, "https://public.example/");
    // What it depends on is said to caches, of the catalog too, which has the same URLs.
    let vary = async |node: &Node, path: &str| {
        let response = node.http.get(format!("http://{}{path}", node.address)).send().await.unwrap();
        response.headers().get("vary").map(|value| value.to_str().unwrap().to_owned())
    };
    let (card, catalog) = ("/.well-known/agent-card.json", "/.well-known/ai-catalog.json");
    let proxied = "Host, Forwarded, X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Prefix";
    for (node, origin) in [(&told, None), (&stranger, Some("Host")), (&node, Some(proxied))] {
        assert_eq!(vary(node, catalog).await.as_deref(), origin);
        let of_card = origin.map_or("A2A-Version".to_owned(), |origin| format!("A2A-Version, {origin}"));
        assert_eq!(vary(node, card).await, Some(of_card));
    }
}

#[tokio::test]
async fn a_card_says_where_its_reader_found_it_unless_it_is_told_better() {
    let interface = |card: &Value| card["supportedInterfaces"][0]["url"].as_str().unwrap().to_owned();
    let node = Node::start().await;
    let from = async |host: &str| {
        let request = node.http.get(format!("{}/.well-known/agent-card.json", node.url)).header("host", host);
        interface(&request.send().await.unwrap().json().await.unwrap())
    };
    let own = format!("http://{}/", node.address);
    let by_name = format!("localhost:{}", node.address.port());
    assert_eq!(from(&by_name).await, format!("http://{by_name}/"));
    assert_eq!(from(&by_name.to_uppercase()).await, format!("http://{by_name}/"));
    for stranger in ["bobbinet.example:8080", "localhost:1", "localhost"] {
        assert_eq!(from(stranger).await, own, "{stranger}: a card names only where the agent's tokens are taken");
    }

    let node =
        Node::with(Form { public_url: Some("https://bobbinet.example/mesh"), is_root: false, ..Form::default() }).await;
    let card = card(&node, "/agents/worker/.well-known/agent-card.json").await;
    assert_eq!(interface(&card), "https://bobbinet.example/mesh/agents/worker");
}

#[tokio::test]
async fn each_agent_of_a_node_has_its_place() {
    let node = Node::with(Form { is_root: false, ..Form::default() }).await;
    let list = card(&node, "/agents").await;
    let names: Vec<&Value> = list["agents"].as_array().unwrap().iter().map(|agent| &agent["name"]).collect();
    assert_eq!(names, [&json!("other"), &json!("worker")]);
    assert_eq!(list["agents"][1]["card"], format!("{}/.well-known/agent-card.json", node.url));
    let found = card(&node, "/agents/worker/.well-known/agent-card.json").await;
    assert_eq!(found["supportedInterfaces"][0]["url"], node.url);
    assert_eq!(card(&node, "/agents/worker/.well-known/agent.json").await["url"], node.url);
    for path in ["/agents/nobody/.well-known/agent-card.json", "/nowhere"] {
        assert_eq!(get(&node, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let task = node.send("echo x").await;
    for path in ["", "/", "/skills/echo"] {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": { "id": task["id"] } });
        let request = node.post(path).bearer_auth(node.token()).header("a2a-version", "1.0").body(body.to_string());
        assert_eq!(crate::node::whole(request).await.1["result"]["id"], task["id"], "{path}");
    }
    // The other agent of this node does not know it, and takes no token that is not for it.
    let other = node.url.replace("worker", "other");
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": { "id": task["id"] } }).to_string();
    let ask = |token: String| {
        let request = node.http.post(&other).header("content-type", "application/json").header("a2a-version", "1.0");
        crate::node::whole(request.bearer_auth(token).body(body.clone()))
    };
    assert_eq!(ask(node.token()).await.0, StatusCode::UNAUTHORIZED);
    let now = bobbinet_engine::Env::now(&bobbinet_engine::SystemEnv);
    let token = node.token_of(bobbinet_auth::NODE_OWNER, &other, now);
    assert_eq!(ask(token).await.1["error"]["code"], -32001);
}

/// Where the resolvers of SDKs look, given the URLs that a node says of itself: some join a path to the URL as a page's
/// link, some put the two behind each other with a slash too many, some take the origin alone.
#[tokio::test]
async fn every_way_to_join_a_url_and_the_cards_path_leads_to_a_card() {
    let node = Node::with(Form { is_root: false, ..Form::default() }).await;
    let list = card(&node, "/agents").await;
    let url = list["agents"][1]["url"].as_str().unwrap().to_owned();
    let file = ".well-known/agent-card.json";
    let joined = reqwest::Url::parse(&url).unwrap().join(file).unwrap();
    for url in [joined.to_string(), format!("{}/{file}", url.trim_end_matches('/')), format!("{url}/{file}")] {
        let card: Value = node.http.get(&url).send().await.unwrap().json().await.unwrap();
        assert_eq!(card["supportedInterfaces"][0]["url"], node.url, "{url}");
    }

    // Where it cannot be told which one is meant, the way on is told to people and programs.
    for path in ["/.well-known/agent-card.json", "//.well-known/agent.json", "/agents/.well-known/agent-card.json"] {
        let response = get(&node, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(response.headers()["link"], format!("<http://{}/agents>; rel=\"index\"", node.address));
        let help: Value = response.json().await.unwrap();
        assert_eq!(help["agents"], list["agents"], "{path}");
        assert!(help["error"].as_str().unwrap().contains("2 agents"), "{help}");
    }

    let only = Node::with(Form { is_root: false, has_other: false, ..Form::default() }).await;
    for base in ["", "/", "/agents", "/agents/worker/"] {
        let card = card(&only, &format!("{base}/{file}")).await;
        assert_eq!(card["supportedInterfaces"][0]["url"], only.url, "{base}");
    }
    let root = Node::start().await;
    assert_eq!(get(&root, "//.well-known/agent-card.json?x=//").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_of_named_origins_may_call_from_a_browser_and_no_others() {
    // A service parameter has any name.
    const ASKED: &str = "authorization,a2a-version,last-event-id,x-of-an-extension";
    let preflight = async |node: &Node, origin: &str| {
        let request = node.http.request(reqwest::Method::OPTIONS, format!("{}/", node.url)).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", ASKED).send().await.unwrap()
    };
    let allowed = |response: &Response| {
        response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    let node = Node::start().await;
    assert_eq!(allowed(&preflight(&node, "https://ui.example").await), None);

    let node = Node::with(Form { cors: vec!["https://ui.example"], ..Form::default() }).await;
    let response = preflight(&node, "https://ui.example").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(allowed(&response).as_deref(), Some("https://ui.example"));
    let headers = response.headers()["access-control-allow-headers"].to_str().unwrap();
    assert_eq!(headers, ASKED);
    let methods = response.headers()["access-control-allow-methods"].to_str().unwrap();
    assert!(["GET", "POST", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    let age: u64 = response.headers()["access-control-max-age"].to_str().unwrap().parse().unwrap();
    assert!(age >= 600, "each call would be asked about: {age}");
    let vary = response.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert!(vary.join(",").contains("origin"), "a cache would give it to other origins: {vary:?}");
    assert_eq!(allowed(&preflight(&node, "https://evil.example").await), None);
    // An answer, and a refusal: a page has to be able to read why.
    for token in [Some(node.token()), None] {
        let mut request = node.post("/").header("origin", "https://ui.example").header("a2a-version", "1.0");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.body("{}").send().await.unwrap();
        assert_eq!(allowed(&response).as_deref(), Some("https://ui.example"));
        let shown = response.headers()["access-control-expose-headers"].to_str().unwrap();
        assert!(["www-authenticate", "retry-after", "etag"].iter().all(|name| shown.contains(name)), "{shown}");
    }

    let node = Node::with(Form { cors: vec!["*"], ..Form::default() }).await;
    assert_eq!(allowed(&preflight(&node, "https://any.example").await).as_deref(), Some("*"));
}

#[tokio::test]
async fn probes_and_keys_are_public() {
    let node = Node::start().await;
    assert_eq!(get(&node, "/livez").await.status(), StatusCode::OK);
    assert_eq!(get(&node, "/readyz").await.text().await.unwrap(), "ready\n");
    let report = card(&node, "/readyz?verbose").await;
    assert_eq!(report["ready"], true);
    let names: Vec<&Value> = report["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, [&json!("listener"), &json!("store"), &json!("agent/worker")]);
    let keys = card(&node, "/.well-known/jwks.json").await;
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");

    node.engine.drain();
    let draining = get(&node, "/readyz").await;
    assert_eq!(draining.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(draining.text().await.unwrap().starts_with("store: "));
    let report: Value = get(&node, "/readyz?verbose").await.json().await.unwrap();
    assert_eq!((&report["ready"], &report["checks"][1]["ok"]), (&json!(false), &json!(false)));
    assert_eq!(get(&node, "/livez").await.status(), StatusCode::OK);
}
