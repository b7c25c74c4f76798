//! The official A2A SDK of another language talks to wrapped MCP servers that none of us wrote.

use std::process::Command;

use crate::node::{Node, log_of, repository, tools};

#[test]
fn the_python_sdk_converses_with_a_wrapped_npm_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = tools().join("npm/node_modules/.bin/mcp-server-everything");
    assert!(server.exists(), "{} is missing: cargo xtask tools", server.display());
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\n\
         agents:\n  everything: {{ use: everything, mcp: {{ command: [{server:?}] }} }}\n"
    );
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let agent = node.agent("everything");
    let python = tools().join("python/bin/python");
    let script = repository("tests/python/conversation.py");
    let said = Command::new(python).arg(script).args([&agent.url, &agent.token]).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}\n{error}\nnode:\n{}", log_of(folder.path()));
    assert!(node.stop().success());
}
