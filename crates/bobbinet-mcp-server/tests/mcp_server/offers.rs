use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use base64::Engine as _;
use bobbinet_core::AgentName;
use bobbinet_engine::Agent;
use bobbinet_http::Server;
use bobbinet_mcp_server::{McpServerLimits, names::Naming, routes, routes_with, transparent_routes};
use serde_json::{Value, json};

use crate::{
    desk::{Hanging, Shelf, large},
    host::{Node, STATELESS},
};

fn shelves(names: &[&str]) -> BTreeMap<AgentName, Arc<dyn Agent>> {
    let shelf = |name: &&str| (AgentName::parse(name).unwrap(), Arc::new(Shelf::default()) as Arc<dyn Agent>);
    names.iter().map(shelf).collect()
}

fn names<'a>(answer: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    answer["result"][list].as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_prompt_is_listed_filled_in_and_completed_as_such() {
    let node = Node::among(routes, shelves(&["shelf"])).await;
    for version in ["2024-11-05", "2025-11-25", STATELESS] {
        let host = node.open(version, json!({})).await;
        let listed = host.ask("prompts/list", &json!({})).await;
        assert_eq!(names(&listed, "prompts", "name"), ["shelf__review"]);
        assert_eq!(listed["result"]["prompts"][0]["arguments"], json!([{"name": "code", "required": true}]));
        let tools = host.ask("tools/list", &json!({})).await;
        let tools = names(&tools, "tools", "name").join(" ");
        assert!(tools.contains("shelf__dust") && !tools.contains("review"), "{tools}");
        let params = json!({"name": "shelf__review", "arguments": {"code": "x"}});
        let filled = host.ask("prompts/get", &params).await["result"].clone();
        let expected = json!([
            {"role": "user", "content": {"type": "text", "text": "look at \"x\""}},
            {"role": "assistant", "content": {"type": "text", "text": "well"}},
        ]);
        assert_eq!(filled["messages"], expected, "{version}: {filled}");
        let unknown = host.ask("prompts/get", &json!({"name": "review"})).await;
        assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
        let params =
            json!({"ref": {"type": "ref/prompt", "name": "shelf__review"}, "argument": {"name": "code", "value": ""}});
        let completed = host.ask("completion/complete", &params).await;
        match version {
            "2024-11-05" => assert_eq!(completed["error"]["code"], -32601),
            _ => {
                assert_eq!(completed["result"]["completion"]["values"], json!(["review"]), "its own name: {completed}")
            }
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn a_tool_has_the_hints_that_somebody_gave_and_what_else_its_server_says() {
    let node = Node::among(routes, shelves(&["shelf"])).await;
    let host = node.open("2025-11-25", json!({})).await;
    let listed = host.ask("tools/list", &json!({})).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    let dust = tools.iter().find(|tool| tool["name"] == "shelf__dust").unwrap();
    assert_eq!(dust["annotations"], json!({"readOnlyHint": true, "openWorldHint": false}));
    assert_eq!(dust["_meta"], json!({"bobbinet/agent": "shelf", "bobbinet/skill": "dust", "ui": {"a": 1}}));
    node.stop().await;
}

#[tokio::test]
async fn a_resource_is_read_from_whoever_has_it() {
    let node = Node::among(routes, shelves(&["shelf"])).await;
    for version in ["2025-11-25", STATELESS] {
        let host = node.open(version, json!({})).await;
        let listed = host.ask("resources/list", &json!({})).await;
        assert_eq!(names(&listed, "resources", "uri"), ["book:1"]);
        assert_eq!(listed["result"]["resources"][0]["_meta"]["bobbinet/agent"], "shelf");
        let templates = host.ask("resources/templates/list", &json!({})).await;
        assert_eq!(names(&templates, "resourceTemplates", "uriTemplate"), ["book:{number}/page"]);
        for uri in ["book:1", "book:7/page", "mesh://shelf/book:1"] {
            let read = host.ask("resources/read", &json!({"uri": uri})).await;
            let own = uri.trim_start_matches("mesh://shelf/");
            let expected = json!([{"uri": uri, "mimeType": "text/plain", "text": format!("{own} of shelf")}]);
            assert_eq!(read["result"]["contents"], expected, "{read}");
            assert_eq!(read["result"]["ttlMs"].is_u64(), version == STATELESS, "{read}");
        }
        let code = if version == STATELESS { -32602 } else { -32002 };
        for uri in ["book:2", "mesh://desk/book:1"] {
            let none = host.ask("resources/read", &json!({"uri": uri})).await;
            assert_eq!(none["error"]["code"], code, "{none}");
            assert_eq!(none["error"]["data"]["uri"], uri, "{none}");
        }
    }
    node.stop().await;
}

fn short_wait(server: Arc<Server>) -> Router {
    let limits = McpServerLimits { start_wait: Duration::from_secs(1), ..McpServerLimits::default() };
    routes_with(server, limits, Naming::default())
}

#[tokio::test]
async fn all_lists_together_wait_once_for_a_server_that_hangs_and_no_later_one_does() {
    let late = BTreeMap::from([(AgentName::parse("late").unwrap(), Arc::new(Hanging) as Arc<dyn Agent>)]);
    let node = Node::among(short_wait, late).await;
    let lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
    let mut taken = Vec::new();
    for _ in 0..2 {
        let host = node.open("2025-11-25", json!({})).await;
        let begun = Instant::now();
        for list in lists {
            assert!(host.ask(list, &json!({})).await["result"].is_object());
        }
        host.ask("resources/read", &json!({"uri": "book:1"})).await;
        host.call("mesh_agents", &json!({})).await;
        taken.push(begun.elapsed());
    }
    assert!(taken[0] > Duration::from_millis(500), "the first host waits: {taken:?}");
    assert!(taken[0] < Duration::from_secs(3) && taken[1] < Duration::from_secs(1), "and once: {taken:?}");
    node.stop().await;
}

fn small_links(server: Arc<Server>) -> Router {
    let limits = McpServerLimits { linked_bytes_max: 1 << 20, ..McpServerLimits::default() };
    routes_with(server, limits, Naming::default())
}

#[tokio::test]
async fn a_large_resource_is_read_as_itself_or_not_at_all() {
    let node = Node::among(routes, shelves(&["shelf"])).await;
    for version in ["2025-06-18", STATELESS] {
        let host = node.open(version, json!({})).await;
        for (uri, field, content) in [
            ("book:page", "text", large()),
            ("book:bytes", "blob", base64::engine::general_purpose::STANDARD.encode(large())),
        ] {
            let read = host.ask("resources/read", &json!({"uri": uri})).await;
            let contents = read["result"]["contents"].as_array().unwrap();
            assert_eq!(contents.len(), 1, "what is told of it is no content");
            let (only, meta) = (&contents[0], json!({"ui": {"a": 1}}));
            assert!(only[field] == *content && only["uri"] == uri && only["mimeType"] == "text/html");
            assert_eq!(only["_meta"], meta);
        }
    }
    node.stop().await;
    let node = Node::among(small_links, shelves(&["shelf"])).await;
    let host = node.open("2025-11-25", json!({})).await;
    let refused = host.ask("resources/read", &json!({"uri": "book:page"})).await;
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(text.contains("1500000 bytes") && text.contains("linked_bytes_max"), "{refused}");
    node.stop().await;
}

#[tokio::test]
async fn what_two_have_is_told_apart_by_their_names() {
    let node = Node::among(routes, shelves(&["one", "two"])).await;
    let host = node.open("2025-11-25", json!({})).await;
    let listed = host.ask("resources/list", &json!({})).await;
    assert_eq!(names(&listed, "resources", "uri"), ["mesh://one/book:1", "mesh://two/book:1"]);
    let templates = host.ask("resources/templates/list", &json!({})).await;
    assert_eq!(names(&templates, "resourceTemplates", "uriTemplate").len(), 2);
    for agent in ["one", "two"] {
        let uri = format!("mesh://{agent}/book:1");
        let read = host.ask("resources/read", &json!({"uri": uri})).await;
        let expected = json!([{"uri": uri, "mimeType": "text/plain", "text": format!("book:1 of {agent}")}]);
        assert_eq!(read["result"]["contents"], expected);
    }
    let unclear = host.ask("resources/read", &json!({"uri": "book:1"})).await;
    assert!(unclear["error"]["message"].as_str().unwrap().contains("mesh://two/book:1"), "{unclear}");
    let prompts = host.ask("prompts/list", &json!({})).await;
    assert_eq!(names(&prompts, "prompts", "name"), ["one__review", "two__review"]);
    node.stop().await;
}

#[tokio::test]
async fn names_may_be_those_of_the_server() {
    let node = Node::among(transparent_routes, shelves(&["shelf"])).await;
    let host = node.open("2025-11-25", json!({})).await;
    let tools = host.ask("tools/list", &json!({})).await;
    let tools = names(&tools, "tools", "name");
    assert!(tools.contains(&"echo") && tools.contains(&"dust") && tools.contains(&"mesh_task"), "{tools:?}");
    let said = host.call("echo", &json!({"text": "hi"})).await;
    assert_eq!(said["content"][0]["text"], "hi");
    let prompts = host.ask("prompts/list", &json!({})).await;
    assert_eq!(names(&prompts, "prompts", "name"), ["review"]);
    node.stop().await;
}

#[tokio::test]
async fn who_may_read_nothing_is_shown_nothing() {
    let node = Node::among(routes, shelves(&["shelf"])).await;
    let mut ann = node.host_of("ann", "2025-11-25", json!({}));
    ann.initialize().await;
    for (method, list) in [("resources/list", "resources"), ("prompts/list", "prompts")] {
        let listed = ann.ask(method, &json!({})).await;
        assert_eq!(listed["result"][list], json!([]), "{listed}");
    }
    let none = ann.ask("resources/read", &json!({"uri": "mesh://shelf/book:1"})).await;
    assert_eq!(none["error"]["code"], -32002, "{none}");
    node.stop().await;
}

#[tokio::test]
async fn who_may_not_complete_is_not_completed_for() {
    let node = Node::among(routes, shelves(&["shelf"])).await;
    node.allow("skill != 'argument:complete' || arguments.argument == 'code'");
    let ann = node.host_of("ann", STATELESS, json!({}));
    for reference in
        [json!({"type": "ref/prompt", "name": "shelf__review"}), json!({"type": "ref/resource", "uri": "book:1"})]
    {
        for (argument, is_allowed) in [("code", true), ("other", false)] {
            let params = json!({"ref": reference, "argument": {"name": argument, "value": "x"}});
            let answer = ann.ask("completion/complete", &params).await;
            assert_eq!(answer["result"].is_object(), is_allowed, "{answer}");
        }
    }
    node.stop().await;
}
