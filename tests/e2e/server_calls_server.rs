//! A wrapped server that calls another through the mesh: with a token of its own, and no more than a line of the policy lets it.

use std::path::Path;

use serde_json::{Value, json};

use crate::node::{Node, bobbinet, repository};

fn call(folder: &Path, skill: &str, arguments: &[&str]) -> String {
    let output = bobbinet(folder).args(["call", skill]).args(arguments).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{said}{wrong}")
}

fn config(policy: &Value) -> String {
    let server = json!(["python3", repository("tests/fixtures/mesh_caller.py")]);
    let agents = json!({
        "one": {"mcp": {"command": server}, "mesh": true},
        "two": {"mcp": {"command": server}},
        "three": {"mcp": {"command": server}, "mesh": true},
    });
    json!({"node": {"listen": "127.0.0.1:0", "data": "./data"}, "agents": agents, "policy": policy}).to_string()
}

#[test]
fn a_server_calls_another_as_a_line_of_the_policy_lets_it() {
    let folder = tempfile::tempdir().unwrap();
    let line = json!([{"allow": "caller.principal == 'agent:one' && skill == 'echo'", "on": "two"}]);
    std::fs::write(folder.path().join("bobbinet.yaml"), config(&line)).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let echo = "arguments={\"text\":\"over there\"}";
    let said = call(folder.path(), "one.ask", &["tool=two__echo", echo]);
    assert!(said.contains("over there"), "{said}");
    // Another skill, another agent, another server that may call, and one that was not given a token.
    for (skill, tool) in [("one.ask", "two__ask"), ("one.ask", "three__echo"), ("three.ask", "two__echo")] {
        let said = call(folder.path(), skill, &[&format!("tool={tool}"), echo]);
        assert!(said.contains("refused") && !said.contains("over there"), "{skill} {tool}: {said}");
    }
    let said = call(folder.path(), "two.ask", &["tool=two__echo", echo]);
    assert!(said.contains("no mesh"), "{said}");
    node.stop();
}
