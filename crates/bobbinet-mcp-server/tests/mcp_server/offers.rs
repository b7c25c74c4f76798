use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::AgentName;
use bobbinet_engine::Agent;
use bobbinet_mcp_server::{routes, transparent_routes};
use serde_json::{Value, json};

use crate::{
    desk::Shelf,
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
