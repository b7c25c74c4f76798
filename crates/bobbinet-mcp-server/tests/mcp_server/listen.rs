use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use bobbinet_auth::{Lines, Policy, PolicyLine};
use bobbinet_core::AgentName;
use bobbinet_engine::Agent;
use bobbinet_mcp_server::routes;
use serde_json::{Value, json};

use crate::{
    desk::Shelf,
    host::{BOTH, Events, Host, Node, STATELESS},
};

async fn node() -> (Node, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::default());
    let agents = BTreeMap::from([(AgentName::parse("shelf").unwrap(), shelf.clone() as Arc<dyn Agent>)]);
    (Node::among(routes, agents).await, shelf)
}

async fn subscribe(host: &Host, id: u64, wanted: &Value) -> Events {
    Events::of(host.send(&host.request(&json!(id), "subscriptions/listen", &json!({"notifications": wanted}))).await)
}

async fn get(host: &Host) -> Events {
    let request = host.http.get(&host.url).bearer_auth(&host.token).header("accept", BOTH);
    Events::of(request.header("mcp-session-id", host.session.as_deref().unwrap()).send().await.unwrap())
}

#[tokio::test]
async fn whoever_listens_hears_what_he_asked_for_and_no_more() {
    let (node, shelf) = node().await;
    let host = node.open(STATELESS, json!({})).await;
    let mut prompts =
        subscribe(&host, 5, &json!({"promptsListChanged": true, "resourceSubscriptions": ["mesh://desk/x"]})).await;
    let mut tools = subscribe(&host, 6, &json!({"toolsListChanged": true})).await;
    let stranger = node.host_of("ann", STATELESS, json!({}));
    let mut strange = subscribe(&stranger, 7, &json!({"promptsListChanged": true})).await;
    let key = "io.modelcontextprotocol/subscriptionId";
    for (events, id, granted) in [
        (&mut prompts, 5, json!({"promptsListChanged": true})),
        (&mut tools, 6, json!({"toolsListChanged": true})),
        (&mut strange, 7, json!({"promptsListChanged": true})),
    ] {
        let first = events.next().await.unwrap();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        assert_eq!((&first["params"]["notifications"], &first["params"]["_meta"][key]), (&granted, &json!(id)));
    }
    let session = node.open("2025-11-25", json!({})).await;
    let mut got = get(&session).await;
    shelf.has_more.store(true, Ordering::SeqCst);
    let told = prompts.next().await.unwrap();
    assert_eq!(
        (&told["method"], &told["params"]["_meta"][key]),
        (&json!("notifications/prompts/list_changed"), &json!(5))
    );
    assert_eq!(got.next().await.unwrap()["method"], "notifications/prompts/list_changed");
    // The newer stream of a session takes the place of the older one.
    let mut newer = get(&session).await;
    assert_eq!(got.next().await, None);
    node.stop().await;
    for (mut events, id) in [(tools, 6), (strange, 7)] {
        let last = events.next().await.unwrap();
        assert_eq!(
            (&last["id"], &last["result"]["_meta"][key]),
            (&json!(id), &json!(id)),
            "nothing but the end: {last}"
        );
    }
    assert_eq!(newer.next().await, None);
}

#[tokio::test]
async fn a_session_that_ends_is_told_nothing_more() {
    let (node, _) = node().await;
    let host = node.open("2025-11-25", json!({})).await;
    let mut events = get(&host).await;
    let request = host.http.delete(&host.url).bearer_auth(&host.token);
    let ended = request.header("mcp-session-id", host.session.as_deref().unwrap()).send().await.unwrap();
    assert_eq!((ended.status().as_u16(), events.next().await), (204, None));
    let lost = host.http.get(&host.url).bearer_auth(&host.token).header("accept", BOTH);
    let lost = lost.header("mcp-session-id", host.session.as_deref().unwrap()).send().await.unwrap();
    assert_eq!(lost.status(), 404);
    let plain = host.http.post(&host.url).bearer_auth(&host.token).header("accept", "application/json");
    let listen =
        node.host(STATELESS, json!({})).request(&json!(1), "subscriptions/listen", &json!({"notifications": {}}));
    let plain = plain.header("content-type", "application/json").header("mcp-protocol-version", STATELESS);
    let refused = plain.header("mcp-method", "subscriptions/listen").body(listen.to_string()).send().await.unwrap();
    assert_eq!(refused.status(), 406);
    node.stop().await;
}

async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..800 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("it never came to that");
}

#[tokio::test]
async fn a_resource_that_changes_is_told_to_those_who_follow_it_and_nobody_else() {
    let (node, shelf) = node().await;
    let session = node.open("2025-11-25", json!({})).await;
    let other = node.open("2025-11-25", json!({})).await;
    let (mut told, mut untold) = (get(&session).await, get(&other).await);
    let followed = session.ask("resources/subscribe", &json!({"uri": "book:1"})).await;
    assert_eq!(followed["result"], json!({}), "{followed}");
    let unknown = session.ask("resources/subscribe", &json!({"uri": "mesh://desk/x"})).await;
    assert_eq!(unknown["error"]["code"], -32002, "{unknown}");
    let host = node.open(STATELESS, json!({})).await;
    let mut stream = subscribe(&host, 5, &json!({"resourceSubscriptions": ["mesh://shelf/book:1"]})).await;
    let granted = stream.next().await.unwrap()["params"]["notifications"].clone();
    assert_eq!(granted, json!({"resourceSubscriptions": ["mesh://shelf/book:1"]}));
    until(|| shelf.following.load(Ordering::SeqCst) == 2).await;
    shelf.changed.notify_waiters();
    let update = told.next().await.unwrap();
    assert_eq!(
        (&update["method"], &update["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("book:1"))
    );
    let update = stream.next().await.unwrap();
    assert_eq!(update["params"]["uri"], "mesh://shelf/book:1", "as it was asked for: {update}");
    assert_eq!(update["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 5);
    assert_eq!(session.ask("resources/unsubscribe", &json!({"uri": "book:1"})).await["result"], json!({}));
    until(|| shelf.unfollowed.load(Ordering::SeqCst) == 1).await;
    drop(stream);
    until(|| shelf.unfollowed.load(Ordering::SeqCst) == 2).await;
    shelf.has_more.store(true, Ordering::SeqCst);
    let next = untold.next().await.unwrap();
    assert_eq!(next["method"], "notifications/prompts/list_changed", "nothing of a resource before: {next}");
    node.stop().await;
}

#[tokio::test]
async fn whoever_may_do_more_by_a_new_policy_is_told_that_his_lists_have_changed() {
    let (node, _shelf) = node().await;
    let mut ann = node.host_of("ann", "2025-11-25", json!({}));
    ann.initialize().await;
    let mut events = get(&ann).await;
    let line = PolicyLine::parse("1", "caller.principal == 'ann'", [AgentName::parse("shelf").unwrap()]).unwrap();
    node.policy.replace(&Policy::new(Lines::new(vec![line]).unwrap()));
    let told = events.next().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let tools = ann.ask("tools/list", &json!({})).await["result"]["tools"].to_string();
    assert!(tools.contains("shelf__dust"), "{tools}");
    drop(events);
    node.stop().await;
}
