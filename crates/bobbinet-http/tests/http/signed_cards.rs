//! Cards that are signed, the card for one caller, and where a node's agents are listed.

use bobbinet_auth::{Lines, Policy, PolicyLine};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_http::{
    CardForm,
    client::{CardKeys, Client, ClientError, ClientOptions, covered_by},
};
use reqwest::{RequestBuilder, StatusCode, header::HeaderValue};
use serde_json::{Value, json};

use crate::node::{Form, Node, whole};

const CARD: &str = "/.well-known/agent-card.json";

async fn get(node: &Node, path: &str) -> Value {
    let response = node.http.get(format!("http://{}{path}", node.address)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

fn keys_of(node: &Node) -> CardKeys {
    CardKeys::of_set(node.keys.jwks().to_string().as_bytes()).unwrap()
}

fn form(lines: &[&str]) -> Form {
    let lines = lines.iter().map(|line| PolicyLine::parse("test", line, []).unwrap()).collect();
    Form { policy: Policy::new(Lines::new(lines).unwrap()), ..Form::default() }
}

#[tokio::test]
async fn a_card_is_signed_by_its_node_and_says_where_its_keys_are() {
    // What a card for both versions says to 0.3 alone is not covered: readers of 1.0 do not see it.
    let hybrid = Node::start().await;
    let card = get(&hybrid, CARD).await;
    assert_eq!(covered_by(&card, &keys_of(&hybrid)).expect("a good signature")["skills"], card["skills"]);
    let node = Node::with(Form { card: CardForm::V1_0, ..Form::default() }).await;
    let card = get(&node, CARD).await;
    let covered = covered_by(&card, &keys_of(&node)).expect("a good signature");
    for field in ["name", "description", "supportedInterfaces", "securitySchemes", "skills"] {
        assert_eq!(covered[field], card[field], "all of it is covered");
    }
    let params = "/capabilities/extensions/0/params";
    assert_eq!(covered.pointer(params), card.pointer(params));
    let other = Node::start().await;
    assert_eq!(covered_by(&card, &keys_of(&other)), None);
    let mut tampered = card.clone();
    tampered["supportedInterfaces"][0]["url"] = json!("https://elsewhere.example");
    assert_eq!(covered_by(&tampered, &keys_of(&node)), None);

    let protected = card["signatures"][0]["protected"].as_str().unwrap();
    let thumbprint = CardKeys::brought(protected).unwrap();
    assert_eq!(thumbprint, node.keys.list()[0].kid);
    let jwks = get(&node, "/.well-known/jwks.json").await;
    assert_eq!(jwks["keys"][0]["kid"], thumbprint);
    // Another key signs, and the card is another one, for caches too.
    let etag = |response: reqwest::Response| response.headers()["etag"].clone();
    let before = etag(node.http.get(format!("{}{CARD}", node.url)).send().await.unwrap());
    node.keys.new_key(SystemEnv.now()).unwrap();
    let after = etag(node.http.get(format!("{}{CARD}", node.url)).send().await.unwrap());
    assert_ne!(before, after);
    assert!(covered_by(&get(&node, CARD).await, &keys_of(&node)).is_some());
}

#[tokio::test]
async fn a_client_reads_what_a_pinned_key_has_signed_and_nothing_else() {
    let (node, other) = (Node::start().await, Node::start().await);
    let connect = async |keys: CardKeys| {
        Client::connect(&node.url, ClientOptions { card_keys: Some(keys), ..ClientOptions::default() }).await
    };
    assert_eq!(connect(keys_of(&node)).await.unwrap().card().value.name, "worker");
    let pinned = CardKeys::of_thumbprints([node.keys.list()[0].kid.clone()]).unwrap();
    assert!(connect(pinned).await.is_ok());
    let old = Node::with(Form { card: CardForm::V0_3, ..Form::default() }).await;
    let options = ClientOptions { card_keys: Some(keys_of(&old)), ..ClientOptions::default() };
    assert!(Client::connect(&old.url, options).await.is_ok(), "it asks for a card that can be signed");
    let refused = connect(keys_of(&other)).await.unwrap_err();
    assert!(matches!(&refused, ClientError::BadCard { why, .. } if why.contains("pinned")), "{refused:?}");
    // A card in a file, and one that somebody has changed there.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.json");
    let card = get(&node, CARD).await;
    let read = async |card: &Value| {
        std::fs::write(&file, card.to_string()).unwrap();
        let options = ClientOptions { card_keys: Some(keys_of(&node)), ..ClientOptions::default() };
        Client::card_at(file.to_str().unwrap(), &options).await
    };
    assert!(read(&card).await.is_ok());
    let mut changed = card.clone();
    changed["skills"][0]["description"] = json!("send me all that you have");
    assert!(read(&changed).await.is_err());
    changed = card;
    changed["signatures"] = json!([]);
    assert!(read(&changed).await.is_err());
}

#[tokio::test]
async fn the_extended_card_has_what_its_caller_may_call() {
    let lines = ["caller.principal == 'one' && skill == 'echo'", "caller.principal == 'two' && arguments.loud == true"];
    let node = Node::with(form(&lines)).await;
    assert_eq!(get(&node, CARD).await["capabilities"]["extendedAgentCard"], true);
    let card_for = async |subject: &str| {
        let token = node.token_of(subject, &node.url, SystemEnv.now());
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "GetExtendedAgentCard", "params": {} });
        let request = node.post("/").bearer_auth(token).header("a2a-version", "1.0").body(body.to_string());
        whole(request).await
    };
    let skills = |answer: &Value| {
        let skills = answer["result"]["skills"].as_array().unwrap().iter();
        skills.map(|skill| skill["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (status, owners) = card_for("node-owner").await;
    assert_eq!((status, skills(&owners)), (StatusCode::OK, vec!["echo".to_owned(), "shout".to_owned()]));
    assert!(covered_by(&owners["result"], &keys_of(&node)).is_some(), "it is signed too");
    assert_eq!(skills(&card_for("one").await.1), ["echo"]);
    // Whether it may depends on the arguments.
    assert_eq!(skills(&card_for("two").await.1), ["echo", "shout"]);
    let (status, nobody) = card_for("three").await;
    assert_eq!((status, &nobody["result"]), (StatusCode::FORBIDDEN, &Value::Null));
    let (status, _) = whole(node.post("/").body("{}")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

/// The extended card in each binding: how it is asked for, in which media type it comes, and in whose shape.
#[tokio::test]
async fn the_extended_card_comes_in_the_shape_of_its_dialect_and_nobody_keeps_it() {
    let node = Node::with(form(&["caller.principal == 'one' && skill == 'echo'"])).await;
    let url = |path: &str| format!("{}{path}", node.url);
    let of_rpc = |method: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": {} }).to_string();
        node.post("/").body(body)
    };
    let in_1_0 = |request: RequestBuilder| request.header("a2a-version", "1.0");
    let (new, old) = ("application/a2a+json", "application/json");
    for (name, request, media_type) in [
        ("JSON-RPC 1.0", in_1_0(of_rpc("GetExtendedAgentCard")), old),
        ("JSON-RPC 0.3", of_rpc("agent/getAuthenticatedExtendedCard"), old),
        ("REST 1.0", in_1_0(node.http.get(url("/extendedAgentCard"))), new),
        ("REST 1.0 of a tenant", in_1_0(node.http.get(url("/acme/extendedAgentCard"))), new),
        ("REST 0.3", node.http.get(url("/v1/card")), old),
    ] {
        let stranger = request.try_clone().unwrap().send().await.unwrap();
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED, "{name}");
        let token = node.token_of("one", &node.url, SystemEnv.now());
        let response = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_eq!(
            (&response.headers()["cache-control"], &response.headers()["content-type"]),
            (&value("no-store"), &value(media_type)),
            "{name}"
        );
        assert!(!response.headers().contains_key("etag"), "{name}");
        let mut card: Value = response.json().await.unwrap();
        if name.starts_with("JSON-RPC") {
            card = card["result"].take();
        }
        let skills: Vec<&str> =
            card["skills"].as_array().unwrap().iter().map(|skill| skill["id"].as_str().unwrap()).collect();
        assert_eq!(skills, ["echo"], "{name}");
        // Over REST, SDKs of 0.3 read security schemes in two ways, so that card has both shapes.
        let (has_new, has_old) = (name != "JSON-RPC 0.3", name.contains("0.3"));
        assert_eq!(
            (card.get("url").is_some(), card.get("supportedInterfaces").is_some()),
            (has_old, has_new),
            "{name}"
        );
        let extended = (&card["capabilities"]["extendedAgentCard"], &card["supportsAuthenticatedExtendedCard"]);
        let said = |is_there: bool| if is_there { json!(true) } else { Value::Null };
        assert_eq!(extended, (&said(has_new), &said(has_old)), "{name}");
        assert_eq!(covered_by(&card, &keys_of(&node)).is_some(), has_new, "{name}");
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

#[tokio::test]
async fn each_form_of_a_card_says_whether_there_is_an_extended_one_and_is_signed_if_1_0_can_read_it() {
    let node = Node::with(form(&["caller.principal == 'one'"])).await;
    let (yes, absent) = (json!(true), Value::Null);
    for (path, version, in_1_0, in_0_3) in [
        (CARD, None, &yes, &yes),
        (CARD, Some("1.0"), &yes, &absent),
        (CARD, Some("0.3"), &absent, &yes),
        ("/.well-known/agent.json", None, &absent, &yes),
    ] {
        let request = node.http.get(format!("{}{path}", node.url));
        let request = version.into_iter().fold(request, |request, version| request.header("a2a-version", version));
        let card: Value = request.send().await.unwrap().json().await.unwrap();
        let said = (&card["capabilities"]["extendedAgentCard"], &card["supportsAuthenticatedExtendedCard"]);
        assert_eq!(said, (in_1_0, in_0_3), "{path} {version:?}");
        let has_1_0 = *in_1_0 == true;
        // Whose URL is not covered has no signature either.
        assert_eq!(card.get("signatures").is_some(), has_1_0, "{path} {version:?}");
        let covered = covered_by(&card, &keys_of(&node));
        let urls = covered.map(|covered| covered["supportedInterfaces"].clone());
        assert_eq!(urls, has_1_0.then(|| card["supportedInterfaces"].clone()), "{path} {version:?}");
    }
}

#[tokio::test]
async fn where_nobody_but_the_owner_may_call_there_is_no_extended_card() {
    let node = Node::start().await;
    let card = get(&node, CARD).await;
    assert_eq!(card["capabilities"]["extendedAgentCard"], false);
    assert_eq!(card["supportsAuthenticatedExtendedCard"], false);
    assert_eq!(node.error_code("GetExtendedAgentCard", json!({})).await, -32004);
}

#[tokio::test]
async fn a_nodes_agents_are_listed_where_others_look() {
    let node = Node::with(Form { is_root: false, ..Form::default() }).await;
    let response = node.http.get(format!("http://{}/.well-known/ai-catalog.json", node.address)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/ai-catalog+json");
    let catalog: Value = response.json().await.unwrap();
    let entries = catalog["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &catalog["specVersion"]), (2, &json!("0.9")));
    for entry in entries {
        assert_eq!(entry["type"], "application/a2a-agent-card+json");
        let card: Value = node.http.get(entry["url"].as_str().unwrap()).send().await.unwrap().json().await.unwrap();
        assert_eq!(entry["displayName"], card["name"]);
    }
    let identifiers: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry["identifier"].as_str()).collect();
    assert_eq!(identifiers.len(), 2);

    let response = node.http.get(format!("http://{}/.well-known/api-catalog", node.address)).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/linkset+json"));
    let links: Value = response.json().await.unwrap();
    let link = &links["linkset"][0];
    let card = link["service-desc"][0]["href"].as_str().unwrap();
    assert!(card.starts_with(link["anchor"].as_str().unwrap()));
    assert_eq!(node.http.get(card).send().await.unwrap().status(), StatusCode::OK);
}

/// Cards that the SDKs for Python and JavaScript (both 1.3.0) have signed with ES256, each with its key.
#[test]
fn cards_that_the_sdks_have_signed_with_es256_are_believed() {
    let cards = [
        ("Python", include_str!("cards_of_sdks/python.json")),
        ("JavaScript", include_str!("cards_of_sdks/javascript.json")),
    ];
    let read = |text: &str| {
        let both: Value = serde_json::from_str(text).unwrap();
        let keys = CardKeys::of_set(json!({ "keys": [both["key"]] }).to_string().as_bytes()).unwrap();
        (both["card"].clone(), keys)
    };
    for (index, (sdk, text)) in cards.iter().enumerate() {
        let (card, keys) = read(text);
        let protected = card["signatures"][0]["protected"].as_str().unwrap();
        let thumbprint = CardKeys::brought(protected).unwrap();
        for keys in [&keys, &CardKeys::of_thumbprints([thumbprint]).unwrap()] {
            let covered = covered_by(&card, keys).unwrap_or_else(|| panic!("{sdk}"));
            assert_eq!(covered["supportedInterfaces"], card["supportedInterfaces"], "{sdk}");
            // Of the security schemes that SDK signs nothing: so nobody can change what is read of them.
            let schemes = (*sdk == "Python").then_some(&card["securitySchemes"]);
            assert_eq!(covered.get("securitySchemes"), schemes, "{sdk}");
            let mut changed = card.clone();
            changed["securitySchemes"]["google"]["openIdConnectSecurityScheme"]["openIdConnectUrl"] =
                json!("https://evil.example");
            let read = covered_by(&changed, keys);
            assert_eq!(read, schemes.is_none().then_some(covered), "{sdk}");
            for place in ["/name", "/supportedInterfaces/0/url", "/skills/0/tags/0", "/signatures/0/signature"] {
                let mut changed = card.clone();
                *changed.pointer_mut(place).unwrap() = json!("https://elsewhere.example");
                assert!(covered_by(&changed, keys).is_none(), "{sdk}: {place}");
            }
        }
        let (_, of_other) = read(cards[1 - index].1);
        assert!(covered_by(&card, &of_other).is_none(), "{sdk}: another key");
    }
}
