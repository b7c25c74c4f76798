//! What a card declares, and what comes of it.

use serde_json::json;

use crate::clerk::{Clerk, Office, answer, message, state};

#[tokio::test]
async fn a_card_says_what_the_agent_can_do() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let card = office.card().await;
    assert_eq!((&card["name"], &card["capabilities"]["streaming"]), (&json!("The Clerk"), &json!(true)));
    let skills: Vec<_> = card["skills"].as_array().unwrap().iter().map(|skill| &skill["id"]).collect();
    assert_eq!(skills, ["do", "redo"], "what is for known callers is not told to others");
    assert_eq!(card["skills"][0]["tags"], json!(["do"]), "A2A wants one");
    assert_eq!(card["capabilities"]["extendedAgentCard"], true);
    let known = office.result("GetExtendedAgentCard", json!({})).await;
    let skills: Vec<_> = known["skills"].as_array().unwrap().iter().map(|skill| &skill["id"]).collect();
    assert_eq!(skills, ["do", "redo", "undo"]);
    office.serving.stop().await;
}

#[tokio::test]
async fn an_agent_without_streams_refuses_both_methods() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::with(Clerk { has_no_streams: true, ..Clerk::default() }, folder.path()).await;
    assert_eq!(office.card().await["capabilities"]["streaming"], false);
    let asked = office.send("ask").await;
    assert_eq!(state(&asked), "INPUT_REQUIRED");
    let streamed = answer(office.request("SendStreamingMessage", &message("count 3"))).await;
    let followed = answer(office.request("SubscribeToTask", &json!({ "id": asked["id"] }))).await;
    assert_eq!((&streamed["error"]["code"], &followed["error"]["code"]), (&json!(-32004), &json!(-32004)));
    assert_eq!(office.result("ListTasks", json!({})).await["totalSize"], 1, "what is refused is not done");
    office.serving.stop().await;
}

#[tokio::test]
async fn an_agent_without_webhooks_refuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::with(Clerk { has_no_webhooks: true, ..Clerk::default() }, folder.path()).await;
    assert_eq!(office.card().await["capabilities"]["pushNotifications"], false);
    let folder = tempfile::tempdir().unwrap();
    let usual = Office::open(folder.path()).await;
    assert_eq!(usual.card().await["capabilities"]["pushNotifications"], true);
    usual.serving.stop().await;
    let params = json!({ "taskId": "x", "url": "https://hook.example" });
    let created = answer(office.request("CreateTaskPushNotificationConfig", &params)).await;
    assert_eq!(created["error"]["code"], -32003);
    office.serving.stop().await;
}

#[tokio::test]
async fn a_required_extension_must_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::with(Clerk { requires: Some("urn:needed"), ..Clerk::default() }, folder.path()).await;
    let extensions = office.card().await["capabilities"]["extensions"].clone();
    let expected = json!({ "uri": "urn:needed", "description": "Must be spoken.", "required": true });
    assert!(extensions.as_array().unwrap().contains(&expected), "{extensions}");
    let send = |named: &'static str| {
        let request = office.request("SendMessage", &message("count 1"));
        answer(if named.is_empty() { request } else { request.header("a2a-extensions", named) })
    };
    assert_eq!(send("").await["error"]["code"], -32008);
    assert_eq!(send("urn:other").await["error"]["code"], -32008);
    assert_eq!(state(&send("urn:other, urn:needed").await["result"]["task"]), "COMPLETED");
    let known = answer(office.request("GetExtendedAgentCard", &json!({}))).await;
    assert_eq!(known["error"]["code"], -32008, "every request");
    let listed = answer(office.request("ListTasks", &json!({}))).await;
    assert_eq!(listed["error"]["code"], -32008, "every request");
    office.serving.stop().await;
}
