//! Four failures of shared MCP servers that people have reported, with few callers: each is there directly, and gone through the node.

use std::process::{Command, Output};

use serde_json::Value;

use crate::node::{repository, tools};

#[test]
fn what_breaks_when_servers_are_shared_directly_holds_through_a_node() {
    let mut node = Command::new("node");
    node.arg(repository("tests/reproductions/main.mjs")).arg("--modules").arg(tools().join("npm/node_modules"));
    node.args(["--bobbinet", env!("CARGO_BIN_EXE_bobbinet"), "--quick", "--json"]);
    let Output { status, stdout, stderr } = node.output().unwrap();
    let found: Value = serde_json::from_slice(&stdout).unwrap_or_default();
    assert!(status.success(), "{found:#}\n{}", String::from_utf8_lossy(&stderr));
    let value = |of: &str, way: &str| found[of][way]["value"].as_f64().unwrap();
    let both = |of: &str| (value(of, "direct"), value(of, "through"));
    let (writes, crossed) = (both("writes"), both("crossed"));
    assert!(writes.0 < 50.0 && writes.1 == 50.0, "{found:#}");
    assert!(crossed.0 > 0.0 && crossed.1 == 0.0, "{found:#}");
    assert_eq!(both("large"), (0.0, 8.0), "{found:#}");
    // Two hosts have their three servers each, and share three at the node.
    assert_eq!(both("crowd"), (6.0, 3.0), "{found:#}");
}
