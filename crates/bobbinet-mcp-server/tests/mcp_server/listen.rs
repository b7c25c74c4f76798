use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use axum::Router;
use bobbinet_auth::{Lines, Policy, PolicyLine};
use bobbinet_core::AgentName;
use bobbinet_engine::Agent;
use bobbinet_http::Server;
use bobbinet_mcp_server::{McpServerLimits, names::Naming, routes, routes_with};
use serde_json::{Value, json};

use crate::{
    desk::Shelf,
    host::{BOTH, Events, Host, Node, STATELESS},
};

fn shelf() -> (Arc<Shelf>, BTreeMap<AgentName, Arc<dyn Agent>>) {
    let shelf = Arc::new(Shelf::default());
    (shelf.clone(), BTreeMap::from([(AgentName::parse("shelf").unwrap(), shelf as Arc<dyn Agent>)]))
}

async fn node() -> (Node, Arc<Shelf>) {
    let (shelf, agents) = shelf();
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

fn few_listeners(server: Arc<Server>) -> Router {
    let limits = McpServerLimits { listeners_per_caller_max: 1, ..McpServerLimits::default() };
    routes_with(server, limits, Naming::default())
}

#[tokio::test]
async fn one_caller_takes_no_more_streams_than_his_share() {
    let node = Node::with(few_listeners).await;
    let (host, stranger) = (node.host(STATELESS, json!({})), node.host_of("ann", STATELESS, json!({})));
    let wanted = json!({"toolsListChanged": true});
    let listen = |host: &Host| host.request(&json!(1), "subscriptions/listen", &json!({"notifications": wanted}));
    let mut listening = subscribe(&host, 5, &wanted).await;
    assert_eq!(listening.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    let refused = host.send(&listen(&host)).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.text().await.unwrap().contains("listeners_per_caller_max"));
    let session = node.open("2025-11-25", json!({})).await;
    let get = session.http.get(&session.url).bearer_auth(&session.token).header("accept", BOTH);
    let refused = get.header("mcp-session-id", session.session.as_deref().unwrap()).send().await.unwrap();
    assert_eq!(refused.status(), 429, "by the other door as well");
    // It is his alone, and he has it again once he listens no more.
    let mut others = subscribe(&stranger, 6, &wanted).await;
    assert_eq!(others.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    drop(listening);
    let begun = std::time::Instant::now();
    while host.send(&listen(&host)).await.status() != 200 {
        assert!(begun.elapsed() < crate::host::PATIENCE, "his place is never free again");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_session_follows_its_resources_over_a_restart_of_the_node() {
    let (node, before) = node().await;
    let mut host = node.open("2025-11-25", json!({})).await;
    let other = node.open("2025-11-25", json!({})).await;
    for uri in ["book:1", "mesh://shelf/book:7/page"] {
        let followed = host.ask("resources/subscribe", &json!({"uri": uri})).await;
        assert_eq!(followed["result"], json!({}), "{followed}");
    }
    until(|| before.following.load(Ordering::SeqCst) == 2).await;
    let (shelf, agents) = shelf();
    let node = node.restart(routes, agents).await;
    until(|| shelf.following.load(Ordering::SeqCst) == 2).await;
    // The same session at the same node, which is at another address now.
    let moved = node.host("2025-11-25", json!({}));
    let mut untold = get(&Host { session: other.session.clone(), ..node.host("2025-11-25", json!({})) }).await;
    host = Host { session: host.session.clone(), ..moved };
    let mut told = get(&host).await;
    let mut uris = Vec::new();
    for _ in 0..2 {
        let update = told.next().await.unwrap();
        assert_eq!(update["method"], "notifications/resources/updated", "it may have missed a change: {update}");
        uris.push(update["params"]["uri"].as_str().unwrap().to_owned());
    }
    uris.sort();
    assert_eq!(uris, ["book:1", "mesh://shelf/book:7/page"], "as the host knows them");
    assert_eq!(
        host.ask("resources/unsubscribe", &json!({"uri": "mesh://shelf/book:7/page"})).await["result"],
        json!({})
    );
    until(|| shelf.unfollowed.load(Ordering::SeqCst) == 1).await;
    shelf.changed.notify_waiters();
    assert_eq!(told.next().await.unwrap()["params"]["uri"], "book:1");
    // With the session all of it ends, and whoever has followed nothing was told nothing.
    let ended = host.http.delete(&host.url).bearer_auth(&host.token);
    let ended = ended.header("mcp-session-id", host.session.as_deref().unwrap()).send().await.unwrap();
    assert_eq!(ended.status(), 204);
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
