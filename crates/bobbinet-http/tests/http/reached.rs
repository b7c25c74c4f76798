//! From a card to where its agent is called: cards behind a login, cards that lead nowhere or elsewhere, and what is no card.

use bobbinet_http::{
    Client, ClientError, ClientOptions, Credentials,
    client::{Origin, ServiceParameter},
};
use serde_json::{Value, json};

use crate::foreign::{Asked, Does, Foreign, card, task};

/// A card that is shown only to those who have the header.
fn behind(header: &'static str) -> impl Fn(&Asked) -> Does {
    move |asked: &Asked| {
        let is_known = asked.headers.contains(header);
        match (asked.method.as_str(), is_known) {
            ("GET", false) => Does::Says(401, "text/html", "<html>Sign in".to_owned()),
            ("GET", true) => Does::Says(200, "application/json", card("/").to_string()),
            _ => Does::Result(task("WORKING")),
        }
    }
}

fn bearer() -> ClientOptions {
    ClientOptions { credentials: Credentials::Bearer("t0ken".to_owned()), ..ClientOptions::default() }
}

#[tokio::test]
async fn a_card_behind_a_login_is_shown_what_there_is_to_show() {
    let key = Credentials::ApiKey("k3y".to_owned(), Box::default());
    let header = ServiceParameter::parse("x-gateway:op3n").unwrap();
    let minted = Credentials::Mint(std::sync::Arc::new(|audience: &str| Ok(format!("for-{audience}"))));
    for (wants, options) in [
        ("authorization: bearer t0ken", bearer()),
        ("x-api-key: k3y", ClientOptions { credentials: key, ..ClientOptions::default() }),
        ("x-gateway: op3n", ClientOptions { parameters: vec![header], ..ClientOptions::default() }),
        (
            "authorization: bearer for-http://127.0.0.1",
            ClientOptions { credentials: minted, ..ClientOptions::default() },
        ),
    ] {
        let agent = Foreign::bare(behind(wants)).await;
        let client = Client::connect(&agent.url, options).await;
        if wants.starts_with("x-api-key") {
            // The card is had; that it asks for no key is told then, and the key is not shown to its agent.
            assert!(matches!(client, Err(ClientError::Credentials { .. })), "{client:?}");
        } else {
            assert_eq!(client.unwrap().url(), format!("{}/", agent.url), "{wants}");
        }
        let asked = agent.asked();
        assert_eq!(asked.len(), 2);
        assert!(!asked[0].headers.contains(wants), "a card that is for everybody is asked for by anybody");
    }
    let agent = Foreign::bare(behind("never")).await;
    for options in [ClientOptions::default(), bearer()] {
        let refused = Client::connect(&agent.url, options).await;
        assert!(matches!(refused, Err(ClientError::Unauthorized { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn no_other_origin_is_shown_anything() {
    let elsewhere = Foreign::start(card, |_| Does::Result(task("WORKING"))).await;
    let there = elsewhere.url.clone();
    let catalog = Foreign::start(move |_| card(&there), |_| Does::Result(task("WORKING"))).await;
    let refused = Client::connect(&catalog.url, bearer()).await;
    match refused {
        Err(ClientError::OtherOrigin { origin, card_origin, .. }) => {
            assert_eq!((origin.as_str(), card_origin.as_str()), (elsewhere.url.as_str(), catalog.url.as_str()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(elsewhere.asked().len(), 0);
    // By the caller's own word it goes to the one or to the other, and to no third.
    for (origin, called) in [(&elsewhere.url, &elsewhere), (&catalog.url, &catalog)] {
        let options = ClientOptions { origin: Some(Origin::parse(origin).unwrap()), ..bearer() };
        let client = Client::connect(&catalog.url, options).await.unwrap();
        client.get("t-1", None).await.unwrap();
        let last = called.asked().pop().unwrap();
        assert_eq!(last.method, "GetTask");
        assert!(last.headers.contains("authorization: bearer t0ken"));
    }
    assert!(!catalog.asked()[0].headers.contains("t0ken"), "the card was for everybody");
}

#[tokio::test]
async fn an_agent_whose_card_names_no_address_to_call_is_called_where_its_card_is() {
    for named in ["http://0.0.0.0:8000/rpc", "http://[::]:8000/rpc", "https://0.0.0.0/rpc"] {
        let agent = Foreign::start(move |_| card(named), |_| Does::Result(task("WORKING"))).await;
        let client = Client::connect(&agent.url, bearer()).await.unwrap();
        assert_eq!(client.url(), format!("{}/rpc", agent.url));
        let detour = client.detour().expect("it is told").to_string();
        assert!(detour.contains(named.trim_end_matches("/rpc")) && detour.contains(&agent.url), "{detour}");
        client.get("t-1", None).await.unwrap();
        assert_eq!(agent.asked().pop().unwrap().path, "/rpc");
    }
    let good = Foreign::start(card, |_| Does::Result(task("WORKING"))).await;
    assert!(Client::connect(&good.url, bearer()).await.unwrap().detour().is_none());
}

/// Why there is no client for what is served as a card.
async fn why_not(kind: &'static str, body: String) -> String {
    let agent = Foreign::bare(move |_| Does::Says(200, kind, body.clone())).await;
    let error = Client::connect(&agent.url, ClientOptions::default()).await.expect_err("it is no card");
    error.to_string().replace(&agent.url, "URL")
}

const OURS: &str = "A2A 1.0 over JSONRPC, A2A 1.0 over HTTP+JSON, A2A 0.3 over JSONRPC, A2A 0.3 over HTTP+JSON";

#[tokio::test]
async fn what_is_no_card_of_ours_is_called_by_its_name() {
    let older = json!({
        "name": "old", "description": "", "version": "1", "protocolVersion": "0.3.0", "url": "http://127.0.0.1:1/",
        "preferredTransport": "GRPC", "capabilities": {}, "skills": [],
        "defaultInputModes": ["text"], "defaultOutputModes": ["text"],
    });
    let place = "URL/.well-known/agent-card.json";
    let json = "application/json";
    let speaks = |what: &str| format!("the agent of {place} speaks {what}, and this client {OURS}");
    assert_eq!(why_not(json, older.to_string()).await, speaks("A2A 0.3.0 over GRPC"));
    let mut grpc = card("http://127.0.0.1:1/");
    grpc["supportedInterfaces"][0]["protocolBinding"] = Value::from("GRPC");
    assert_eq!(why_not(json, grpc.to_string()).await, speaks("A2A 1.0 over GRPC"));

    let none = |why: &str| format!("there is no agent card at {place}: there is {why}");
    assert_eq!(why_not("text/html", "<!doctype html><p>Hi".to_owned()).await, none("a web page (HTML)"));
    assert_eq!(why_not("text/plain", "\n<html>".to_owned()).await, none("a web page (HTML)"));
    assert_eq!(why_not(json, String::new()).await, none("an empty body"));
    assert_eq!(why_not(json, "[]".to_owned()).await, none("JSON that is no object"));
    let nothing = format!("the agent card at {place} cannot be used: it has nothing that an agent card has");
    assert_eq!(why_not(json, r#"{"detail":"ok"}"#.to_owned()).await, nothing);
}

#[tokio::test]
async fn a_card_is_had_even_if_its_agent_cannot_be_called() {
    let older = json!({ "name": "old", "url": "http://127.0.0.1:1/", "protocolVersion": "0.3.0" });
    let agent = Foreign::start(move |_| older.clone(), |_| Does::HangsUp).await;
    let card = Client::card_at(&agent.url, &ClientOptions::default()).await.unwrap();
    assert_eq!(card.value.older_interfaces[0].url, "http://127.0.0.1:1/");
}
