//! Callers with an API key, and how much each caller may ask for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_auth::{ApiKeyHolders, ApiKeys, Issuer, Lines, Policy, PolicyLine};
use bobbinet_core::{Principal, Tenant};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_gateway::{CallerLimits, GatewayLimits};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::node::{Form, Node, message, whole};

/// A node where ci may do everything, and the file of its API keys.
async fn start(admission: GatewayLimits) -> (Node, ApiKeys) {
    let node = Node::with(Form { admission, ..Form::default() }).await;
    let file = node.folder.path().join("keys/api-keys.json");
    let holders = ApiKeyHolders { keys: Arc::new(ApiKeys::open(&file).unwrap()), principals: BTreeMap::new() };
    node.verifier.replace(vec![Issuer::node(node.keys.clone())], Some(holders));
    let line = PolicyLine::parse("p.yaml:1", "caller.principal in ['ci', 'batch']", []).unwrap();
    node.policy.replace(&Policy::new(Lines::new(vec![line]).unwrap()));
    (node, ApiKeys::open(&file).unwrap())
}

fn make(keys: &ApiKeys, name: &str) -> String {
    let tenant = Tenant::parse("acme").unwrap();
    keys.create(Principal::parse(name).unwrap(), Some(tenant), None, SystemEnv.now()).unwrap().0
}

/// A request of nobody.
fn request(node: &Node, method: &str, params: &Value) -> RequestBuilder {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    node.post("/").header("a2a-version", "1.0").body(body.to_string())
}

#[tokio::test]
async fn an_api_key_lets_in_by_either_header_and_the_card_says_so() {
    let (node, keys) = start(GatewayLimits::default()).await;
    let card: Value =
        node.http.get(format!("{}/.well-known/agent-card.json", node.url)).send().await.unwrap().json().await.unwrap();
    let scheme = &card["securitySchemes"]["apiKey"]["apiKeySecurityScheme"];
    assert_eq!((&scheme["location"], &scheme["name"]), (&json!("header"), &json!("X-API-Key")));
    let header = scheme["name"].as_str().unwrap();

    let (key, other) = (make(&keys, "ci"), make(&keys, "batch"));
    let as_header = async |key: &str| whole(request(&node, "SendMessage", &message("hello")).header(header, key)).await;
    let (status, answer) = as_header(&key).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let id = json!({ "id": answer["result"]["task"]["id"] });
    let found = async |request: RequestBuilder| whole(request).await.1["error"]["code"].as_i64();
    let get = || request(&node, "GetTask", &id);
    assert_eq!(found(get().bearer_auth(&key)).await, None, "his task, by the other header");
    assert_eq!(found(get().header("x-api-key", &key)).await, None);
    assert!(found(get().header(header, &other)).await.is_some(), "another caller's key finds nothing");
    assert!(found(get().header(header, &key).bearer_auth(&other)).await.is_some(), "a bearer token goes before");

    for (what, key) in [("no key", "x"), ("a wrong one", &key.replace("bbk_", "bbk_0")), ("a token", &node.token())] {
        let (status, answer) = as_header(key).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}: {answer}");
        assert!(!answer.to_string().contains("API key"), "why is for the log alone: {answer}");
    }
    keys.revoke(key.split('_').nth(1).unwrap()).unwrap();
    let is_refused = async || as_header(&key).await.0 == StatusCode::UNAUTHORIZED;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(is_refused().await, "a key that was taken back is refused within a quarter of a second");

    // The card says what is taken now: it is another one once nothing is.
    node.verifier.replace(vec![Issuer::node(node.keys.clone())], None);
    let card: Value =
        node.http.get(format!("{}/.well-known/agent-card.json", node.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(card["securitySchemes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["bearer"]);
    assert_eq!(as_header(&other).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_card_names_the_providers_whose_tokens_are_taken() {
    let node = Node::start().await;
    let url = "https://idp.example/.well-known/openid-configuration";
    let provider =
        Issuer { discovery: Some(url.to_owned()), ..Issuer::node_as("https://idp.example", node.keys.clone()) };
    node.verifier.replace(vec![Issuer::node(node.keys.clone()), provider], None);
    let card: Value =
        node.http.get(format!("{}/.well-known/agent-card.json", node.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(card["securitySchemes"]["oidc"]["openIdConnectSecurityScheme"]["openIdConnectUrl"], url);
    let required: Vec<&str> = card["securityRequirements"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|one| one["schemes"].as_object().unwrap().keys().map(String::as_str))
        .collect();
    assert_eq!(required, ["bearer", "oidc"]);
}

#[tokio::test]
async fn who_asks_for_too_much_is_told_which_limit_it_was_and_when_to_come_again() {
    let (node, keys) = start(GatewayLimits { requests_per_second_per_caller_max: 2, ..GatewayLimits::default() }).await;
    let (of_ci, of_batch) = (make(&keys, "ci"), make(&keys, "batch"));
    let ask = async |key: &str| {
        let response = request(&node, "ListTasks", &json!({})).bearer_auth(key).send().await.unwrap();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        (status, retry, response.json::<Value>().await.unwrap())
    };
    for _ in 0..2 {
        assert_eq!(ask(&of_ci).await.0, StatusCode::OK);
    }
    let (status, retry, answer) = ask(&of_ci).await;
    assert_eq!((status, retry.as_deref()), (StatusCode::TOO_MANY_REQUESTS, Some("1")), "{answer}");
    assert!(answer.to_string().contains("requests_per_second_per_caller_max"), "{answer}");
    assert_eq!(ask(&of_batch).await.0, StatusCode::OK, "another caller has his own");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&of_ci).await.0, StatusCode::OK, "after the time that he was told");

    // By name, and while the node runs.
    let of = |name: &str| (Tenant::parse("acme").unwrap(), Principal::parse(name).unwrap());
    let limits = CallerLimits { requests_max: 0, requests_per_second_max: 100 };
    node.gateway.limit_callers(BTreeMap::from([(of("batch"), limits)]));
    let (status, _, answer) = ask(&of_batch).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.to_string().contains("\"requests_per_caller_max\""), "{answer}");
    // The owner of the node is not counted.
    for _ in 0..20 {
        node.result("ListTasks", json!({})).await;
    }
}
