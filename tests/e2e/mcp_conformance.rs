//! MCP's official suite against a server, and against the same server through a node: what a hop loses is a failed check.

use std::process::Command;

use crate::node::{repository, tools};

#[test]
fn the_official_suite_says_of_a_server_behind_a_node_what_it_says_of_the_server() {
    let run = Command::new("python3")
        .arg(repository("tests/mcp_conformance.py"))
        .arg(tools().join("conformance"))
        .args(["--bobbinet", env!("CARGO_BIN_EXE_bobbinet")])
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{said}");
    assert!(run.status.success(), "{said}{wrong}");
}
