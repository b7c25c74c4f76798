//! MCP's official suite against the agent as a client: `tests/mcp_client_conformance.py` says what it runs, and what may fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::PathBuf, process::Command};

#[test]
fn the_official_suite_finds_nothing_wrong_with_the_client_but_what_is_written_down() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let tools = std::env::var_os("BOBBINET_TEST_TOOLS").map_or_else(|| root.join("target/tools"), PathBuf::from);
    let suite = tools.join("conformance");
    // Examples are built with the tests, and stand beside the folder that tests are run from.
    let own = std::env::current_exe().unwrap();
    let client = own.parent().unwrap().parent().unwrap().join("examples/conformance_client");
    if !suite.is_dir() || !client.is_file() {
        let is_ci = std::env::var("CI").is_ok_and(|it| it == "true");
        assert!(!is_ci, "{} and {} are to be there: cargo xtask test", suite.display(), client.display());
        eprintln!("left out: {} is not there; cargo xtask tools installs it", suite.display());
        return;
    }
    let script = root.join("tests/mcp_client_conformance.py");
    let run = Command::new("python3").arg(script).arg(suite).arg("--client").arg(client).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{said}");
    assert!(run.status.success(), "{said}{wrong}");
}
